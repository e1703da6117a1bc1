"""`deixis data list` and `deixis data inspect`: which public sets the recipes read, and what is made of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from assistant.cli import Parser
from data_recipes import freesurfer, msd, openkbp, sts

RECIPES = {"freesurfer": freesurfer, "openkbp": openkbp, "msd": msd, "sts": sts}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0."""
    parser = Parser(prog="deixis data", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("list", help="the recipes, their licences and where the data is published")
    inspect = commands.add_parser("inspect", help="print a few made-up conversations, as training reads them")
    inspect.add_argument("-n", type=int, default=3, metavar="N", help="how many (default: 3)")
    inspect.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(list(sys.argv[1:] if argv is None else argv))
    if options.command == "list":
        print("\n".join(described()))
    else:
        print("\n\n".join(conversation_texts(options.seed, options.n)))
    return 0


def described() -> list[str]:
    """One line a recipe: module, what it reads, licence, address."""
    return [
        f"{name:10} {(recipe.__doc__ or '').splitlines()[0]}\n{'':10} {recipe.LICENCE}; {recipe.SOURCE}"
        for name, recipe in RECIPES.items()
    ]


def conversation_texts(seed: int, count: int) -> list[str]:
    """Conversations with their markup: scan and kind, then one line a message."""
    from data_recipes.instructions import conversations

    return [
        "\n".join(
            [
                f"# {talk.kind} ({talk.family}, {talk.modality})",
                *(f"{message.role}: {message.content}" for message in talk.messages),
            ]
        )
        for talk in conversations(seed, max(0, count))
    ]


if __name__ == "__main__":
    sys.exit(main())
