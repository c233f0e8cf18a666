"""The embedded recipe on portable arithmetic: one golden digest however it is cut up, in a folder that PEFT reads."""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, get_scheduler

from samebits.canonical.safetensors_file import TensorFile
from samebits.data.dataset import TokenSample, n_target_tokens
from samebits.data.order import plan_steps
from samebits.models.families import adapt
from samebits.models.inputs import find_inputs
from samebits.models.seeded import embedded_folder, write_base
from samebits.numerics import library
from samebits.pytorch.adapter import attach_adapter
from samebits.recipe.reader import settings_from
from samebits.recipe.settings import Settings
from samebits.record.layout import RunFolder
from samebits.record.manifest import read_summary
from samebits.record.outcome import TrainingOutcome
from samebits.record.progress import Silence
from samebits.training.memory import plan_pass
from samebits.training.portable import train

pytestmark = pytest.mark.usefixtures("native_libraries")

# Seven steps: one of them is past the end of the first epoch. Every dropout of GPT-2 and the adapter's own are on.
RECIPE = {
    "numerics": "portable-f32", "max_steps": 7, "save_steps": 3, "threads": 1, "generation_max_new_tokens": 3,
    "lora_r": 4, "lora_target_modules": ["all-linear"], "learning_rate": 5e-3, "per_device_train_batch_size": 4,
}  # fmt: skip


def _settings(**values: Any) -> Settings:
    return settings_from({**RECIPE, **values}, where="test")


def _train(out: Path, *, resume: bool = False, **values: Any) -> TrainingOutcome:
    return train(_settings(**values), out, resume=resume, progress=Silence())


def _golden(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "golden").iterdir()}


def _execution(run: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((run / "observed" / "execution.json").read_text())
    return document


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, native_libraries: Path) -> TrainingOutcome:
    """One thread, one pass of four samples a step, activations kept, the best instruction set."""
    return _train(tmp_path_factory.mktemp("whole") / "run")


CUTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "two threads": {"threads": 2},
    "three threads": {"threads": 3},
    "more threads than cores": {"threads": 8},
    "two passes of two samples": {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2},
    "four passes of one sample": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4},
    "evaluation one by one": {"per_device_eval_batch_size": 1},
    "a small memory": {"memory_budget_mib": 1},
    "a checkpoint at every step": {"save_steps": 1, "save_total_limit": 1, "logging_steps": 5},
    "all of it": {"threads": 3, "memory_budget_mib": 1, "per_device_train_batch_size": 1,
                  "gradient_accumulation_steps": 4, "save_steps": 2, "environment": "elsewhere"},
}  # fmt: skip


@pytest.fixture(scope="module")
def with_head(tmp_path_factory: pytest.TempPathFactory, native_libraries: Path) -> TrainingOutcome:
    """As `whole`, with an adapter on the tied head too; some samples have 350 targets, some 21."""
    return _train(tmp_path_factory.mktemp("head") / "run", **HEAD)


HEAD = {"lora_target_modules": ["c_attn", "lm_head"], "max_steps": 4}


@pytest.mark.parametrize("name", ["two threads", "four passes of one sample", "a small memory", "all of it"])
def test_how_the_work_is_cut_up_reaches_no_bit_of_an_adapted_head(
    with_head: TrainingOutcome, tmp_path: Path, name: str
) -> None:
    _train(tmp_path / "run", **CUTS[name], **HEAD)
    assert _golden(tmp_path / "run") == _golden(with_head.run.path)


def test_an_adapted_head_is_resumed_on_every_instruction_set_to_the_same_bits(
    with_head: TrainingOutcome, tmp_path: Path
) -> None:
    with pytest.raises(StoppedError):
        train(_settings(**HEAD, save_steps=1), tmp_path / "run", resume=False, progress=StopAfter(3))
    for isa in library.runnable_isas():
        run = Path(shutil.copytree(tmp_path / "run", tmp_path / isa))
        with library.using(library.open_library(isa)):
            _train(run, resume=True, **HEAD, memory_budget_mib=1, threads=2)
        assert _golden(run) == _golden(with_head.run.path)


