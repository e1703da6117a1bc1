"""What a session and a comparison are written as: pages that need nothing else, tables that a spreadsheet reads."""

from __future__ import annotations

import base64
import csv
import io
import json
import re

import nibabel
import numpy as np
import pytest
from PIL import Image

from assistant.prior_page import export_comparison
from assistant.session import Session
from assistant.table import as_csv
from tests.test_desk import save_phantom
from tests.test_registration import rigid
from tests.test_session import CLICK


def pictures(page: str) -> list[np.ndarray]:
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page)  # nothing is fetched from anywhere
    found = re.findall(r"data:image/png;base64,([^\"]+)", page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")) for data in found]


def test_a_summary_has_every_question_number_and_picture(tiny_scan, tiny_model, tmp_path):
    session = Session.open(tiny_scan, model=tiny_model)
    session.ask("Show me the <b>left</b> block.")
    (finding,) = session.ask("Where is it?", points=[CLICK]).findings
    session.export(tmp_path)
    page = (tmp_path / "summary.html").read_text(encoding="utf-8")
    assert "Show me the &lt;b&gt;left&lt;/b&gt; block." in page
    assert "Where is it?</b> at (-9.0, -7.0, -2.0) mm" in page
    assert f">{finding.volume_ml:.1f}<" in page
    assert len(pictures(page)) == 2
    rows = list(csv.DictReader(io.StringIO((tmp_path / "measurements.csv").read_text(encoding="utf-8"))))
    assert [row["id"] for row in rows] == ["m1", "m2"]
    assert float(rows[1]["volume_ml"]) == pytest.approx(finding.volume_ml)
    assert float(rows[1]["centroid_x_mm"]) == pytest.approx(finding.centroid_mm[0])


def test_a_comparison_is_written_with_both_masks(tiny_model, tmp_path):
    save_phantom(tmp_path / "now.nii.gz", np.eye(4), 0)
    save_phantom(tmp_path / "before.nii.gz", rigid((3, 0, 2), (4, -3, 2)), 1)
    session = Session.open(tmp_path / "now.nii.gz", modality="MR", model=tiny_model)
    comparison = session.open_prior(tmp_path / "before.nii.gz", modality="MR").compare("left block")
    page = export_comparison(session, comparison, tmp_path / "out").read_text(encoding="utf-8")
    assert "Registration: good" in page
    assert comparison.changes[0].text in page
    assert len(pictures(page)) == 2
    facts = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert facts["changes"][0]["change_ml"] == comparison.changes[0].change_ml
    (row,) = csv.DictReader(io.StringIO((tmp_path / "out" / "changes.csv").read_text(encoding="utf-8")))
    assert float(row["change_ml"]) == pytest.approx(comparison.changes[0].change_ml)
    carried = nibabel.load(tmp_path / "out" / "p1_left_block_before.nii.gz")
    assert np.array_equal(np.asarray(carried.dataobj) > 0, comparison.changes[0].carried)


def test_a_name_that_is_a_formula_is_text_to_a_spreadsheet():
    text = as_csv([{"id": "m1", "phrase": "=1+1", "centroid_mm": [1.0, -2.0, 3.0]}])
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["phrase"] == "'=1+1"
    assert row["centroid_y_mm"] == "-2.0"
