"""Run ruff, mypy, import-linter and the checks of the automation over the whole tree; exit 1 where one of them objects.

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
    ("python", "tools/check_workflows.py"),
)


def main() -> None:
    """Run every check, also after one failed."""
    failed = []
    for name, *arguments in CHECKS:
        print(f"== {name} {' '.join(arguments)}", flush=True)
        program = sys.executable if name == "python" else Path(sys.executable).parent / name
        if subprocess.run([program, *arguments], cwd=ROOT, check=False).returncode:
            failed.append(arguments[0] if name == "python" else name)
    if failed:
        raise SystemExit(f"error: failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
