"""Two recipes: which of their keys differ, which group each belongs to, and at which field of a step it shows first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from samebits.verify.difference import Difference
from samebits.verify.json_values import compare_json

Group = Literal["recipe", "base", "data", "code", "derived"]

# Settings that show before any arithmetic, in the order of a step; every other setting shows in the loss or later.
_FIELDS_OF = {
    "sample_ids": (
        "data_seed", "val_size", "num_train_epochs", "total_train_batch_size", "per_device_train_batch_size",
        "gradient_accumulation_steps",
    ),
    "token_sha256": ("max_length", "completion_only_loss", "dataset_schema", "chat_template_date"),
    "learning_rate": ("learning_rate", "lr_scheduler_type", "warmup_steps", "max_steps", "num_train_epochs"),
    "parameters_sha256": ("adam_beta1", "adam_beta2", "adam_epsilon", "weight_decay", "max_grad_norm"),
    "": ("generation_prompts", "generation_max_new_tokens", "per_device_eval_batch_size"),
}  # fmt: skip
_FED = ("sample_ids", "token_sha256", "sample_tokens_sha256", "n_target_tokens")
_COMPUTED = ("loss", "sample_gradients_sha256", "gradients_sha256", "grad_norm", "parameters_sha256")
_UPDATED = ("parameters_sha256", "optimizer_sha256")


@dataclass(frozen=True)
class RecipeChange:
    """One key in which two recipes differ.

    Args:
        path: dotted, as `settings.learning_rate`.
        group: what it belongs to; `derived` for what follows from another key that differs.
        note: what else can be said of the two values, as their distance in ULP.
    """

    path: str
    a: Any
    b: Any
    group: Group
    note: str = ""

    @property
    def name(self) -> str:
        """The key as a user writes it."""
        return self.path.removeprefix("settings.")

    def shows_in(self, field: str) -> bool:
        """Say whether this change can be the first to show in a field of a step."""
        if self.group == "data" or self.path.startswith("base.tokenizer"):
            return field in _FED
        if self.group == "base":
            return field in _COMPUTED
        if self.path == "chat_template":
            return field in _FED
        fields = [known for known, names in _FIELDS_OF.items() if self.name in names]
        if not fields:
            # Seed, LoRA's shape, the implementation of attention, the version of the arithmetic.
            return field in _COMPUTED
        return any(field == known or {field, known} <= set(_FED) or {field, known} <= set(_UPDATED) for known in fields)


def recipe_changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[RecipeChange, ...]:
    """Return the keys in which two recipes differ, causes before what follows from them."""
    root = compare_json(dict(a), dict(b))
    if root is None:
        return ()
    rows = [(path, node) for path, node in _leaves(root, "")]
    paths = {path for path, _ in rows}
    has_cause = any(path.startswith(("settings.", "base.")) or path.endswith(".raw_sha256") for path in paths)
    changes = [_change(path, node, paths, has_cause=has_cause) for path, node in rows]
    return tuple(sorted(changes, key=lambda change: (change.group == "derived", change.path)))


def _change(path: str, node: Difference, paths: set[str], *, has_cause: bool) -> RecipeChange:
    part, _, rest = path.partition(".")
    group: Group = "recipe"
    if part == "base":
        # A tokenizer of its own has its own template; all of it lies in the base's folder.
        group = "base"
    elif part == "numerics_version":
        group = "code"
    elif part == "data":
        split, _, key = rest.partition(".")
        if key == "raw_sha256":
            # One file is cut into both splits: told once.
            is_second = split == "evaluation" and "data.train.raw_sha256" in paths
            group = "derived" if is_second else "data"
        elif key == "chat_template_sha256" and "base.chat_template_sha256" not in paths:
            return RecipeChange("chat_template", node.golden, node.candidate, "recipe")
        elif has_cause or any(other.endswith("chat_template_sha256") for other in paths):
            group = "derived"
        else:
            # The same file, settings and tokenizer gave other texts or tokens: whoever read them was another.
            group = "code"
    return RecipeChange(path, node.golden, node.candidate, group, node.note)


def _leaves(node: Difference, path: str) -> Iterator[tuple[str, Difference]]:
    """Yield dotted paths with their nodes; a list is one value."""
    place = f"{path}.{node.where}" if path and node.where else node.where or path
    if not node.children or all(child.where.startswith("[") for child in node.children):
        yield place, node
        return
    for child in node.children:
        yield from _leaves(child, place)
