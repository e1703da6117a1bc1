"""A conversation about one scan: open it, ask, get text with measured masks.

    session = Session.open("scan.nii.gz")
    reply = session.ask("Is the left hippocampus smaller than the right?")
    session.export("result")

Points and boxes are RAS+ millimetres (x to the patient's right, y to the front, z up). Masks that leave a session lie
on the scan's own grid: `finding.mask[i, j, k]` is the voxel [i, j, k] of the file. (Inside, `Chat` and `Study` work on
the volume's RAS grid.) The scan is encoded once and the language model's cache is kept from turn to turn.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from assistant.errors import ModelError, QuestionError, ResourceError
from assistant.generate import Chat, Delta, Event, Finding, Grounded
from assistant.loading import checked_device, load_model
from assistant.model import DeixisModel
from assistant.question import Point, Question, asks_what_is_pointed_at, checked_question, make_prompt
from assistant.recap import asks_to_undo
from assistant.study import Study
from assistant.timeline import Timeline
from assistant.turn import Clock, Reply, Turn
from assistant.uncertainty import Uncertainty, uncertainties
from assistant.volume import Volume, open_volume, save_mask
from assistant.workbench import by_pointing, by_program, refine

if TYPE_CHECKING:
    from assistant.prior import Comparison, Prior
    from assistant.report import Report

log = logging.getLogger("deixis.session")

__all__ = ["Reply", "Session", "Turn", "checked_device", "load_model"]

ANEW = 0.7  # temperature at which a whole answer is made anew: at 0 it would be the same


class Session(Timeline):
    """One scan, one model, one conversation. A second question while one is being answered is refused."""

    def __init__(
        self,
        volume: Volume,
        model: DeixisModel,
        *,
        open_seconds: float = 0.0,
        series: str | None = None,
        frame: int | None = None,
        modality: str | None = None,
    ) -> None:
        self.volume = volume
        #: how the scan's file was read, which says with its path what was opened
        self.reading = {"series": series, "frame": frame, "modality": modality}
        self.model = model
        self.study = Study(volume, model.segmenter)
        super().__init__(Chat(model, self.study))
        self._open_seconds = open_seconds

    @staticmethod
    def open(
        path: str | Path | Volume,
        *,
        model: str | Path | DeixisModel | None = None,
        base: str | Path | None = None,
        series: str | None = None,
        frame: int | None = None,
        modality: str | None = None,
        device: str = "cpu",
        quantize: str | None = None,
    ) -> Session:
        """Open a scan (a file, a DICOM folder or zip, a `Volume`) with the default model, a checkpoint or a model.

        base: the folder of the language model, where the checkpoint's name for it does not lead there.
        series: UID or number of a DICOM series; frame: of a 4D file; modality: "CT", "MR" or "PET" where the file does
        not say; quantize: None, "8bit" or "4bit", of the language model. Raises ScanError, ModelError, ResourceError.
        """
        started = time.perf_counter()
        # The scan first: it fails fast, and the model takes seconds.
        volume = path if isinstance(path, Volume) else open_volume(path, series=series, frame=frame, modality=modality)
        loaded = load_model(model, base, device, quantize)
        seconds = time.perf_counter() - started
        if volume.modality_source == "given":
            modality = volume.modality
        return Session(volume, loaded, open_seconds=seconds, series=series, frame=frame, modality=modality)

    @staticmethod
    def restore(
        folder: str | Path,
        *,
        scan: str | Path | None = None,
        model: str | Path | DeixisModel | None = None,
        base: str | Path | None = None,
        device: str = "cpu",
        quantize: str | None = None,
    ) -> Session:
        """A session that was saved with `save`, with its turns, masks and ids; the next question goes on from there.

        scan: where the scan lies now, when it was moved. Raises ScanError when it is gone or has changed since, or when
        the folder holds no whole session.
        """
        from assistant.keeping import read_saved, recall, saved_scan

        started = time.perf_counter()
        volume, how = saved_scan(read_saved(folder), folder, scan)
        loaded = load_model(model, base, device, quantize)
        session = Session(volume, loaded, open_seconds=time.perf_counter() - started, **how)
        recall(session, folder)
        return session

    def save(self, folder: str | Path) -> Path:
        """Write the conversation, its masks and a reference to the scan into a folder, for `restore`; returns the path
        of its session.json. Saving again writes what is new. See `assistant.keeping`.

        Raises QuestionError while a question is being answered, ResourceError when the folder cannot be written.
        """
        from assistant.keeping import save_session

        with self._alone():
            return save_session(self, folder)

    @property
    def nbytes(self) -> int:
        """Bytes held for this scan and conversation, without the model."""
        kept = self._bytes_of(self._history.states)
        return self.volume.voxels.nbytes + self.study.nbytes + self.chat.nbytes + kept

    def prepare(self) -> None:
        """Do now what the first answer would start with: encode the scan and read it into the language model.

        For when there is time before the first question, as while a reader still types. Without it the first answer
        does the same. Raises QuestionError while a question is being answered, ResourceError without enough memory.
        """
        with self._alone(), self._enough_memory():
            self.chat.prepare()

    def read_on(self) -> bool:
        """Encode one more part of the scan; False when there is no more to encode.

        Later answers then have less left to do. For another thread while nothing is asked: a question waits for the
        part under way at most, and while it is answered nothing is done here.
        """
        if self._busy.locked():
            return True
        with self._computing, self._enough_memory():
            return self.study.encode_next()

    @contextlib.contextmanager
    def reading_on(self) -> Iterator[None]:
        """Within the block, a thread encodes the rest of the scan whenever no question is being answered."""
        left = threading.Event()

        def read() -> None:
            try:
                while not left.wait(0.005) and self.read_on():
                    pass
            except ResourceError as error:
                log.warning("the scan is not read ahead: %s", error)  # a question may still find the memory

        reader = threading.Thread(target=read, name="deixis-reader", daemon=True)
        reader.start()
        try:
            yield
        finally:
            left.set()
            reader.join()

    def ask(
        self,
        text: str,
        points: Sequence[Point] | None = None,
        box: Sequence[float] | None = None,
        mask_id: str | None = None,
        *,
        temperature: float = 0.0,
        seed: int = 0,
        selected: str = "",
    ) -> Reply:
        """Ask and wait for the whole reply. The arguments are those of `stream`."""
        for _ in self.stream(text, points, box, mask_id, temperature=temperature, seed=seed, selected=selected):
            pass
        return self.turns[-1].reply

    def stream(
        self,
        text: str,
        points: Sequence[Point] | None = None,
        box: Sequence[float] | None = None,
        mask_id: str | None = None,
        *,
        temperature: float = 0.0,
        seed: int = 0,
        selected: str = "",
        should_stop: Callable[[], bool] | None = None,
    ) -> Generator[Event, None, None]:
        """Ask; the events come while the reply is made: `Delta` (text), `Grounded` (a finding), `Done` at the end.

        points: (x, y, z) or (x, y, z, label) in RAS+ mm, label 1 = part of it, 0 = not; box: two opposite corners
        x0, y0, z0, x1, y1, z1; mask_id: an earlier mask ("m2") to refine or ask about. They apply to the first target
        of the reply; a question that names no target ("what is this?") is about them. temperature 0 always gives the
        same reply; above it, `seed` decides. Raises QuestionError before anything is generated.

        Words that ask for an operation on masks ("grow it by 5 mm", "m2 minus m1"), for a quantity of one ("how long
        is it in cm?") or for what was found so far are the program's to answer, exactly (`assistant.workbench`); "it"
        is then the mask `selected`, else the one last spoken of.
        """
        words = checked_question(text)
        if asks_to_undo(words):
            raise QuestionError(
                "what was said and found last is taken back with Undo (/undo in `deixis chat`, session.undo() in "
                "Python), and brought again with Redo: words do not do it"
            )
        mask = None if mask_id is None else self._ras_mask(mask_id)
        prompt = make_prompt(self.volume, points, box, mask)
        question = Question(
            text=words,
            points=tuple(tuple(float(value) for value in point) for point in points or ()),
            box=None if box is None else tuple(float(value) for value in box),
            mask_id=mask_id,
            region=prompt is not None and asks_what_is_pointed_at(words),
            temperature=temperature,
            seed=seed,
            selected=selected,
        )
        own = by_program(self.chat, words, selected) if prompt is None else None
        if own is not None:
            return self._turn(question, lambda: own)

        def answer() -> Iterator[Event]:
            told = by_pointing(self.chat, words, prompt) if prompt is not None and mask is None else None
            if told is not None:
                return told
            region, name = self.study.pointed_at(prompt) if question.region and prompt is not None else (None, None)
            if mask_id is not None and not points and box is None and name == self._finding(mask_id).phrase:
                name = mask_id  # it is that very mask, which need not be drawn once more
            return self.chat.reply(
                words, prompt, region, name, temperature=temperature, seed=seed, should_stop=should_stop
            )

        return self._turn(question, answer)

    def refine(
        self, mask_id: str, points: Sequence[Point] | None = None, box: Sequence[float] | None = None
    ) -> Reply:
        """Draw a mask again with more points, and keep what lies in the box where one is given, as in `stream`. The new
        mask takes the old one's place under its id; `undo` brings the old one back. QuestionError where nothing would
        be left of it."""
        for _ in self.refining(mask_id, points, box):
            pass
        return self.turns[-1].reply

    def refining(
        self, mask_id: str, points: Sequence[Point] | None = None, box: Sequence[float] | None = None
    ) -> Generator[Event, None, None]:
        """`refine`, with the events of `stream`."""
        phrase = self._finding(mask_id).phrase
        prompt = make_prompt(self.volume, points, box)
        if prompt is None:
            raise QuestionError(f"there is nothing to refine {mask_id} with: give points or a box")
        question = Question(
            text=f"Refine {mask_id} ({phrase}).",
            points=tuple(tuple(float(value) for value in point) for point in points or ()),
            box=None if box is None else tuple(float(value) for value in box),
            refines=mask_id,
        )
        return self._turn(question, lambda: refine(self.chat, question.text, mask_id, prompt))

    def retry(self, *, should_stop: Callable[[], bool] | None = None) -> Generator[Event, None, None]:
        """Take back the last question and ask it again, with the events of `stream`; `go` leads back to the other
        answer. A whole answer is worded anew, at temperature 0.7 and with the next seed; one that was stopped is made
        as it would have been. QuestionError where nothing was asked."""
        if not self.turns:
            raise QuestionError("there is nothing to retry: no question has been asked")
        asked, tries = self.turns[-1].question, len(self._history.siblings(self.step))
        whole = not self.turns[-1].reply.stopped
        temperature = max(asked.temperature, ANEW) if whole else asked.temperature
        self.undo()
        if asked.refines:
            return self.refining(asked.refines, asked.points or None, asked.box)
        return self.stream(
            asked.text, asked.points or None, asked.box, asked.mask_id, temperature=temperature,
            seed=asked.seed + tries if whole else asked.seed, selected=asked.selected, should_stop=should_stop,
        )  # fmt: skip

    def _turn(self, question: Question, make: Callable[[], Iterator[Event]]) -> Generator[Event, None, None]:
        """The events of a reply, the findings on the file's grid, and the turn kept when it is whole."""
        with self._alone(), self._enough_memory():
            clock = Clock(self._open_seconds)
            for event in make():
                if isinstance(event, Delta):
                    clock.wrote()
                elif isinstance(event, Grounded):
                    event = dataclasses.replace(event, finding=self._on_native_grid(event.finding))
                    clock.found(event.finding)
                else:
                    reply = clock.reply(event.visible, tuple(event.corrections), event.stopped)
                    self.turns.append(Turn(question, reply))
                    self._keep()
                yield event

    @contextlib.contextmanager
    def looking(self, said: str) -> Iterator[Callable[[str], Finding]]:
        """Look for structures by name, without asking: the block gets a function from a canonical phrase to its
        `Finding`, with the same ids, masks and measurements as an answer's.

        The block is one turn, remembered under `said` and taken back by `undo`; after an error nothing is left of it.
        """
        with self._alone(), self._enough_memory():
            clock = Clock(self._open_seconds)
            seen: dict[str, Finding] = {}
            with self.chat.looking() as find:

                def look(phrase: str) -> Finding:
                    if phrase not in seen:
                        seen[phrase] = self._on_native_grid(find(phrase))
                        clock.found(seen[phrase])
                    return seen[phrase]

                yield look
            names = ", ".join(f"{f.phrase} ({f.id or 'not found'})" for f in seen.values())
            self.turns.append(Turn(Question(said), clock.reply(names)))
            self._keep()

    def ground_report(self, text: str) -> Report:
        """Check a radiology report against the scan, sentence by sentence; see `assistant.report`.

        Raises QuestionError for a report that is empty or too long, ModelError where the checkpoint has no glossary.
        """
        from assistant.midline import midline
        from assistant.report import checked_report, ground

        checked_report(text)
        glossary = self.model.glossary
        if glossary is None:
            raise ModelError("this checkpoint has no glossary, so no names can be read in a report: use one that has")
        with self.looking(text) as find:
            return ground(text, find, glossary, self.volume, lambda: midline(self.study))

    def open_prior(self, path: str | Path | Volume, *, modality: str | None = None) -> Prior:
        """An earlier scan of the same patient, registered to this one; see `assistant.prior`.

        Raises ScanError where the two cannot be compared.
        """
        from assistant.prior import Prior

        return Prior.open(self, path, modality=modality)

    def compare(self, prior: str | Path | Volume | Prior, question: str) -> Comparison:
        """What has changed since an earlier scan: `question` names a structure. Open a `Prior` once for several."""
        from assistant.prior import Prior

        return (prior if isinstance(prior, Prior) else self.open_prior(prior)).compare(question)

    @contextlib.contextmanager
    def _enough_memory(self) -> Iterator[None]:
        try:
            yield
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise ResourceError(
                f"not enough memory to answer on {self.model.device} with a scan of {self.volume.shape} voxels: "
                "crop the scan, use the CPU, or load the model in 4 bit"
            ) from error

    def recall(self, folder: str | Path) -> None:
        """Take a conversation about this very scan from a folder that `save` wrote, in place of the own one."""
        from assistant.keeping import recall

        with self._alone():
            recall(self, folder)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every mask found so far, m1 first, on the scan's own grid. Absent targets are in their turn's reply only.

        The masks here and in replies are read-only views that cost no memory; `native_mask` gives a copy.
        """
        return tuple(self._on_native_grid(finding) for finding in self._masks.values())

    @property
    def _masks(self) -> dict[str, Finding]:
        """Every mask by its id, in its last version, on the RAS grid."""
        return {finding.id: finding for finding in self.chat.findings if finding.mask is not None}

    def native_mask(self, mask_id: str) -> np.ndarray:
        """One mask, bool, in the shape and voxel order of the scan's file."""
        return self.volume.to_native(self._ras_mask(mask_id))  # a copy: the caller may write into it

    def save_mask(self, mask_id: str, path: str | Path) -> Path:
        """Write one mask as NIfTI with the scan's own shape and affine."""
        return save_mask(self.volume, self._ras_mask(mask_id), path)

    def export(self, folder: str | Path, *, uncertainty: bool = False) -> Path:
        """Write every mask, one label map and a manifest into a folder; with uncertainty a map of it for each mask that
        the model drew by a taught name. See `assistant.export`."""
        from assistant.export import export_session

        return export_session(self, folder, uncertainty=uncertainty)

    def uncertainty(self, mask_id: str) -> Uncertainty:
        """Where a mask is unsure, from four looks at the scan (`assistant.uncertainty`); arrays in the voxel order of
        the scan's file. QuestionError where the mask is not a taught structure's own."""
        return self.uncertainties([mask_id])[0]

    def uncertainties(self, mask_ids: Sequence[str]) -> list[Uncertainty]:
        """`uncertainty` of several masks, for little more than that of one."""
        names = [self._finding(mask_id).phrase for mask_id in mask_ids]
        with self._alone(), self._enough_memory():
            seen = uncertainties(self.study, names)
        return [Uncertainty(self.volume.to_native(u.probability), self.volume.to_native(u.entropy)) for u in seen]

    def _ras_mask(self, mask_id: str) -> np.ndarray:
        mask = self._finding(mask_id).mask
        assert mask is not None
        return mask

    def _finding(self, mask_id: str) -> Finding:
        """A finding that has a mask, by its id; the mask on the RAS grid."""
        if mask_id in self._masks:
            return self._masks[mask_id]
        known = ", ".join(self._masks) or "none yet"
        raise QuestionError(f"there is no mask {mask_id!r}; the masks of this session are: {known}")

    def _on_native_grid(self, finding: Finding) -> Finding:
        """The finding with its mask as the file's grid has it: a read-only view, so a large mask exists once."""
        if finding.mask is None:
            return finding
        view = self.volume.native.from_ras(finding.mask)
        view.flags.writeable = False
        return dataclasses.replace(finding, mask=view)
