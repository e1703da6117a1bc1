"""Each recipe reads the published layout and the shared one; made here in small, byte for byte as published."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from data_recipes import freesurfer, msd, openkbp, sts
from data_recipes.schema import RecipeError, load_case, mask_of, split_of

SPLITS = ("train", "dev")


def write(path, values, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.eye(4) if affine is None else affine), path)


def both(recipe, root):
    return {case.id: case for split in SPLITS for case in recipe.cases(root, split)}


def labels(*values, shape=(6, 5, 4)):
    out = np.zeros(shape, np.uint8)
    out.ravel()[: len(values)] = values
    return out


def test_synthseg_maps_and_subject_folders(tmp_path):
    for i in range(6):
        write(tmp_path / "maps" / f"training_seg_{i:02}.nii.gz", labels(17, 53, 16).astype(np.int32))
    found = both(freesurfer, tmp_path / "maps")
    assert len(found) == 6
    case = found["training_seg_03"]
    assert (case.family, case.modality, case.image, case.split) == ("brain", "MR", None, split_of("training_seg_03"))
    assert case.phrases["left hippocampus"] == (17,)
    assert case.values[53] == "right hippocampus"
    assert 17 in case.phrases["brain"]
    assert 500 not in case.phrases["brain"]
    image, read, _ = load_case(case)
    assert image is None
    assert mask_of(read, case.phrases["left hippocampus"]).sum() == 1

    subject = tmp_path / "subjects" / "bert" / "mri"
    subject.mkdir(parents=True)
    flipped = np.diag([-1.0, 1.0, 1.0, 1.0])  # stored right to left: reading must turn image and labels alike
    values = labels(17).astype(np.int32)
    nib.save(nib.MGHImage(values, flipped), subject / "aseg.mgz")
    nib.save(nib.MGHImage((values * 5 + 1).astype(np.float32), flipped), subject / "norm.mgz")
    (case,) = both(freesurfer, tmp_path / "subjects").values()
    volume, read, _ = load_case(case)
    assert volume is not None
    np.testing.assert_array_equal(volume.voxels, read * 5 + 1)
    assert read[-1, 0, 0] == 17
    with pytest.raises(RecipeError, match="no FreeSurfer label map"):
        both(freesurfer, tmp_path / "maps" / "..")


def test_msd_hippocampus(tmp_path):
    for i in (1, 3):
        for folder in ("imagesTr", "labelsTr"):
            write(tmp_path / "Task04_Hippocampus" / folder / f"hippocampus_00{i}.nii.gz", labels(1, 2, 2))
    write(tmp_path / "Task04_Hippocampus" / "labelsTr" / "._hippocampus_001.nii.gz", labels(1))  # macOS's droppings
    found = both(msd, tmp_path)
    assert sorted(found) == ["hippocampus_001", "hippocampus_003"]
    case = found["hippocampus_001"]
    _, read, _ = load_case(case)
    assert mask_of(read, case.phrases["hippocampus"]).sum() == 3
    assert case.values == {1: "anterior hippocampus", 2: "posterior hippocampus"}
    (tmp_path / "Task04_Hippocampus" / "imagesTr" / "hippocampus_003.nii.gz").unlink()
    with pytest.raises(RecipeError, match="has no image"):
        both(msd, tmp_path)


def test_sts_keeps_a_patients_scans_in_one_split(tmp_path):
    for patient in ("STS_001", "STS_002"):
        for scan in ("MR_T1", "PET", "CT"):
            for part in ("image", "mask"):
                write(tmp_path / "ibsi_validation" / "nifti" / patient / f"{scan}_{part}.nii.gz", labels(1))
    found = both(sts, tmp_path)
    assert sorted(found) == ["STS_001_MR_T1", "STS_001_PET", "STS_002_MR_T1", "STS_002_PET"]
    assert found["STS_001_PET"].split == found["STS_001_MR_T1"].split
    assert (found["STS_001_PET"].family, found["STS_001_PET"].modality) == ("tumour_pet", "PET")


def index(point, side=128):
    posterior, left, inferior = point
    return (posterior * side + left) * side + inferior


def patient(folder, z=lambda k: k, organs=("Brainstem", "SpinalCord", "LeftParotid")):
    folder.mkdir(parents=True)
    points = {"Brainstem": (60, 64, z(20)), "SpinalCord": (60, 64, z(90)), "LeftParotid": (50, 90, z(30))}
    rows = "".join(f"{index(p)},1074.0\n" for p in points.values())
    (folder / "ct.csv").write_text(",data\n" + rows)
    for organ in organs:
        (folder / f"{organ}.csv").write_text(f",data\n{index(points[organ])},\n")
    (folder / "voxel_dimensions.csv").write_text("3.906\n3.5\n2.5\n")


@pytest.mark.parametrize("turn", [False, True], ids=["head first", "feet first"])
def test_openkbp_csv_lands_where_anatomy_says(tmp_path, turn):
    z = (lambda k: 127 - k) if turn else (lambda k: k)
    patient(tmp_path / "provided-data" / "train-pats" / "pt_1", z)
    (case,) = openkbp.cases(tmp_path, "train")
    assert case.form == "openkbp_csv"
    assert case.unknown == ("right parotid gland", "esophagus", "larynx", "mandible")
    volume, read, affine = load_case(case)
    assert volume is not None
    np.testing.assert_allclose(volume.spacing, (3.5, 3.906, 2.5))
    centre = {v: np.argwhere(read == v)[0] for v in (1, 2, 4)}
    mm = {v: affine[:3, :3] @ c + affine[:3, 3] for v, c in centre.items()}
    assert mm[4][0] < mm[1][0]  # left is -x
    assert mm[4][1] > mm[1][1]  # the parotid lies in front of the brainstem
    assert mm[1][2] > mm[2][2]  # and the cord below it
    assert volume.intensity_unit == "HU"
    assert volume.voxels[tuple(centre[1])] == 50
    assert volume.voxels.min() == -1024


def test_openkbp_says_what_is_wrong(tmp_path):
    with pytest.raises(RecipeError, match="no train-pats/pt_"):
        list(openkbp.cases(tmp_path, "train"))
    patient(tmp_path / "train-pats" / "pt_1")
    bad = tmp_path / "train-pats" / "pt_1" / "Brainstem.csv"
    bad.write_text(",data\n12,\nx,\n")
    with pytest.raises(RecipeError, match=r"Brainstem.csv line 3 is not 'index,value'"):
        openkbp.read_patient(bad.parent)
    bad.write_text(",data\n99999999,\n")
    with pytest.raises(RecipeError, match="index 99999999, outside"):
        openkbp.read_patient(bad.parent)
    with pytest.raises(RecipeError, match="'test' is none of train, dev"):
        list(openkbp.cases(tmp_path, "test"))


def test_the_shared_layout(tmp_path):
    rows = [
        ("openkbp/pt_9", "train", {"1": "Brainstem", "7": "Mandible"}, True),
        ("openkbp/pt_3", "dev", {"1": "Brainstem"}, True),
        ("ibsi_sts/STS_004_PET", "train", {"1": "soft_tissue_sarcoma_GTV"}, True),
        ("synthseg_labels/seg_01", "train", {"17": "left hippocampus"}, False),
        ("msd_hippocampus/hippocampus_001", "train", {"1": "hippocampus_anterior"}, True),
    ]
    with (tmp_path / "index.jsonl").open("w") as out:
        for case, split, names, image in rows:
            row = {"case": case, "split": split, "labels": names, "image": image, "label": True, "modality": "?"}
            out.write(json.dumps({**row, "licence": "L", "source": "S"}) + "\n")
    (case,) = openkbp.cases(tmp_path, "train")
    assert case.image == tmp_path / "train" / "openkbp" / "pt_9" / "image.nii.gz"
    assert case.phrases == {"brainstem": (1,), "mandible": (7,)}
    assert "larynx" in case.unknown
    assert [c.patient for c in sts.cases(tmp_path, "train")] == ["STS_004"]
    assert [c.image for c in freesurfer.cases(tmp_path, "train")] == [None]
    assert [c.id for c in msd.cases(tmp_path, "train")] == ["msd_hippocampus/hippocampus_001"]
    assert list(msd.cases(tmp_path, "dev")) == []
