"""PI-CAI: clinically significant prostate cancer on T2-weighted MR, outlined by experts.

Source page   https://zenodo.org/records/6517398 (images), https://github.com/DIAGNijmegen/picai_labels (labels)
Licence       CC BY-NC 4.0; commercial use: no
Citation      Saha et al., Artificial intelligence and radiologists in prostate cancer detection on MRI (PI-CAI), The
              Lancet Oncology 25 (2024) 879-887.
Layout        picai_public_images_fold0..4 unpacked into one folder: 10000/10000_1000000_t2w.mha (and _adc, _hbv on
              other grids, not read); beside it or in it
              picai_labels/csPCa_lesion_delineations/human_expert/resampled/10000_1000000.nii.gz: 2-5 the ISUP grade of
              a lesion, 0 none. Studies without such a file were not outlined by an expert: not read. The prostate
              itself is outlined by models only: unknown here. Split: by patient.
Example       Case(id="10000_1000000", patient="10000", family="prostate", modality="MR", image=..._t2w.mha,
              phrases={"prostate cancer": (1, 2, 3, 4, 5)}, unknown=("prostate",))
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts
from data_recipes.schema import Case, DataSet, RecipeError, Skip, split_of

ABOUT = DataSet(
    "picai", "PI-CAI", ("MR",), "1295 studies outlined by experts", "CC BY-NC 4.0", "no", ("mask",),
    "https://zenodo.org/records/6517398",
)  # fmt: skip
PHRASES = {"prostate cancer": (1, 2, 3, 4, 5)}
LABELS = "csPCa_lesion_delineations/human_expert/resampled"


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of a folder that holds the images and a clone of picai_labels."""
    root = Path(root)
    nothing = f"{root} has no */*_t2w.mha: give the folder that holds the unpacked folds and picai_labels"
    return layouts.chosen(_found(root), split, skip, nothing)


def _found(root: Path) -> Iterator[Case]:
    folder = next((p for p in (root / "picai_labels" / LABELS, root / LABELS) if p.is_dir()), None)
    if folder is None:
        raise RecipeError(f"{root} has no picai_labels/{LABELS}: clone DIAGNijmegen/picai_labels into it")
    images = {p.name.removesuffix("_t2w.mha"): p for p in layouts.seen(root, "**/*_t2w.mha")}
    for name, label in layouts.scans(folder).items():
        patient = name.split("_")[0]
        yield layouts.case(
            ABOUT, name, patient=patient, family="prostate", modality="MR",
            image=images.get(name, root / patient / f"{name}_t2w.mha"), label=label, phrases=PHRASES,
            unknown=("prostate",), split=split_of(patient),
        )  # fmt: skip
