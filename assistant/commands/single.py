"""The sub-commands that print once and end: `ask`, `report`, `compare`, `info`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.commands.printed import print_findings, print_json, stdout_kept

if TYPE_CHECKING:
    from assistant.session import Reply, Session


def info(options: argparse.Namespace) -> None:
    from assistant.export import scan_facts
    from assistant.volume import open_volume

    with stdout_kept():
        volume = open_volume(options.scan, series=options.series, frame=options.frame, modality=options.modality)
    low, high = float(volume.voxels.min()), float(volume.voxels.max())
    facts = scan_facts(volume) | {"intensity_range": [low, high]}
    if options.json:
        print_json(facts)
        return
    unit = f" {volume.intensity_unit}" if volume.intensity_unit else ""
    rows = {
        "scan": volume.name,
        "modality": f"{volume.modality} ({volume.modality_source})",
        "shape": " x ".join(map(str, facts["shape"])) + f" voxels, axes {facts['orientation']}",
        "spacing": " x ".join(f"{value:g}" for value in volume.spacing.round(4)) + " mm (x, y, z in RAS+ order)",
        "extent": " x ".join(f"{value:.1f}" for value in volume.extent_mm) + " mm",
        "intensity": f"{low:g} to {high:g}{unit}",
        "sha256": volume.sha256,
    }
    for name, value in rows.items():
        print(f"{name:10} {value}")
    for note in volume.notes:
        print(f"{'note':10} {note}")


def open_session(options: argparse.Namespace) -> Session:
    from assistant.session import Session

    return Session.open(
        options.scan,
        model=options.model,
        base=options.base,
        series=options.series,
        frame=options.frame,
        modality=options.modality,
        device=options.device,
        quantize=options.quantize,
    )


def ask(options: argparse.Namespace) -> None:
    from assistant.question import checked_question

    checked_question(options.question)  # before the seconds that opening takes
    with stdout_kept():
        session = open_session(options)
        reply = session.ask(
            options.question, options.point, options.box, temperature=options.temperature, seed=options.seed
        )
        folder = options.out
        if folder is None and options.json and any(finding.present for finding in reply.findings):
            folder = tempfile.mkdtemp(prefix="deixis-")
        manifest = None if folder is None else session.export(folder, uncertainty=options.uncertainty)
    if options.json:
        print_json(reply_facts(session, reply, manifest))
        return
    print(reply.text)
    print_findings(reply)
    if manifest is not None:
        print(f"written to {manifest.parent}", file=sys.stderr)


def report(options: argparse.Namespace) -> None:
    from assistant.report import read_report
    from assistant.report_page import MARKS, export_report, report_facts

    text = read_report(options.report)
    with stdout_kept():
        session = open_session(options)
        grounded = session.ground_report(text)
        page = None if options.out is None else export_report(session, grounded, options.out)
    if options.json:
        print_json(report_facts(session, grounded))
    else:
        for line in grounded.lines:
            words = " ".join(line.sentence.text.split())
            print(f"{MARKS[line.status]} {words}{''.join(f' [{mask}]' for mask in line.masks)}")
            for check in line.checks:
                print(f"    {MARKS[check.verdict]} {check.text}")
        print(grounded.summary)
    if page is not None:
        print(f"written to {page}", file=sys.stderr)


def compare(options: argparse.Namespace) -> None:
    from assistant.prior import comparison_facts
    from assistant.prior_page import export_comparison
    from assistant.question import checked_question

    checked_question(options.question)  # before the seconds that opening two scans takes
    with stdout_kept():
        session = open_session(options)
        comparison = session.open_prior(options.prior, modality=options.modality).compare(options.question)
        page = None if options.out is None else export_comparison(session, comparison, options.out)
    if options.json:
        print_json(comparison_facts(comparison))
    else:
        print(comparison.text)
    if page is not None:
        print(f"written to {page}", file=sys.stderr)


def reply_facts(session: Session, reply: Reply, manifest: Path | None) -> dict[str, Any]:
    """The object of `ask --json`: text, findings with the paths of their masks, timings in seconds, model."""
    paths: dict[str, str] = {}
    if manifest is not None:
        masks = json.loads(manifest.read_text(encoding="utf-8"))["masks"]
        paths = {mask["id"]: str((manifest.parent / mask["file"]).resolve()) for mask in masks}
    from assistant.export import finding_facts, model_facts

    keys = ("id", "phrase", "present", "presence", "quality", "volume_ml", "longest_diameter_mm", "mean_intensity")
    findings = []
    for finding in reply.findings:
        facts = finding_facts(finding)
        findings.append({key: facts[key] for key in keys} | {"mask": paths.get(finding.id)})
    return {
        "text": reply.text,
        "findings": findings,
        "timings": dict(reply.timings),
        "model": model_facts(session.model),
    }
