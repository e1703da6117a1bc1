"""What a command prints: one line a finding, one JSON object, and nothing that a library has to say."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assistant.generate import Finding
    from assistant.session import Reply


def print_findings(reply: Reply) -> None:
    for finding in reply.findings:
        print(finding_line(finding))


def finding_line(finding: Finding) -> str:
    """One finding on one line, in the decimals of the notes: `m1  left hippocampus: 2.9 mL, 38.1 mm, mean 112, ...`."""
    from assistant.evidence import format_mean, format_ml, format_mm, format_probability

    words = [] if finding.present else ["not found" if finding.taught else "never taught"]
    if finding.volume_ml is not None:
        words.append(f"{format_ml(finding.volume_ml)} mL")
    if finding.longest_diameter_mm is not None:
        words.append(f"longest diameter {format_mm(finding.longest_diameter_mm)} mm")
    if finding.mean_intensity is not None:
        words.append(f"mean {format_mean(finding.mean_intensity)} {finding.intensity_unit}".rstrip())
    if finding.taught:
        words.append(f"presence {format_probability(finding.presence)}")
    if finding.quality is not None and finding.taught:
        words.append(f"quality {format_probability(finding.quality)}")
    made = f" = {finding.made}" if finding.made not in ("", finding.phrase) else ""
    return f"{finding.id or '-':4}{finding.phrase}{made}: {', '.join(words)}"


def print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=False, allow_nan=False))


@contextlib.contextmanager
def stdout_kept() -> Iterator[None]:
    """Whatever a library prints goes to stderr: stdout is for the answer."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
