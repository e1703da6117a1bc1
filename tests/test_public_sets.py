"""Each recipe reads its data set as it was published, and names what is damaged without taking another case for it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from data_recipes import layouts, nnunet, ontology, registry
from data_recipes.schema import (
    COMMERCIAL,
    GIVES,
    MODALITIES,
    Damaged,
    RecipeError,
    load_case,
    load_image,
    mask_of,
    split_of,
)
from tests import public_sets

FOUND = {  # every case of the tiny downloads that is read: id -> (modality, family, phrase that is there)
    "totalsegmentator": {
        "s0000": ("CT", "body_ct", "left kidney"),
        "s0001": ("CT", "body_ct", "right rib 12"),
    },
    "totalsegmentator_mr": {"s0001": ("MR", "body_mr", "vertebrae"), "s0002": ("MR", "body_mr", "spleen")},
    "amos": {
        "amos_0001": ("CT", "body_ct", "spleen"), "amos_0507": ("MR", "body_mr", "liver"),
        "amos_0008": ("CT", "body_ct", "liver"),
    },
    "btcv": {
        "btcv_0001": ("CT", "body_ct", "portal and splenic veins"),
        "btcv_0002": ("CT", "body_ct", "left adrenal gland"),
    },
    "flare22": {
        "FLARE22_Tr_0001": ("CT", "body_ct", "right kidney"), "FLARE22_Tr_0002": ("CT", "body_ct", "left kidney"),
    },
    "word": {
        "word_0002": ("CT", "body_ct", "pair of adrenal glands"),
        "word_0001": ("CT", "body_ct", "left head of the femur"),
    },
    "chaos": {
        f"1_{name}": ("MR", "body_mr", "liver") for name in ("T1DUAL_InPhase", "T1DUAL_OutPhase", "T2SPIR")
    },
    "abdomenatlas": {
        "BDMAP_00000001": ("CT", "body_ct", "hepatic vessels"), "BDMAP_00000002": ("CT", "body_ct", "aorta"),
    },
    "kits23": {
        "case_00000": ("CT", "body_ct", "kidney tumour"), "case_00001": ("CT", "body_ct", "cyst of the kidney"),
    },
    "lits": {"lits_0": ("CT", "body_ct", "liver tumour"), "lits_28": ("CT", "body_ct", "liver")},
    "verse": {
        "sub-verse004": ("CT", "spine", "vertebra C1"), "sub-gl003_dir-ax": ("CT", "spine", "vertebra T1"),
        "sub-verse410_split-verse267": ("CT", "spine", "vertebra T13"),
    },
    "acdc": {
        "patient001_frame01": ("MR", "heart", "left ventricle of the heart"),
        "patient001_frame12": ("MR", "heart", "left ventricular myocardium"),
    },
    "mmwhs": {"ct_train_1001": ("CT", "heart", "left atrium"), "mr_train_1001": ("MR", "heart", "pulmonary artery")},
    "brats": {
        **{f"BraTS2021_00000_{s}": ("MR", "brain_tumour", "tumour core") for s in ("t1", "t1ce", "t2", "flair")},
        **{
            f"BraTS-GLI-00002-000-{s}": ("MR", "brain_tumour", "enhancing tumour tissue")
            for s in ("t1n", "t1c", "t2w", "t2f")
        },
    },
    "isles22": {
        f"sub-strokecase000{n}_ses-0001_{s}": ("MR", "brain_stroke", "stroke lesion")
        for n in (1, 2) for s in ("dwi", "adc")
    },
    "autopet": {
        "PETCT_0011f3deaf_03-23-2003-NA-Unspecified-94943_SUV": ("PET", "body_pet", "tumour"),
        "PETCT_0011f3deaf_03-23-2003-NA-Unspecified-94943_CTres": ("CT", "body_ct", "tumour"),
    },
    "picai": {"10000_1000000": ("MR", "prostate", ""), "10005_1000005": ("MR", "prostate", "prostate cancer")},
    "msd": {
        "liver_0": ("CT", "body_ct", "liver tumour"),
        "hippocampus_001": ("MR", "hippocampus", "posterior hippocampus"), "spleen_2": ("CT", "body_ct", "spleen"),
        **{f"BRATS_001_{s}": ("MR", "brain_tumour", "tumour core") for s in ("flair", "t1w", "t1gd", "t2w")},
    },
    "nnunet": {"p_7_0000": ("MR", "own", "left kidney"), "p_7_0001": ("MR", "own", "whole thing")},
    "local": {"clinic/p_7": ("CT", "own", "left kidney"), "clinic/p_8": ("CT", "own", "my thing")},
}  # fmt: skip
PUBLISHED = {  # splits that the publishers made; the others are by patient
    "s0000": "train", "s0001": "dev", "amos_0001": "train", "amos_0507": "train", "amos_0008": "dev",
    "word_0002": "train", "word_0001": "dev", "sub-verse004": "train", "sub-gl003_dir-ax": "train",
    "sub-verse410_split-verse267": "dev", "clinic/p_7": "train", "clinic/p_8": "dev",
}  # fmt: skip
BY_HASH = ("totalsegmentator_mr",)  # its tiny download has no meta.csv


def both(name, root, skip=None):
    return {case.id: case for split in ("train", "dev") for case in registry.MASKS[name].cases(root, split, skip)}


@pytest.mark.parametrize("name", FOUND)
def test_a_published_layout_is_read_as_it_is(name, tmp_path):
    public_sets.MASKS[name](tmp_path)
    found = both(name, tmp_path)
    assert {i: (c.modality, c.family) for i, c in found.items()} == {i: e[:2] for i, e in FOUND[name].items()}
    for case in found.values():
        published = None if name in BY_HASH else PUBLISHED.get(case.id)
        assert case.split == (published or split_of(case.patient))
        assert case.licence
        volume, labels, affine = load_case(case)
        assert volume.shape == labels.shape == public_sets.SHAPE
        assert np.allclose(np.diag(affine)[:3], (1.5, 1.5, 3.0))
        there = {phrase for phrase, values in case.phrases.items() if mask_of(labels, values).any()}
        phrase = FOUND[name][case.id][2]
        assert phrase in there if phrase else not there
        # the file runs from right to left and front to back: its first voxel is at the far end
        if there:
            assert labels[-1, -1, 0] != 0


def test_chaos_pictures_lie_where_their_slices_do(tmp_path):
    """The organs step to the left of the patient and up, a slice each; the two phases of T1 share their pictures."""
    public_sets.chaos(tmp_path)
    found = both("chaos", tmp_path)
    for case in found.values():
        volume, labels, _ = load_case(case)
        mm = [volume.to_world(np.argwhere(labels == value)[0]) for value in (1, 2, 3, 4)]
        assert np.allclose(mm, [(-1.5 * n, 0.0, 3.0 * n) for n in range(4)])
    pictures = found["1_T2SPIR"].label
    (pictures / "IMG-0002-00003.png").write_bytes(b"no picture")
    with pytest.raises(Damaged, match=r"IMG-0002-00003\.png is not a picture"):
        load_case(found["1_T2SPIR"])
    (pictures / "IMG-0002-00003.png").unlink()
    with pytest.raises(Damaged, match=r"no IMG-0002-00003\.png for the slice IMG-0002-00003\.dcm"):
        load_case(found["1_T2SPIR"])


@pytest.mark.parametrize("name", [n for n in FOUND if n != "chaos"])  # its case is a folder of pictures
def test_a_missing_file_is_named_and_skipped_only_when_asked(name, tmp_path):
    """No other case takes its place: the others are the same ones as before."""
    public_sets.MASKS[name](tmp_path)
    whole = both(name, tmp_path)
    case = next(iter(whole.values()))
    gone = next(iter(case.masks.values())) if case.masks else case.label
    if name == "picai":  # a study without an expert's label is no case: its image is what can be missing
        gone = case.image
    gone.unlink()
    with pytest.raises(Damaged) as stop:
        both(name, tmp_path)
    assert gone.name in str(stop.value)
    skipped: list[Damaged] = []
    left = both(name, tmp_path, skipped)
    lost = {i for i, c in whole.items() if gone in (c.label, c.image, *c.masks.values())}
    assert set(left) == set(whole) - lost
    assert skipped
    assert all(gone.name in str(problem) for problem in skipped)


@pytest.mark.parametrize("name", ["amos", "totalsegmentator", "brats", "kits23"])
@pytest.mark.parametrize("part", ["image", "labels"])
@pytest.mark.parametrize("damage", ["cut short", "other shape"])
def test_a_damaged_file_is_named_when_its_case_is_read(name, part, damage, tmp_path):
    public_sets.MASKS[name](tmp_path)
    case = next(iter(both(name, tmp_path).values()))
    labels = list(case.masks.values()) or [case.label]
    path = case.image if part == "image" else labels[-1]
    if damage == "cut short":
        path.write_bytes(path.read_bytes()[:60])
    else:
        (public_sets.image if part == "image" else public_sets.label)(path, 1, shape=(7, 5, 4))
    with pytest.raises(Damaged) as stop:
        load_case(case)
    named = path if part == "labels" or damage == "cut short" else labels[0]
    assert stop.value.path == str(named)
    assert stop.value.fix
    if damage == "other shape":
        assert "(7, 5, 4)" in stop.value.what


def test_a_mask_elsewhere_than_its_image_is_refused(tmp_path):
    import nibabel as nib

    public_sets.kits23(tmp_path)
    case = both("kits23", tmp_path)["case_00000"]
    moved = public_sets.AFFINE.copy()
    moved[2, 3] = 12.0
    nib.save(nib.Nifti1Image(np.ones(public_sets.SHAPE, np.uint8), moved), case.label)
    with pytest.raises(Damaged, match=r"differ by up to 12\.00"):
        load_case(case)


@pytest.mark.parametrize("name", [n for n in registry.RECIPES if n not in ("nnunet", "local", "freesurfer")])
def test_an_empty_folder_gets_one_sentence(name, tmp_path):
    recipe = registry.RECIPES[name]
    read = recipe.cases if name in registry.MASKS else recipe.records
    with pytest.raises(RecipeError, match=r"has no |has none of|cannot be read"):
        list(read(tmp_path, "train"))
    makers = {**public_sets.MASKS, **public_sets.WORDS}
    if name in makers:
        makers[name](tmp_path / "whole")
        with pytest.raises(RecipeError, match="'test' is none of train, dev"):
            list(read(tmp_path / "whole", "test"))


def test_structures_with_files_of_their_own_are_one_label_map(tmp_path):
    public_sets.abdomenatlas(tmp_path)
    case = both("abdomenatlas", tmp_path)["BDMAP_00000001"]
    _, labels, _ = load_case(case)
    assert sorted(np.unique(labels)) == [0, 1, 5, 19]  # the rectum's file is empty: outlined, and not there
    assert case.phrases["rectum"] == (25,)
    assert case.phrases["liver"] == (5, 19)  # its vessels are in it
    # overlapping masks: the later file wins
    public_sets.label(case.masks[5], 1, 1, 1)
    assert (load_case(case)[1] == 1).sum() == 0


def test_a_subject_outside_the_published_table_is_named(tmp_path):
    public_sets.totalsegmentator(tmp_path)
    public_sets.table(tmp_path / "meta.csv", [{"image_id": "s0000", "split": "train"}], ";")
    with pytest.raises(Damaged, match=r"s0001 is not in .*meta\.csv"):
        both("totalsegmentator", tmp_path)
    skipped: list[Damaged] = []
    assert list(both("totalsegmentator", tmp_path, skipped)) == ["s0000"]
    assert [problem.path[-5:] for problem in skipped] == ["s0001", "s0002"]


def test_brats_values_are_those_of_their_year():
    old, new = registry.MASKS["brats"].OLD, registry.MASKS["brats"].NEW
    assert old["enhancing tumour tissue"] == (4,)
    assert new["enhancing tumour tissue"] == (3,)
    assert new["resection cavity"] == (4,)


def test_nnunet_labels_of_both_versions():
    expected = {"left kidney": (1,), "liver": (2,)}
    assert nnunet.phrases_of({"background": 0, "kidney_left": 1, "liver": [2]}) == expected
    assert nnunet.phrases_of({"0": "background", "1": "kidney_left", "2": "liver"}) == expected


def test_nnunet_asks_what_a_nameless_channel_is(tmp_path):
    public_sets.nnunet(tmp_path)
    facts = json.loads((tmp_path / "dataset.json").read_text())
    (tmp_path / "dataset.json").write_text(json.dumps({**facts, "channel_names": {"0": "noNorm"}}))
    with pytest.raises(RecipeError, match="'noNorm' is neither CT, PET nor an MR sequence"):
        list(nnunet.cases(tmp_path, "train"))


def test_every_mapped_label_is_a_canonical_phrase():
    """Over the tables themselves, so that a structure which no tiny download has is looked at too."""
    masks = registry.MASKS
    tables = [masks[n].LABELS.values() for n in ("amos", "btcv", "flare22", "word", "chaos", "verse", "acdc", "mmwhs")]
    tables += [masks[n].NAMES.values() for n in ("totalsegmentator", "abdomenatlas")]
    tables += [masks[n].PHRASES for n in ("kits23", "lits", "isles22", "autopet", "picai")]
    tables += [task.phrases for task in masks["msd"].TASKS.values()]
    tables += [masks["brats"].OLD, masks["brats"].NEW]
    names = {name for table in tables for name in table}
    assert len(names) > 150
    assert names <= set(ontology.by_name())
    assert {"middle lung lobe", "left rib 1", "right rib 12", "vertebra C1", "vertebra L5", "vertebra S1"} <= names


def test_every_recipe_states_what_it_must():
    for name, module in registry.RECIPES.items():
        about = module.ABOUT
        assert about.name == name
        assert about.commercial in COMMERCIAL
        assert set(about.gives) <= set(GIVES)
        assert set(about.modalities) <= set(MODALITIES)
        for field in ("Source page", "Licence", "Citation", "Layout", "Example"):
            assert f"\n{field:14}" in module.__doc__, (name, field)
        assert f"commercial use: {about.commercial}" in " ".join(module.__doc__.split()), name
        assert "Split" in module.__doc__ or about.folder, name
        if "NC" in about.licence:
            assert about.commercial in ("no", "see source")


def test_pictures_and_arrays_are_volumes(tmp_path):
    public_sets.slake(tmp_path)
    found = list(registry.WORDS["slake"].records(tmp_path, "train"))
    volume = load_image(tmp_path, found[0].images[0])
    assert volume.shape == (40, 30, 1)  # columns run to the left, rows to the back
    assert volume.voxels[0, 0, 0] > volume.voxels[0, -1, 0]  # RAS order: the bottom row, the brightest, comes first
    (tmp_path / found[0].images[0].path).write_bytes(b"no picture")
    with pytest.raises(Damaged, match=r"source\.jpg is not a picture"):
        load_image(tmp_path, found[0].images[0])


WORDS = {
    "m3d_refseg": ("m3d_refseg_0", "CT", "question", "<p>finding</p><SEG> Sure, it is m1 in the liver."),
    "ct_rate": ("train_1_a_1", "CT", "report", "Trachea is open. No effusion. Impression: Normal."),
    "radgenome": ("train_1_a_1 heart", "CT", "report", "Heart size is normal. No effusion."),
    "slake": ("slake_0", "MR", "question", "Liver"),
    "vqa_rad": ("vqa_rad_0", "CT", "question", "No"),
    "medmnist3d": ("organmnist3d_train_1", "CT", "question", "This is the right kidney."),
}
COUNTS = {"m3d_refseg": 2, "ct_rate": 2, "radgenome": 4, "slake": 2, "vqa_rad": 1, "medmnist3d": 3}


@pytest.mark.parametrize("name", WORDS)
def test_published_words_become_records(name, tmp_path):
    public_sets.WORDS[name](tmp_path)
    recipe = registry.WORDS[name]
    found = {r.id: r for split in ("train", "dev") for r in recipe.records(tmp_path, split)}
    assert len(found) == COUNTS[name]
    one, modality, kind, answer = WORDS[name]
    record = found[one]
    assert (record.images[0].modality, record.kind, record.messages[1].content) == (modality, kind, answer)
    assert record.messages[0].image
    assert record.dataset == name
    assert load_image(tmp_path, record.images[0]).voxels.size > 1
    if record.targets:
        assert record.targets[0].labels == (2,)
        assert (tmp_path / record.label).is_file()


def test_questions_of_radgenome_are_its_tables(tmp_path):
    public_sets.radgenome(tmp_path)
    found = {r.id: [m.content for m in r.messages] for r in registry.WORDS["radgenome"].records(tmp_path, "train")}
    assert found["train_1_a_1 presence 0"] == ["Is this present in the heart: pericardial effusion?", "No"]
    assert found["train_1_a_1 location 0"] == ["Where is this: calcification?", "heart"]
    assert found["train_1_a_1"] == ["What else does the report say?", "No mass."]


@pytest.mark.parametrize("name", ["m3d_refseg", "ct_rate", "radgenome", "slake", "vqa_rad"])
def test_a_record_whose_image_is_gone_is_named(name, tmp_path):
    public_sets.WORDS[name](tmp_path)
    recipe = registry.WORDS[name]
    record = next(r for split in ("train", "dev") for r in recipe.records(tmp_path, split))
    (tmp_path / record.images[0].path).unlink()
    with pytest.raises(Damaged, match="is not there"):
        list(recipe.records(tmp_path, record.split))
    skipped: list[Damaged] = []
    left = list(recipe.records(tmp_path, record.split, skipped))
    assert record.id not in {r.id for r in left}
    assert skipped


def test_a_text_with_the_models_tokens_is_left_out(tmp_path):
    public_sets.vqa_rad(tmp_path)
    path = tmp_path / "VQA_RAD Dataset Public.json"
    path.write_text(path.read_text().replace("Is the liver enlarged?", "Is <SEG> enlarged?"))
    with pytest.raises(Damaged, match="<SEG>, which is a token of the model"):
        [list(registry.WORDS["vqa_rad"].records(tmp_path, split)) for split in ("train", "dev")]


def test_dot_files_of_an_archive_are_no_scans(tmp_path):
    public_sets.msd(tmp_path)
    (tmp_path / "Task09_Spleen" / "labelsTr" / "._spleen_2.nii.gz").write_bytes(b"macOS")
    assert set(layouts.scans(tmp_path / "Task09_Spleen" / "labelsTr")) == {"spleen_2"}
