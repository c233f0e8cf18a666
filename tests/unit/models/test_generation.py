from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from samebits.canonical.safetensors_file import tensors_sha256
from samebits.data.tokenizer import Tokenizer, load_tokenizer
from samebits.errors import NonFiniteError, RecipeError
from samebits.models.families import AdaptedModel
from samebits.models.generation import continue_greedily, continue_prompts
from samebits.models.seeded import embedded_folder

pytestmark = pytest.mark.usefixtures("native_libraries")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(embedded_folder())


class Script:
    """A model that says given logits, and notes what it was fed."""

    def __init__(self, rows: Sequence[Sequence[float]]) -> None:
        self.rows = [np.array(row, dtype=np.float32) for row in rows]
        self.fed: list[tuple[list[int], list[int]]] = []
        self.n_cached = 0

    def new_caches(self, n_positions: int) -> list[Any]:
        self.n_cached = n_positions
        return []

    def next_logits(self, pack: Any, caches: Any) -> Any:
        self.fed.append((pack.token_ids.tolist(), pack.positions.tolist()))
        return self.rows[len(self.fed) - 1]


def test_one_token_after_the_other_is_fed_at_its_place() -> None:
    script = Script([[0, 1, 5], [4, 1, 0], [0, 9, 0]])
    ids, logits = continue_greedily(script, [7, 8, 9], 3, eos_token_id=None)  # type: ignore[arg-type]
    assert ids == [2, 0, 1]
    assert script.fed == [([7, 8, 9], [0, 1, 2]), ([2], [3]), ([0], [4])]
    assert script.n_cached == 6
    assert logits.tobytes() == np.stack(script.rows).tobytes()


def test_the_end_of_the_sequence_is_the_last_token() -> None:
    script = Script([[0, 1, 5], [4, 1, 0], [0, 9, 0]])
    ids, logits = continue_greedily(script, [7], 3, eos_token_id=0)  # type: ignore[arg-type]
    assert ids == [2, 0]
    assert logits.shape == (2, 3)


def test_of_equal_logits_the_lowest_token_is_taken() -> None:
    assert continue_greedily(Script([[1, 3, 3]]), [7], 1, eos_token_id=None)[0] == [1]  # type: ignore[arg-type]
    assert continue_greedily(Script([[-0.0, 0.0]]), [7], 1, eos_token_id=None)[0] == [0]  # type: ignore[arg-type]


def test_a_prompt_is_recorded_with_its_tokens_text_and_logits(
    adapted: Callable[..., AdaptedModel], tokenizer: Tokenizer
) -> None:
    model = adapted("gpt2-tiny").model
    (record,) = continue_prompts(model, tokenizer, ("What is LoRA?",), 5)
    ids = tokenizer.encode("What is LoRA?")
    new_ids, logits = continue_greedily(model, ids, 5, tokenizer.eos_token_id)
    assert record == {
        "prompt": "What is LoRA?",
        "token_ids": new_ids,
        "text": tokenizer.decode(new_ids),
        "logits_sha256": tensors_sha256({"logits": logits}),
    }


def test_generation_ends_with_the_context(adapted: Callable[..., AdaptedModel], tokenizer: Tokenizer) -> None:
    model = adapted("gpt2-tiny").model
    prompt = "a" * 600
    while len(tokenizer.encode(prompt)) > 510:
        prompt = prompt[:-1]
    n_left = model.n_positions - len(tokenizer.encode(prompt))
    (record,) = continue_prompts(model, tokenizer, (prompt,), 50)
    assert 0 < n_left < 50
    assert len(record["token_ids"]) in range(1, n_left + 1)


def test_a_prompt_that_fills_the_context_is_refused(adapted: Callable[..., AdaptedModel], tokenizer: Tokenizer) -> None:
    model = adapted("gpt2-tiny").model
    with pytest.raises(RecipeError, match=r"a generation prompt must have from 1 to 511 tokens, got \d{3,} \('aaa"):
        continue_prompts(model, tokenizer, ("a" * 9000,), 1)


def test_a_logit_that_is_not_finite_is_refused(adapted: Callable[..., AdaptedModel], tokenizer: Tokenizer) -> None:
    """Its largest would be chosen, and nobody would know."""
    made = adapted("gpt2-tiny")
    made.flat[:] = 1e30
    with pytest.raises(NonFiniteError, match=r"every logit must be finite, got .* \(after the prompt 'Hello'\); lower"):
        continue_prompts(made.model, tokenizer, ("Hello",), 2)
