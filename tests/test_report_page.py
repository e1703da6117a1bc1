"""A grounded report as files: the page needs nothing else, and shows each mask where it lies."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from assistant.glossary import Glossary
from assistant.pictures import mask_picture
from assistant.report_page import export_report
from assistant.session import Session
from assistant.volume import Volume


def test_the_page_holds_its_pictures_and_the_json_says_the_same(tiny_scan, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(tiny_model, "glossary", Glossary({"left block": ("left block",)}, {}, {"left": "left"}))
    session = Session.open(tiny_scan, model=tiny_model)
    report = session.ground_report("<b>Findings</b>: No left block. The left block is seen.")
    page = export_report(session, report, tmp_path / "out").read_text(encoding="utf-8")
    assert "&lt;b&gt;Findings" in page
    assert "<b>Findings" not in page
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page)  # nothing is fetched from anywhere
    (data,) = re.findall(r"data:image/png;base64,([^\"]+)", page)
    assert Image.open(io.BytesIO(base64.b64decode(data))).width > 300
    facts = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert [one["status"] for one in facts["sentences"]] == [line.status for line in report.lines]
    assert facts["findings"][0]["id"] == "m1"
    assert "Research use only" in facts["notice"]
    assert (tmp_path / "out" / "m1_left_block.nii.gz").is_file()
    assert (tmp_path / "out" / "manifest.json").is_file()


@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_a_mask_on_the_patients_right_is_drawn_on_the_left(flip):
    """Whatever way the file stores its axes; front is up in the axial plane, the head is up in the others."""
    shape = (40, 50, 30)
    affine = np.diag([2.0 * flip, 2.0, 3.0, 1.0])
    affine[:3, 3] = [-40 * flip, -50, -45]
    volume = Volume.from_array(np.full(shape, 50.0) + np.arange(30), affine, "MR")
    mask = np.zeros(volume.shape, bool)
    mask[28:36, 36:46, 18:24] = True  # right, front, up, in RAS order
    png = mask_picture(volume, {"m1": mask}, "m1", (0, 100), {"m1": "#ff0000"})
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    red = picture[..., 0] - picture[..., 1] > 40
    width, height = 208, 260  # of the axial plane: 80 x 100 mm
    rows, columns = np.nonzero(red[:, :width])
    assert columns.mean() < 0.35 * width
    assert rows.mean() < 0.35 * height
    assert red[:, width + 4 :].any()
