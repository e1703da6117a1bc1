"""A reply's words with their masks and measurements: names become chips, numbers tell how they were measured.

The text goes through the chat's Markdown and sanitiser, which let a button's `name`, `value`, `title`, `class` and
`style` pass and no data attributes: `value` is the mask's id, `title` what is told on hover and focus (talk.js).
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from assistant.desk import texts
from assistant.evidence import format_mean, format_ml, format_mm, format_probability, shown_difference
from assistant.margin import LOW_PRESENCE, LOW_QUALITY

if TYPE_CHECKING:
    from assistant.findings import Finding
    from assistant.volume import Volume

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])|\n+")
_CLOSING = re.compile(r"[).,;:?!]+(?=\s|$)")
_NUMBER = re.compile(r"(?<![\w.,])(?P<digits>-?\d+(?:\.\d+)?)\s?(?P<unit>mL|mm|HU|SUV)\b")


@dataclass(frozen=True)
class Told:
    """What a text may speak of. present: id -> finding, in the version of that time; absent: phrase -> finding; own:
    ids of the reply itself, which a number is rather about."""

    present: Mapping[str, Finding]
    absent: Mapping[str, Finding]
    own: Sequence[str] = ()


@dataclass(frozen=True)
class _Place:
    start: int
    end: int
    finding: Finding


def marked(text: str, told: Told, volume: Volume | None, rich: Callable[[str], str]) -> str:
    """The text as HTML, sentence by sentence. rich: escapes plain text."""
    parts, at = [], 0
    for gap in [*_SENTENCE.finditer(text), None]:
        end = len(text) if gap is None else gap.start()
        if text[at:end].strip():
            parts.append(f'<span class="dx-said">{_sentence(text[at:end], told, volume, rich)}</span>')
        if gap is not None:
            parts.append("<br>" if "\n" in gap[0] else " ")
            at = gap.end()
    return "".join(parts)


def _sentence(text: str, told: Told, volume: Volume | None, rich: Callable[[str], str]) -> str:
    places = _places(text, told)
    pieces: list[tuple[int, int, str]] = [(p.start, p.end, chip(p.finding, text[p.start : p.end])) for p in places]
    for match in _NUMBER.finditer(text):
        inside = any(p.start < match.end() and match.start() < p.end for p in places)
        how = None if inside else _how(match, places, told, volume)
        if how:
            pieces.append((*match.span(), _number(match[0], how)))
    out, at = [], 0
    for start, end, piece in sorted(pieces):
        opened = text[at:start].endswith("(")
        out.append(rich(text[at : start - opened]))
        close = _CLOSING.match(text, end)
        at = close.end() if close else end
        if opened or close:  # a button is a box to the browser: its brackets might stand on another line
            piece = f'<span class="dx-whole">{"(" * opened}{piece}{rich(text[end:at])}</span>'
        out.append(piece)
    return "".join([*out, rich(text[at:])])


def _places(text: str, told: Told) -> list[_Place]:
    """Where a sentence names a finding: by phrase, by id, or by both ("the liver (m1)", "liver (not found)")."""
    by_phrase = {f.phrase.lower(): f for f in [*told.absent.values(), *told.present.values()]}
    by_phrase |= {told.present[i].phrase.lower(): told.present[i] for i in told.own if i in told.present}
    names = sorted({*by_phrase, *(i for i in told.present)}, key=len, reverse=True)
    if not names:
        return []
    pattern = re.compile(
        r"(?<![\w-])(?P<name>" + "|".join(map(re.escape, names)) + r")(?!\w)"
        r"(?: \((?P<more>m\d+|not found|never taught)\))?",
        re.IGNORECASE,
    )
    found: list[_Place] = []
    for match in pattern.finditer(text):
        name, more = match["name"].lower(), (match["more"] or "").lower()
        finding = told.present.get(more) or told.present.get(name)
        if finding is None:
            finding = told.absent.get(name, by_phrase[name]) if more.startswith("n") else by_phrase[name]
        end = match.end()
        if more.startswith("m") and more != finding.id:
            end = match.end("name")
        last = found[-1] if found else None
        within = last is not None and last.finding is finding and text[last.end : match.start()] == " ("
        if last is not None and within and text[end:][:1] == ")":
            found[-1] = _Place(last.start, end + 1, finding)  # "m2 (right hippocampus)"
        else:
            found.append(_Place(match.start(), end, finding))
    return found


def shade(mask_id: str) -> str:
    """A mask's colour for CSS: the reader's own choice where there is one, else that of its number."""
    from assistant.desk.page import colour  # which imports this

    return f"var(--dx-{mask_id}, {colour(mask_id)})"


def chip(finding: Finding, text: str) -> str:
    """A name in a text: a button tied to its mask, or the name of what was not found."""
    words = html.escape(text)
    if not finding.present:
        why = texts.CHIP["absent" if finding.taught else "untaught"]
        kind = "dx-absent-chip" if finding.taught else "dx-untaught-chip"
        told = f"{html.escape(finding.phrase)}: {why.format(presence=format_probability(finding.presence))}"
        return f'<span class="{kind}" title="{told}" tabindex="0">{words}</span>'
    doubt = " dx-doubt-chip" if is_doubtful(finding) else ""
    return (
        f'<button type="button" name="mask" value="{finding.id}" class="dx-chip dx-at{doubt}" '
        f'style="--dx:{shade(finding.id)}" title="{html.escape(provenance(finding))}">{words}</button>'
    )


def is_doubtful(finding: Finding) -> bool:
    """Whether a mask's presence or quality is low."""
    quality = finding.quality
    return finding.presence < LOW_PRESENCE or (quality is not None and quality < LOW_QUALITY)


