"""How long the reference engine would take for a recorded recipe: what takes hours is refused before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from samebits.errors import RecipeError, RecordError

MAX_S = 3600.0
# Python's integers, one fma at a time, with all that stands around it (docs/reference_engine.md has measured runs).
_S_PER_PRODUCT = 1.8e-6
_FORWARD, _BACKWARD = 1, 1


def check_reference_time(recipe: Mapping[str, Any], n_steps: int) -> None:
    """Refuse a recipe that the reference engine would need more than an hour for.

    Args:
        recipe: of `golden/recipe.json`: a stranger's document.
        n_steps: of the recorded run.
    Raises:
        RecipeError: it would take longer; the sentence says about how long.
        RecordError: the recipe does not say how large it is.
    """
    seconds = reference_time_s(recipe, n_steps)
    if seconds > MAX_S:
        raise RecipeError(
            f"a run must take the reference engine at most {_told(MAX_S)}",
            got=f"about {_told(seconds)}",
            remedy="verify it by the kernels, or train a smaller recipe (examples/reference.yaml)",
        )


def reference_time_s(recipe: Mapping[str, Any], n_steps: int) -> float:
    """Return about how many seconds the reference engine takes: each token meets each parameter, there and back.

    Raises:
        RecordError: the recipe does not say how large it is.
    """
    n_parameters = _number(recipe, "base", "n_parameters")
    n_tokens, n_samples = (_number(recipe, "data", "train", name) for name in ("n_tokens", "n_samples"))
    batch = min(_number(recipe, "settings", "total_train_batch_size"), n_samples)
    n_trained = n_steps * batch * n_tokens / max(n_samples, 1)
    held_out = recipe["data"].get("evaluation")
    n_evaluated = _number(recipe, "data", "evaluation", "n_tokens") if isinstance(held_out, dict) else 0
    return _S_PER_PRODUCT * n_parameters * ((_FORWARD + _BACKWARD) * n_trained + _FORWARD * n_evaluated)


def _number(recipe: Mapping[str, Any], *keys: str) -> int:
    value: Any = recipe
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    if type(value) is not int or not 0 <= value < 2**63:
        raise RecordError(
            f"`{'.'.join(keys)}` must be a whole number", got=repr(value)[:40], where="golden/recipe.json"
        )
    return value


def _told(seconds: float) -> str:
    for n_seconds, unit in ((86400 * 365, "years"), (86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * n_seconds:
            return f"{seconds / n_seconds:,.0f} {unit}"
    return f"{seconds:.0f} seconds"
