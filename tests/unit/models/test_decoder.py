from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from samebits.data.dataset import TokenSample
from samebits.models import decoder as decoder_module
from samebits.models.base import FAMILIES
from samebits.models.decoder import HEAD_ROWS, Head
from samebits.models.families import AdaptedModel
from samebits.models.linear import LowRank
from samebits.models.noise import Noise
from samebits.models.pack import Pack, pack_samples, pack_tokens
from samebits.numerics import elementwise, losses, products
from samebits.numerics.arrays import F32
from samebits.numerics.dropout import dropout
from samebits.numerics.random import Purpose, Stream

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


def _targets(family: str) -> list[str]:
    """Return the head and layers of every block."""
    return ["lm_head", "c_attn"] if family == "gpt2" else ["lm_head", "v_proj"]


@pytest.mark.parametrize("has_head", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_packing_and_computing_again_reach_no_bit(
    family: str, has_head: bool, adapted: Adapted, samples: list[TokenSample], monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = _targets(family) if has_head else ["all-linear"]
    model = adapted(f"{family}-tiny", lora_dropout=0.2, lora_target_modules=targets)
    # The samples have 19, 6, 4 targets and one: some of the head's blocks are whole, and samples share parts.
    monkeypatch.setattr(decoder_module, "HEAD_ROWS", 8)
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


def test_the_head_alone_has_the_gradients_that_it_has_beside_others_at_zero(
    adapted: Adapted, samples: list[TokenSample]
) -> None:
    alone = adapted("gpt2-tiny", lora_target_modules=["lm_head"])
    whole = adapted("gpt2-tiny", lora_target_modules=["c_attn", "c_proj", "c_fc", "lm_head"])
    assert (alone.model.first_trained, whole.model.first_trained) == (2, 0)
    for name, tensor in whole.parameters.items():
        tensor[...] = alone.parameters.get(name, 0)
    # Dropout's words are those of a tensor's number, which is another here.
    alone_losses, alone_gradients = _one_pass(alone, samples, step=None)
    whole_losses, whole_gradients = _one_pass(whole, samples, step=None)
    assert alone_losses == whole_losses
    for one, other in zip(alone_gradients, whole_gradients, strict=True):
        parts = whole.tensors.views(np.frombuffer(bytearray(other), dtype=np.float32))
        for name, view in alone.tensors.views(np.frombuffer(bytearray(one), dtype=np.float32)).items():
            assert view.any()
            assert view.tobytes() == parts[name].tobytes()


@pytest.mark.parametrize("n_rows", [1, 3, 7])
def test_how_a_frozen_heads_rows_are_cut_reaches_no_bit(
    n_rows: int, adapted: Adapted, samples: list[TokenSample], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = adapted("gpt2-tiny")
    expected, pack = _one_pass(model, samples), pack_samples(samples)
    evaluated = model.model.sample_losses(pack, Noise(0))
    monkeypatch.setattr(decoder_module, "HEAD_ROWS", n_rows)
    assert _one_pass(model, samples) == expected
    assert model.model.sample_losses(pack, Noise(0)) == evaluated


N_TARGETS = (300, 100, 28, 140)


@pytest.fixture
def long_pack() -> Pack:
    """Samples of more targets than the head takes at once, of fewer, and of fewer that fill one part together."""
    generator = np.random.default_rng(1)
    made = []
    for index, n in enumerate(N_TARGETS, start=5):
        ids = tuple(generator.integers(0, 50, n + 1).tolist())
        made.append(TokenSample(index, index + 1, "text", ids, (False, *[True] * n)))
    return pack_samples(made)


def _drawn(*shape: int, seed: int) -> F32:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def test_a_frozen_head_is_cross_entropy_over_its_rows(long_pack: Pack) -> None:
    x, targets = _drawn(sum(N_TARGETS), 16, seed=1), long_pack.target_ids
    head = Head(products.pack(_drawn(50, 16, seed=2), layout="nk"))
    logits = products.linear(x, head.weight)
    assert head.logits(x).tobytes() == logits.tobytes()
    assert head.losses(x, long_pack, Noise(0)).tobytes() == losses.cross_entropy(logits, targets).tobytes()
    none: list[dict[str, F32]] = [{} for _ in N_TARGETS]
    found, gradient = head.losses_and_gradient(x, long_pack, Noise(0), none, needs_dx=True)
    expected, d_logits = losses.cross_entropy_backward(logits, targets)
    assert found.tobytes() == expected.tobytes()
    assert gradient.tobytes() == products.linear_backward(d_logits, head.weight).tobytes()


@pytest.mark.parametrize("needs_dx", [True, False])
@pytest.mark.parametrize("step", [None, 3])
def test_an_adapted_head_is_that_of_the_clauses(step: int | None, needs_dx: bool, long_pack: Pack) -> None:
    """N-17 and N-21 written out for each sample alone: rows with a target count, and 128 of them are one chain."""
    x, weight = _drawn(sum(N_TARGETS), 16, seed=1), products.pack(_drawn(50, 16, seed=2), layout="nk")
    a, b, scale, p = _drawn(3, 16, seed=3), _drawn(50, 3, seed=4), 0.5, 0.25
    head, noise = Head(weight, LowRank("a", "b", a, b, scale, p)), Noise(9, step, {"a": 0, "b": 1})
    gradients = [{"a": np.full_like(a, np.nan), "b": np.full_like(b, np.nan)} for _ in N_TARGETS]
    found, dx = head.losses_and_gradient(x, long_pack, noise, gradients, needs_dx=needs_dx)
    assert head.losses(x, long_pack, noise).tobytes() == found.tobytes()
    for segment, gradient in zip(long_pack.target_segments, gradients, strict=True):
        own, targets = x[segment.rows], long_pack.target_ids[segment.rows]
        stream = Stream(9, Purpose.DROPOUT, step=step or 0, sample=segment.sample, tensor=0)
        read = own if step is None else dropout(own, p, stream)
        scaled = elementwise.scale(products.mm(read, a.T), scale)
        logits = products.mm(scaled, b.T, out=products.linear(own, weight), accumulate=True)
        expected, d_logits = losses.cross_entropy_backward(logits, targets)
        assert found[segment.rows].tobytes() == expected.tobytes()
        d_scaled = elementwise.scale(products.mm(d_logits, b), scale)
        branch = products.mm(d_scaled, a)
        branch = branch if step is None else dropout(branch, p, stream)
        d_own = elementwise.add(products.linear_backward(d_logits, weight), branch)
        assert dx[segment.rows].tobytes() == (d_own.tobytes() if needs_dx else bytes(d_own.nbytes))
        for name, left, right in (("a", d_scaled, read), ("b", d_logits, scaled)):
            blocks = [slice(first, first + 128) for first in range(0, len(own), 128)]
            total, *others = (products.mm(left[block].T, right[block]) for block in blocks)
            for other in others:
                total = elementwise.add(total, other)
            assert gradient[name].tobytes() == total.tobytes()
            # The blocks can be told from one chain, or this would say little.
            assert (len(own) > HEAD_ROWS) == (products.mm(left.T, right).tobytes() != total.tobytes())


@pytest.mark.parametrize("targets", [["all-linear"], ["lm_head", "c_fc"], ["lm_head"]])
def test_the_gradient_is_the_slope_of_the_loss(
    targets: list[str], adapted: Adapted, samples: list[TokenSample]
) -> None:
    """With every dropout on: the mask of the backward pass is that of the forward pass."""
    model, sample = adapted("gpt2-tiny", lora_dropout=0.2, lora_target_modules=targets), samples[:1]
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


@pytest.mark.parametrize("targets", [["all-linear"], ["lm_head"]])
def test_the_next_logits_are_those_of_the_last_row(targets: list[str], adapted: Adapted) -> None:
    model = adapted("llama-tiny", lora_target_modules=targets).model
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