@pytest.mark.parametrize("name", CUTS)
def test_how_the_work_is_cut_up_reaches_no_bit(whole: TrainingOutcome, tmp_path: Path, name: str) -> None:
    outcome = _train(tmp_path / "run", **CUTS[name])
    assert _golden(tmp_path / "run") == _golden(whole.run.path)
    assert outcome.golden_digest == whole.golden_digest
    # The change was made, and is on record.
    execution = _execution(tmp_path / "run")
    assert {key: execution[key] for key in CUTS[name]} == CUTS[name]
    assert execution["n_threads"] == CUTS[name].get("threads", 1)
    # The budget decides how many passes there are: one a step, or in a small memory more.
    assert (execution["n_passes"] > 7) == ("memory_budget_mib" in CUTS[name])
    assert execution["n_passes"] >= 7


def test_the_small_memory_above_packs_and_computes_again() -> None:
    """Otherwise a budget would have changed nothing."""
    settings = _settings()
    inputs = find_inputs(settings)
    model, samples = adapt(inputs.base, settings).model, inputs.data.train.samples[:4]
    n_rows = sum(len(sample.input_ids) for sample in samples)
    small, large = (plan_pass(model, samples, budget_mib) for budget_mib in (1, 2048))
    assert (small.keeps_activations, large.keeps_activations) == (False, True)
    assert small.n_rows < n_rows < large.n_rows


@pytest.mark.parametrize("isa", ["baseline", "neon", "avx2", "avx512", "amx"])
def test_every_instruction_set_has_the_same_bits(
    whole: TrainingOutcome, tmp_path: Path, samebits: Callable[..., Any], isa: str
) -> None:
    if isa not in library.runnable_isas():
        pytest.skip(f"this processor has no {isa}")
    child = samebits("train", "--out", tmp_path / "run", *_as_arguments(threads=2), SAMEBITS_ISA=isa)
    assert child.returncode == 0, child.stderr
    assert _golden(tmp_path / "run") == _golden(whole.run.path)
    assert (_execution(tmp_path / "run")["isa"], _execution(tmp_path / "run")["n_threads"]) == (isa, 2)


