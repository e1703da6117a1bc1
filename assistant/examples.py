"""A scan to try, made from what is already installed: nothing is downloaded.

The scan is the ICBM 2009a nonlinear symmetric T1 template that the nilearn package ships: the average of 152
brains, 1 mm, without skull. It is a TEMPLATE, not a patient: sharper contrast, smoother anatomy and more symmetry
than any one person has. It shows how the program works; it says nothing about how well it works.

Source: Fonov et al., Unbiased average age-appropriate brain templates, NeuroImage 47 (2009) S102. Copyright
1993-2009 Louis Collins, McConnell Brain Imaging Centre, McGill University; free to use, copy and distribute.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

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


def example_scan() -> Path:
    """The T1 template as a NIfTI file in the user's cache (197 x 233 x 189 voxels of 1 mm, RAS+ millimetres).

    Raises ResourceError when the nilearn package, which carries it, is not installed.
    """
    target = user_cache() / "examples" / "mni152_t1_template.nii.gz"
    if target.is_file():
        return target
    # find_spec locates the package without importing it: importing nilearn takes seconds.
    spec = importlib.util.find_spec("nilearn")
    source = Path(spec.origin).parent / "datasets" / "data" / TEMPLATE if spec and spec.origin else None
    if source is None or not source.is_file():
        raise ResourceError(
            f"the example scan ({TEMPLATE}) comes with the nilearn package, which is not installed here; "
            "install nilearn or open a scan of your own"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    # Written beside and renamed, so that two starts at once or a full disk never leave half a scan.
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        shutil.copyfile(source, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def example_scans() -> dict[str, Path]:
    """Name to show -> path, of every example."""
    return {"Brain, T1 MR: the MNI152 template (an average of 152 people)": example_scan()}
