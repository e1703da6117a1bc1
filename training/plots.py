"""report.html: the report's tables, with what is better seen than read.

Reliability of presence, Dice by structure, and of each scan the worst mask against the expert's.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from assistant.volume import Volume
from training.report import markdown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRUTH, MASK = "#1b9e77", "#d95f02"  # told apart by colour-blind people too
WORST = 12
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #bbb;padding:.2rem .6rem;text-align:left}"
    "figure{display:inline-block;margin:.5rem;vertical-align:top}figcaption{font-size:.85rem;max-width:20rem}"
)


@dataclass(frozen=True)
class Picture:
    """A mask and the truth on one slice, as PNG."""

    caption: str
    dice: float
    png: bytes


def page(summary: Mapping[str, Any], pictures: Sequence[Picture]) -> str:
    """The HTML page of a summary as `evaluate.write` makes it: one file, nothing fetched from anywhere."""
    from markdown_it import MarkdownIt

    parts = [MarkdownIt().enable("table").render(markdown(summary))]
    if summary["presence_reliability"]:
        parts.append(_figure(png(reliability(summary["presence_reliability"])), "Presence: said and true"))
    for name, family in summary["families"].items():
        if family["structures"]:
            caption = f"{name}: Dice by structure, mean and 95 % interval"
            parts.append(_figure(png(by_structure(family["structures"])), caption))
    worst = sorted(pictures, key=lambda p: p.dice)[:WORST]
    if worst:
        parts.append("<h2>The worst mask of each scan</h2><p>Green: the expert's. Orange: the model's.</p>")
        parts += [_figure(p.png, p.caption) for p in worst]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Deixis: evaluation</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def reliability(bins: Sequence[Mapping[str, Any]]) -> Figure:
    """The reliability diagram of `metrics.reliability`; a dot's area is how many answers it stands for."""
    figure = _new(4, 4)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#999", linewidth=1)
    most = max(b["n"] for b in bins)
    axes.scatter([b["said"] for b in bins], [b["was"] for b in bins], [20 + 180 * b["n"] / most for b in bins], MASK)
    for b in bins:
        axes.annotate(str(b["n"]), (b["said"], b["was"]), xytext=(6, 6), textcoords="offset points", fontsize=8)
    axes.set(xlabel="presence", ylabel="share that was there", xlim=(-0.05, 1.05), ylim=(-0.05, 1.05))
    return figure


def by_structure(structures: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Mean Dice of each structure, lowest first, with its interval where there is one."""
    order = sorted(structures, key=lambda name: structures[name]["dice"])
    figure = _new(6, 0.8 + 0.24 * len(order))
    axes = figure.add_subplot()
    means = np.array([structures[name]["dice"] for name in order])
    ends = np.array([structures[name]["dice_interval95"] for name in order], float)
    spread = np.nan_to_num(np.abs(ends.T - means), nan=0.0)
    axes.barh(order, means, xerr=spread, color=TRUTH, height=0.7, error_kw={"linewidth": 1})
    axes.set(xlim=(0, 1), xlabel="Dice")
    axes.tick_params(labelsize=8)
    return figure


def picture(volume: Volume, truth: np.ndarray, mask: np.ndarray, caption: str, dice: float) -> Picture:
    """The axial slice on which truth and mask cover most; truth, mask (X, Y, Z) on the volume's RAS grid. As
    radiologists look: the patient's right is on the left."""
    cut = int((truth | mask).sum((0, 1)).argmax())
    image = volume.voxels[:, :, cut].T
    low, high = (-150, 250) if volume.modality == "CT" else np.percentile(volume.voxels, [1, 99.5])
    figure = _new(3.2, 3.2, None)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    step = volume.spacing
    axes.imshow(image, cmap="gray", origin="lower", vmin=low, vmax=high, aspect=float(step[1] / step[0]))
    for shape, colour in ((truth, TRUTH), (mask, MASK)):
        if shape[:, :, cut].any():
            axes.contour(shape[:, :, cut].T.astype(float), [0.5], colors=colour, linewidths=1.2)
    axes.invert_xaxis()
    axes.set_axis_off()
    return Picture(f"{caption}: Dice {dice:.2f}", dice, png(figure))


def png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=90)
    return out.getvalue()


def _new(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """A figure that belongs to no window and to no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def _figure(image: bytes, caption: str) -> str:
    data = base64.b64encode(image).decode()
    words = html.escape(caption)
    return f'<figure><img alt="{words}" src="data:image/png;base64,{data}"><figcaption>{words}</figcaption></figure>'
