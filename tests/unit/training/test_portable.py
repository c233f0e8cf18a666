from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.canonical.safetensors_file import tensors_sha256
from samebits.data.dataset import TokenSample, n_target_tokens, token_ids_sha256
from samebits.data.order import plan_steps
from samebits.errors import UsageError
from samebits.models.families import AdaptedModel, adapt
from samebits.models.inputs import find_inputs
from samebits.models.noise import Noise
from samebits.models.pack import pack_samples
from samebits.numerics import library
from samebits.numerics.optimizer import gradient_norm
from samebits.recipe.settings import Settings
from samebits.record.progress import Silence
from samebits.record.trace import FIRST_PREVIOUS_SHA256
from samebits.training.portable import take_step, train
from samebits.training.state import TrainingState, begin

Portable = Callable[..., Settings]


def _step(
    adapted: AdaptedModel, samples: Sequence[TokenSample], settings: Settings, number: int = 0
) -> tuple[TrainingState, dict[str, Any]]:
    state = begin(adapted)
    record = take_step(state, plan_steps(len(samples), settings)[number], samples, settings, n_steps=6)
    return state, record


def test_a_step_is_the_mean_gradient_over_target_tokens(
    adapted: AdaptedModel, samples: Sequence[TokenSample], portable: Portable
) -> None:
    """Each sample's gradient made by itself, then summed as ((1 + 2) + (3 + 4)), and divided once."""
    settings = portable()
    plan = plan_steps(len(samples), settings)[0]
    places = [index for micro_batch in plan.micro_batches for index in micro_batch]
    noise = Noise(
        settings.seed, 0, {name: number for number, name in enumerate(adapted.tensors.shapes)},
        {name: number for number, name in enumerate(sorted(adapted.dropping_places))},
    )  # fmt: skip
    losses, gradients = [], []
    for place in places:
        flat = np.zeros(adapted.tensors.size, dtype=np.float32)
        losses += adapted.model.losses_and_gradients(
            pack_samples([samples[place]]), noise, [adapted.tensors.views(flat)], keeps_activations=True
        )
        gradients.append(flat)
    total = (gradients[0] + gradients[1]) + (gradients[2] + gradients[3])
    n = n_target_tokens(samples[place] for place in places)
    norm = gradient_norm(total, adapted.tensors, n_targets=n)

    before = adapted.flat.copy()
    state, record = _step(adapted, samples, settings)
    assert record["sample_gradients_sha256"] == [tensors_sha256(adapted.tensors.views(flat)) for flat in gradients]
    assert record["gradients_sha256"] == tensors_sha256(adapted.tensors.views(total))
    assert float.fromhex(record["loss"]) == float(sum(map(Fraction, losses)) / n)
    assert float.fromhex(record["grad_norm"]) == norm
    assert (record["step"], record["sample_ids"], record["n_target_tokens"]) == (1, places, n)
    assert record["token_sha256"] == token_ids_sha256([samples[place] for place in places])
    assert record["sample_tokens_sha256"] == [token_ids_sha256([samples[place]]) for place in places]
    assert record["parameters_sha256"] == tensors_sha256(adapted.parameters)
    assert record["optimizer_sha256"] == tensors_sha256(state.optimizer_tensors())
    assert record["previous_sha256"] == FIRST_PREVIOUS_SHA256
    assert (state.step, state.trace) == (1, [record])
    # AdamW's first step is as long as the learning rate, in the gradient's own direction.
    moved = adapted.flat - before
    clear = np.abs(total) > 1e-5
    assert (np.sign(moved[clear]) == -np.sign(total[clear])).all()
    assert np.abs(moved).max() <= 1.01 * settings.learning_rate


@pytest.mark.parametrize("n", [1, 3, 5])
def test_a_batch_of_any_number_of_samples_is_one_tree(
    n: int, adapted: AdaptedModel, samples: Sequence[TokenSample], portable: Portable
) -> None:
    before, records = adapted.flat.copy(), []
    for micro, accumulation in ((n, 1), (1, n)):
        adapted.flat[:] = before
        settings = portable(per_device_train_batch_size=micro, gradient_accumulation_steps=accumulation)
        records.append(_step(adapted, samples, settings)[1])
    assert records[0] == records[1]


