"""Which test tiers this machine can run, and why it cannot run the others.

    python tests/tiers.py          one line a tier
    python tests/tiers.py --run    pytest with every tier that can run; further arguments go to pytest

The unit tests have no marker and always run. A tier that cannot run is named with its reason before and after
the tests, so that a green result never hides what was not looked at. Nothing is installed from here.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def missing_for_browser() -> str | None:
    if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        return "no chromium on the PATH (Debian: chromium)"
    if not shutil.which("chromedriver"):
        return "no chromedriver on the PATH (Debian: chromium-driver)"
    if not (ROOT / "node_modules" / "@niivue" / "niivue").is_dir():
        return "the viewer's packages are not installed (node_modules; needs npm)"
    return None


def missing_for_gpu() -> str | None:
    import torch

    return None if torch.cuda.is_available() else "torch sees no CUDA device"


def missing_for_pacs() -> str | None:
    return None if shutil.which("Orthanc") else "no Orthanc on the PATH (Debian: orthanc orthanc-dicomweb)"


TIERS = {
    "slow": lambda: None,
    "browser": missing_for_browser,
    "gpu": missing_for_gpu,
    "pacs": missing_for_pacs,
}


def main(arguments: list[str]) -> int:
    missing = {tier: reason() for tier, reason in TIERS.items()}
    lines = ["tier unit: runs"] + [
        f"tier {tier}: runs" if reason is None else f"tier {tier}: SKIPPED, {reason}"
        for tier, reason in missing.items()
    ]
    print("\n".join(lines), flush=True)
    if arguments[:1] != ["--run"]:
        return 0
    skipped = [tier for tier, reason in missing.items() if reason is not None]
    expression = " and ".join(f"not {tier}" for tier in skipped)
    command = [sys.executable, "-m", "pytest", "-m", expression, *arguments[1:]]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if skipped:
        print("not run on this machine: " + "; ".join(f"{tier} ({missing[tier]})" for tier in skipped))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
