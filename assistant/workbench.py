"""Turns that are the program's own: operations on masks in words, quantities of masks, what was found so far, and
clicks that refine one mask under its id.

The language model writes nothing here. The result is measured, the sentence is made of the measurements, and both stand
in the conversation like any reply, so that the model knows of them afterwards.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

import numpy as np

from assistant import (
    bounds,
    claims,
    conversation,
    operation_words,
    pointed,
    quantity,
    recap,
    relation,
    scan_questions,
    surroundings,
)
from assistant.composition import on_scan
from assistant.conversation import Message
from assistant.errors import QuestionError
from assistant.evidence import Note, format_ml, format_mm, shown_difference
from assistant.findings import Drawn, Finding, Findings
from assistant.generate import Chat, Delta, Done, Event, Grounded
from assistant.operations import Operation, gap_mm, intersection, touch, union
from assistant.prompt_encoder import Prompt
from assistant.quantity import Asked
from assistant.volume import Volume


def by_program(chat: Chat, text: str, selected: str = "") -> Iterator[Event] | None:
    """The turn of a question that the program answers itself; None where the language model is to answer.

    selected: the mask that "it" is, or ""."""
    if chat.targets is None:
        return None
    known = chat.known(selected)
    said = chat.whole(text)
    operations = operation_words.read(said, known)
    if operations:
        return operate(chat, text, operations)
    asked = bounds.read(said, known) or quantity.read(said, known)
    if asked is not None:
        return _tell(chat, text, asked)
    placed = relation.read(said, known)
    if placed is not None and (placed.yes_or_no or _is_missing(chat, placed.second)):
        return _place(chat, text, placed)
    around = surroundings.read(said, known)
    if around is not None:
        return _surround(chat, text, around)
    if recap.asks_to_describe(text):
        return _describe(chat, text)
    if recap.asks_for_all(text):
        return _recap(chat, text)
    of_scan = scan_questions.answer(text, chat.targets.study.volume, known)
    if of_scan:
        return _say_only(chat, text, of_scan)
    doubted = recap.doubted(text, known)
    return _stand_by(chat, text, doubted) if doubted else None


def by_pointing(chat: Chat, text: str, prompt: Prompt) -> Iterator[Event] | None:
    """The turn of a question about the name of what is pointed at, where it is the program's; None where the language
    model is to answer: of what a mask claims it says more, and without taught structures it alone knows names."""
    targets, asked = _targets(chat), pointed.read(text, chat.model.glossary)
    if asked is None or targets.study.rivals is None:
        return None
    places = targets.study.around(prompt, chat.shown())
    return None if not asked.phrases and places[1] is not None else _point_out(chat, text, asked, *places)


def _point_out(
    chat: Chat, text: str, asked: pointed.Asked, spots: np.ndarray, name: str | None, near: str | None
) -> Iterator[Event]:
    """Say what holds the place that is pointed at (spots, (K, 3) voxels), or what is nearest to it."""
    targets = _targets(chat)
    with chat.turn() as number:
        chat.messages.append(Message("user", text, image=not chat.messages))
        volume, config = targets.study.volume, targets.study.segmenter.config
        place = np.zeros(volume.shape, bool)
        place[tuple(spots.T)] = True
        notes: list[Note] = []
        close: tuple[Finding, float] | None = None
        # a place in the left cortex is in the brain, too
        here = [] if name in asked.phrases else on_scan(asked.phrases, chat.shown())
        wholes = [one for one in here if one in config.wholes]
        for one in [*wholes, *filter(None, [name or near])]:
            found, more = yield from _looked_at(chat, targets, [one], number)
            notes += [note for note in more if note not in notes]
            if found[one].present:
                close = found[one], gap_mm(place, _mask(found[one]), volume.affine)
                if not close[1]:
                    break
        said = _say(chat, notes, pointed.told(asked, close, config.taught_names))
    yield from said


def _tell(chat: Chat, text: str, asked: Asked) -> Iterator[Event]:
    """Say what was measured. Structures that have no mask yet are looked for first."""
    targets = _targets(chat)
    with chat.turn() as number:
        chat.messages.append(Message("user", text, image=not chat.messages))
        found, notes = yield from _looked_at(chat, targets, asked.names, number)
        if not all(note.present for note in notes):
            words = _nothing_to_measure(notes)
        elif asked.kind == "together":
            finding, note = _together(targets, [found[name] for name in asked.members], number)
            notes.append(note)
            yield Grounded(finding)
            words = quantity.told(asked, found, (finding.id, _ml(finding)))
        elif asked.kind == "pieces":
            words = quantity.pieces(asked, found, targets.study.volume.voxel_ml)
        elif asked.kind == "values":
            words = quantity.values(asked, found, targets.study.volume.voxels)
        elif asked.kind == "slices":
            words = quantity.slices(asked, found)
        elif asked.kind in quantity.EXTENTS:
            words = quantity.across(asked, found, targets.study.volume.affine)
        else:
            names = asked.members if asked.kind == "overlap" else asked.whole
            combine = intersection if asked.kind == "overlap" else union
            masks, voxel_ml = [_mask(found[name]) for name in names], targets.study.volume.voxel_ml
            volume_ml = np.count_nonzero(combine(masks)) * voxel_ml if masks else 0.0
            if asked.of_scan:
                volume_ml = targets.study.volume.voxels.size * voxel_ml
            parts = union([_mask(found[name]) for name in asked.members]) if asked.kind == "share" else None
            parts_ml = 0.0 if parts is None else np.count_nonzero(parts) * voxel_ml
            words = quantity.told(asked, found, ("", volume_ml), parts_ml)
        said = _say(chat, notes, words)
    yield from said


def _nothing_to_measure(notes: Sequence[Note]) -> str:
    return f"{claims.statement([note for note in notes if not note.present])} So there is nothing to measure."


def _together(targets: Findings, parts: Sequence[Finding], number: int) -> tuple[Finding, Note]:
    """The union of masks, which may be there already."""
    made = " + ".join(part.id for part in parts)
    for finding in targets.masks.values():
        if finding.made == made:
            return targets.told_again(finding.id)
    phrase = " + ".join(part.phrase if targets.drawn(part.id) else part.id for part in parts)
    return targets.computed(phrase, made, union([_mask(part) for part in parts]), parts, [], number)


def _looked_at(
    chat: Chat, targets: Findings, names: Sequence[str], number: int
) -> Generator[Event, None, tuple[dict[str, Finding], list[Note]]]:
    """Each mask by its id, each structure by its name, looked for where it has no mask yet; with their notes."""
    found: dict[str, Finding] = {}
    notes: list[Note] = []
    for name in names:
        known = name in targets.masks
        found[name], note = targets.told_again(name) if known else _found(chat, targets, name, number)
        if note not in notes:
            notes.append(note)
            yield Grounded(found[name])
    return found, notes


def _is_missing(chat: Chat, names: Sequence[str]) -> bool:
    """Whether the scan shows none of some taught structures, which have no mask yet."""
    rivals = _targets(chat).study.rivals
    taught = _targets(chat).study.segmenter.config.taught_names
    return rivals is not None and all(name in taught and name not in rivals.found for name in names)


def _place(chat: Chat, text: str, asked: relation.Asked) -> Iterator[Event]:
    """Say where structures lie to each other. Those that have no mask yet are looked for first."""
    targets = _targets(chat)
    with chat.turn() as number:
        chat.messages.append(Message("user", text, image=not chat.messages))
        found, notes = yield from _looked_at(chat, targets, (*asked.first, *asked.second), number)
        sides = [[found[name] for name in names if found[name].present] for names in (asked.first, asked.second)]
        affine = targets.study.volume.affine
        if asked.which and len(sides[0]) > 1:
            one_by_one = list({one.id: one for one in sides[0]}.values())
            words = relation.furthest(
                asked.kind, [quantity.listed([one]) for one in one_by_one], [_mask(one) for one in one_by_one], affine
            )
        elif asked.kind == "side" and sides[0]:
            words = claims.places("where", notes)
        elif not asked.second and sides[0]:
            words = (
                f"I know of no second structure to measure {quantity.listed(sides[0])} against: name one that I can "
                "find, or mark it with points or a box first."
            )
        elif asked.kind == "within" and not sides[0]:
            missing = [note for note in notes if not note.present]
            no = "No. " if asked.yes_or_no and all(note.taught for note in missing) else ""
            words = f"{no}{claims.statement(missing)}"
        elif asked.kind == "within" and not sides[1]:
            no, lies = "No. " if asked.yes_or_no else "", "lies" if len(sides[0]) == 1 else "lie"
            where = claims.statement([note for note in notes if not note.present])
            words = f"{no}{where} What this scan shows, {quantity.listed(sides[0])}, {lies} elsewhere."
        elif all(sides):
            names = [quantity.listed(side) for side in sides]
            masks = [union([_mask(one) for one in side]) for side in sides]
            words = relation.told(asked, names, masks, affine)
        else:
            words = _nothing_to_measure(notes)
        said = _say(chat, notes, words)
    yield from said


def _surround(chat: Chat, text: str, asked: surroundings.Asked) -> Iterator[Event]:
    """Say what lies next to a structure, or between two. What may is looked for, and said where its mask does."""
    targets = _targets(chat)
    with chat.turn() as number:
        chat.messages.append(Message("user", text, image=not chat.messages))
        found, notes = yield from _looked_at(chat, targets, (*asked.first, *asked.second), number)
        first, second = (
            [found[name] for name in names if found[name].present] for names in (asked.first, asked.second)
        )
        rivals = targets.study.rivals
        if not first or (asked.second and not second):
            words = _nothing_to_measure(notes)
        elif not surroundings.is_taught(rivals, (*first, *second)):
            words = "What lies around a mask I can tell of structures that I was taught, not of any other mask."
        else:
            names = [] if rivals is None else surroundings.candidates(rivals, first, second, chat.shown())
            seen, more = yield from _looked_at(chat, targets, names, number)
            notes += more
            near = [one for one in seen.values() if one.present]
            if second:
                words = " ".join(_between(one, other, near) for one, other in surroundings.ends(first, second))
            else:
                whole = union([_mask(one) for one in first])
                words = surroundings.beside(first, [one for one in near if touch(whole, _mask(one))])
        said = _say(chat, notes, words)
    yield from said


def _between(one: Finding, other: Finding, near: Sequence[Finding]) -> str:
    met = surroundings.on_the_way(_mask(one), _mask(other), [_mask(each) for each in near])
    return surroundings.between(one, other, [near[n] for n in met])


def _describe(chat: Chat, text: str) -> Iterator[Event]:
    """Say what kind of scan it is, and which of the taught structures it shows."""
    yield from _say_only(chat, text, recap.described(_targets(chat).study.volume, chat.shown()))


def _say_only(chat: Chat, text: str, words: str) -> Iterator[Event]:
    """Say words for which no mask is looked at."""
    with chat.turn():
        chat.messages.append(Message("user", text, image=not chat.messages))
        said = _say(chat, [], words)
    yield from said


def _recap(chat: Chat, text: str) -> Iterator[Event]:
    """List everything that was found, with its numbers, and what was not."""
    targets = _targets(chat)
    with chat.turn():
        chat.messages.append(Message("user", text, image=not chat.messages))
        told = [targets.told_again(mask_id) for mask_id in targets.masks]
        for finding, _ in told:
            yield Grounded(finding)
        said = _say(chat, [note for _, note in told], recap.all_found(targets.found))
    yield from said


def _stand_by(chat: Chat, text: str, names: Sequence[str]) -> Iterator[Event]:
    """Say again what was measured of masks (ids), or that something was not found (phrases), and how sure that is."""
    targets = _targets(chat)
    with chat.turn():
        chat.messages.append(Message("user", text, image=not chat.messages))
        told = [targets.told_again(name) for name in names]
        for finding, _ in told:
            yield Grounded(finding)
        said = _say(chat, [note for _, note in told], recap.stood_by([finding for finding, _ in told]))
    yield from said


def operate(chat: Chat, text: str, operations: Sequence[Operation]) -> Iterator[Event]:
    """Do what was read in a question's words. Structures that have no mask yet are looked for first."""
    targets = _targets(chat)
    with chat.turn() as number:
        chat.messages.append(Message("user", text, image=chat.study is not None and not chat.messages))
        seen, notes, made, words = set(targets.masks), [], [], []
        for operation in operations:
            ids: dict[str, str] = {}
            missing: list[Note] = []
            for name in operation.members:
                finding, note = _found(chat, targets, name, number)
                ids[name] = finding.id
                if not finding.present:
                    missing.append(note)
                if name not in seen:
                    seen.add(name)
                    notes.append(note)
                    yield Grounded(finding)
            if missing:
                words.append(f"{claims.statement(missing)} So no mask was made.")
                continue
            result, sentence = _made(targets, operation, ids, number)
            words.append(sentence)
            if result is not None:
                finding, note = result
                made.append(note)
                yield Grounded(finding)
        said = _say(chat, [*notes, *made], " ".join(words))
    yield from said


