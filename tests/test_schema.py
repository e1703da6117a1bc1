"""The record format: JSON round trip, refused records, the split by patient."""

from __future__ import annotations

import pytest

from data_recipes.schema import (
    ImageRef,
    RecipeError,
    Record,
    Target,
    Turn,
    read_records,
    split_of,
    write_records,
)


def record(**change) -> Record:
    content = "<p>left hippocampus</p><SEG><obs>m1 left hippocampus: 2.9 mL, 38.1 mm, mean 112</obs> It is 2.9 mL."
    fields = {
        "id": "seg_01-0", "images": (ImageRef("seg_01/image.nii.gz", "MR"),), "label": "seg_01/label.nii.gz",
        "messages": (Turn("user", "左侧海马?", image=True), Turn("assistant", content)),
        "targets": (Target("left hippocampus", True, (17,)),), "family": "brain", "kind": "how big",
        "provenance": "made in a test", "licence": "none", "split": "train", "patient": "seg_01", "seed": 3,
        "values": {17: "left hippocampus"},
    }  # fmt: skip
    return Record(**{**fields, **change})


def test_a_record_survives_json(tmp_path):
    made = [record(), record(id="b", label=None, region="left hippocampus", images=())]
    assert write_records(tmp_path / "r.jsonl", made) == 2
    assert list(read_records(tmp_path / "r.jsonl")) == made


def test_records_that_cannot_be_right_are_refused():
    with pytest.raises(RecipeError, match="1 <SEG> tokens but 2 targets"):
        record(targets=(Target("a", True), Target("b", False)))
    with pytest.raises(RecipeError, match="'test' is none of train, dev"):
        record(split="test")
    with pytest.raises(RecipeError, match="'US' is none of CT, MR, PET"):
        record(images=(ImageRef("x", "US"),))
    with pytest.raises(RecipeError, match="not a record"):
        Record.from_json('{"id": 1}')


def test_the_split_depends_on_the_patient_alone_and_is_about_a_tenth():
    names = [f"pt_{i}" for i in range(2000)]
    dev = [n for n in names if split_of(n) == "dev"]
    assert 140 < len(dev) < 260
    assert split_of("pt_7") == split_of("pt_7")
