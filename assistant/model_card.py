"""A checkpoint's README.md, made from its manifest: what it is, what made it, on which data, and what it is not for.

Only what the manifest says is said. A card that somebody wrote by hand is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assistant.checkpoint import Manifest

NAME = "README.md"
MADE = "<!-- Made from manifest.json. Take this line out and the file is yours: it is not written over again. -->"


def write_card(folder: Path, manifest: Manifest) -> None:
    """Write or renew the card of a checkpoint folder."""
    path = folder / NAME
    if path.is_file() and not path.read_text(encoding="utf-8").startswith(MADE):
        return
    path.write_text(card(manifest), encoding="utf-8")


def card(manifest: Manifest) -> str:
    """The card's text, Markdown."""
    lines = [
        MADE,
        "# Model card: a Deixis checkpoint",
        "",
        "**Research use only.** Not a medical device; not for diagnosis or treatment.",
        "",
        "## What it is",
        f"- Base language model: {manifest.base.name}, sha256 `{manifest.base.sha256}`; another base is refused.",
        f"- Files, by sha256: {', '.join(f'{n} `{digest[:12]}`' for n, digest in sorted(manifest.files.items()))}",
        f"- The whole model's hash: `{manifest.sha256}`",
        "",
        "## What made it",
    ]
    lines += _stages(manifest.training) or ["The manifest names no stage of training."]
    if manifest.seeds:
        lines += ["", f"Seeds: {', '.join(f'{stage} {seed}' for stage, seed in manifest.seeds.items())}."]
    lines += ["", f"Versions: {', '.join(f'{name} {version}' for name, version in manifest.versions.items())}."]
    lines += ["", "## Data"]
    lines += _data(manifest) or ["The manifest names no data."]
    return "\n".join([*lines, *_ALWAYS])


_ALWAYS = (
    "",
    "Names and licences of public sets are in `data_recipes/README.md` of Deixis.",
    "",
    "## Licence",
    "The base language model's and every data set's own licence hold for what was made of them. Deixis's code is under",
    "Apache-2.0. Who gives this checkpoint away states its licence here.",
    "",
    "## Intended use",
    "Research on answering questions about CT, MR and PET volumes with masks and measurements, by people who look at",
    "the masks. Scans of the kinds that it was trained on.",
    "",
    "## Limits",
    "- No figures are in this file: measure it on your own scans with `deixis train evaluate` before you rely on it.",
    "- Structures, modalities and populations that it was not trained on: unknown, and likely worse.",
    "- A mask can be wrong while the sentence about it is right, because the sentence speaks of the mask.",
    "",
)


def _stages(training: Mapping[str, Any]) -> list[str]:
    lines = []
    for stage, told in training.items():
        for one in told if isinstance(told, list) else [told]:
            settings = one.get("settings", one)
            code = f", code {one['code']}" if one.get("code") else ""
            steps = one.get("steps_done", settings.get("steps"))
            took = "" if steps is None else f", {steps} steps"
            processes = f", {one['processes']} processes" if one.get("processes", 1) > 1 else ""
            shown = ", ".join(f"{k} {v}" for k, v in settings.items() if k not in _NOT_SETTINGS)
            lines.append(f"- {stage}{took}{processes}{code}: {shown}")
    return lines


_NOT_SETTINGS = ("steps", "steps_done", "seconds", "processes", "code", "stage", "data", "settings")


def _data(manifest: Manifest) -> list[str]:
    told = dict(manifest.data)
    for one in manifest.training.get("see", []):
        told.setdefault("see", one.get("data", {}))
    return [f"- {stage}: {_said(data)}" for stage, data in told.items()]


def _said(data: Any) -> str:
    """One stage's data in a line: its cases by family and the index's hash, or how many of what there are."""
    if not isinstance(data, Mapping):
        return str(data)
    cases = data.get("cases")
    if isinstance(cases, Mapping):
        counts = ", ".join(f"{number} {family}" for family, number in cases.items())
        return f"{counts} (index sha256 `{data.get('index_sha256', 'not known')}`)"
    return ", ".join(f"{name}: {len(v) if isinstance(v, list | Mapping) else v}" for name, v in data.items())