def refine(chat: Chat, text: str, mask_id: str, prompt: Prompt) -> Iterator[Event]:
    """Draw a mask again with more points, and keep what lies in the box where one is given; same id, next version.

    text: what the turn is called. A mask that words have drawn is drawn from them again, with all its points so far;
    one that was computed of others is changed around the points alone. QuestionError where nothing would be left.
    """
    targets = _targets(chat)
    old = targets.masks[mask_id]
    with chat.turn() as number:
        chat.messages.append(Message("user", text, image=chat.study is not None and not chat.messages))
        mask, quality, drawn = _redrawn(chat, targets, old, prompt)
        how = _pointed(prompt)
        if not mask.any():
            raise QuestionError(f"nothing of {mask_id} would be left with {how}: give other points, or another box")
        finding, note = targets.changed(old, mask, quality, f"refined with {how}", drawn, number)
        yield Grounded(finding)
        assert old.volume_ml is not None
        assert finding.volume_ml is not None
        change = _difference(finding.volume_ml, old.volume_ml)
        sentence = f"With {how} {_called(finding)} is {format_ml(finding.volume_ml)} mL: {change} before."
        said = _say(chat, [note], sentence)
    yield from said


def _targets(chat: Chat) -> Findings:
    if chat.targets is None:
        raise QuestionError("no scan is open: open one to work on masks")
    return chat.targets


