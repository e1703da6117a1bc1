"""Learning a new structure without forgetting the old ones: the training loop of `training.own`.

A step is one view: of a labelled scan as it is, or of one in borrowed clothes (another contrast, another modality,
another size, a part of it). The labels teach the new names on the first kind. On both kinds the start model teaches
what it knows (distillation; Li and Hoiem 2017): a user has none of the scans that it was made from, and views that look
like other scans hold it to its old answers there too. At the end the weights go part of the way back to the start
(WiSE-FT; Wortsman et al. 2022).
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from assistant import adapter
from assistant.segmenter import Segmenter
from assistant.study import VISUAL_SIDE
from assistant.vision import Features
from training import losses
from training.samples import PackedCase, Query, Sample, draw, members, owners


@dataclass(frozen=True)
class OwnConfig:
    """steps: of one view each; replay: the share of views in borrowed clothes; keep: weight of the start model's
    answers; back: how far the weights go back to the start at the end, 0..1; encoder_rank: of LoRA on the encoder's
    convolutions and attention, which is then all of the encoder that is trained; 0 trains every weight of it."""

    steps: int = 200
    lr: float = 3e-4
    warmup: int = 20
    decay: float = 0.5  # the learning rate falls to 0 over this share of the steps, the last ones
    replay: float = 0.5
    keep: float = 2.0
    back: float = 0.0
    ema: float = 0.99
    clip: float = 5.0
    seed: int = 0
    save_every: int = 50
    encoder_rank: int = 0


@dataclass(frozen=True)
class Seen:
    """What a segmenter makes of a view, for N codes. coarse: features; logits (N, x, y, z); fine: the same of each
    tile; presence, quality (N,)."""

    coarse: Features
    logits: Tensor
    fine: list[Tensor]
    presence: Tensor
    quality: Tensor


def extended(start: Segmenter, phrases: Sequence[str], codes: Tensor) -> Segmenter:
    """A copy of a segmenter that is taught further phrases, a group of their own: labels never share a voxel, but
    nothing says that they exclude what the start model knows. codes (N, state_dim)."""
    segmenter = copy.deepcopy(start).requires_grad_(True)
    old = dict(zip(start.config.taught_names, start.taught_codes, strict=True))
    new = {p: c for p, c in zip(phrases, codes, strict=True) if p not in old}
    groups = (*start.config.exclusive, tuple(new)) if new else start.config.exclusive
    segmenter.fit_taught(groups, start.config.wholes, start.taught_codes, start.config.focus)
    segmenter.taught_codes = torch.stack([(old | new)[name] for name in segmenter.config.taught_names])
    return segmenter


def disguised(case: PackedCase, rng: np.random.Generator) -> PackedCase:
    """A case in borrowed clothes: another modality's values, another size, maybe a part of it alone."""
    assert case.image is not None
    image, labels, spacing = case.image, case.labels, case.spacing
    if rng.random() < 0.5:
        extent = rng.uniform(35, 200, 3)
        counts = [int(np.clip(e / s, 8, n)) for e, s, n in zip(extent, spacing, image.shape, strict=True)]
        starts = [int(rng.integers(n - c + 1)) for n, c in zip(image.shape, counts, strict=True)]
        box = tuple(slice(a, a + c) for a, c in zip(starts, counts, strict=True))
        image, labels = image[box], labels[box]
    modality = str(rng.choice(["CT", "MR", "PET"]))
    flat = image.flatten()[:: max(1, image.numel() // 100_000)].numpy()
    knots = np.quantile(flat, [0.01, 0.3, 0.55, 0.8, 0.995]) + np.arange(5) * 1e-3
    if modality == "CT":
        values = [-1000.0, rng.uniform(-700, 0), rng.uniform(-120, 60), rng.uniform(0, 120), rng.uniform(100, 1200)]
    else:
        values = [0.0, *rng.uniform(0, 1, 4)]
        if rng.random() < 0.6:
            values.sort()
        values = [v * 1000 if modality == "MR" else 12 * v**2 for v in values]
    image = torch.from_numpy(np.interp(image.numpy(), knots, values).astype(np.float32))
    spacing = spacing * float(np.exp(rng.normal(0, 0.3)))
    return dataclasses.replace(case, modality=modality, image=image, labels=labels, spacing=spacing)


def view(
    own: Sequence[PackedCase], others: Sequence[PackedCase], config: OwnConfig, index: int, side: int
) -> tuple[Sample, bool]:
    """View `index` of a run, which depends on the seed and the index alone, and whether it is in borrowed clothes."""
    rng = np.random.default_rng([config.seed, index])
    if rng.random() >= config.replay:
        return draw(own[int(rng.integers(len(own)))], rng, 1, side), False
    # what is unlike the user's scans is forgotten first, so it is shown as often as all of those together
    pool = others if others and rng.random() < 0.5 else own
    case = pool[int(rng.integers(len(pool)))]
    return draw(disguised(case, rng) if rng.random() < 0.8 else case, rng, 1, side), True


def fast() -> bool:
    """Whether this CPU computes in bfloat16; where it does not, float32 is faster."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def look(segmenter: Segmenter, sample: Sample, codes: Tensor) -> Seen:
    """Codes (N, state_dim) on a view."""
    prompts = [None] * len(codes)
    with torch.autocast("cpu", torch.bfloat16, enabled=fast()):
        coarse = segmenter.encode(sample.coarse)
        heads = segmenter.heads(segmenter.query(codes), coarse, prompts)
        logits = segmenter.coarse_logits(heads, coarse, prompts)
        fine = []
        for tile, labels, start in zip(sample.tiles, sample.tile_labels, sample.tile_starts, strict=True):
            box = tuple(slice(s // 2, (s + n) // 2) for s, n in zip(start, labels.shape, strict=True))
            features = segmenter.encode(tile, coarse.pixel[(slice(None), slice(None), *box)])
            fine.append(segmenter.fine_logits(heads.fine, features.pixel[0], start, prompts))
    presence, quality = segmenter.mask_decoder.judge(heads, logits)
    return Seen(coarse, logits, fine, presence, quality)


def taught_loss(seen: Seen, sample: Sample, queries: Sequence[Query]) -> Tensor:
    """How far the first N masks of a view are from the labels of its N queries, as stage See has it."""
    n = len(queries)
    exclusive = torch.tensor([q.exclusive for q in queries])
    total = seen.logits.new_zeros(())
    pairs = [(seen.logits, sample.coarse_labels), *zip(seen.fine, sample.tile_labels, strict=True)]
    for logits, labels in pairs:
        targets = torch.stack([members(labels, q.label_indices) for q in queries]).flatten(1)
        cross, dice = losses.mask_loss(
            logits[:n].flatten(1), targets, exclusive, owners(labels, list(queries)), balance=0.5
        )
        total = total + cross + dice
    known = torch.tensor([q.presence is not None for q in queries])
    if known.any():
        truth = torch.tensor([float(q.presence or 0) for q in queries])
        total = total + 0.3 * F.binary_cross_entropy_with_logits(seen.presence[:n][known], truth[known])
    targets = torch.stack([members(sample.coarse_labels, q.label_indices) for q in queries]).flatten(1)
    shown = targets.any(1)
    if shown.any():
        _, iou = losses.hard_overlap(seen.logits[:n].flatten(1), targets)
        total = total + 0.3 * (seen.quality[:n][shown] - iou[shown]).square().mean()
    return total


def kept_loss(seen: Seen, before: Seen, groups: Sequence[Sequence[int]], alone: Sequence[int], phase: int) -> Tensor:
    """How far the last M masks of a view are from the start model's M answers. groups: those that exclude one another,
    as positions; alone: the others; phase: which third of the voxels is compared, which is enough."""
    m = len(before.presence)
    total = seen.logits.new_zeros(())
    for now, then in [(seen.logits, before.logits), *zip(seen.fine, before.fine, strict=True)]:
        now, then = (x[-m:].flatten(1)[:, phase::3] for x in (now, then))
        for group in groups:
            air = then.new_zeros(1, then.shape[1])
            target = torch.cat([air, then[list(group)]]).softmax(0)
            log = torch.cat([air, now[list(group)]]).log_softmax(0)
            far = (target * (target.clamp_min(1e-6).log() - log)).sum(0)
            owner = target.argmax(0)
            weight = torch.bincount(owner, minlength=len(target)).clamp_min(1).float().rsqrt()[owner]
            total = total + (weight * far).sum() / weight.sum()
        if alone:
            target = then[list(alone)].sigmoid()
            floor = F.binary_cross_entropy(target, target)
            total = total + F.binary_cross_entropy_with_logits(now[list(alone)], target) - floor
    presence = before.presence.sigmoid()
    total = total + 0.3 * F.binary_cross_entropy_with_logits(seen.presence[-m:], presence)
    total = total + 0.3 * (seen.quality[-m:] - before.quality).square().mean()
    # what the language model is shown of the scan
    for now, then, share in (
        (seen.coarse.deep, before.coarse.deep, 0.5), (seen.coarse.pixel, before.coarse.pixel, 0.1)
    ):  # fmt: skip
        a, b = (F.adaptive_avg_pool3d(x.float(), VISUAL_SIDE) for x in (now, then))
        total = total + share * (a - b).square().mean() / b.square().mean().clamp_min(1e-6)
    return total


def train(
    start: Segmenter,
    segmenter: Segmenter,
    phrases: Sequence[str],
    own: Sequence[PackedCase],
    others: Sequence[PackedCase],
    config: OwnConfig,
    state: Path,
    *,
    stopped: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = print,
) -> bool:
    """Train `segmenter` (made by `extended`) in place; True when all steps are done, False when stopped before. A run
    whose `state` file is there goes on from it, with the same weights as one that never stopped.

    phrases: the new ones; own: labelled cases; others: scans of any kind without labels."""
    start.eval().requires_grad_(False)
    segmenter.train()
    torch.manual_seed(config.seed)
    names = segmenter.config.taught_names
    row = {name: i for i, name in enumerate(names)}
    if config.encoder_rank:
        adapter.adapt_encoder(segmenter.vision, config.encoder_rank, 2 * config.encoder_rank)
    trained = [p for p in segmenter.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, config.lr, (0.9, 0.99), weight_decay=0.0)
    step, average = 0, {k: v.clone() for k, v in segmenter.state_dict().items()}
    if state.exists():
        saved = torch.load(state, weights_only=True)
        segmenter.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        step, average = saved["step"], saved["average"]
    began, first = time.monotonic(), step
    running: dict[str, list[float]] = {"new": [], "old": []}

    def save() -> None:
        part = state.with_suffix(".part")
        torch.save({"model": segmenter.state_dict(), "optimizer": optimizer.state_dict(), "step": step,
                    "average": average}, part)  # fmt: skip
        part.replace(state)

    while step < config.steps:
        if stopped():
            save()
            return False
        sample, borrowed = view(own, others, config, step, segmenter.config.tile_size)
        queries = [q for q in sample.queries if q.phrase in phrases and (not borrowed or q.presence == 0)]
        # what the user labels anew is not held to what the start model took it for, where it is labelled
        old = [n for n in start.config.taught_names if borrowed or n not in phrases]
        codes = segmenter.taught_codes[[row[q.phrase] for q in queries] + [row[n] for n in old]]
        total = codes.new_zeros(())
        if len(codes):
            seen = look(segmenter, sample, codes)
        if old:
            with torch.no_grad():
                before = look(start, sample, codes[len(queries) :])
            groups = [[old.index(n) for n in group if n in old] for group in start.config.exclusive]
            alone = [old.index(n) for n in start.config.wholes if n in old]
            kept = kept_loss(seen, before, [group for group in groups if group], alone, step % 3)
            total = total + config.keep * kept
            running["old"].append(float(kept.detach()))
        if queries:
            new = taught_loss(seen, sample, queries)
            total = total + new
            if not borrowed:
                running["new"].append(float(new.detach()))
        optimizer.zero_grad()
        if len(codes):  # else the start model knows nothing, and this view shows nothing new
            total.backward()
        norm = torch.nn.utils.clip_grad_norm_(segmenter.parameters(), config.clip)
        left = (config.steps - step) / max(1.0, config.decay * config.steps)
        for group in optimizer.param_groups:
            group["lr"] = config.lr * min(1.0, left, (step + 1) / config.warmup)
        if torch.isfinite(norm):
            optimizer.step()
        else:
            say(f"step {step}: gradient norm {norm}: step left out")
        step += 1
        keep = min(config.ema, (1 + step) / (10 + step))
        for name, value in segmenter.state_dict().items():
            average[name].lerp_(value, 1 - keep)
        if step % 20 == 0 or step == config.steps:
            minutes = (time.monotonic() - began) / (step - first) * (config.steps - step) / 60
            shown = ", ".join(f"{k} {np.mean(v):.3f}" for k, v in running.items() if v)
            say(f"step {step} of {config.steps}, {minutes:.0f} min left; error: {shown}")
            running = {"new": [], "old": []}
        if step % config.save_every == 0:
            save()
    save()
    segmenter.load_state_dict(average)
    if config.encoder_rank:
        adapter.merge_encoder(segmenter.vision)
    segmenter.load_state_dict(blended(start, segmenter.state_dict(), config.back))
    segmenter.eval()
    return True


def blended(start: Segmenter, weights: Mapping[str, Tensor], back: float) -> dict[str, Tensor]:
    """Weights, each a share `back` of the way to the start model's; codes stay."""
    before = start.state_dict()
    return {
        k: v if k == "taught_codes" else v.lerp(before[k], back) if v.is_floating_point() else v
        for k, v in weights.items()
    }
