"""Scans to try, made from what is already installed: nothing is downloaded.

The brain is the ICBM 2009a nonlinear symmetric T1 template that the nilearn package ships: the average of 152
brains, 1 mm, without skull. It is a TEMPLATE, not a patient: sharper contrast, smoother anatomy and more symmetry
than any one person has. The neck and the thigh are drawings (`assistant/phantoms.py`). They show how the program
works; they say nothing about how well it works.

Source of the template: Fonov et al., Unbiased average age-appropriate brain templates, NeuroImage 47 (2009) S102.
Copyright 1993-2009 Louis Collins, McConnell Brain Imaging Centre, McGill University; free to use, copy and distribute.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assistant.cache import user_cache
from assistant.errors import ResourceError

TEMPLATE = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


# Written for the template, right and wrong on purpose: a size, a comparison, an absence, a name that was never taught.
EXAMPLE_REPORT = """MRI BRAIN

TECHNIQUE: 3D T1-weighted images, 1 mm.
FINDINGS:
The left hippocampus measures 14 mL.
The left thalamus is smaller than the left cerebellar cortex.
There is no brainstem.
No evidence of a tumour.
The pituitary gland is 6 mm in height.
The cerebellum is unremarkable.
IMPRESSION: No acute abnormality. Follow-up in 12 months is recommended.
"""


@dataclass(frozen=True)
class Example:
    """name: on its button; file: in the user's cache."""

    name: str
    file: str


EXAMPLES = {
    "brain": Example("Brain MR", "mni152_t1_template.nii.gz"),
    "neck": Example("Neck CT", "drawn_neck_ct.nii.gz"),
    "tumour": Example("Tumour PET", "drawn_thigh_pet.nii.gz"),
}


def example_scan(key: str = "brain") -> Path:
    """An example as a NIfTI file in the user's cache, written when first asked for; RAS+ millimetres. The brain has
    197 x 233 x 189 voxels of 1 mm.

    Raises ResourceError when the nilearn package, which carries the brain, is not installed, or the cache has no room.
    """
    target = user_cache() / "examples" / EXAMPLES[key].file
    if target.is_file():
        return target
    # Written beside and renamed, so that two starts at once or a full disk never leave half a scan.
    part = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _WRITERS[key](part)
        part.replace(target)
    except OSError as error:
        raise ResourceError(f"cannot write {target} ({error.strerror or error}): free some space there") from error
    finally:
        part.unlink(missing_ok=True)
    return target


def _write_brain(path: Path) -> None:
    # find_spec locates the package without importing it: importing nilearn takes seconds.
    spec = importlib.util.find_spec("nilearn")
    source = Path(spec.origin).parent / "datasets" / "data" / TEMPLATE if spec and spec.origin else None
    if source is None or not source.is_file():
        raise ResourceError(
            f"the example scan ({TEMPLATE}) comes with the nilearn package, which is not installed here; "
            "install nilearn or open a scan of your own"
        )
    shutil.copyfile(source, path)


def _write_neck(path: Path) -> None:
    from assistant.phantoms import head_and_neck_ct

    _write(path, *head_and_neck_ct())


def _write_thigh(path: Path) -> None:
    from assistant.phantoms import thigh_pet

    _write(path, *thigh_pet())


def _write(path: Path, voxels: np.ndarray, affine: np.ndarray) -> None:
    import nibabel

    image = nibabel.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


_WRITERS: dict[str, Callable[[Path], None]] = {"brain": _write_brain, "neck": _write_neck, "tumour": _write_thigh}
