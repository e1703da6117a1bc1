"""Rivals: structures that never share a voxel, and what each of them claims of a view.

See learns such masks in company, by a softmax among them. A mask drawn alone, against an empty background, spreads into
its neighbours wherever none of them is asked for. So the segmenter keeps the codes of the structures that it was
taught, in groups whose members exclude each other, and a mask that means one of them keeps only the voxels that it
claims more strongly than any other member of its groups that is there.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from assistant.mask_decoder import Heads
from assistant.segmenter import Segmenter
from assistant.vision import Features

# The two parts of a hippocampus fill 0.010 to 0.019 of what the brain's structures do in whole brains (3 scans), and
# 0.09 to 0.19 in crops around one (30), as the embedded default draws both
SPECK = 0.05
NEIGHBOURS = 6  # rivals of a mask that are compared with it one by one; the others as one
RIM = 2  # coarse voxels around what a mask claims, in which it borders on others
BORDER = 4.0  # logits from a tie within which a mask borders on a rival


@dataclass(frozen=True)
class Claims:
    """The strongest claim on each voxel within a group. best (X, Y, Z) logits; owner (X, Y, Z) uint8: the structure
    whose claim it is; second (X, Y, Z): the claim next to it, on the coarse level."""

    best: Tensor
    owner: Tensor
    second: Tensor | None = None


class Rivals:
    """The taught structures that a view shows. coarse: the view's coarse level."""

    def __init__(self, segmenter: Segmenter, coarse: Features) -> None:
        self.segmenter = segmenter
        names = segmenter.config.taught_names
        prompts = [None] * len(names)
        heads = segmenter.heads(segmenter.query(segmenter.taught_codes), coarse, prompts)
        logits = segmenter.coarse_logits(heads, coarse, prompts)
        presence, _ = segmenter.mask_decoder.judge(heads, logits)
        shifts = torch.tensor(segmenter.config.shifts(range(len(names))), device=logits.device)
        self.heads: Heads = heads.shifted(shifts)
        #: of all taught structures on the coarse level (N, X, Y, Z)
        self.logits = logits + shifts[:, None, None, None]
        there = presence.sigmoid() >= segmenter.config.rival_threshold
        #: members of each group, as positions in `names`, and those of them that are there
        self.members = [[names.index(name) for name in group] for group in segmenter.config.exclusive]
        self.groups = [[i for i in rows if bool(there[i])] for rows in self.members]
        sure = (presence / segmenter.config.presence_temperature).sigmoid() >= segmenter.config.presence_threshold
        self._found = [[i for i in rows if sure[i]] for rows in self.members]
        #: all taught phrases that are found, wholes too
        self.found = frozenset(name for name, one in zip(names, sure.tolist(), strict=True) if one)
        self.coarse = [self._claims(self.logits[group].float(), group) for group in self.groups]
        #: coarse voxels that each group claims from the background
        self.filled = [0 if claims is None else int((claims.best > 0).sum()) for claims in self.coarse]

    @property
    def there(self) -> set[int]:
        """Who competes, as positions in `taught_names`: whoever is there, whatever calibration asks of a finding."""
        return {i for group in self.groups for i in group}

    def where(self, index: int, company: Sequence[str]) -> np.ndarray:
        """The coarse voxels (K, 3) that a structure claims from all of the group that `company` belongs to."""
        for group, claims in zip(self.segmenter.config.exclusive, self.coarse, strict=True):
            if claims is not None and set(company) <= set(group):
                return ((claims.owner == index) & (claims.best > 0)).nonzero().cpu().numpy()
        return np.zeros((0, 3), int)

    def shown(self, among: Sequence[str] = ()) -> list[str]:
        """Names of what the scan shows: of the group that tells the kind of scan, and of what is a group by itself.

        The kind is told by the group of which the greatest share was found, of several the one with the fewest, among
        those that fill more than a speck of what the largest fills: a crop around a hippocampus is full of brain, of
        which all may be thought to be there, but its own parts are no structures of their own in a whole brain. among:
        names of which that group has one, if any group has."""
        config = self.segmenter.config
        groups = list(zip(self._found, config.exclusive, self.filled, strict=True))
        kinds = [part for part in groups if len(part[1]) > 1]
        kinds = [part for part in kinds if set(part[1]) & set(among)] or kinds
        most = max((filled for _, _, filled in kinds), default=0)
        shares = [(len(found) / len(group), found) for found, group, filled in kinds if filled >= SPECK * most]
        kind = max(shares, key=lambda part: (part[0], -len(part[1])), default=(0.0, []))[1]
        kept = [found for found, group, _ in groups if found is kind or len(group) == 1]
        return list(dict.fromkeys(config.taught_names[i] for found in kept for i in found))

    def _claims(self, logits: Tensor, group: list[int]) -> Claims | None:
        """logits (M, X, Y, Z) of a group's members."""
        if not group:
            return None
        if len(group) == 1:  # no one to compete with, but what it claims it can be named for
            logits = torch.cat([logits, torch.full_like(logits, -torch.inf)])
            group = group * 2
        top = logits.topk(2, dim=0)
        owner = torch.tensor(group, dtype=torch.uint8, device=logits.device)[top.indices[0]]
        return Claims(top.values[0], owner, top.values[1])

    def fine(self, pixel: Tensor, start: Sequence[int]) -> list[Claims | None]:
        """What each group claims of a fine tile: pixel (P, X, Y, Z), in half precision."""
        out: list[Claims | None] = []
        for group in self.groups:
            if not group:
                out.append(None)
                continue
            best, place = self.segmenter.fine_logits(self.heads.fine[group], pixel, start, [None] * len(group)).max(0)
            out.append(Claims(best.half(), torch.tensor(group, dtype=torch.uint8, device=best.device)[place]))
        return out

    def against(self, index: int | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Whom a structure (`Segmenter.meant`) competes with, of those of its groups who are there: the NEIGHBOURS that
        claim most of what it borders on, most first, and all others."""
        mine = [there for rows, there in zip(self.members, self.groups, strict=True) if index in rows]
        others = list(dict.fromkeys(row for there in mine for row in there if row != index))
        if not others or index is None:
            return (), ()
        spots = torch.cat([c.owner.eq(index).nonzero() for c in self.coarse if c is not None])
        if len(spots):
            low, high = (spots.amin(0) - RIM).clamp_min(0), spots.amax(0) + RIM + 1
            box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
            logits = self.logits[(slice(None), *box)]
            strongest, whose = logits[others].max(0)
            counts = torch.bincount(whose[logits[index] - strongest > -BORDER], minlength=len(others))
            others = [others[i] for i in counts.argsort(descending=True, stable=True).tolist()]
        return tuple(others[:NEIGHBOURS]), tuple(others[NEIGHBOURS:])

    def beside(self, index: int) -> list[int]:
        """Who claims a coarse voxel next to those that a structure claims, by how many, most first."""
        counts: Counter[int] = Counter()
        for rows, claims in zip(self.groups, self.coarse, strict=True):
            if claims is None or index not in rows:
                continue
            claimed = claims.best > 0
            own = claims.owner.eq(index) & claimed
            around = F.max_pool3d(own[None].float(), 3, 1, 1)[0] > 0
            counts.update(claims.owner[around & claimed & ~own].tolist())
        return [row for row, _ in counts.most_common()]

    def along(self, first: int, second: int) -> list[int]:
        """Who claims coarse voxels on, or next to, the straight line from the middle of what one structure claims to
        that of another, by how many, most first."""
        counts: Counter[int] = Counter()
        for rows, claims in zip(self.groups, self.coarse, strict=True):
            if claims is None or not {first, second} <= set(rows):
                continue
            claimed = claims.best > 0
            spots = [(claims.owner.eq(row) & claimed).nonzero().float() for row in (first, second)]
            if not all(map(len, spots)):
                continue
            start, stop = (at.mean(0) for at in spots)
            steps = torch.linspace(0, 1, 2 * int((stop - start).abs().max()) + 2, device=start.device)
            x, y, z = (start + steps[:, None] * (stop - start)).round().long().T
            line = torch.zeros_like(claimed)
            line[x, y, z] = True
            near = F.max_pool3d(line[None].float(), 3, 1, 1)[0] > 0
            counts.update(claims.owner[near & claimed].tolist())
        return [row for row, _ in counts.most_common() if row not in (first, second)]

    def contested(self, logits: Tensor, index: int | None) -> Tensor:
        """A mask's logits (X, Y, Z) on the coarse level, less the strongest claim of another, the empty background's
        being one: over 0 where the mask is."""
        strongest = torch.full_like(logits, self.segmenter.config.background(index))
        for rows, claim in zip(self.members, self.coarse, strict=True):
            if claim is not None and claim.second is not None and index in rows:
                strongest = torch.maximum(strongest, torch.where(claim.owner.eq(index), claim.second, claim.best))
        return logits - strongest

    def owner(self, claims: Sequence[Claims | None], at: np.ndarray, among: Collection[str] = ()) -> str | None:
        """The name of whoever claims a voxel most strongly, of some where any are given; `at` (3,): its index, the
        nearest one where outside. None where the background does."""
        config = self.segmenter.config
        strongest, name = -math.inf, None
        for claim in claims:
            if claim is None:
                continue
            x, y, z = np.clip(at, 0, np.array(claim.best.shape) - 1).tolist()
            best, whose = float(claim.best[x, y, z]), int(claim.owner[x, y, z])
            if among and config.taught_names[whose] not in among:
                continue
            if best > max(strongest, config.background(whose)):
                strongest, name = best, config.taught_names[whose]
        return name
