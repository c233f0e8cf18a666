"""The name under which reports group the runs of one environment, and the folder named after it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from samebits.errors import UsageError
from samebits.record.fingerprint import container_facts
from samebits.record.processor import ROOT

VARIABLE = "SAMEBITS_ENVIRONMENT"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def environment_name(setting: str | None, container: Mapping[str, Any]) -> str:
    """Return the name that was set, else `docker` or `container` where one was seen, else `native`.

    Args:
        setting: of the recipe's `environment`; SAMEBITS_ENVIRONMENT where it is left out.
        container: that part of the fingerprint.
    Raises:
        UsageError: SAMEBITS_ENVIRONMENT is not a name.
    """
    stated = setting or os.environ.get(VARIABLE)
    if stated:
        if not _NAME.fullmatch(stated):
            raise UsageError(f"{VARIABLE} must be 1 to 64 letters, digits, `.`, `_` or `-`", got=repr(stated))
        return stated
    if not container["detected"]:
        return "native"
    return "docker" if any("docker" in evidence for evidence in container["evidence"]) else "container"


def new_run_folder(setting: str | None) -> Path:
    """Return a run folder below artifacts/ that does not exist: the second in UTC, the environment, a count if needed.

    Args:
        setting: as for `environment_name`.
    Raises:
        UsageError: SAMEBITS_ENVIRONMENT is not a name.
    """
    name = f"golden_run_{datetime.now(UTC):%Y%m%d_%H%M%S}_{environment_name(setting, container_facts(ROOT))}"
    path, count = Path("artifacts") / name, 1
    while path.exists() or path.is_symlink():
        count += 1
        path = path.with_name(f"{name}_{count}")
    return path
