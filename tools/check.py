"""Run ruff, mypy and import-linter of the checkout's .venv over the whole tree; exit 1 where one of them objects.

.venv/bin/python tools/check.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports", "--no-cache", "--no-logo"),
)


def main() -> None:
    """Run every check, also after one failed."""
    failed = []
    for name, *arguments in CHECKS:
        print(f"== {name} {' '.join(arguments)}", flush=True)
        if subprocess.run([Path(sys.executable).parent / name, *arguments], cwd=ROOT, check=False).returncode:
            failed.append(name)
    if failed:
        raise SystemExit(f"error: failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
