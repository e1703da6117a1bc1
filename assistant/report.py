"""Ground a report: each sentence gets its masks, or the reason why there is nothing to show; what the measurements
contradict is said with both sides of the argument.

    report = session.ground_report("The left hippocampus measures 4.1 mL. No tumour.")
    report.lines[0].status          # "contradicted"
    report.lines[0].checks[1].text  # "the report says 4.1 mL; measured 2.9 mL (2.5 to 3.4 by its quality of 0.85)"

A contradiction needs a measurement that can be trusted: what the model was never taught, a doubtful mask and a side
that cannot be told make a sentence "unsure", never "contradicted". The sentences are read by rules
(`assistant.sentences`, `assistant.statements`); no language model has a word in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assistant.errors import QuestionError
from assistant.evidence import format_ml, format_mm, format_probability
from assistant.glossary import Glossary, other_side, side_of
from assistant.margin import LOW_PRESENCE, differ, doubtful, likely
from assistant.midline import Midline
from assistant.sentences import Sentence, sentences_in
from assistant.sizes import Size
from assistant.statements import Named, Relation, Statement, read_statement
from assistant.volume import Volume

if TYPE_CHECKING:
    from assistant.findings import Finding

MAX_REPORT = 50_000  # characters: the longest reports are a tenth of that
NEAR_MM = 5.0  # this near to a structure counts as inside it: masks that exclude each other do not overlap
STATUSES = ("contradicted", "unsure", "agrees", "nothing")  # the worst first
_NOTHING = {
    "heading": "a heading",
    "technique": "how the scan was made",
    "history": "the patient's history",
    "comparison": "speaks of another scan",
    "recommendation": "a recommendation",
}

Find = Callable[[str], "Finding"]


@dataclass(frozen=True)
class Check:
    """One thing that a sentence states, against the scan. verdict: of `STATUSES`, "nothing" where the text says why
    there is nothing to check. masks: ids of those that it is about."""

    verdict: str
    text: str
    masks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """A sentence of the report. status: one of `STATUSES`; masks: ids of what it speaks of; for "nothing", the one
    check says why there is nothing to show."""

    sentence: Sentence
    status: str
    masks: tuple[str, ...]
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Report:
    """lines: every sentence, in order. findings: what they speak of, once each, absent ones included."""

    text: str
    lines: tuple[Line, ...]
    findings: tuple[Finding, ...]

    def count(self, status: str) -> int:
        return sum(line.status == status for line in self.lines)

    @property
    def summary(self) -> str:
        """ "12 sentences: 1 contradicted, 2 unsure, 5 agreeing, 4 with nothing to show." """
        counts = [
            f"{self.count(status)} {words}"
            for status, words in zip(
                STATUSES, ("contradicted", "unsure", "agreeing", "with nothing to show"), strict=True
            )
            if self.count(status)
        ]
        return f"{len(self.lines)} sentence{'' if len(self.lines) == 1 else 's'}: {', '.join(counts)}."


def checked_report(text: str) -> str:
    """The report's text. QuestionError when it is empty or too long."""
    if not text.strip():
        raise QuestionError("the report is empty: paste its text or open a .txt file")
    if len(text) > MAX_REPORT:
        raise QuestionError(f"the report has {len(text):,} characters; the limit is {MAX_REPORT:,}: shorten it")
    return text


def read_report(path: str | Path) -> str:
    """The text of a .txt file: UTF-8, else Windows-1252. QuestionError when it is none."""
    path = Path(path).expanduser()
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise QuestionError(f"{path} cannot be read ({error.strerror}): give the path of a text file") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    if "\0" in text or text.count("\ufffd") > 0.05 * len(text):
        raise QuestionError(f"{path.name} is not a text file: save the report as .txt")
    return checked_report(text.replace("\r\n", "\n"))


def ground(text: str, find: Find, glossary: Glossary, volume: Volume, middle: Callable[[], Midline | None]) -> Report:
    """Check a report. find: looks for a canonical phrase; its masks lie on the file's own grid. middle: where left and
    right part, asked only where a side must be told."""
    reader = _Reader(find, volume, middle)
    lines = tuple(reader.line(sentence, glossary) for sentence in sentences_in(checked_report(text)))
    if not lines:
        raise QuestionError("the report holds no words: paste its text or open a .txt file")
    return Report(text, lines, tuple(reader.seen.values()))