def _found(chat: Chat, targets: Findings, name: str, number: int) -> tuple[Finding, Note]:
    """A mask by its id, or a structure by its name."""
    if name in targets.masks:
        finding = targets.masks[name]
        return finding, Note(finding.id, finding.phrase, finding.presence)
    return targets.ground(name, chat.phrase_state(name), None, [], number)[:2]


def _made(
    targets: Findings, operation: Operation, ids: dict[str, str], number: int
) -> tuple[tuple[Finding, Note] | None, str]:
    """Do one operation on masks that are all there -> (finding and note, None where nothing is left; the sentence)."""
    masks = targets.masks
    parts = {name: masks[ids[name]] for name in operation.members}
    mask = operation.apply({name: _mask(part) for name, part in parts.items()}, targets.study.volume.affine)
    by_id = operation.described(ids)
    # what was computed itself goes by its id: names of names would grow without end
    calls = {name: part.phrase if targets.drawn(part.id) else part.id for name, part in parts.items()}
    phrase = operation.described(calls)
    if not mask.any():
        return None, f"Nothing is left: the {phrase} ({by_id}) is empty, so no mask was made."
    finding, note = targets.computed(phrase, by_id, mask, list(parts.values()), [], number)
    assert finding.volume_ml is not None
    assert finding.longest_diameter_mm is not None
    sentence = (
        f"The {phrase} ({finding.id}) is {format_ml(finding.volume_ml)} mL and "
        f"{format_mm(finding.longest_diameter_mm)} mm at its longest."
    )
    base = parts[operation.groups[0][0]]
    if len(operation.groups[0]) == 1 and base.volume_ml is not None:
        if np.array_equal(mask, _mask(base)):
            why = "nothing had to be changed"
            if operation.kind in ("grow", "shrink") and operation.mm < min(targets.study.volume.spacing):
                why = f"its voxels are more than {operation.mm:g} mm apart"
            sentence += f" It is {base.id} as it was: {why}."
        else:
            sentence += f" That is {_difference(finding.volume_ml, base.volume_ml)} {base.id}."
    return (finding, note), sentence


