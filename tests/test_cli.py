"""The command line: what goes to stdout and stderr, and the exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from assistant import cli
from assistant.commands import single
from assistant.commands.arguments import attach_coordinates, point
from assistant.glossary import Glossary

ROOT = Path(__file__).resolve().parent.parent


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of one command."""
    code = cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def assert_one_line_error(result: tuple[int, str, str], *words: str) -> None:
    code, out, err = result
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert err.startswith("deixis")
    assert "Traceback" not in err
    for word in words:
        assert word in err


def test_info_says_shape_axes_spacing_and_modality(capsys, tiny_scan):
    code, out, err = run(capsys, "info", tiny_scan)
    assert (code, err) == (0, "")
    assert "18 x 24 x 16 voxels, axes ALS" in out
    assert "2 x 3 x 2.5 mm" in out  # x, y, z: the stored order is 3, 2, 2.5
    assert "MR (estimated)" in out


def test_info_json_is_one_object_in_the_scans_own_axes(capsys, tiny_scan):
    code, out, _ = run(capsys, "info", tiny_scan, "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["shape"] == [18, 24, 16]
    assert facts["orientation"] == "ALS"
    assert facts["spacing_mm"] == [2.0, 3.0, 2.5]
    assert facts["intensity_range"][1] == 600


def test_modality_can_be_given(capsys, tiny_scan):
    _, out, _ = run(capsys, "info", tiny_scan, "--modality", "CT")
    assert "CT (given)" in out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "COMMAND"),
        (["ask"], "SCAN"),
        (["ask", "x.nii"], "QUESTION"),
        (["ask", "x.nii", "where?", "--point", "1,2"], "1,2"),
        (["ask", "x.nii", "where?", "--point", "-1,north,3"], "north"),
        (["ask", "x.nii", "where?", "--box", "1,2,3"], "6 numbers"),
        (["info", "x.nii", "--modality", "X-ray"], "X-ray"),
        (["info", ""], "path is empty"),
        (["ask", "x.nii", "where?", "--temperature", "-1"], "'-1' is not a temperature"),
        (["ask", "x.nii", "where?", "--temperature", "nan"], "'nan' is not a temperature"),
        (["ask", "x.nii", "where?", "--out", __file__], "is a file; give a folder"),
        (["compare", "x.nii", "y.nii", " "], "question is empty"),
        (["frobnicate"], "frobnicate"),
        (["info", "nowhere.nii.gz"], "nowhere.nii.gz"),
        (["ask", "x.nii", "   "], "empty"),
        (["ask", "x.nii", "a" * 20_000], "20,000"),
    ],
)
def test_bad_usage_is_one_line_on_stderr_and_exit_code_2(capsys, arguments, word):
    assert_one_line_error(run(capsys, *arguments), word)


def test_a_text_file_named_nifti_is_one_line_and_exit_code_2(capsys, tmp_path):
    path = tmp_path / "notes.nii.gz"
    path.write_text("these are not voxels")
    assert_one_line_error(run(capsys, "info", path), "notes.nii.gz")


