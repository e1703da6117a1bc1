"""Deixis: ask a 3D scan a question; every claim of the answer points at voxels.

    from assistant import Session

    session = Session.open("scan.nii.gz")
    reply = session.ask("Is the left hippocampus smaller than the right?")
    print(reply.text, reply.findings)

Importing this package is cheap: torch and the readers are imported when a session is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assistant.session import Reply, Session

__version__ = "0.1.0"
__all__ = ["Reply", "Session", "__version__"]


def __getattr__(name: str) -> object:
    """The public classes, imported when first asked for (PEP 562)."""
    if name in ("Reply", "Session"):
        from assistant import session

        return vars(session)[name]
    raise AttributeError(f"module 'assistant' has no attribute {name!r}")
