from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig

from samebits.canonical.safetensors_file import tensors_sha256
from samebits.data.tokenizer import load_tokenizer
from samebits.errors import RecipeError
from samebits.pytorch.adapter import attach_adapter, load_base
from samebits.pytorch.generation import continue_prompts
from samebits.recipe.settings import Settings

pytestmark = pytest.mark.usefixtures("quiet")


def test_the_continuation_is_that_of_transformers_generate(gpt2: Path, llama: Path, settings: Settings) -> None:
    for base in (gpt2, llama):
        tokenizer = load_tokenizer(base)
        with torch.inference_mode():
            model = attach_adapter(load_base(base, "sdpa"), settings)
            (ours,) = continue_prompts(model, tokenizer, ("What is LoRA?",), 6)
            ids = torch.tensor([[*tokenizer.prefix_ids, *tokenizer.encode("What is LoRA?")]])
            config = GenerationConfig(
                max_new_tokens=6, do_sample=False, output_logits=True, return_dict_in_generate=True,
                eos_token_id=tokenizer.eos_token_id, pad_token_id=0,
            )  # fmt: skip
            theirs = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)
        assert ours["token_ids"] == theirs.sequences[0, ids.shape[1] :].tolist()
        assert ours["logits_sha256"] == tensors_sha256({"logits": torch.cat(theirs.logits).numpy()})
        assert ours["text"] == tokenizer.decode(ours["token_ids"])


def test_the_end_of_sequence_token_ends_it(gpt2: Path, settings: Settings) -> None:
    tokenizer = load_tokenizer(gpt2)
    model = attach_adapter(load_base(gpt2, "sdpa"), settings)
    (whole,) = continue_prompts(model, tokenizer, ("What?",), 8)
    tokenizer.eos_token_id = whole["token_ids"][2]
    (cut,) = continue_prompts(model, tokenizer, ("What?",), 8)
    first = whole["token_ids"].index(tokenizer.eos_token_id)
    assert cut["token_ids"] == whole["token_ids"][: first + 1]


def test_a_continuation_stops_at_the_context(gpt2: Path, settings: Settings) -> None:
    tokenizer = load_tokenizer(gpt2)
    model = attach_adapter(load_base(gpt2, "sdpa"), settings)
    prompt = " a" * (model.config.max_position_embeddings - 2)
    n_ids = len(tokenizer.encode(prompt))
    assert n_ids == model.config.max_position_embeddings - 2
    (record,) = continue_prompts(model, tokenizer, (prompt,), 8)
    assert 1 <= len(record["token_ids"]) <= 2
    with pytest.raises(RecipeError, match="a generation prompt must have from 1 to"):
        continue_prompts(model, tokenizer, (prompt + " a a",), 8)
