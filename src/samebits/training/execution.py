"""How a portable run's work was cut up on this machine: nothing here decides a bit."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from samebits.numerics import library
from samebits.recipe.settings import Settings, values_with_role

LIBRARIES = ("numpy", "tokenizers", "jinja2")


def execution_document(settings: Settings, environment: str, *, n_passes: int) -> dict[str, Any]:
    """Return `observed/execution.json`; instruction set and threads are those that the kernels really used.

    Args:
        environment: of `environment.environment_name`.
        n_passes: into how many passes this process cut the steps that it took.
    """
    return {
        **values_with_role(settings, "execution"),
        "environment": environment,
        "isa": library.loaded().isa,
        "n_threads": library.threads(),
        "n_passes": n_passes,
        "libraries": library_versions(),
        "probes": {},
    }


def library_versions() -> dict[str, str | None]:
    """Return the versions of what a portable run takes from others; none of them decides a bit."""
    return {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        # A small image may hold packages without what installers note about them; a training must not end in that.
        return None
