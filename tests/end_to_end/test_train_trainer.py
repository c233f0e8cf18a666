"""The stock trainer beside transformers.Trainer itself: the same model, samples, order and settings, the same bits."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict

from samebits.canonical.safetensors_file import TensorFile
from samebits.data.order import plan_steps
from samebits.models.inputs import Inputs, find_inputs
from samebits.models.seeded import write_base
from samebits.pytorch import stock
from samebits.recipe.reader import settings_from
from samebits.recipe.settings import Settings
from samebits.record.progress import Silence
from samebits.record.trace import read_trace

RECIPES = {
    "gpt2": ({"num_train_epochs": 2, "warmup_steps": 2, "lr_scheduler_type": "cosine", "threads": 2}, "gpt2-tiny"),
    "gpt2 in four pieces": (
        {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4, "max_grad_norm": 0.2, "weight_decay": 0.1},
        "gpt2-tiny",
    ),
    "llama, all linear layers": (
        {"lora_target_modules": ["all-linear"], "gradient_accumulation_steps": 2, "use_rslora": True},
        "llama-tiny",
    ),
    "qwen2, eager attention": ({"attn_implementation": "eager", "lora_target_modules": ["q_proj"]}, "qwen2-tiny"),
    "mistral, samples beyond its window, constant rate": (
        {"lr_scheduler_type": "constant", "max_grad_norm": 0, "val_size": 0},
        "mistral-tiny",
    ),
}


class Order(torch.utils.data.Sampler[int]):
    """Our epochs, one after another, each time it is asked for one."""

    def __init__(self, epochs: list[list[int]]) -> None:
        self._epochs, self._asked = epochs, 0

    def __len__(self) -> int:
        return len(self._epochs[0])

    def __iter__(self) -> Iterator[int]:
        self._asked += 1
        return iter(self._epochs[self._asked - 1])


class OrderedTrainer(transformers.Trainer):
    """transformers.Trainer with the samples in our order; nothing else is changed."""

    order: Order

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Order:
        return self.order


def _by_trainer(
    inputs: Inputs, settings: Settings, folder: Path
) -> tuple[dict[str, np.ndarray[Any, Any]], list[float]]:
    """Fine-tune as PEFT's and transformers' own pages show it; return the adapter and the learning rates."""
    transformers.set_seed(settings.seed)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        inputs.base.folder, dtype=torch.float32, attn_implementation=settings.attn_implementation
    )
    # Out of the mapped file, as ours: stock kernels may round by a tensor's alignment.
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    targets = settings.lora_target_modules
    model = get_peft_model(
        model,
        LoraConfig(
            task_type="CAUSAL_LM",
            r=settings.lora_r,
            lora_alpha=settings.lora_alpha,
            lora_dropout=settings.lora_dropout,
            use_rslora=settings.use_rslora,
            target_modules="all-linear" if targets == ("all-linear",) else list(targets) if targets else None,
        ),
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(inputs.base.folder / "tokenizer.json"), pad_token="<|endoftext|>", padding_side="right"
    )
    rows = [
        {
            "input_ids": list(sample.input_ids),
            "labels": [
                token if is_target else -100
                for token, is_target in zip(sample.input_ids, sample.is_target, strict=True)
            ],
        }
        for sample in inputs.data.train.samples
    ]
    epochs: dict[int, list[int]] = {}
    for plan in plan_steps(len(rows), settings):
        epochs.setdefault(plan.epoch, []).extend(index for batch in plan.micro_batches for index in batch)
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        seed=settings.seed,
        num_train_epochs=settings.num_train_epochs,
        per_device_train_batch_size=settings.per_device_train_batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.lr_scheduler_type,
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        adam_beta1=settings.adam_beta1,
        adam_beta2=settings.adam_beta2,
        adam_epsilon=settings.adam_epsilon,
        max_grad_norm=settings.max_grad_norm,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        dataloader_pin_memory=False,
        disable_tqdm=True,
    )
    assert arguments.optim == stock.OPTIMIZER
    collator = transformers.DataCollatorForSeq2Seq(tokenizer)
    trainer = OrderedTrainer(model=model, args=arguments, train_dataset=rows, data_collator=collator)
    trainer.order = Order(list(epochs.values()))
    trainer.train()
    rates = [row["learning_rate"] for row in trainer.state.log_history if "learning_rate" in row]
    return {name: tensor.numpy() for name, tensor in get_peft_model_state_dict(model).items()}, rates


@pytest.mark.parametrize("name", RECIPES)
def test_trainer_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    overrides, shape = RECIPES[name]
    write_base(shape, 7, tmp_path / "base")
    # One thread where two show nothing more: threads that wait for each other on a busy machine take minutes.
    values = {"numerics": "stock", "threads": 1, **overrides, "model_name_or_path": str(tmp_path / "base")}
    settings = settings_from(values, where="test")
    outcome = stock.train(settings, tmp_path / "run", resume=False, progress=Silence())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, rates = _by_trainer(find_inputs(settings), settings, tmp_path / "trainer")
    ours = TensorFile(outcome.run.golden / "adapter_model.safetensors")
    assert ours.tensors.keys() == theirs.keys()
    unequal = [name for name in theirs if ours.array(name).tobytes() != theirs[name].tobytes()]
    assert unequal == []
    assert any(array.any() for name, array in theirs.items() if "lora_B" in name)
    trace = read_trace((outcome.run.golden / "trace.jsonl").read_bytes(), "trace")
    assert [float.fromhex(record["learning_rate"]) for record in trace] == rates
    assert all(float.fromhex(record["loss"]) > 0 for record in trace)