class _Reader:
    """Checks sentence after sentence; what was looked for once is not looked for again."""

    def __init__(self, find: Find, volume: Volume, middle: Callable[[], Midline | None]) -> None:
        self._find = find
        self._volume = volume
        self._middle = middle
        self.seen: dict[str, Finding] = {}

    def find(self, phrase: str) -> Finding:
        if phrase not in self.seen:
            self.seen[phrase] = self._find(phrase)
        return self.seen[phrase]

    def line(self, sentence: Sentence, glossary: Glossary) -> Line:
        if sentence.kind != "statement":
            return _nothing(sentence, _NOTHING[sentence.kind])
        statement = read_statement(sentence.text, glossary)
        if statement.normal:
            return _nothing(sentence, "a normal statement")
        if not statement.named:
            return _nothing(sentence, "names no structure that I know by name")
        checks: list[Check] = []
        places = {phrase for one in statement.named for phrase in one.within}
        for one in statement.named:
            looked = self._look(one)
            if one.stated != "absent" and set(one.phrases) <= places and not one.sizes and not _found(looked):
                checks += [_unknown(f) for f in looked if not f.taught]  # a place: what lies there is what is said
                continue
            checks += self._checks(one, looked, statement)
        checks += [check for relation in statement.relations if (check := self._compared(relation)) is not None]
        if statement.earlier:
            checks.append(Check("unsure", "whether it has changed cannot be told from one scan: compare with a prior"))
        unique = tuple(dict.fromkeys(checks))
        status = min((check.verdict for check in unique), key=STATUSES.index, default="nothing")
        return Line(sentence, status, tuple(dict.fromkeys(mask for check in unique for mask in check.masks)), unique)

    def _look(self, one: Named) -> list[Finding]:
        looked = [self.find(phrase) for phrase in one.phrases]
        if one.otherwise and not _found(looked):
            looked = _found([self.find(phrase) for phrase in one.otherwise]) or looked
        return looked

    def _checks(self, one: Named, looked: Sequence[Finding], statement: Statement) -> list[Check]:
        checks = [_unknown(finding) for finding in looked if not finding.taught]
        known = [finding for finding in looked if finding.taught]
        if one.stated == "absent":
            return checks + [self._denied(one, finding) for finding in known]
        found = _found(known)
        if one.every or not found:
            missing = [finding for finding in known if not finding.present]
            checks += [self._missing(one, finding) for finding in (missing if one.every else missing[:1])]
        checks += [Check("agrees", f"{_named(finding)}: {_numbers(finding)}", (finding.id,)) for finding in found]
        for finding in found:
            checks += self._placed(one, finding)
        return checks + [check for size in one.sizes for check in self._sized(size, found, statement.together)]

    # -- presence and place ----------------------------------------------------------------------------------------

    def _denied(self, one: Named, finding: Finding) -> Check:
        if not finding.present:
            return Check("agrees", f"no {finding.phrase} was found either, presence {_presence(finding)}")
        says, mask = f"the report says no {finding.phrase}", (finding.id,)
        if one.within:
            places = [place for place in map(self.find, one.within) if place.present]
            if not places:
                return Check("unsure", f"{says} there; {_named(finding)} was found, and the place was not", mask)
            if all(self._apart_mm(finding, place) > NEAR_MM for place in places):
                where = f"but not in the {places[0].phrase} ({places[0].id})"
                return Check("agrees", f"{_named(finding)} was found, {where}", (*mask, places[0].id))
        elif one.side is not None and finding.centroid_mm is not None:
            middle = self._middle()
            if middle is None or middle.side(finding.centroid_mm) != one.side:
                where = "on a side that cannot be told" if middle is None else f"but not on the {one.side}"
                return Check("unsure" if middle is None else "agrees", f"{_named(finding)} was found, {where}", mask)
        return _against(finding, f"{says}; one was found ({finding.id}), presence {_presence(finding)}")

    def _missing(self, one: Named, finding: Finding) -> Check:
        side = side_of(finding.phrase)
        if side is not None and len(one.phrases) == 1:
            other = self.find(other_side(finding.phrase))
            if other.present:
                found = f"found on the {side_of(other.phrase)} ({other.id})"
                return _against(
                    other, f"the report says {side}; {found}, none on the {side}, presence {_presence(finding)}"
                )
        phrase = finding.phrase if one.every else finding.phrase.removeprefix(f"{side} ")
        text = f"the report says that there is a {phrase}; none was found, presence {_presence(finding)}"
        if one.stated == "perhaps":
            return Check("unsure", f"the report is not sure of a {phrase}; none was found, presence "
                         f"{_presence(finding)}")  # fmt: skip
        sure = finding.presence <= 1 - LOW_PRESENCE
        return Check("contradicted", text) if sure else Check("unsure", f"{text}, which is no clear no")

    def _placed(self, one: Named, finding: Finding) -> list[Check]:
        """Where something without a side in its name lies, against where it is said to lie."""
        if finding.centroid_mm is None:
            return []
        apart = {place: self._apart_mm(finding, place) for place in map(self.find, one.within) if place.present}
        for place, distance in apart.items():
            if distance <= NEAR_MM:
                text = f"it lies in the {place.phrase} or next to it ({place.id})"
                return [Check("agrees", text, (finding.id, place.id))]
        if one.side is None:
            return [
                Check("unsure", f"it lies {format_mm(distance)} mm from the {place.phrase} ({place.id})", (place.id,))
                for place, distance in apart.items()
            ]
        middle = self._middle()
        if middle is None:
            words = "the scan shows no paired structures that tell its middle, so the side cannot be checked"
            return [Check("unsure", f"the report says {one.side}; {words}")]
        side, offset = middle.side(finding.centroid_mm), format_mm(abs(middle.offset_mm(finding.centroid_mm)))
        if side is None:
            return [Check("unsure", f"the report says {one.side}; its centre is {offset} mm from the middle")]
        if side == one.side:
            return [Check("agrees", f"it lies on the {side}, {offset} mm from the middle")]
        return [_against(finding, f"the report says {one.side}; found on the {side}, {offset} mm from the middle")]

    def _apart_mm(self, one: Finding, other: Finding) -> float:
        """Least distance between two masks' voxels, in mm."""
        from scipy.spatial import cKDTree

        distance, _ = cKDTree(self._places(other)).query(self._places(one))
        return float(np.min(distance))

    def _places(self, finding: Finding) -> np.ndarray:
        """(N, 3) RAS+ mm of a mask's voxels, 20,000 at most."""
        assert finding.mask is not None
        index = np.argwhere(finding.mask)
        index = index[:: 1 + len(index) // 20_000]
        affine = self._volume.native.affine
        return index @ affine[:3, :3].T + affine[:3, 3]

    # -- numbers ---------------------------------------------------------------------------------------------------

    def _sized(self, size: Size, found: Sequence[Finding], together: bool) -> list[Check]:
        if not found:
            return []
        if size.unit == "mL":
            return [self._volume_check(size, found, together)]
        if len(found) > 1:
            return [Check("unsure", f"the report says {size.text}; of which of them is not clear")]
        return [self._length_check(size, found[0])]

    def _volume_check(self, size: Size, found: Sequence[Finding], together: bool) -> Check:
        low, high = size.spans[0]
        ranges = [_range(finding) for finding in found]
        total = (sum(a for a, _ in ranges), sum(b for _, b in ranges))
        fits_each = all(_meet((low, high), one) for one in ranges)
        fits_sum = _meet((low, high), total)
        fits = fits_sum if together else fits_each or (len(found) > 1 and fits_sum)
        measured = " and ".join(_measured(finding) for finding in found)
        if fits:
            return Check("agrees", f"the report says {size.text}; measured {measured}")
        text = f"the report says {size.text}; measured {measured}"
        finding = min(found, key=_reliable)
        masks: tuple[str, ...] = ()
        if len(found) == 1 and side_of(finding.phrase) is not None:
            other = self.find(other_side(finding.phrase))
            if other.present and _meet((low, high), _range(other)):
                text += f"; it fits the {_named(other)}, which measures {format_ml(other.volume_ml or 0)} mL"
                masks = (other.id,)
        return _against(finding, text, masks)

    def _length_check(self, size: Size, finding: Finding) -> Check:
        """One length may be taken in any direction, so it must lie between the least and the longest; of several the
        longest is the longest diameter."""
        longest, least = finding.longest_diameter_mm or 0.0, self._least_mm(finding)
        edge = float(np.linalg.norm(self._volume.spacing))  # diameters run between the centres of voxels
        short, long = likely(longest, finding.quality)
        lowest = short - edge if len(size.spans) > 1 else likely(least, finding.quality)[0] - edge
        fits = size.spans[0][0] <= long + edge and size.spans[0][1] >= lowest
        text = (
            f"the report says {size.text}; measured longest diameter {format_mm(longest)} mm "
            f"({format_mm(max(0.0, short - edge))} to {format_mm(long + edge)}), narrowest {format_mm(least)} mm"
        )
        return Check("agrees", text) if fits else _against(finding, text)

    def _least_mm(self, finding: Finding) -> float:
        """The extent of a mask along its shortest principal axis, between voxel centres, in mm."""
        places = self._places(finding)
        if len(places) < 2:
            return 0.0
        _, _, axes = np.linalg.svd(places - places.mean(axis=0), full_matrices=False)
        return float(np.min(np.ptp(places @ axes.T, axis=0)))

    def _compared(self, relation: Relation) -> Check | None:
        one, other = self.find(relation.one), self.find(relation.other)
        if not one.present or not other.present or one.volume_ml is None or other.volume_ml is None:
            return None  # said already, of the one that is missing
        a, b = one.volume_ml, other.volume_ml
        says = f"the report says {'not ' if relation.denied else ''}{relation.word}"
        measured = f"measured {_named(one)} {format_ml(a)} mL, {_named(other)} {format_ml(b)} mL"
        weaker = min(one, other, key=_reliable)
        apart = differ(a, b, weaker.quality)
        truth = "smaller" if a < b else "larger"
        if relation.word == "equal":
            holds = apart if relation.denied else not apart
        elif not apart:
            if relation.denied:
                return Check("agrees", f"{says}; {measured}")
            return Check("unsure", f"{says}; {measured}, which is too close to tell apart")
        else:
            holds = (truth == relation.word) != relation.denied
        if holds:
            return Check("agrees", f"{says}; {measured}")
        return _against(weaker, f"{says}; {measured}: {'it is ' + truth if apart else 'they are equal'}")


def _nothing(sentence: Sentence, why: str) -> Line:
    return Line(sentence, "nothing", (), (Check("nothing", why),))


def _found(looked: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in looked if finding.present]


def _against(finding: Finding, text: str, others: tuple[str, ...] = ()) -> Check:
    """A contradiction, where what was found can be relied on."""
    why, masks = doubtful(finding.presence, finding.quality), (finding.id, *others)
    return Check("unsure", f"{text}; but {why}", masks) if why else Check("contradicted", text, masks)


def _unknown(finding: Finding) -> Check:
    return Check("unsure", f"{finding.phrase}: I was not taught this, so I cannot say")


def _named(finding: Finding) -> str:
    return f"{finding.phrase} ({finding.id})"


def _presence(finding: Finding) -> str:
    return format_probability(finding.presence)


def _numbers(finding: Finding) -> str:
    assert finding.volume_ml is not None
    quality = "" if finding.quality is None else f", quality {format_probability(finding.quality)}"
    return f"{format_ml(finding.volume_ml)} mL, presence {_presence(finding)}{quality}"


def _reliable(finding: Finding) -> float:
    """The key by which the weaker of two masks is the lesser."""
    return 1.0 if finding.quality is None else finding.quality


def _range(finding: Finding) -> tuple[float, float]:
    """What the volume may be, mL."""
    return likely(finding.volume_ml or 0.0, finding.quality)


def _measured(finding: Finding) -> str:
    low, high = _range(finding)
    by = "" if finding.quality is None else f" by its quality of {format_probability(finding.quality)}"
    return f"{format_ml(finding.volume_ml or 0.0)} mL ({format_ml(low)} to {format_ml(high)}{by})"


def _meet(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two intervals have a value in common."""
    return one[0] <= other[1] and other[0] <= one[1]
