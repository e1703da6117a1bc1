"""TotalSegmentator CT: 117 structures of the whole body on clinical CT at 1.5 mm, a mask file each.

Source page   https://zenodo.org/records/6802613 (all versions; v2.0.1 is record 10047292)
Licence       CC BY 4.0; commercial use: yes
Citation      Wasserthal et al., TotalSegmentator: Robust Segmentation of 104 Anatomic Structures in CT Images,
              Radiology: Artificial Intelligence 5 (2023) e230024.
Layout        Totalsegmentator_dataset_v201/s0000/ct.nii.gz and s0000/segmentations/<structure>.nii.gz (0 or 1), one
              file for each of 117 structures, empty where it is not in the image; meta.csv (";") holds the split.
              Split: its train and val; its test is not read. Names of v1 that v2 dropped are left unread.
Example       Case(id="s0011", family="body_ct", modality="CT", image=.../s0011/ct.nii.gz,
              label=.../s0011/segmentations, masks={1: .../spleen.nii.gz, ...}, phrases={"spleen": (1,), "right kidney":
              (2,), ...}, unknown=())
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts
from data_recipes.schema import Case, Damaged, DataSet, RecipeError, Skip, leave_out

ABOUT = DataSet(
    "totalsegmentator", "TotalSegmentator CT", ("CT",), "1228 CTs, 117 structures (v2)", "CC BY 4.0", "yes", ("mask",),
    "https://zenodo.org/records/6802613",
)  # fmt: skip
SPLITS = {"train": "train", "val": "dev"}  # its test stays untouched
# published name without its side -> canonical phrase without its side; the sided ones end in _left and _right
_SIDED = {
    "kidney": "kidney", "adrenal_gland": "adrenal gland", "lung": "lung", "lung_upper_lobe": "upper lung lobe",
    "lung_lower_lobe": "lower lung lobe", "kidney_cyst": "kidney cyst", "subclavian_artery": "subclavian artery",
    "common_carotid_artery": "common carotid artery", "brachiocephalic_vein": "brachiocephalic vein",
    "iliac_artery": "iliac artery", "iliac_vena": "iliac vein", "humerus": "humerus", "scapula": "scapula",
    "clavicula": "clavicle", "femur": "femur", "hip": "hip bone", "gluteus_maximus": "gluteus maximus",
    "gluteus_medius": "gluteus medius", "gluteus_minimus": "gluteus minimus",
    "autochthon": "autochthonous back muscle", "iliopsoas": "iliopsoas muscle",
}  # fmt: skip
_MIDLINE = {
    "spleen": "spleen", "gallbladder": "gallbladder", "liver": "liver", "stomach": "stomach", "pancreas": "pancreas",
    "esophagus": "esophagus", "trachea": "trachea", "thyroid_gland": "thyroid gland", "small_bowel": "small bowel",
    "duodenum": "duodenum", "colon": "colon", "urinary_bladder": "urinary bladder", "prostate": "prostate",
    "lung_middle_lobe_right": "middle lung lobe", "sacrum": "sacrum", "heart": "heart", "aorta": "aorta",
    "pulmonary_vein": "pulmonary veins", "brachiocephalic_trunk": "brachiocephalic trunk",
    "atrial_appendage_left": "left atrial appendage", "superior_vena_cava": "superior vena cava",
    "inferior_vena_cava": "inferior vena cava", "portal_vein_and_splenic_vein": "portal and splenic veins",
    "spinal_cord": "spinal cord", "brain": "brain", "skull": "skull", "sternum": "sternum",
    "costal_cartilages": "costal cartilages", "vertebrae": "vertebrae", "intervertebral_discs": "intervertebral discs",
}  # fmt: skip
_VERTEBRAE = ["S1", *(f"{part}{n}" for part, last in (("L", 5), ("T", 12), ("C", 7)) for n in range(last, 0, -1))]
NAMES = {
    **_MIDLINE,
    **{f"{name}_{side}": f"{side} {phrase}" for name, phrase in _SIDED.items() for side in ("left", "right")},
    **{f"rib_{side}_{n}": f"{side} rib {n}" for side in ("left", "right") for n in range(1, 13)},
    **{f"vertebrae_{name}": f"vertebra {name}" for name in _VERTEBRAE},
}


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of the unpacked archive, or of the folder that it was unpacked in."""
    root = layouts.below(Path(root), "Totalsegmentator_dataset_v201", "Totalsegmentator_dataset")
    published = published_splits(root)
    nothing = f"{root} has no s*/ct.nii.gz: give the unpacked Totalsegmentator_dataset folder"
    return layouts.chosen(found(root, ABOUT, "ct.nii.gz", "CT", published, skip), split, skip, nothing)


def published_splits(root: Path) -> dict[str, str]:
    """{subject: published split} of meta.csv."""
    rows = layouts.read_table(root / "meta.csv", ("image_id", "split"), delimiter=";")
    return {row["image_id"]: row["split"] for row in rows}


def found(
    root: Path, about: DataSet, image: str, modality: str, published: dict[str, str], skip: Skip
) -> Iterator[Case]:
    """Every subject's folder as a case, whole or not; those of the published test are left out."""
    folders = [p for p in layouts.seen(root, "s*") if p.is_dir()]
    values = layouts.structure_files([p / "segmentations" for p in folders], NAMES)
    if folders and not values:
        raise RecipeError(f"{root} has no s*/segmentations/<structure>.nii.gz: unpack the archive again")
    phrases = layouts.by_phrase({value: NAMES[name] for value, name in values.items()})
    for folder in folders:
        if folder.name not in published:
            leave_out(Damaged(folder, f"is not in {root / 'meta.csv'}", "download meta.csv again"), skip)
            continue
        if published[folder.name] not in SPLITS:
            continue
        masks = {value: folder / "segmentations" / f"{name}.nii.gz" for value, name in values.items()}
        yield layouts.case(
            about, folder.name, patient=folder.name, family=f"body_{modality.lower()}", modality=modality,
            image=folder / image, label=folder / "segmentations", phrases=phrases, masks=masks,
            split=SPLITS[published[folder.name]],
        )  # fmt: skip