def provenance(finding: Finding) -> str:
    """ "m3 = m1 grown by 5 mm; presence 0.98, quality 0.41 (low: look at the mask)"."""
    name = f"{finding.id} {finding.phrase}"
    how = f"{finding.id} = {finding.made}" if finding.made and finding.version == 1 else name
    if finding.version > 1:
        how = f"{name}, version {finding.version}: {finding.made}"
    low = f" ({texts.CHIP['low']})" if is_doubtful(finding) else ""
    return f"{how}; {_sure(finding)}{low}"


def _sure(finding: Finding) -> str:
    quality = "" if finding.quality is None else f", quality {format_probability(finding.quality)}"
    parts = " of its parts" if finding.made and finding.version == 1 else ""  # nothing was estimated of it itself
    return f"presence {format_probability(finding.presence)}{quality}{parts}"


def _number(text: str, how: str) -> str:
    return f'<button type="button" name="how" class="dx-number" title="{html.escape(how)}">{html.escape(text)}</button>'


def _how(match: re.Match[str], places: Sequence[_Place], told: Told, volume: Volume | None) -> str | None:
    """How a number was measured; None where it is no measurement of a finding."""
    before = [p.finding for p in places if p.end <= match.start()]
    after = [p.finding for p in places if p.start >= match.end()]
    own = [told.present[i] for i in told.own if i in told.present]
    every = [f for f in [*reversed(before), *after, *own, *reversed(list(told.present.values()))] if f.present]
    for finding in every:
        how = measured(finding, match["digits"], match["unit"], volume)
        if how:
            return how
    if match["unit"] != "mL":
        return None
    for index, one in enumerate(every):
        for other in every[index + 1 :]:
            how = _of_two(one, other, match["digits"])
            if how:
                return how
    return None


def measured(finding: Finding, digits: str, unit: str, volume: Volume | None) -> str | None:
    """How this very number of a mask was made, such as "2.9 mL: 2,912 voxels of 1.0 x 1.0 x 1.0 mm, mask m1, presence
    0.98, quality 0.87"; None where it is not the mask's."""
    of = f"mask {finding.id}" + (f" = {finding.made}" if finding.made else "")
    voxels = ""
    if volume is not None and finding.volume_ml is not None:
        voxels = f"{round(finding.volume_ml / volume.voxel_ml):,} voxels"
    if unit == "mL" and finding.volume_ml is not None and format_ml(finding.volume_ml) == digits:
        size = "" if volume is None else f"{voxels} of {' x '.join(_spacing(v) for v in volume.spacing)} mm, "
        return f"{digits} mL: {size}{of}, {_sure(finding)}"
    if unit == "mm" and finding.longest_diameter_mm is not None and format_mm(finding.longest_diameter_mm) == digits:
        return f"{digits} mm: the largest distance between two voxel centres of {of}"
    mean = finding.mean_intensity
    if unit == finding.intensity_unit and mean is not None and format_mean(mean) == digits:
        return f"{digits} {unit}: the mean of {voxels or 'the voxels'} of {of}"
    return None


def _of_two(one: Finding, other: Finding, digits: str) -> str | None:
    """Where a number is the difference or the sum of two masks' volumes."""
    if one.volume_ml is None or other.volume_ml is None or one.id == other.id:
        return None
    terms = f"{format_ml(one.volume_ml)} mL ({one.id}) and {format_ml(other.volume_ml)} mL ({other.id})"
    if shown_difference(one.volume_ml, other.volume_ml).split(" ")[0] == digits:
        return f"{digits} mL: the difference of {terms}"
    if Decimal(format_ml(one.volume_ml)) + Decimal(format_ml(other.volume_ml)) == Decimal(digits):
        return f"{digits} mL: the sum of {terms}"
    return None


def _spacing(value: float) -> str:
    text = f"{value:.2f}"
    return text[:-1] if text.endswith("0") else text