def test_a_short_last_batch_of_an_epoch_is_divided_by_its_own_targets(
    adapted: AdaptedModel, samples: Sequence[TokenSample], portable: Portable
) -> None:
    settings = portable(per_device_train_batch_size=5)
    last = -(-len(samples) // 5) - 1
    assert len(samples) % 5
    _, record = _step(adapted, samples, settings, last)
    assert len(record["sample_ids"]) == len(samples) % 5
    assert record["n_target_tokens"] == n_target_tokens(samples[index] for index in record["sample_ids"])


def test_the_learning_rate_follows_the_schedule(
    adapted: AdaptedModel, samples: Sequence[TokenSample], portable: Portable
) -> None:
    settings = portable(learning_rate=0.5, warmup_steps=2)
    state, rates = begin(adapted), []
    for plan in plan_steps(len(samples), settings)[:4]:
        before = adapted.flat.tobytes()
        record = take_step(state, plan, samples, settings, n_steps=6)
        rates.append(float.fromhex(record["learning_rate"]))
        assert (adapted.flat.tobytes() == before) == (rates[-1] == 0)
    assert rates == [0.0, 0.25, 0.5, 0.375]


def test_clipping_and_decay_are_switched_by_their_settings(
    adapted: AdaptedModel, samples: Sequence[TokenSample], portable: Portable
) -> None:
    before, moments = adapted.flat.copy(), {}
    for limit in (0.0, 1e9, 1e-3):
        adapted.flat[:] = before
        state, record = _step(adapted, samples, portable(max_grad_norm=limit))
        moments[limit] = state.exp_avg.copy()
    assert moments[0.0].tobytes() == moments[1e9].tobytes()
    norm = float.fromhex(record["grad_norm"])
    scale = np.linalg.norm(moments[1e-3]) / np.linalg.norm(moments[0.0])
    # The same direction, shorter: to a few roundings of float32.
    assert abs(scale - 1e-3 / norm) < 1e-4 * scale


class Listener(Silence):
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def on_start(self, n_steps: int, first_step: int) -> None:
        self.calls.append(("start", n_steps, first_step))

    def on_step(self, step: int, loss: float, learning_rate: float, grad_norm: float) -> None:
        self.calls.append(("step", step))

    def on_finish(self) -> None:
        self.calls.append(("finish",))


def test_the_listener_hears_the_start_every_step_and_the_end(tmp_path: Path, portable: Portable) -> None:
    listener = Listener()
    outcome = train(portable(max_steps=2), tmp_path / "run", resume=False, progress=listener)
    assert listener.calls == [("start", 2, 1), ("step", 1), ("step", 2), ("finish",)]
    assert outcome.results == json.loads((tmp_path / "run" / "golden" / "results.json").read_text())
    assert outcome.run.path == tmp_path / "run"
    with pytest.raises(UsageError, match="the run folder must be new or empty, got a finished run"):
        train(portable(max_steps=2), tmp_path / "run", resume=False, progress=listener)


def test_the_end_is_heard_after_an_error_too(tmp_path: Path, portable: Portable) -> None:
    class Broken(Listener):
        def on_step(self, step: int, loss: float, learning_rate: float, grad_norm: float) -> None:
            raise KeyboardInterrupt

    listener = Broken()
    with pytest.raises(KeyboardInterrupt):
        train(portable(), tmp_path / "run", resume=False, progress=listener)
    assert listener.calls[-1] == ("finish",)


@pytest.mark.parametrize(("stated", "variable", "n_threads"), [(3, "2", 3), (None, "2", 2)])
def test_threads_are_stated_or_those_of_the_environment(
    tmp_path: Path,
    portable: Portable,
    monkeypatch: pytest.MonkeyPatch,
    stated: int | None,
    variable: str,
    n_threads: int,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    before = library.threads()
    try:
        train(portable(threads=stated, max_steps=1), tmp_path / "run", resume=False, progress=Silence())
        assert library.threads() == n_threads
    finally:
        library.set_threads(before)
    execution = json.loads((tmp_path / "run" / "observed" / "execution.json").read_text())
    assert (execution["n_threads"], execution["threads"]) == (n_threads, stated)


def test_the_training_arguments_say_what_was_left_open(tmp_path: Path, portable: Portable) -> None:
    settings = portable(max_steps=1, lora_target_modules=["all-linear"])
    train(settings, tmp_path / "run", resume=False, progress=Silence())
    document = json.loads((tmp_path / "run" / "golden" / "training_args.json").read_text())
    adapted = adapt(find_inputs(settings).base, settings)
    assert document["n_trained_parameters"] == adapted.tensors.size
    assert document["lora_target_modules"] == ["c_attn", "c_fc", "c_proj"]
    assert (document["data_seed"], document["n_steps"], document["dtype"]) == (42, 1, "float32")
    assert document["fan_in_fan_out"] is True
    assert document["total_train_batch_size"] == 4
