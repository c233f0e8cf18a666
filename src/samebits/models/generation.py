"""Fixed prompts continued greedily: token ids, text, and a digest of every logit on the way."""

from __future__ import annotations

from typing import Any

import numpy as np

from samebits.canonical.safetensors_file import tensors_sha256
from samebits.data.tokenizer import Tokenizer
from samebits.errors import NonFiniteError, RecipeError
from samebits.models.decoder import Decoder
from samebits.models.pack import pack_tokens
from samebits.numerics.arrays import F32
from samebits.record.documents import generation_record


def continue_prompts(
    model: Decoder, tokenizer: Tokenizer, prompts: tuple[str, ...], max_new_tokens: int
) -> list[dict[str, Any]]:
    """Return a line of `generations.jsonl` for each prompt.

    Raises:
        RecipeError: a prompt fills the model's context, or has no token.
        NonFiniteError: a logit is NaN or infinite.
    """
    records = []
    for prompt in prompts:
        ids = [*tokenizer.prefix_ids, *tokenizer.encode(prompt)]
        if not 0 < len(ids) < model.n_positions:
            raise RecipeError(
                f"a generation prompt must have from 1 to {model.n_positions - 1} tokens",
                got=str(len(ids)),
                where=f"{prompt[:40]!r}",
            )
        n_steps = min(max_new_tokens, model.n_positions - len(ids))
        new_ids, logits = continue_greedily(model, ids, n_steps, tokenizer.eos_token_id)
        if not np.isfinite(logits).all():
            raise NonFiniteError(
                "every logit must be finite",
                got="a NaN or an infinity",
                where=f"after the prompt {prompt[:40]!r}",
                remedy="lower learning_rate, and train again in another folder",
            )
        records.append(
            generation_record(
                prompt=prompt,
                token_ids=new_ids,
                text=tokenizer.decode(new_ids),
                logits_sha256=tensors_sha256({"logits": logits}),
            )
        )
    return records


def continue_greedily(model: Decoder, ids: list[int], n_steps: int, eos_token_id: int | None) -> tuple[list[int], F32]:
    """Return the new ids and their logits, [n, V]; the end-of-sequence token is the last id, if it comes.

    Of equal logits the lowest id is taken.
    """
    caches = model.new_caches(len(ids) + n_steps)
    new_ids, rows, fed, position = list[int](), list[F32](), ids, 0
    while len(new_ids) < n_steps and (not new_ids or new_ids[-1] != eos_token_id):
        rows.append(model.next_logits(pack_tokens(fed, first_position=position), caches))
        position += len(fed)
        fed = [int(rows[-1].argmax())]
        new_ids += fed
    return new_ids, np.stack(rows)
