"""Medical Segmentation Decathlon: ten tasks on CT and MR, from the brain to the prostate.

Source page   http://medicaldecathlon.com
Licence       CC BY-SA 4.0 (every task); commercial use: yes
Citation      Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13 (2022) 4128. Simpson et
              al., A large annotated medical image dataset ..., arXiv:1902.09063 (2019).
Layout        Task04_Hippocampus/imagesTr/hippocampus_001.nii.gz with labelsTr/hippocampus_001.nii.gz, and so on; dot
              files of macOS beside them; imagesTs has no labels. Task01 (FLAIR, T1w, T1 with gadolinium, T2w) and
              Task05 (T2, ADC) are 4D, a channel a sequence: each is a case. Task03 is LiTS. Hippocampus is a T1 crop of
              about 35 x 50 x 35 mm around one hippocampus whose side is not given. Split: by patient.
Example       Case(id="hippocampus_001", family="hippocampus", modality="MR", image=.../imagesTr/hippocampus_001.nii.gz,
              phrases={"hippocampus": (1, 2), "anterior hippocampus": (1,), "posterior hippocampus": (2,)}, unknown=())
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_recipes import layouts, local
from data_recipes.schema import Case, DataSet, Skip, check_split, split_of

ABOUT = DataSet(
    "msd", "Medical Segmentation Decathlon", ("CT", "MR"), "1741 scans with labels in 10 tasks", "CC BY-SA 4.0", "yes",
    ("mask",), "http://medicaldecathlon.com", folder="msd_hippocampus",
)  # fmt: skip
HIPPOCAMPUS = {"hippocampus": (1, 2), "anterior hippocampus": (1,), "posterior hippocampus": (2,)}


@dataclass(frozen=True)
class Task:
    """One task. `channels` are the sequences of a 4D image, () of a 3D one."""

    family: str
    modality: str
    phrases: dict[str, tuple[int, ...]]
    channels: tuple[str, ...] = ()


TASKS = {
    "Task01_BrainTumour": Task(
        "brain_tumour", "MR",
        {"tumour": (1, 2, 3), "tumour core": (2, 3), "peritumoural oedema": (1,), "non-enhancing tumour core": (2,),
         "enhancing tumour tissue": (3,)},
        ("flair", "t1w", "t1gd", "t2w"),
    ),
    "Task02_Heart": Task("heart", "MR", {"left atrium": (1,)}),
    "Task03_Liver": Task("body_ct", "CT", {"liver": (1, 2), "liver tumour": (2,)}),
    "Task04_Hippocampus": Task("hippocampus", "MR", HIPPOCAMPUS),
    "Task05_Prostate": Task(
        "prostate", "MR",
        {"prostate": (1, 2), "peripheral zone of the prostate": (1,), "transition zone of the prostate": (2,)},
        ("t2", "adc"),
    ),
    "Task06_Lung": Task("body_ct", "CT", {"lung tumour": (1,)}),
    "Task07_Pancreas": Task("body_ct", "CT", {"pancreas": (1, 2), "pancreatic tumour": (2,)}),
    "Task08_HepaticVessel": Task("body_ct", "CT", {"hepatic vessels": (1,), "liver tumour": (2,)}),
    "Task09_Spleen": Task("body_ct", "CT", {"spleen": (1,)}),
    "Task10_Colon": Task("body_ct", "CT", {"colon tumour": (1,)}),
}  # fmt: skip


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of a folder in the shared layout (hippocampus), of an unpacked Task*_* archive, or of their parent."""
    root = Path(root)
    check_split(split)
    if local.is_local(root):
        for entry in local.entries(root, split, ABOUT.folder):
            yield Case(
                entry.case, entry.name, "hippocampus", "MR", entry.image, entry.label, HIPPOCAMPUS, (), entry.licence,
                entry.source, split,
            )  # fmt: skip
        return
    nothing = f"{root} has no Task*_*/labelsTr/*.nii.gz: give an unpacked archive of the ten, or the folder they are in"
    yield from layouts.chosen(_found(root), split, skip, nothing)


def _found(root: Path) -> Iterator[Case]:
    for name, task in TASKS.items():
        folder = root if root.name == name else root / name
        for scan, image, label in layouts.paired(folder / "imagesTr", folder / "labelsTr"):
            for frame, channel in enumerate(task.channels or ("",)):
                yield layouts.case(
                    ABOUT, f"{scan}_{channel}" if channel else scan, patient=scan, family=task.family,
                    modality=task.modality, image=image, label=label, phrases=task.phrases, split=split_of(scan),
                    frame=frame if channel else None,
                )  # fmt: skip