def _mask(finding: Finding) -> np.ndarray:
    assert finding.mask is not None
    return finding.mask


def _ml(finding: Finding) -> float:
    assert finding.volume_ml is not None
    return finding.volume_ml


def _redrawn(
    chat: Chat, targets: Findings, old: Finding, prompt: Prompt
) -> tuple[np.ndarray, float | None, Drawn | None]:
    """The new mask (X, Y, Z), its estimated quality, and how it was drawn where words drew it."""
    study, drawn = targets.study, targets.drawn(old.id)
    points, labels, box = prompt.points_mm, prompt.labels, prompt.box_mm
    if box is not None and not (_within(study.volume, box) & _mask(old)).any() and not (labels == 1).any():
        # the mask lies elsewhere: the middle of the box is what is meant
        points, labels = np.vstack([points, box.mean(axis=0)]), np.append(labels, 1)
    if drawn is None:
        mask, quality = _mask(old), old.quality
        clicks = Prompt(points, labels)
        mask = study.view_of(clicks).drawing.retouched(mask, clicks) if len(points) else mask
        return (mask if box is None else mask & _within(study.volume, box)), quality, None
    given = drawn.prompt if drawn.prompt is not None else Prompt()
    every = Prompt(np.vstack([given.points_mm, points]), np.append(given.labels, labels), given.box_mm, given.mask)
    # an earlier box that does not hold what is now said to be inside is no longer meant
    inside = points[labels == 1]
    boxes = [b for b in drawn.boxes if ((inside >= b[0]) & (inside <= b[1])).all()] + ([] if box is None else [box])
    drawn = Drawn(drawn.state, every, tuple(boxes))
    if len(points):
        decoded = study.decode(drawn.state, [every], [old.phrase])[0]
        mask, quality = decoded.mask, decoded.quality
    else:
        mask, quality = _mask(old), old.quality
    for one in boxes:
        mask = mask & _within(study.volume, one)
    return mask, quality, drawn


