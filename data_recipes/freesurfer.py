"""Brain label maps with FreeSurfer's numbers: the SynthSeg training maps, or any `aseg` / `aparc+aseg`.

Source page   https://github.com/BBillot/SynthSeg (data/training_label_maps)
Licence       Apache-2.0 (the repository); commercial use: yes. An aseg of your own: whatever covers the scan it came
              from.
Citation      Billot et al., SynthSeg: Segmentation of brain MRI scans of any contrast and resolution without
              retraining, Medical Image Analysis 86 (2023) 102789. Numbers: FreeSurferColorLUT, Fischl et al. 2002.
Layout        as published: training_seg_01.nii.gz ... training_seg_20.nii.gz, 256^3 at 1 mm, no images; values below
              500 are FreeSurfer's, 500 and above are extra-cerebral tissue classes for synthesis. A subjects folder:
              <subject>/mri/aseg.mgz with <subject>/mri/norm.mgz (or T1.mgz / brain.mgz). Both are recognised.
Example       Case(id="training_seg_01", family="brain", modality="MR", image=None, label=.../training_seg_01.nii.gz,
              phrases={"left hippocampus": (17,), "brain": (1, 2, ...), ...}, unknown=())
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import local, ontology
from data_recipes.schema import Case, DataSet, RecipeError, Skip, check_split, split_of

ABOUT = DataSet(
    "freesurfer", "SynthSeg label maps", ("MR",), "20 label maps without images; or your own subjects", "Apache-2.0",
    "yes", ("mask",), "https://github.com/BBillot/SynthSeg/tree/master/data/training_label_maps",
    folder="synthseg_labels",
)  # fmt: skip
FIRST_TISSUE_CLASS = 500  # SynthSeg's classes for what is not brain start here
_IMAGES = ("norm.mgz", "T1.mgz", "brain.mgz", "norm.nii.gz", "T1.nii.gz")
_MAPS = ("aseg.mgz", "aseg.nii.gz", "aparc+aseg.mgz", "aparc+aseg.nii.gz")


def phrases() -> dict[str, tuple[int, ...]]:
    """Canonical phrase -> label values. "brain" is everything below 500 with FreeSurfer's numbers, fluid included.

    aparc+aseg splits the cortex (1000-1035 left, 2000-2035 right) and wmparc the white matter (3000/4000, 5001/5002)
    into parcels: they are put together again.
    """
    extra = {
        "left cerebral cortex": tuple(range(1000, 1036)),
        "right cerebral cortex": tuple(range(2000, 2036)),
        "left cerebral white matter": (*range(3000, 3036), 5001),
        "right cerebral white matter": (*range(4000, 4036), 5002),
    }
    found = {s.name: (*s.freesurfer, *extra.get(s.name, ())) for s in ontology.taught("brain") if s.freesurfer}
    parcels = tuple(value for values in extra.values() for value in values)
    return {**found, "brain": (*range(1, FIRST_TISSUE_CLASS), *parcels)}


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of a folder in the shared layout, of SynthSeg's label maps, or of a FreeSurfer subjects folder.

    `skip` stays empty: a subject without a label map is no case, and a map has its image or none.
    """
    root = Path(root)
    check_split(split)
    if local.is_local(root):
        for entry in local.entries(root, split, ABOUT.folder):
            yield _case(entry.case, entry.name, entry.image, entry.label, split, entry.licence, entry.source)
        return
    maps = sorted([*root.glob("*seg*.nii.gz"), *root.glob("*seg*.nii"), *root.glob("*aseg*.mgz")])
    for path in maps:
        name = path.name.split(".")[0]
        if split_of(name) == split:
            yield _case(name, name, None, path, split, ABOUT.stated_licence, ABOUT.source)
    subjects = [] if maps else sorted(p for p in root.iterdir() if p.is_dir())
    found = len(maps)
    for subject in subjects:
        folder = subject / "mri" if (subject / "mri").is_dir() else subject
        label = next((folder / m for m in _MAPS if (folder / m).is_file()), None)
        if label is None:
            continue
        found += 1
        image = next((folder / i for i in _IMAGES if (folder / i).is_file()), None)
        if split_of(subject.name) == split:
            yield _case(subject.name, subject.name, image, label, split, "yours", str(subject))
    if not found:
        raise RecipeError(
            f"{root} has no FreeSurfer label map: expected training_seg_*.nii.gz, *aseg*.mgz or <subject>/mri/aseg.mgz"
        )


def _case(name: str, patient: str, image: Path | None, label: Path, split: str, licence: str, source: str) -> Case:
    return Case(name, patient, "brain", "MR", image, label, phrases(), (), licence, source, split)
