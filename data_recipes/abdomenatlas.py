"""AbdomenAtlas 1.0 and 1.1 Mini: 9 or 25 structures on CT of many public sets, drawn by models and revised by experts.

Source page   https://huggingface.co/datasets/AbdomenAtlas/_AbdomenAtlas1.1Mini (1.0: AbdomenAtlas/AbdomenAtlas1.0Mini)
Licence       CC BY-NC-SA 4.0; commercial use: no
Citation      Li et al., AbdomenAtlas: A large-scale, detailed-annotated, and multi-center dataset for efficient
              transfer learning and open algorithmic benchmarking, Medical Image Analysis 97 (2024) 103285.
Layout        BDMAP_00000001/ct.nii.gz with BDMAP_00000001/segmentations/<structure>.nii.gz (0 or 1);
              combined_labels.nii.gz repeats them and is not read. Vessels drawn inside the liver belong to it. Some
              cases of 1.1 came without an image. The images are from other public sets (BTCV, MSD, AMOS, FLARE, ...):
              look for leaks before you mix them. Split: by patient.
Example       Case(id="BDMAP_00000001", family="body_ct", modality="CT", image=.../ct.nii.gz, masks={1:
              .../aorta.nii.gz, ...}, phrases={"aorta": (1,), "liver": (5, 19), ...}, unknown=())
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts
from data_recipes.schema import Case, DataSet, RecipeError, Skip, split_of

ABOUT = DataSet(
    "abdomenatlas", "AbdomenAtlas Mini", ("CT",), "5195 CTs, 9 structures (1.0); 9262, 25 (1.1)", "CC BY-NC-SA 4.0",
    "no", ("mask",), "https://huggingface.co/datasets/AbdomenAtlas/_AbdomenAtlas1.1Mini",
)  # fmt: skip
NAMES = {  # in the order of the published values 1 to 25
    "aorta": "aorta", "gall_bladder": "gallbladder", "kidney_left": "left kidney", "kidney_right": "right kidney",
    "liver": "liver", "pancreas": "pancreas", "postcava": "inferior vena cava", "spleen": "spleen",
    "stomach": "stomach", "adrenal_gland_left": "left adrenal gland", "adrenal_gland_right": "right adrenal gland",
    "bladder": "urinary bladder", "celiac_trunk": "celiac trunk", "colon": "colon", "duodenum": "duodenum",
    "esophagus": "esophagus", "femur_left": "left femur", "femur_right": "right femur",
    "hepatic_vessel": "hepatic vessels", "intestine": "small bowel", "lung_left": "left lung",
    "lung_right": "right lung", "portal_vein_and_splenic_vein": "portal and splenic veins", "prostate": "prostate",
    "rectum": "rectum",
}  # fmt: skip


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of the unpacked archives, all in one folder."""
    root = Path(root)
    nothing = f"{root} has no BDMAP_*/ct.nii.gz: give the folder that holds the BDMAP_* folders"
    return layouts.chosen(_found(root), split, skip, nothing)


def _found(root: Path) -> Iterator[Case]:
    folders = [p for p in layouts.seen(root, "BDMAP_*") if p.is_dir()]
    values = layouts.structure_files([p / "segmentations" for p in folders], NAMES)
    if folders and not values:
        raise RecipeError(f"{root} has no BDMAP_*/segmentations/<structure>.nii.gz: unpack the masks too")
    phrases = layouts.by_phrase({value: NAMES[name] for value, name in values.items()})
    vessels = phrases.get("hepatic vessels", ())
    if "liver" in phrases:
        phrases["liver"] = (*phrases["liver"], *vessels)
    for folder in folders:
        masks = {value: folder / "segmentations" / f"{name}.nii.gz" for value, name in values.items()}
        yield layouts.case(
            ABOUT, folder.name, patient=folder.name, family="body_ct", modality="CT", image=folder / "ct.nii.gz",
            label=folder / "segmentations", phrases=phrases, masks=masks, split=split_of(folder.name),
        )  # fmt: skip
