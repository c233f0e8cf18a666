"""Whether the optional libraries of this part are installed; imports none of them."""

from __future__ import annotations

import importlib.util

from samebits.errors import MissingExtraError

LIBRARIES = ("torch", "transformers", "peft")


def missing_libraries() -> list[str]:
    """Return those of torch, transformers and PEFT that are not installed."""
    return [name for name in LIBRARIES if importlib.util.find_spec(name) is None]


def require_torch() -> None:
    """Check that torch, transformers and PEFT are installed.

    Raises:
        MissingExtraError: one of them is not.
    """
    if missing := missing_libraries():
        raise MissingExtraError(
            "stock numerics needs torch, transformers and peft",
            got=f"no {' and no '.join(missing)}",
            remedy="run `pip install 'samebits[torch]'`",
        )
