"""The studies of an evaluation beside the main table: other words, changed scans, clicks; on sessions made here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assistant.session import Reply
from assistant.volume import Volume
from data_recipes import ontology
from tests.test_evaluate import ABOUT, Answers, a_scan, finding, half
from training import clicks, lay_questions, plots, robustness, wordings
from training.clicks import Clicked
from training.closed import Closed
from training.composed import Composed
from training.evaluate import Results, write
from training.faithful import Checked
from training.masks import examine
from training.pointing import Pointing
from training.pope import Poll
from training.robustness import Perturbed
from training.scans import Scan
from training.texts import Told
from training.wordings import Wording

OBLIQUE = np.array([[-1.9, 0.3, 0.0, 11.0], [0.4, 1.5, 0.2, -7.0], [0.1, -0.3, 2.6, 5.0], [0, 0, 0, 1.0]])


def blob(shape: tuple[int, ...] = (40, 36, 24)) -> np.ndarray:
    """Bright in one corner's half, unlike its own mirror images."""
    grid = np.indices(shape) / np.array(shape)[:, None, None, None]
    return (100 * np.exp(-8 * ((grid - np.array([0.3, 0.6, 0.4])[:, None, None, None]) ** 2).sum(0))).astype(np.float32)


class Threshold:
    """A session that finds whatever is brighter than 60."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume

    def ask(self, text: str, points=None) -> Reply:
        return Reply("text", (finding("left hippocampus", self.volume.to_native(self.volume.voxels > 60)),), {})

    def undo(self) -> None: ...


def test_wordings_are_names_of_one_structure_and_say_the_side():
    structure = ontology.lookup("left hippocampus")
    assert structure is not None
    asked = wordings.wordings(structure, np.random.default_rng(0))
    kinds = ["name", "synonym", "latin", "abbreviation", "function", "typing error", "sentence", "de", "fr", "es", "zh",
             "lay"]  # fmt: skip
    assert list(asked) == kinds
    assert asked["name"] == "Segment the left hippocampus."
    assert asked["function"].endswith("on the left.")
    assert asked["lay"].endswith(", on the left?")
    assert set(lay_questions.LAY_QUESTIONS) <= {s.base for s in ontology.all_structures() if s.taught}
    for kind in ("synonym", "latin", "abbreviation"):
        words = asked[kind].removeprefix("Segment").strip(": .").removeprefix("the ")
        assert ontology.lookup(words, "brain") == structure, (kind, words)
    assert len(set(asked.values())) == len(kinds)


def test_a_typing_error_swaps_two_letters_inside_a_word():
    for seed in range(20):
        wrong = wordings.mistyped("left caudate nucleus", np.random.default_rng(seed))
        assert wrong != "left caudate nucleus"
        assert sorted(wrong) == sorted("left caudate nucleus")
        assert sum(a != b for a, b in zip(wrong, "left caudate nucleus", strict=True)) == 2
    assert wordings.mistyped("eye", np.random.default_rng(0)) == "eye"  # nothing inside it to swap


def test_what_is_understood_by_name_alone_shows_in_the_table():
    session = Answers({"left hippocampus": ("left hippocampus", half("left"))})
    scan = replace(a_scan(), truths={"left hippocampus": half("left")})
    rows = list(wordings.ask_in_other_words(session, scan, "brain", 0, 5))
    assert session.undone == len(rows) == 12
    assert {r.kind for r in rows if r.found} == {"name", "sentence"}  # the session knows the plain name alone
    summary = wordings.summarise(rows)
    assert summary["kinds"]["name"]["dice"] == summary["plain_name"] == summary["spread"] == 1
    assert summary["kinds"]["zh"]["less_than_plain_median"] == 1
    assert summary["median_over_wordings"] == 0


@pytest.mark.parametrize("affine", [np.diag([2.0, 1.5, 3.0, 1.0]), OBLIQUE])
def test_changes_of_a_scan_leave_the_patient_where_it_was(affine):
    """Every voxel of a reordered, cropped or halved scan shows what the scan has at the same millimetres."""
    volume = Volume.from_array(blob(), affine, modality="MR")
    changed = robustness.changes(volume, np.random.default_rng(0))
    for name in ("storage order", "header rotation", "cropped"):
        other = changed[name]
        index = np.rint(volume.to_index(other.to_world(np.argwhere(np.ones(other.shape)).astype(float)))).astype(int)
        assert np.array_equal(volume.voxels[tuple(index.T)], other.voxels.ravel()), name
    assert changed["storage order"].native.shape != volume.native.shape
    assert np.prod(changed["cropped"].shape) < np.prod(volume.shape)
    small = changed["half resolution"]
    where = volume.to_index(small.to_world(np.array([[3.0, 4.0, 5.0]])))[0]
    assert where == pytest.approx([6.5, 8.5, 10.5])
    assert small.voxels[3, 4, 5] == pytest.approx(volume.voxels[6:8, 8:10, 10:12].mean(), rel=1e-5)


def test_the_same_scan_stored_otherwise_must_give_the_same_mask():
    """A session without any sense of direction passes; one that always marks the first voxels stored does not."""
    volume = Volume.from_array(blob(), OBLIQUE, modality="MR")
    truth = volume.to_native(volume.voxels > 50)
    scan = Scan("brain", "case", Path("x.nii"), {"left hippocampus": truth}, [], (1.0, 1.0, 1.0))
    rows = list(robustness.ask_of_changed_scans(Threshold, scan, volume, "brain", 0, 3))
    summary = robustness.summarise(rows)
    assert summary["storage order"]["dice"] == summary["header rotation"]["dice"] == 1
    assert summary["cropped"]["dice"] == 1  # compared where both see
    assert 0.85 < summary["half resolution"]["dice"] < 1
    assert summary["storage order"]["ceiling"] == summary["cropped"]["ceiling"] == summary["noisy"]["ceiling"] == 1
    assert summary["half resolution"]["dice"] <= summary["half resolution"]["ceiling"] < 1

    class Stored(Threshold):
        def ask(self, text: str, points=None) -> Reply:
            mask = np.zeros(self.volume.native.shape, bool)
            mask[:12, :12] = True
            return Reply("text", (finding("left hippocampus", mask),), {})

    worse = robustness.summarise(list(robustness.ask_of_changed_scans(Stored, scan, volume, "brain", 0, 3)))
    assert worse["storage order"]["dice"] < 0.9


def test_a_coarser_grid_holds_a_mask_by_halves():
    """Blocks of 2 x 2 x 2: one with four voxels of the mask is stored, one with three is not."""
    volume = Volume.from_array(np.arange(64.0, dtype=np.float32).reshape(4, 4, 4), OBLIQUE, modality="MR")
    mask = np.zeros((4, 4, 4), bool)
    mask[0, :2, :2] = True  # 4 of block (0, 0, 0)
    mask[2, 2, 2] = mask[3, 2, 2] = mask[3, 3, 2] = True  # 3 of block (1, 1, 1)
    held = robustness.stored(mask, volume, robustness.halved(volume))
    assert np.argwhere(held).tolist() == [[0, 0, 0]]
    assert np.array_equal(robustness.stored(mask, volume, volume), mask)


def test_clicks_go_to_the_inside_of_the_largest_error():
    truth = np.zeros((20, 12, 12), bool)
    truth[2:9, 2:9, 2:9] = True
    mask = np.zeros_like(truth)
    click = clicks.next_click(mask, truth, (1, 1, 1))
    assert click is not None
    assert (click[0].tolist(), click[1]) == ([5, 5, 5], 1)
    mask[2:9, 2:9, 2:7] = mask[12:17, 2:7, 2:7] = True  # 98 voxels missed, 125 too much
    click = clicks.next_click(mask, truth, (1, 1, 1))
    assert click is not None
    assert (click[0].tolist(), click[1]) == ([14, 4, 4], 0)
    assert clicks.next_click(truth, truth, (1, 1, 1)) is None


def test_clicks_are_given_in_millimetres_and_add_up():
    """A session that draws a ball around each positive click gets better with each."""
    volume = Volume.from_array(blob(), OBLIQUE, modality="MR")
    truth = np.zeros(volume.shape, bool)
    truth[4:34, 8:14, 8:14] = True
    scan = Scan("brain", "case", Path("x.nii"), {"tumour": volume.to_native(truth)}, [], (1.0, 1.0, 1.0))
    seen: list[int] = []

    class Balls(Threshold):
        def ask(self, text: str, points=None) -> Reply:
            seen.append(len(points or ()))
            mask = np.zeros(volume.shape, bool)
            for *at, label in points or ():
                index = volume.to_index(np.array([at]))[0]
                assert truth[tuple(np.rint(index).astype(int))] == bool(label)
                near = np.linalg.norm(np.indices(volume.shape) - index[:, None, None, None], axis=0) < 4
                mask = mask | near if label else mask & ~near
            return Reply("text", (finding("tumour", volume.to_native(mask) if mask.any() else None),), {})

    rows = list(clicks.correct(Balls(volume), scan, volume, "tumour", 0, 1))
    assert seen == [0, 1, 2, 3, 4, 5]
    dice = [r.dice for r in rows]
    assert [r.clicks for r in rows] == [0, 1, 3, 5]
    assert dice[0] == 0
    assert dice == sorted(dice)
    summary = clicks.summarise(rows)["tumour"]
    assert summary["dice"]["5"] == dice[-1]
    assert summary["worse_after_all"] == 0


def test_the_page_shows_the_tables_the_plots_and_the_worst_masks(tmp_path):
    volume = Volume.from_array(blob(), OBLIQUE, modality="MR", name="<scan>")
    truth, mask = volume.voxels > 50, volume.voxels > 70
    drawn = plots.picture(volume, truth, mask, "<scan>, left hippocampus", 0.4)
    assert drawn.png.startswith(b"\x89PNG")
    other = plots.picture(volume, truth, np.zeros_like(mask), "missed", 0.0)
    scan = replace(a_scan(), truths={"left hippocampus": half("left")})
    rows = list(examine(Answers({"left hippocampus": ("left hippocampus", half("left"))}), scan, "brain", absent=2))
    write(tmp_path, Results(rows), ABOUT, [drawn, other])
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<img") == 4  # reliability, one family, two worst
    assert page.index("missed") < page.index("&lt;scan&gt;")  # the worst first
    assert "<scan>" not in page
    assert "<td>left hippocampus</td>" in page
    assert "http" not in page.replace("http-equiv", "")


def test_every_study_reaches_the_report_and_the_page(tmp_path):
    """A row or two of each study with figures of its own; each figure stands in report.md and on the page."""
    row = ("brain", "case")
    results = Results(
        pointing=[Pointing(*row, "left hippocampus", "left hippocampus")],
        words=[Wording(*row, "left hippocampus", "name", "?", True, 0.111)],
        robustness=[Perturbed(*row, "left hippocampus", "cropped", True, 0.222)],
        clicks=[Clicked(*row, "left hippocampus", n, 0.333) for n in clicks.COUNTS],
        pope=[
            Poll(*row, "popular", "trained most often", "tumour", "?", False, "yes", True, "Yes."),
            Poll(*row, "popular", "", "larynx", "?", True, "yes", True, "Yes."),
        ],
        closed=[Closed(*row, "larger", "?", "yes|no", "yes", "no", "yes", "No.")],
        texts=[Told(*row, "show", "?", "the larynx", "the larynx") for _ in range(2)],
        composed=[Composed(*row, "not that side", "?", 0.444, 0.555, False, 2, "a; b", "")],
        faithful=[Checked(*row, "why?", "", 7, 5, 9, 8, 3, 1, 0, "11.0 is no measurement")],
    )
    summary = write(tmp_path, results, ABOUT)
    report, page = ((tmp_path / name).read_text(encoding="utf-8") for name in ("report.md", "report.html"))
    for study in ("words", "robustness", "clicks", "pope", "closed", "texts", "composed", "faithful"):
        assert summary[study] is not None
        assert (tmp_path / f"{study}.csv").is_file()
    for text in (report, page):
        for figure in ("0.111", "0.222", "0.333", "0.444", "0.555", "5 of 7", "8 of 9", "11.0 is no measurement"):
            assert figure in text, figure
    assert "| popular | 0.0 % (0 of 1), 0 to 79 | 50.0 % | 50.0 % | 100.0 % | 0.667 | 100.0 % | 0.0 % |" in report
    assert "| larger | 100.0 % (1 of 1) | 0.0 % (0 of 1), 0 to 79 | 50.0 % | 0.0 % (0 of 1) |" in report
    assert "| ROUGE-L | 1.000 |" in report
    assert "| structure pointed at named right | 100.0 % | 1 of 1 |" in report
    assert "absent targets refused" not in report  # nobody asked
