from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from samebits.data.dataset import TokenSample
from samebits.models import decoder as decoder_module
from samebits.models.base import FAMILIES
from samebits.models.decoder import Head
from samebits.models.families import AdaptedModel
from samebits.models.noise import Noise
from samebits.models.pack import pack_samples, pack_tokens
from samebits.numerics import losses, products

Adapted = Callable[..., AdaptedModel]

pytestmark = pytest.mark.usefixtures("native_libraries")


def _noise(adapted: AdaptedModel, step: int | None) -> Noise:
    parameters = {name: number for number, name in enumerate(adapted.tensors.shapes)}
    return Noise(1, step, parameters, {name: number for number, name in enumerate(sorted(adapted.dropping_places))})


def _one_pass(
    adapted: AdaptedModel, samples: list[TokenSample], *, keeps: bool = True, step: int | None = 2
) -> tuple[list[float], list[bytes]]:
    """Return each sample's loss and the bytes of its gradient, of one pass over all of them."""
    flats = [np.full(adapted.tensors.size, np.nan, dtype=np.float32) for _ in samples]
    gradients = [adapted.tensors.views(flat) for flat in flats]
    pack = pack_samples(samples)
    found = adapted.model.losses_and_gradients(pack, _noise(adapted, step), gradients, keeps_activations=keeps)
    assert not any(np.isnan(flat).any() for flat in flats)
    return found, [flat.tobytes() for flat in flats]


@pytest.mark.parametrize("family", FAMILIES)
def test_packing_and_computing_again_reach_no_bit(family: str, adapted: Adapted, samples: list[TokenSample]) -> None:
    model = adapted(f"{family}-tiny", lora_dropout=0.2)
    expected_losses, expected = _one_pass(model, samples)
    assert (expected_losses, expected) == _one_pass(model, samples, keeps=False)
    alone = [_one_pass(model, [sample], keeps=index % 2 == 0) for index, sample in enumerate(samples)]
    assert [found for losses, _ in alone for found in losses] == expected_losses
    assert [gradient for _, gradients in alone for gradient in gradients] == expected
    backwards_losses, backwards = _one_pass(model, samples[::-1])
    assert (backwards_losses[::-1], backwards[::-1]) == (expected_losses, expected)


def test_every_dropout_is_off_in_evaluation_and_on_in_training(adapted: Adapted, samples: list[TokenSample]) -> None:
    model, pack = adapted("gpt2-tiny", lora_dropout=0.2), pack_samples(samples)
    off, _ = _one_pass(model, samples, step=None)
    assert model.model.sample_losses(pack, Noise(0)) == off
    on, _ = _one_pass(model, samples, step=2)
    assert model.model.sample_losses(pack, _noise(model, 2)) == on
    assert all(one != other for one, other in zip(on, off, strict=True))
    assert _one_pass(model, samples, step=3)[0] != on


@pytest.mark.parametrize(
    ("shape", "targets"),
    [
        ("gpt2-tiny", ["h.1.attn.c_attn"]),
        ("gpt2-tiny", ["h.1.mlp.c_proj"]),
        ("gpt2-tiny", ["h.0.mlp.c_fc"]),
        ("llama-tiny", ["q_proj", "v_proj"]),
        ("llama-tiny", ["layers.1.self_attn.k_proj"]),
        ("qwen3-tiny", ["layers.1.mlp.gate_proj", "layers.1.self_attn.v_proj"]),
        ("mistral-tiny", ["layers.0.mlp.up_proj"]),
    ],
)
def test_fewer_adapters_have_the_gradients_of_all_with_the_others_at_zero(
    shape: str, targets: list[str], adapted: Adapted, samples: list[TokenSample]
) -> None:
    """What is left out below the first adapter, and between, is left out rightly: zeros add nothing to a sum."""
    some, whole = adapted(shape, lora_target_modules=targets, lora_dropout=0), adapted(shape, lora_dropout=0)
    for name, tensor in whole.parameters.items():
        if name in some.parameters:
            tensor[...] = some.parameters[name]
        elif name.endswith("lora_B.weight"):
            tensor.fill(0)
    some_losses, some_gradients = _one_pass(some, samples, step=None)
    whole_losses, whole_gradients = _one_pass(whole, samples, step=None)
    assert some_losses == whole_losses
    for one, other in zip(some_gradients, whole_gradients, strict=True):
        parts = whole.tensors.views(np.frombuffer(bytearray(other), dtype=np.float32))
        expected = {name: parts[name].tobytes() for name in some.parameters}
        actual = some.tensors.views(np.frombuffer(bytearray(one), dtype=np.float32))
        assert {name: view.tobytes() for name, view in actual.items()} == expected
    layer = 1 if "1" in targets[0] else 0
    assert some.model.first_trained == layer


