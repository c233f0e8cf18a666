"""Fixed prompts continued greedily: token ids, text, and a digest of every logit on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from peft import PeftModel

from samebits.canonical.safetensors_file import tensors_sha256
from samebits.data.tokenizer import Tokenizer
from samebits.errors import RecipeError
from samebits.record.documents import generation_record


def continue_prompts(
    model: PeftModel, tokenizer: Tokenizer, prompts: tuple[str, ...], max_new_tokens: int
) -> list[dict[str, Any]]:
    """Return a line of `generations.jsonl` for each prompt.

    Raises:
        RecipeError: a prompt fills the model's context, or has no token.
    """
    model.eval()
    records = []
    for prompt in prompts:
        ids = [*tokenizer.prefix_ids, *tokenizer.encode(prompt)]
        context_tokens = model.config.max_position_embeddings
        if not 0 < len(ids) < context_tokens:
            raise RecipeError(
                f"a generation prompt must have from 1 to {context_tokens - 1} tokens",
                got=str(len(ids)),
                where=f"{prompt[:40]!r}",
            )
        n_steps = min(max_new_tokens, context_tokens - len(ids))
        new_ids, logits = _continue_greedily(model, ids, n_steps, tokenizer.eos_token_id)
        records.append(
            generation_record(
                prompt=prompt,
                token_ids=new_ids,
                text=tokenizer.decode(new_ids),
                logits_sha256=tensors_sha256({"logits": logits}),
            )
        )
    return records


def _continue_greedily(
    model: PeftModel, ids: list[int], n_steps: int, eos_token_id: int | None
) -> tuple[list[int], np.ndarray[Any, Any]]:
    """Return the new ids and their logits, [n, V] float32; the end-of-sequence token is the last id, if it comes."""
    new_ids: list[int] = []
    rows: list[torch.Tensor] = []
    cache, fed = None, torch.tensor([ids])
    with torch.inference_mode():
        while len(new_ids) < n_steps and (not new_ids or new_ids[-1] != eos_token_id):
            # A mask without gaps and one row of logits: what transformers' own generate asks for.
            mask = torch.ones(1, len(ids) + len(new_ids), dtype=torch.int64)
            output = model(input_ids=fed, attention_mask=mask, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache = output.past_key_values
            rows.append(output.logits[0, -1].float())
            new_ids.append(int(rows[-1].argmax()))
            fed = torch.tensor([new_ids[-1:]])
    return new_ids, torch.stack(rows).numpy()