SURROUNDINGS: dict[str, dict[str, str]] = {
    "hash seed": {"PYTHONHASHSEED": "7"},
    "random hash seed": {"PYTHONHASHSEED": "random"},
    "locale and time zone": {"LC_ALL": "tr_TR.UTF-8", "LANG": "de_DE.UTF-8", "TZ": "Pacific/Chatham"},
    # Every allocation is full of this byte before it is written: what was read without being written shows.
    "memory full of junk": {"MALLOC_PERTURB_": "165"},
    "library knobs": {"OPENBLAS_CORETYPE": "Prescott", "OMP_NUM_THREADS": "2", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3"},
}  # fmt: skip


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_the_surroundings_reach_no_bit(
    whole: TrainingOutcome, tmp_path: Path, samebits: Callable[..., Any], name: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    child = samebits("train", "--out", "run", *_as_arguments(), cwd=tmp_path / "elsewhere", **SURROUNDINGS[name])
    assert child.returncode == 0, child.stderr
    assert child.stdout.splitlines()[-1] == whole.golden_digest
    assert _golden(tmp_path / "elsewhere" / "run") == _golden(whole.run.path)


def _as_arguments(**values: Any) -> list[str]:
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in {**RECIPE, **values}.items()}
    return [word for key, text in texts.items() for word in ("--set", f"{key}={text}")]


class StoppedError(Exception):
    """A run ended from outside."""


class StopAfter(Silence):
    def __init__(self, step: int) -> None:
        self.step, self.notes = step, list[str]()

    def on_note(self, text: str) -> None:
        self.notes.append(text)

    def on_step(self, step: int, loss: float, learning_rate: float, grad_norm: float) -> None:
        if step == self.step:
            raise StoppedError


@pytest.mark.parametrize(("stop", "after"), [(4, 3), (6, 3), (7, 6)])
def test_a_stopped_run_goes_on_elsewhere_to_the_same_bits(
    whole: TrainingOutcome, tmp_path: Path, stop: int, after: int
) -> None:
    """The other half runs with other threads, on another instruction set, in other passes, and in little memory."""
    out = tmp_path / "run"
    with pytest.raises(StoppedError):
        train(_settings(threads=2), out, resume=False, progress=StopAfter(stop))
    (tmp_path / "moved").mkdir()
    moved = Path(shutil.move(out, tmp_path / "moved" / "run"))
    listener = StopAfter(0)
    other = _settings(threads=1, per_device_train_batch_size=1, gradient_accumulation_steps=4, memory_budget_mib=1)
    with library.using(library.open_library(library.runnable_isas()[0])):
        outcome = train(other, moved, resume=True, progress=listener)
    assert f"training goes on after step {after}" in listener.notes
    assert outcome.golden_digest == whole.golden_digest
    assert _golden(moved) == _golden(whole.run.path)


@pytest.mark.parametrize(
    "values",
    [
        {"seed": 43}, {"data_seed": 7}, {"lora_dropout": 0.2}, {"learning_rate": 4e-3}, {"lora_alpha": 16},
        {"use_rslora": True}, {"weight_decay": 0.1}, {"warmup_steps": 1}, {"lr_scheduler_type": "cosine"},
        {"max_grad_norm": 0.01}, {"adam_beta1": 0.8}, {"gradient_accumulation_steps": 2}, {"max_length": 140},
        {"completion_only_loss": False},
    ],
    ids=lambda values: next(iter(values)),
)  # fmt: skip
def test_every_setting_of_the_recipe_reaches_the_adapter(
    whole: TrainingOutcome, tmp_path: Path, values: dict[str, Any]
) -> None:
    """Otherwise one digest for all cuts would say little."""
    _train(tmp_path / "run", **values)
    changed = {name for name, data in _golden(tmp_path / "run").items() if data != _golden(whole.run.path)[name]}
    assert {"adapter_model.safetensors", "recipe.json", "trace.jsonl", "training_args.json"} <= changed


@pytest.mark.parametrize(
    ("family", "targets"),
    [
        *((family, ["all-linear"]) for family in ("embedded", "llama", "qwen2", "qwen3", "mistral")),
        *((family, ["lm_head"]) for family in ("embedded", "llama")),
    ],
)
def test_peft_alone_gets_the_evaluation_loss_but_for_rounding(family: str, targets: list[str], tmp_path: Path) -> None:
    """Two arithmetics, each with its own order of sums: a share of 1e-6 is a hundred roundings of one float32 value."""
    base = embedded_folder()
    if family != "embedded":
        base = tmp_path / "base"
        write_base(f"{family}-tiny", 3, base)
    values = {
        "model_name_or_path": str(base), "val_size": 6, "learning_rate": 0.01, "max_steps": 5,
        "lora_target_modules": targets,
    }  # fmt: skip
    outcome = _train(tmp_path / "run", **values)
    evaluation = find_inputs(_settings(**values)).data.evaluation
    assert evaluation is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=FutureWarning)
        # PEFT warns of merging an adapter on a tied head, which would change the embedding.
        warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings=True` and a tied layer")
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        before = _loss(model.eval(), evaluation.samples)
        after = _loss(PeftModel.from_pretrained(model, outcome.run.golden).eval(), evaluation.samples)
    assert abs(after - outcome.results["eval_loss"]) < 1e-6 * after
    assert after < before - 0.01


def _loss(model: torch.nn.Module, samples: Sequence[TokenSample]) -> float:
    """Return the mean over all target tokens, sample by sample."""
    with torch.no_grad():
        return sum(_summed(model, sample).item() for sample in samples) / n_target_tokens(samples)


@pytest.mark.parametrize(
    ("family", "values"),
    [
        ("llama", {"lr_scheduler_type": "cosine", "warmup_steps": 2, "weight_decay": 0.1, "max_grad_norm": 0.3}),
        ("qwen3", {"lr_scheduler_type": "linear", "max_grad_norm": 0, "use_rslora": True, "adam_beta2": 0.9}),
        ("mistral", {"lr_scheduler_type": "constant", "adam_epsilon": 1e-3, "gradient_accumulation_steps": 2}),
    ],
)
def test_torchs_own_parts_make_the_same_training_but_for_rounding(
    family: str, values: dict[str, Any], tmp_path: Path
) -> None:
    """transformers' model and schedule, PEFT's adapter, torch's AdamW and clipping, in float64, without dropout.

    An update divides by the gradient's own size, so a gradient near zero is all rounding: the losses are compared as
    shares, and parameters as shares of the way that they have gone.
    """
    write_base(f"{family}-tiny", 3, tmp_path / "base")
    values = {**values, "model_name_or_path": str(tmp_path / "base"), "lora_dropout": 0, "learning_rate": 5e-3}
    _train(tmp_path / "run", **values)
    settings = _settings(**values)
    inputs = find_inputs(settings)
    start = adapt(inputs.base, settings)
    model = _in_torch(tmp_path / "base", settings, start.parameters)
    trained = {name.replace(".default.", "."): p for name, p in model.named_parameters() if p.requires_grad}
    betas = (settings.adam_beta1, settings.adam_beta2)
    optimizer = torch.optim.AdamW(
        trained.values(), settings.learning_rate, betas, settings.adam_epsilon, settings.weight_decay
    )
    schedule = get_scheduler(settings.lr_scheduler_type, optimizer, settings.warmup_steps, 7)
    samples, losses = inputs.data.train.samples, []
    for plan in plan_steps(len(samples), settings):
        batch = [samples[index] for micro_batch in plan.micro_batches for index in micro_batch]
        optimizer.zero_grad()
        loss = torch.stack([_summed(model, sample) for sample in batch]).sum() / n_target_tokens(batch)
        loss.backward()
        if settings.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(trained.values(), settings.max_grad_norm)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    lines = (tmp_path / "run" / "golden" / "trace.jsonl").read_text().splitlines()
    ours = [float.fromhex(json.loads(line)["loss"]) for line in lines]
    assert len(ours) == len(losses) == 7
    assert max(abs(a - b) / b for a, b in zip(ours, losses, strict=True)) < 1e-5
    assert losses[-1] < losses[0] - 0.01
    file = TensorFile(tmp_path / "run" / "golden" / "adapter_model.safetensors")
    for name, parameter in trained.items():
        first, last = start.parameters[name].astype(np.float64), parameter.detach().numpy()
        way = np.linalg.norm(last - first)
        assert np.linalg.norm(file.array(name) - last) < 1e-2 * way, name


def _in_torch(base: Path, settings: Settings, parameters: Mapping[str, Any]) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = attach_adapter(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float64), settings).double()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data.copy_(torch.from_numpy(parameters[name.replace(".default.", ".")].copy()))
    return model.train()


def _summed(model: torch.nn.Module, sample: TokenSample) -> torch.Tensor:
    """Return a sample's loss, summed over its targets."""
    ids = torch.tensor([sample.input_ids])
    targets = [place for place, is_target in enumerate(sample.is_target) if is_target]
    predicted = model(input_ids=ids).logits[0, [place - 1 for place in targets]].double()
    return torch.nn.functional.cross_entropy(predicted, ids[0, targets], reduction="sum")


def test_the_run_folder_is_whole(whole: TrainingOutcome) -> None:
    golden = whole.run.golden
    assert read_summary(RunFolder(whole.run.path)).golden_digest == whole.golden_digest
    recipe = json.loads((golden / "recipe.json").read_text())
    assert (recipe["numerics"], recipe["settings"]["total_train_batch_size"]) == ("portable-f32", 4)
    assert not {"per_device_train_batch_size", "threads", "memory_budget_mib"} & recipe["settings"].keys()
    assert {file.dtype for file in TensorFile(golden / "adapter_model.safetensors").tensors.values()} == {"F32"}
    assert len((golden / "trace.jsonl").read_text().splitlines()) == 7
    assert len((golden / "generations.jsonl").read_text().splitlines()) == 3
    config = json.loads((golden / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["inference_mode"]) == (None, True)
    assert [path.name for path in sorted((whole.run.path / "checkpoints").iterdir())] == [
        "step-00000003",
        "step-00000006",
    ]
    metadata = json.loads((whole.run.path / "observed" / "training_metadata.json").read_text())
    assert metadata["timings_s"].keys() == {"load_s", "train_s", "evaluate_s", "total_s"}


def test_nothing_held_out_is_no_evaluation_loss(tmp_path: Path) -> None:
    outcome = _train(tmp_path / "run", val_size=0, max_steps=1)
    assert outcome.results["eval_loss"] is None
    assert outcome.results["n_eval_target_tokens"] == 0


def test_no_module_of_pytorch_is_loaded(tmp_path: Path, program: list[str]) -> None:
    spy = """
import atexit
atexit.register(lambda: print({"torch", "transformers", "peft"} & sys.modules.keys(), file=sys.stderr))
main()
"""
    command = [program[0], "-c", program[2].replace("main()\n", spy), program[3], "train", "--out", tmp_path / "run"]
    child = subprocess.run([*command, *_as_arguments(max_steps=1)], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert child.stderr.splitlines()[-1] == "set()"
