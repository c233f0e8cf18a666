"""`golden/` is an ordinary PEFT folder: loaded by PEFT alone, it gives the trainer's own evaluation loss."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from samebits.models.inputs import find_inputs
from samebits.models.seeded import write_base
from samebits.pytorch.stock import train
from samebits.recipe.reader import settings_from
from samebits.record.progress import Silence


@pytest.mark.parametrize("shape", ["gpt2-tiny", "llama-tiny"])
def test_peft_alone_gets_the_trainers_evaluation_loss(shape: str, tmp_path: Path) -> None:
    write_base(shape, 3, tmp_path / "base")
    values = {
        "model_name_or_path": str(tmp_path / "base"),
        "learning_rate": 0.01,
        "val_size": 6,
        "num_train_epochs": 2,
        "threads": 1,
    }
    settings = settings_from({"numerics": "stock", **values, "lora_target_modules": ["all-linear"]}, where="test")
    outcome = train(settings, tmp_path / "run", resume=False, progress=Silence())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
        # Out of the mapped file, as the trainer has them: stock kernels may round by a tensor's alignment.
        for tensor in (*base.parameters(), *base.buffers()):
            tensor.data = tensor.data.clone()
        before = _loss(base.eval(), settings)
        model = PeftModel.from_pretrained(base, outcome.run.golden).eval()
        after = _loss(model, settings)
    assert after.hex() == outcome.results["eval_loss_hex"]
    assert after.hex() == json.loads((outcome.run.golden / "results.json").read_text())["eval_loss_hex"]
    assert after < before


def _loss(model: torch.nn.Module, settings: object) -> float:
    """Sum the cross-entropy over the target tokens of each batch of four, and divide once."""
    evaluation = find_inputs(settings).data.evaluation  # type: ignore[arg-type]
    assert evaluation is not None
    total, n_targets = 0.0, 0
    for start in range(0, len(evaluation.samples), 4):
        samples = evaluation.samples[start : start + 4]
        width = max(len(sample.input_ids) for sample in samples)
        ids = torch.zeros(len(samples), width, dtype=torch.int64)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        for row, sample in enumerate(samples):
            for column, (token, is_target) in enumerate(zip(sample.input_ids, sample.is_target, strict=True)):
                ids[row, column], mask[row, column] = token, 1
                if is_target:
                    labels[row, column] = token
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask).logits
        wanted = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=-100)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="sum")
        total += loss.item()
        n_targets += int((wanted != -100).sum())
    return total / n_targets