def _within(volume: Volume, box_mm: np.ndarray) -> np.ndarray:
    """The voxels (X, Y, Z) whose centres lie in a box (2, 3) of RAS+ mm."""
    affine, shape = volume.affine, volume.shape
    inside = np.ones(shape, bool)
    for axis in range(3):
        i, j, k = (affine[axis, column] * np.arange(shape[column]) for column in range(3))
        place = i[:, None, None] + j[None, :, None] + k[None, None, :] + affine[axis, 3]
        inside &= (place >= box_mm[0, axis]) & (place <= box_mm[1, axis])
    return inside


def _pointed(prompt: Prompt) -> str:
    """ "2 points inside it, 1 outside and a box"."""
    counts = {"inside": int((prompt.labels == 1).sum()), "outside": int((prompt.labels == 0).sum())}
    parts = [f"{n} point{'' if n == 1 else 's'} {where}" for where, n in counts.items() if n]
    if prompt.box_mm is not None:
        parts.append("a box")
    return " and ".join(parts)


def _called(finding: Finding) -> str:
    return f"the {finding.phrase} ({finding.id})"


def _difference(now_ml: float, before_ml: float) -> str:
    """ "0.2 mL (6 %) more than"; of the volumes as shown."""
    if format_ml(now_ml) == format_ml(before_ml):
        return "as much as"
    return f"{shown_difference(now_ml, before_ml)} {'more' if now_ml > before_ml else 'less'} than"


def _say(chat: Chat, notes: Sequence[Note], words: str) -> tuple[Event, Event]:
    """Put a reply of the program's own into the conversation; returns the events that tell of it."""
    chips = " ".join(
        f"{conversation.NAME}{note.phrase}{conversation.NAME_END}{conversation.SEG}"
        f"{conversation.NOTE}{note}{conversation.NOTE_END}"
        for note in notes
    )
    content = f"{chips} {words}".lstrip()
    chat.messages.append(Message("assistant", content))
    visible = f"{conversation.visible(content)} {claims.caution(notes)}".rstrip()
    return Delta(visible), Done(content, visible)