@pytest.mark.parametrize("n_rows", [1, 3, 7])
def test_how_the_heads_rows_are_cut_reaches_no_bit(
    n_rows: int, adapted: Adapted, samples: list[TokenSample], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = adapted("gpt2-tiny")
    expected, pack = _one_pass(model, samples), pack_samples(samples)
    evaluated = model.model.sample_losses(pack, Noise(0))
    monkeypatch.setattr(decoder_module, "HEAD_ROWS", n_rows)
    assert _one_pass(model, samples) == expected
    assert model.model.sample_losses(pack, Noise(0)) == evaluated


def test_the_head_is_cross_entropy_over_its_rows() -> None:
    generator = np.random.default_rng(1)
    x = generator.standard_normal((300, 16), dtype=np.float32)
    weight = generator.standard_normal((50, 16), dtype=np.float32)
    targets = generator.integers(0, 50, 300)
    head = Head(products.pack(weight, layout="nk"))
    logits = products.linear(x, head.weight)
    assert head.logits(x).tobytes() == logits.tobytes()
    assert head.losses(x, targets).tobytes() == losses.cross_entropy(logits, targets).tobytes()
    found, gradient = head.losses_and_gradient(x, targets)
    expected, d_logits = losses.cross_entropy_backward(logits, targets)
    assert found.tobytes() == expected.tobytes()
    assert gradient.tobytes() == products.linear_backward(d_logits, head.weight).tobytes()


def test_the_gradient_is_the_slope_of_the_loss(adapted: Adapted, samples: list[TokenSample]) -> None:
    """With every dropout on: the mask of the backward pass is that of the forward pass."""
    model, sample = adapted("gpt2-tiny", lora_dropout=0.2), samples[:1]
    _, (gradient_bytes,) = _one_pass(model, sample)
    gradient = np.frombuffer(gradient_bytes, dtype=np.float32)
    direction = (gradient / np.linalg.norm(gradient)).astype(np.float32)
    sides, before = [], model.flat.copy()
    for step in (0.01, -0.01):
        model.flat[:] = before + np.float32(step) * direction
        sides.append(model.model.sample_losses(pack_samples(sample), _noise(model, 2))[0])
    slope = (sides[0] - sides[1]) / 0.02
    # Differences of float32 losses: a share of 1e-2 is what they can show.
    assert abs(slope - np.linalg.norm(gradient)) < 1e-2 * slope


def test_the_next_logits_are_those_of_the_last_row(adapted: Adapted) -> None:
    model = adapted("llama-tiny").model
    ids = [5, 9, 2, 300, 17]
    whole = model.next_logits(pack_tokens(ids), model.new_caches(5))
    caches = model.new_caches(5)
    for position, token in enumerate(ids):
        logits = model.next_logits(pack_tokens([token], first_position=position), caches)
    assert logits.tobytes() == whole.tobytes()
    assert logits.shape == (512,)


def _floats(kept: Any, seen: set[int]) -> int:
    """Return how many floats a block's state holds, each buffer counted once."""
    if isinstance(kept, np.ndarray):
        root = kept
        while isinstance(root.base, np.ndarray):
            root = root.base
        is_new = id(root) not in seen
        seen.add(id(root))
        return root.size if is_new else 0
    if isinstance(kept, tuple):
        return sum(_floats(part, seen) for part in kept)
    if hasattr(kept, "__dataclass_fields__"):
        return sum(_floats(getattr(kept, name), seen) for name in kept.__dataclass_fields__)
    return 0


@pytest.mark.parametrize("family", FAMILIES)
def test_the_plan_for_memory_counts_what_is_kept(family: str, adapted: Adapted) -> None:
    """A budget is honest where the count is: at least what a block really keeps, and little more."""
    made = adapted(f"{family}-tiny")
    pack, block = pack_tokens(list(range(100))), made.model.blocks[0]
    x = made.model.embed(pack, Noise(0))
    _, kept = block.forward(x, pack, Noise(0))
    per_row = (_floats(kept, set()) + x.size) / 100
    assert per_row <= block.kept_floats_per_row < 1.05 * per_row
    model = made.model
    assert model.floats_per_row(keeps_activations=False) < model.floats_per_row(keeps_activations=True)
