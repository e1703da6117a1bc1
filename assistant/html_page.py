"""What the written pages (summary, grounded report, comparison) share: one file each that needs nothing else."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np

from assistant.desk.files import windows
from assistant.desk.page import colour
from assistant.errors import ResourceError
from assistant.export import NOTICE
from assistant.pictures import mask_picture
from assistant.volume import Volume

_STYLE = """
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; color: #1f2937; }
body { max-width: 920px; margin: 24px auto; padding: 0 16px; }
h1 { font-size: 20px; } h2 { font-size: 16px; margin-top: 28px; } small, .dim { color: #64748b; }
li { list-style: none; border-left: 4px solid #cbd5e1; padding: 4px 12px; margin: 8px 0; } ol { padding: 0; }
.contradicted { border-color: #b91c1c; background: #fef2f2; }
.unsure { border-color: #b45309; background: #fffbeb; }
.agrees { border-color: #15803d; } li ul { padding: 0; }
li ul li { border: 0; margin: 0; padding: 0 0 0 4px; font-size: 13.5px; }
li b { font-weight: 600; }
.m { display: inline-block; padding: 0 6px; border-radius: 8px; color: #000; font-size: 12.5px; }
table { border-collapse: collapse; font-size: 13.5px; width: 100%; } th { text-align: left; font-weight: 600; }
th, td { border-bottom: 1px solid #e2e8f0; padding: 3px 8px 3px 0; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; border-radius: 4px; display: block; margin: 4px 0 14px; }
@media print { body { margin: 0; max-width: none; } h2, img, tr, li { break-inside: avoid; }
  .m, .contradicted, .unsure { -webkit-print-color-adjust: exact; print-color-adjust: exact; } }
"""


def document(title: str, heading: str, body: str) -> str:
    """A whole page. title, heading: text; body: HTML."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{html.escape(heading)}</h1>{body}"
        f"<p><small>{html.escape(NOTICE)} Measured on masks: check the masks. The patient's right is on the left of "
        "each picture.</small></p></body></html>\n"
    )


def write_page(path: Path, page: str) -> Path:
    """Raises ResourceError when it cannot be written."""
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ResourceError(
            f"cannot write {path} ({error.strerror or error}): free some space or choose another folder"
        ) from error
    return path


def mask_figures(
    volume: Volume,
    masks: Mapping[str, np.ndarray],
    phrases: Mapping[str, str],
    colours: Mapping[str, str] | None = None,
) -> str:
    """A heading and a picture for each mask, all masks drawn in it.

    masks: id -> (X, Y, Z) bool on the volume's RAS grid; phrases: what each is called; colours: where not its own.
    """
    shades = {mask_id: colour(mask_id) for mask_id in masks} | dict(colours or {})
    black, white = cast("list[float]", windows(volume)[0]["range"])
    figures = []
    for mask_id in masks:
        data = base64.b64encode(mask_picture(volume, masks, mask_id, (black, white), shades)).decode()
        title = f"{html.escape(mask_id)} {html.escape(phrases[mask_id])}"
        figures.append(
            f'<h2 id="{mask_id}">{link_chip(mask_id, shades[mask_id])} {html.escape(phrases[mask_id])}</h2>'
            f'<img alt="{title}: axial, coronal and sagittal plane" src="data:image/png;base64,{data}">'
        )
    return "".join(figures)


def link_chip(mask_id: str, shade: str | None = None) -> str:
    """A mask's id in its colour, which leads to its picture."""
    return f'<a class="m" href="#{mask_id}" style="background:{shade or colour(mask_id)}">{mask_id}</a>'
