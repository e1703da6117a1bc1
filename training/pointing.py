"""Point at a structure and ask "What is this?": is it named right?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from assistant.volume import Volume
from data_recipes import ontology
from training import metrics
from training.answers import Asked, same_structure
from training.scans import Scan


@dataclass(frozen=True)
class Pointing:
    """"What is this?", asked of a structure's innermost voxel. named: what the reply looked for, or ""."""

    family: str
    case: str
    phrase: str
    named: str

    @property
    def right(self) -> bool:
        return same_structure(self.named, self.phrase)


def point_out(session: Asked, scan: Scan, group: str, volume: Volume) -> Iterator[Pointing]:
    """Point at every structure of a scan that is not a whole of others."""
    parts = {name for names in ontology.exclusive() for name in names}
    for phrase in scan.truths:
        if phrase not in parts:
            continue
        inmost = metrics.innermost(volume.from_native(scan.truths[phrase]), volume.spacing.tolist())
        reply = session.ask("What is this?", points=[tuple(volume.to_world(inmost[None])[0].tolist())])
        yield Pointing(group, scan.case, phrase, next((f.phrase for f in reply.findings), ""))
        session.undo()
