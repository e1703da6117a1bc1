"""The figures of `training/evaluate.py` as a page for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from training.metrics import mean


def markdown(summary: Mapping[str, Any]) -> str:
    """report.md from the summary that `evaluate.write` makes."""
    model, machine = summary["model"], summary["machine"]
    lines = [
        "# Evaluation",
        "",
        f"`{summary['command']}`",
        "",
        f"Checkpoint {model['name']}, weights {model['sha256'][:16]}, base {model['base']}; split {summary['split']}, "
        f"seed {summary['seed']}; torch {machine['torch']} on {machine['device']}, {machine['threads']} threads.",
        "",
        _data(summary["data"]),
        "",
    ]
    lines += _overall(summary)
    for name, family in summary["families"].items():
        lines += [
            f"## {name}",
            "",
            f"{family['scans']} scans. Dice, mean over structures: **{_number(family['dice_mean_over_structures'])}** "
            f"({_interval(family)} when scans are drawn anew); "
            f"absent refused {_share(family['refused_absent'])}; present not refused {_share(family['kept_present'])}.",
            "",
            *_specialist(family, summary["specialists"].get(name)),
            "| structure | n | found | Dice | 95 % | median | IoU | surface Dice | Hausdorff, mm | HD95, mm "
            "| mean distance, mm | volume error |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        for phrase, s in family["structures"].items():
            low, high = s["dice_interval95"]
            lines.append(
                f"| {phrase} | {s['n']} | {s['found']} | {_number(s['dice'])} | {_number(low)} to {_number(high)} "
                f"| {_number(s['dice_median'])} | {_number(s['iou'])} | {_number(s['nsd'])} | {_mm(s['hd_median'])} "
                f"| {_mm(s['hd95_median'])} | {_mm(s['asd_median'])} | {_percent(s['volume_error_median'])} |"
            )
        lines.append("")
        if family["lesions_found"]["total"]:
            lines += [
                f"Lesion by lesion: found {_share(family['lesions_found'])}; {family['lesions_false']} false parts.", ""
            ]
    if summary["families"]:
        lines += ["Distances and volume errors are medians; distances are of the masks that were found.", ""]
    lines += _words(summary["words"]) + _robustness(summary["robustness"]) + _clicks(summary["clicks"])
    lines += _pope(summary["pope"]) + _closed(summary["closed"]) + _composed(summary["composed"])
    lines += _faithful(summary["faithful"]) + _texts(summary["texts"])
    timings = summary["timings"]
    if timings is not None:
        lines += [
            "## Time and memory",
            "",
            f"On {timings['scan']}, {timings['threads']} threads, in a fresh process.",
            "",
            "| what | |",
            "|---|---|",
            f"| cold start: process start to the end of the first answer | {timings['cold_start_s']:.1f} s |",
            f"| opening the scan and the model | {timings['open_s']:.1f} s |",
            f"| first answer | {timings['first_answer_s']:.2f} s |",
            f"| second answer on the same scan, asked at once | {timings['second_answer_s']:.2f} s "
            f"({timings['second_answer_s'] / timings['first_answer_s']:.2f} of the first) |",
            f"| the same, asked {timings['reading_on_s']:.1f} s later, with the rest of the scan read meanwhile "
            f"| {timings['second_answer_after_reading_on_s']:.2f} s "
            f"({timings['second_answer_after_reading_on_s'] / timings['first_answer_s']:.2f} of the first) |",
            f"| the first mask of an unseen scan, encoding included | {timings['first_decode_1_s']:.2f} s |",
            f"| 8 masks at once, likewise | {timings['first_decode_8_s']:.2f} s "
            f"({timings['first_decode_8_s'] / timings['first_decode_1_s']:.2f} of one) |",
            f"| decoding 1 mask, scan encoded | {timings['decode_1_s']:.2f} s |",
            f"| decoding 8 masks in one call | {timings['decode_8_s']:.2f} s "
            f"({timings['decode_8_s'] / timings['decode_1_s']:.2f} of one) |",
            f"| peak memory | {timings['peak_memory_gb']:.2f} GB |",
            "",
        ]
    question = summary["seconds_per_question"]
    if not _missing(question["median"]):
        lines += [
            f"Seconds a question in the tables above: median {question['median']:.2f}, longest {question['max']:.2f}.",
            "",
        ]
    return "\n".join(lines)


def _overall(summary: Mapping[str, Any]) -> list[str]:
    """What is counted over all scans; nothing where no target was asked for or pointed at."""
    rates = {
        "absent targets refused": summary["refused_absent"],
        "of these, presupposed by the question": summary["refused_absent_presupposed"],
        "of these, structures that it was taught": summary["refused_absent_taught"],
        "present targets not refused": summary["kept_present"],
        "left and right swapped": summary["sides_swapped"],
        "target named as asked": summary["named_right"],
        "structure pointed at named right": summary["pointed_right"],
        "replies corrected against their notes": summary["corrected_replies"],
    }
    rows = [_rate(name, rate) for name, rate in rates.items() if rate["total"]]
    if not rows:
        return []
    return [
        "Every target was asked for in words through the whole chat path. Dice of a target that was refused or not "
        "understood is 0; absent targets have no Dice and are counted under refusals.",
        "",
        "| question | share | n | 95 % |",
        "|---|---|---|---|",
        *rows,
        "",
        f"Presence: AUROC {_number(summary['presence_auroc'])}, expected calibration error "
        f"{_number(summary['presence_ece'])}. Quality against the true IoU: Spearman's "
        f"{_number(summary['quality_correlation'])}. gIoU {_number(summary['giou'])} (absent targets count 1 when "
        f"refused), cIoU {_number(summary['ciou'])}.",
        "",
    ]


def _specialist(family: Mapping[str, Any], other: Mapping[str, Any] | None) -> list[str]:
    """The same family by a network of its own, where one was trained; compared over the structures that both have."""
    if other is None:
        return []
    both = [name for name in family["structures"] if name in other["structures"]]
    own = mean(family["structures"][name]["dice"] for name in both)
    theirs = mean(other["structures"][name] for name in both)
    named = ", ".join(f"{name} {_number(other['structures'][name])}" for name in both)
    return [
        f"A specialist ({other['steps']} steps, {other['minutes']:.0f} minutes, {other['parameters'] / 1e6:.1f} M "
        f"parameters, {other['scans']} scans): {_number(theirs)} over {len(both)} structures, of which this model "
        f"reaches {own / theirs:.2f}. By structure: {named}.",
        "",
    ]


def _words(words: Mapping[str, Any] | None) -> list[str]:
    if words is None:
        return []
    rows = [
        f"| {kind} | {_share(w['found'])} | {_number(w['dice'])} | {_interval(w)} "
        f"| {_number(w['less_than_plain_median'])} |"
        for kind, w in words["kinds"].items()
    ]
    return [
        "## In other words",
        "",
        f"{words['targets']} targets. Mean over targets: the plain name {_number(words['plain_name'])}, the median of "
        f"all wordings {_number(words['median_over_wordings'])}, best less worst wording {_number(words['spread'])}.",
        "",
        "| asked by | found | Dice | 95 % | less than the plain name, median |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]


def _robustness(changes: Mapping[str, Any] | None) -> list[str]:
    if changes is None:
        return []
    rows = [
        f"| {name} | {c['n']} | {_number(c['dice'])} | {_interval(c)} | {_number(c['ceiling'])} |"
        for name, c in changes.items()
    ]
    return [
        "## The same scan, changed",
        "",
        "Dice with the mask of the unchanged scan, in patient space, where both see. At most: what that mask itself "
        "gets once the changed scan's voxels hold it.",
        "",
        "| change | n | Dice | 95 % | at most |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]


def _clicks(families: Mapping[str, Any] | None) -> list[str]:
    if families is None:
        return []
    counts = list(next(iter(families.values()))["dice"])
    rows = [
        f"| {name} | {f['n']} | " + " | ".join(_number(f["dice"][n]) for n in counts) + f" | {f['worse_after_all']} |"
        for name, f in families.items()
    ]
    return [
        "## After clicks",
        "",
        "Simulated: each click at the innermost voxel of the largest error. Dice after so many, from the words on.",
        "",
        "| family | targets | " + " | ".join(counts) + " | worse at the end |",
        "|---" * (len(counts) + 3) + "|",
        *rows,
        "",
    ]


def _pope(strengths: Mapping[str, Any] | None) -> list[str]:
    if strengths is None:
        return []
    rows = [
        f"| {name} | {_ranged(s['negative'])} | {_percentage(s['accuracy'])} | {_percentage(s['precision'])} "
        f"| {_percentage(s['recall'])} | {_number(s['f1'])} | {_percentage(s['yes_rate'])} "
        f"| {_percentage(s['cannot_tell'])} | {_share(s['masks_of_absent'])} |"
        for name, s in strengths.items()
    ]
    kinds = "; ".join(
        f"{name}, {why}: {_share(rate)}" for name, s in strengths.items() for why, rate in s["by_why"].items()
    )
    return [
        "## Is it there?",
        "",
        "After POPE: as many present as absent structures, by the yes in the text. Random: never taught. Popular: the "
        "most trained of those that the scan does not show. Adversarial: cut out of the scan beside its other side or "
        "its neighbours, or of a kindred kind of scan. \"Cannot tell\" counts as a negative prediction.",
        "",
        "| absent ones | negative | accuracy | precision | recall | F1 | yes | cannot tell | absent, yet a mask |",
        "|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        f"Negative, by what is asked: {kinds}.",
        "",
    ]


def _closed(closed: Mapping[str, Any] | None) -> list[str]:
    if closed is None:
        return []
    rows = [
        f"| {kind} | {_share(k['answered'])} | {_ranged(k['right'])} | {_percent_of(k['chance'])} "
        f"| {_share(k['right_by_own_masks'])} | {_share(k['masks_right'])} "
        f"| {' / '.join(_percent_of(share) for share in k['balance'])} |"
        for kind, k in closed["kinds"].items()
    ]
    return [
        "## Questions with one right answer",
        "",
        f"Right by the expert's masks, of all kinds: {_ranged(closed['right'])}. An answer that chooses nothing is "
        "wrong. Chance: a guess among the options. By its own masks: the text against what the "
        "masks of the reply measure, so that what the words get wrong is told from what the masks get wrong.",
        "",
        "| question | answered | right | chance | right by its own masks | its masks right | right answers, by place |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _composed(kinds: Mapping[str, Any] | None) -> list[str]:
    if kinds is None:
        return []
    rows = [
        f"| {kind} | {k['n']} | {_number(k['dice'])} | {_interval(k)} | {_number(k['plain'])} "
        f"| {_share(k['left_out'])} |"
        for kind, k in kinds.items()
    ]
    return [
        "## Words that exclude and compose",
        "",
        "Dice of the answer's masks with the same set operation on the expert's. Plain: that operation on the model's "
        "own masks of the plain names, which is what the words could reach.",
        "",
        "| words | n | Dice | 95 % | plain | excluded left out |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _faithful(checked: Mapping[str, Any] | None) -> list[str]:
    if checked is None:
        return []
    lines = [
        "## Replies against their own masks",
        "",
        f"Of {checked['replies']} replies, every study's.",
        "",
        "| what | share | n | 95 % |",
        "|---|---|---|---|",
        _rate("numbers that a measurement supports (wanted: all)", checked["numbers_supported"]),
        _rate("statements that agree with the masks (wanted: all)", checked["statements_agree"]),
        _rate("structures spoken of as found that have no mask", checked["named_without_mask"]),
        _rate("structures spoken of as found that are not there", checked["named_not_there"]),
        _rate("replies with one of either", checked["replies_hallucinating"]),
        "",
    ]
    if checked["wrong"]:
        lines += ["What does not hold:", ""]
        lines += [f"- \"{w['question']}\": {' '.join(w['wrong'].split())}" for w in checked["wrong"]]
        lines.append("")
    return lines


def _texts(texts: Mapping[str, Any] | None) -> list[str]:
    if texts is None:
        return []
    rows = [
        f"| {name} | {_number(score['mean'])} | {' to '.join(_number(v) for v in score['interval95'])} |"
        for name, score in texts["scores"].items()
    ]
    return [
        "## Replies beside the templates' replies",
        "",
        f"{texts['n']} questions of the instruction templates; the references have the numbers of the expert's masks. "
        f"Word for word the same: {_share(texts['same'])}. METEOR matches words and stems, without synonyms.",
        "",
        "| figure | mean | 95 % |",
        "|---|---|---|",
        f"| BLEU, of 100 | {texts['bleu']:.1f} | |",
        *rows,
        "",
    ]


def _data(data: Mapping[str, Any]) -> str:
    index = data["index_sha256"]
    return (
        f"Data: {data['cases']} cases, list {data['cases_sha256'][:16]}, "
        f"{f'index {index[:16]}' if index else 'no index'} (SHA-256)."
    )


def _interval(values: Mapping[str, Any]) -> str:
    low, high = values["dice_interval95"]
    return f"{_number(low)} to {_number(high)}"


def _mm(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.1f}"


def _missing(value: float | None) -> bool:
    return value is None or math.isnan(value)


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{100 * value:+.0f} %"


def _share(rate: Mapping[str, Any]) -> str:
    return "-" if not rate["total"] else f"{100 * rate['value']:.1f} % ({rate['hits']} of {rate['total']})"


def _percentage(rate: Mapping[str, Any]) -> str:
    return _percent_of(rate["value"]) if rate["total"] else "-"


def _percent_of(share: float) -> str:
    return f"{100 * share:.1f} %"


def _ranged(rate: Mapping[str, Any]) -> str:
    if not rate["total"]:
        return "-"
    low, high = rate["interval95"]
    return f"{_share(rate)}, {100 * low:.0f} to {100 * high:.0f}"


def _rate(name: str, rate: Mapping[str, Any]) -> str:
    if not rate["total"]:
        return f"| {name} | - | 0 | |"
    low, high = rate["interval95"]
    interval = f"{100 * low:.1f} to {100 * high:.1f}"
    return f"| {name} | {100 * rate['value']:.1f} % | {rate['hits']} of {rate['total']} | {interval} |"