def test_a_truncated_metaimage_is_one_line_whatever_itk_prints(capfd, tmp_path):
    """ITK's MetaImage code writes to the process's stderr, past Python's: the file descriptors are looked at."""
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(size=(8, 9, 10)).astype(np.float32))
    sitk.WriteImage(image, str(tmp_path / "scan.mha"), True)
    whole = (tmp_path / "scan.mha").read_bytes()
    (tmp_path / "short.mha").write_bytes(whole[: len(whole) // 2])
    assert_one_line_error(run(capfd, "info", tmp_path / "short.mha"), "short.mha", "data not read completely")
    (tmp_path / "alone.mhd").write_bytes(whole.split(b"ElementDataFile")[0] + b"ElementDataFile = gone.raw\n")
    assert_one_line_error(run(capfd, "info", tmp_path / "alone.mhd"), "alone.mhd", "Cannot open data file")
    assert run(capfd, "info", tmp_path / "scan.mha")[::2] == (0, "")  # and stderr is back where it was
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"


def test_a_missing_checkpoint_is_one_line_and_exit_code_2(capsys, tiny_scan, tmp_path):
    result = run(capsys, "ask", tiny_scan, "where?", "--json", "--model", tmp_path / "no-model")
    assert_one_line_error(result, "no-model")


def test_a_bug_is_one_line_too_and_not_exit_code_2(capsys, tiny_scan, monkeypatch):
    def broken(options: object) -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(single, "info", broken)
    code, out, err = run(capsys, "info", tiny_scan)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "ZeroDivisionError: two lines" in err


def test_ask_json_prints_one_object_and_nothing_else(capsys, tiny_scan, tiny_checkpoint, tiny_base, tmp_path):
    code, out, err = run(
        capsys, "ask", tiny_scan, "Where is it?", "--json", "--out", tmp_path / "out", "--point", "-9,-7,-2",
        "--model", tiny_checkpoint, "--base", tiny_base, "--device", "cpu",
    )  # fmt: skip
    assert code == 0, err
    answer = json.loads(out)
    assert set(answer) == {"text", "findings", "timings", "model"}
    (finding,) = answer["findings"]
    assert list(finding) == [
        "id", "phrase", "present", "presence", "quality", "volume_ml", "longest_diameter_mm", "mean_intensity", "mask",
    ]  # fmt: skip
    mask, scan = nibabel.load(finding["mask"]), nibabel.load(tiny_scan)
    assert mask.shape == scan.shape
    assert mask.affine.tobytes() == scan.affine.tobytes()
    assert np.count_nonzero(mask.dataobj) * 0.015 == pytest.approx(finding["volume_ml"])
    assert finding["phrase"] == "left block"
    assert {"open", "first_token", "first_mask", "total"} <= set(answer["timings"])
    assert len(answer["model"]["sha256"]) == 64


def test_ask_json_without_out_still_gives_a_mask_file(
    capsys, tiny_scan, tiny_checkpoint, tiny_base, tmp_path, monkeypatch
):
    monkeypatch.setattr(single.tempfile, "mkdtemp", lambda prefix: str(tmp_path / prefix))
    code, out, _ = run(
        capsys, "ask", tiny_scan, "Where is it?", "--json", "--model", tiny_checkpoint, "--base", tiny_base
    )
    assert code == 0
    assert Path(json.loads(out)["findings"][0]["mask"]).is_file()


def test_ask_prints_the_answer_and_its_measurements(capsys, tiny_scan, tiny_checkpoint, tiny_base):
    code, out, err = run(capsys, "ask", tiny_scan, "Where is it?", "--model", tiny_checkpoint, "--base", tiny_base)
    assert (code, err) == (0, "")
    assert "Here it is." in out
    assert re.search(r"m1 +left block: 94\.9 mL, longest diameter [\d.]+ mm, mean \d+, presence 0\.\d\d", out)


def test_a_point_outside_the_scan_is_one_line_and_exit_code_2(capsys, tiny_scan, tiny_checkpoint, tiny_base):
    result = run(
        capsys, "ask", tiny_scan, "What is this?", "--point", "900,0,0", "--json", "--model", tiny_checkpoint,
        "--base", tiny_base,
    )  # fmt: skip
    assert_one_line_error(result, "(900, 0, 0)", "RAS+")


def test_chat_goes_on_after_a_mistake_and_exports_at_the_end(
    capsys, tiny_scan, tiny_checkpoint, tiny_base, tmp_path, monkeypatch
):
    lines = ["/point 900,0,0", "What is this?", "/point 1,2", "/point -9,-7,-2", "Where is it?", "/findings", "/undo",
             "/undo", "/mask m1", "And now?"]  # fmt: skip
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    code, out, err = run(
        capsys, "chat", tiny_scan, "--model", tiny_checkpoint, "--base", tiny_base, "--out", tmp_path / "out"
    )
    assert code == 0
    assert "(900, 0, 0) mm lies outside" in err
    assert "'1,2' is not 3 or 4 numbers" in err
    assert out.count("Here it is.") == 2
    assert "taken back: Where is it?" in out
    assert "nothing to undo" in err
    assert "there is no mask 'm1'" in err
    assert [turn["question"] for turn in json.loads((tmp_path / "out" / "manifest.json").read_text())["turns"]] == [
        "And now?"
    ]


def test_chat_goes_back_forward_and_another_way(capsys, tiny_scan, tiny_checkpoint, tiny_base, monkeypatch):
    lines = ["Show me the left block.", "/undo", "/redo", "Fill the holes of m1", "/edit shrink it by 4 mm", "/retry",
             "/refine m1", "/box -20,-18,-12,8,6,6", "/refine m1", "/findings", "/back 1", "/findings", "/back 9",
             "/edit", "grow m7 by 2 mm"]  # fmt: skip
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    code, out, err = run(capsys, "chat", tiny_scan, "--model", tiny_checkpoint, "--base", tiny_base)
    assert code == 0
    assert "brought back: Show me the left block.\nleft block (m1)\nHere it is." in out
    assert out.count("The left block with its holes filled (m2) is ") == 1
    assert out.count("The left block shrunk by 4 mm (m2) is ") == 2
    assert "nothing to refine m1 with" in err
    assert "With a box the left block (m1) is " in out
    first, second = out.split("back to after 1 questions")
    assert "m1  left block = refined with a box: " in first
    assert "m2  left block shrunk by 4 mm = m1 shrunk by 4 mm: " in first
    assert "m1  left block: " in second
    assert "m2" not in second
    assert "there are 1 questions to go back over" in err
    assert "the question is empty" in err
    assert "there is no mask 'm7'" in err


def test_chat_is_kept_and_goes_on_after_its_end(capsys, tiny_scan, tiny_checkpoint, tiny_base, tmp_path, monkeypatch):
    given = ("--model", tiny_checkpoint, "--base", tiny_base)
    monkeypatch.setattr("sys.stdin", io.StringIO("Where is it?"))
    assert run(capsys, "chat", tiny_scan, "--keep", tmp_path / "kept", *given)[0] == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("/findings\n/undo"))
    code, out, err = run(capsys, "chat", "--resume", tmp_path / "kept", *given)
    assert (code, err) == (0, "")
    assert "> Where is it?\nleft block (m1)" in out
    assert "m1  left block:" in out
    assert "taken back: Where is it?" in out
    assert json.loads((tmp_path / "kept" / "session.json").read_text())["turns"] == []
    assert_one_line_error(run(capsys, "chat", *given), "--resume")
    assert_one_line_error(run(capsys, "chat", "--resume", tmp_path, *given), "holds no saved session")


@pytest.fixture
def named_checkpoint(tiny_model, tmp_path, monkeypatch) -> Path:
    """The small model with a glossary of one name."""
    monkeypatch.setattr(tiny_model, "glossary", Glossary({"left block": ("left block",)}, {}, {"left": "left"}))
    tiny_model.save_pretrained(tmp_path / "named")
    return tmp_path / "named"


def test_report_checks_each_sentence_and_writes_the_page(capsys, tiny_scan, named_checkpoint, tiny_base, tmp_path):
    report = tmp_path / "report.txt"
    report.write_text("FINDINGS: The left block is seen. It is cold.")
    given = ("--model", named_checkpoint, "--base", tiny_base)
    code, out, err = run(capsys, "report", tiny_scan, report, "--out", tmp_path / "out", *given)
    assert code == 0, err
    assert "✓ The left block is seen. [m1]" in out
    assert "– It is cold.\n    – names no structure" in out
    assert out.endswith("3 sentences: 1 agreeing, 2 with nothing to show.\n")
    assert (tmp_path / "out" / "report.html").is_file()
    code, out, _ = run(capsys, "report", tiny_scan, report, "--json", *given)
    facts = json.loads(out)
    assert [one["status"] for one in facts["sentences"]] == ["nothing", "agrees", "nothing"]
    assert facts["findings"][0]["phrase"] == "left block"


def test_compare_measures_both_scans(capsys, tiny_checkpoint, tiny_base, tmp_path):
    from tests.test_desk import save_phantom
    from tests.test_registration import rigid

    now, before = tmp_path / "now.nii.gz", tmp_path / "before.nii.gz"
    save_phantom(now, np.eye(4), 0)
    save_phantom(before, rigid((3, 0, 2), (4, -3, 2)), 1)
    given = ("left block", "--model", tiny_checkpoint, "--base", tiny_base, "--modality", "MR")
    code, out, err = run(capsys, "compare", now, before, *given)
    assert code == 0, err
    assert re.match(r"The left block has .*: [\d.]+ mL now, [\d.]+ mL before.* Registration: ", out)
    code, out, err = run(capsys, "compare", now, before, *given, "--json", "--out", tmp_path / "out")
    assert err.endswith("comparison.html\n")
    assert {"comparison.html", "comparison.json", "changes.csv", "p1_left_block_before.nii.gz", "manifest.json"} <= {
        file.name for file in (tmp_path / "out").iterdir()
    }
    (change,) = json.loads(out)["changes"]
    assert change["change_ml"] == pytest.approx(change["now"]["volume_ml"] - change["before"]["volume_ml"])
    assert_one_line_error(run(capsys, "compare", now, now, *given), "are the same scan")


@pytest.mark.parametrize(("content", "word"), [(b"", "empty"), (b"\0\1", "not a text file"), (None, "cannot be read")])
def test_a_report_that_is_none_is_one_line_and_exit_code_2(capsys, tiny_scan, tmp_path, content, word):
    if content is not None:
        (tmp_path / "report.txt").write_bytes(content)
    assert_one_line_error(run(capsys, "report", tiny_scan, tmp_path / "report.txt"), word)


@pytest.mark.parametrize("option", ["--point", "--box"])
def test_coordinates_may_start_with_a_minus(option):
    assert attach_coordinates(["ask", option, "-1,-2,3", "--json"]) == ["ask", f"{option}=-1,-2,3", "--json"]
    assert attach_coordinates(["ask", option, "--json"]) == ["ask", option, "--json"]


def test_points_with_and_without_a_label():
    assert point("1,-2.5,3") == (1.0, -2.5, 3.0)
    assert point("1,-2.5,3,0") == (1.0, -2.5, 3.0, 0.0)


def test_help_and_version_do_not_import_torch():
    code = "import sys; from assistant import cli; cli.main(['--version']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True).returncode == 0


def test_python_m_assistant_is_the_same_command(tiny_scan):
    done = subprocess.run(
        [sys.executable, "-m", "assistant", "info", str(tiny_scan), "--json"],
        cwd=ROOT, check=True, capture_output=True, text=True, env=os.environ | {"PYTHONWARNINGS": "default"},
    )  # fmt: skip
    assert np.allclose(json.loads(done.stdout)["spacing_mm"], [2, 3, 2.5])


def test_other_packages_add_commands_by_entry_point(monkeypatch, capsys):
    class Entry:
        name = "app"

        def load(self):
            return lambda argv: 7 if argv == ["--port", "1"] else 0

    monkeypatch.setattr(cli.importlib.metadata, "entry_points", lambda group: {cli.COMMANDS: [Entry()]}[group])
    assert cli.main(["app", "--port", "1"]) == 7
    assert cli.main(["--help"]) == 0
    assert re.search(r"^ +app +open the desk", capsys.readouterr().out, re.MULTILINE)
