"""All recipes by name, and what they state of themselves. The one list: whatever reads data sets asks here.

A recipe of MASKS has `cases(root, split, skip=None)`, one of WORDS `records(root, split, skip=None)`; both have ABOUT.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from types import ModuleType

from data_recipes import (
    abdomenatlas,
    acdc,
    amos,
    autopet,
    brats,
    btcv,
    chaos,
    ct_rate,
    flare22,
    freesurfer,
    isles22,
    kits23,
    lits,
    local,
    m3d_refseg,
    medmnist3d,
    mmwhs,
    msd,
    nnunet,
    openkbp,
    picai,
    radgenome,
    slake,
    sts,
    totalsegmentator,
    totalsegmentator_mr,
    verse,
    vqa_rad,
    word,
)
from data_recipes.schema import DataSet, RecipeError

MASKS: dict[str, ModuleType] = {
    module.ABOUT.name: module
    for module in (
        freesurfer, openkbp, msd, sts, totalsegmentator, totalsegmentator_mr, amos, btcv, flare22, word, chaos,
        abdomenatlas, kits23, lits, verse, acdc, mmwhs, brats, isles22, autopet, picai, nnunet, local,
    )
}  # fmt: skip
WORDS: dict[str, ModuleType] = {
    module.ABOUT.name: module for module in (m3d_refseg, ct_rate, radgenome, slake, vqa_rad, medmnist3d)
}
RECIPES: dict[str, ModuleType] = {**MASKS, **WORDS}


def about(name: str) -> DataSet:
    """What a recipe states of its data set. RecipeError for a name that there is not."""
    if name not in RECIPES:
        raise RecipeError(f"there is no recipe {name!r}: choose from {', '.join(RECIPES)}")
    return RECIPES[name].ABOUT


def named_folder(text: str, among: Collection[str] = RECIPES) -> tuple[str, Path]:
    """ "amos=downloads/amos22" -> a recipe's name and the folder. RecipeError for anything else."""
    name, sign, folder = text.partition("=")
    if not sign or name not in among:
        raise RecipeError(f"{text!r} is not NAME=FOLDER with one of these names: {', '.join(among)}")
    return name, Path(folder).expanduser()


def shared() -> list[ModuleType]:
    """The recipes that have a folder of their own in the shared layout (`local.py`)."""
    return [recipe for recipe in MASKS.values() if recipe.ABOUT.folder]


def table() -> str:
    """The data sets as a Markdown table, as `data_recipes/README.md` holds it."""
    head = ("Data set", "Modality", "Size", "Licence", "Commercial use", "Gives", "Recipe")
    rows = [head, ("---",) * len(head)]
    for module in RECIPES.values():
        one: DataSet = module.ABOUT
        file = f"{module.__name__.rsplit('.', 1)[-1]}.py"
        rows.append(
            (
                f"[{one.title}]({one.source})" if "://" in one.source else one.title, ", ".join(one.modalities),
                one.size, one.licence, one.commercial, ", ".join(one.gives), f"[`{file}`]({file})",
            )
        )  # fmt: skip
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"
