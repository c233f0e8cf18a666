"""Faults planted in the portable engine, each one that training would survive: each must show where it is sought.

The sound engine passes the same comparison first, so that a comparison that always fails proves nothing here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.data.dataset import TokenSample
from samebits.models import attention as attention_module
from samebits.models import decoder as decoder_module
from samebits.models.families import adapt
from samebits.models.inputs import find_inputs
from samebits.models.noise import Noise
from samebits.models.pack import Pack, Part, Segment, pack_samples, pack_tokens
from samebits.numerics import elementwise
from samebits.numerics.arrays import F32
from samebits.recipe.reader import settings_from
from samebits.record.progress import Silence
from samebits.training import losses as losses_module
from samebits.training import portable
from samebits.training.portable import train

pytestmark = pytest.mark.usefixtures("native_libraries")

RECIPE = {"numerics": "portable-f32", "max_steps": 2, "threads": 1, "generation_max_new_tokens": 1, "val_size": 3}
CUTS: tuple[dict[str, Any], ...] = (
    {"per_device_train_batch_size": 4, "memory_budget_mib": 2048},
    {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4, "memory_budget_mib": 1},
)


HEAD = {"lora_target_modules": ["lm_head"]}


def _digests(folder: Path, **recipe: Any) -> list[str]:
    """Return the golden digest of each cut."""
    digests = []
    for number, cut in enumerate(CUTS):
        settings = settings_from({**RECIPE, **cut, **recipe}, where="test")
        outcome = train(settings, folder / str(number), resume=False, progress=Silence())
        digests.append(outcome.golden_digest)
    return digests


def _sums_by_micro_batches(patch: pytest.MonkeyPatch) -> None:
    """Each forward pass of the recipe's cut is summed by itself first, as an engine with batched gradients does."""
    real = portable._summed_gradient

    def summed(
        adapted: Any, chosen: Sequence[TokenSample], plan: Any, settings: Any, passes: Any
    ) -> tuple[int, F32, list[str]]:
        units, total, digests = 0, None, []
        n = settings.per_device_train_batch_size
        for start in range(0, len(chosen), n):
            part_units, part, part_digests = real(adapted, chosen[start : start + n], plan, settings, passes)
            units += part_units
            digests += part_digests
            total = part if total is None else elementwise.add(total, part)
        assert total is not None
        return units, total, digests

    patch.setattr(portable, "_summed_gradient", summed)


def _repacked(change: Callable[[Pack], Pack]) -> Callable[[pytest.MonkeyPatch], None]:
    def plant(patch: pytest.MonkeyPatch) -> None:
        for module in (portable, losses_module):
            patch.setattr(module, "pack_samples", lambda samples: change(pack_samples(samples)))

    return plant


def _by_place(pack: Pack) -> Pack:
    """Dropout is keyed by a sample's place in the pack."""
    segments = tuple(Segment(s.start, s.stop, number) for number, s in enumerate(pack.segments))
    return dataclasses.replace(pack, segments=segments)


def _by_row(pack: Pack) -> Pack:
    """Positions count on from one sample to the next, as far as the context goes."""
    return dataclasses.replace(pack, positions=np.arange(len(pack.positions)) % 512)


def _losses_in_float64(patch: pytest.MonkeyPatch) -> None:
    """Losses are added up as they come, and rounded at every pass."""
    patch.setattr(portable, "in_units", lambda losses: int(float(np.float32(sum(losses))) * 2**149))


def _attention_across(patch: pytest.MonkeyPatch) -> None:
    """Attention runs over a pack as over one sample."""
    real = attention_module.attend

    def attend(shape: Any, q: F32, k: F32, v: F32, segments: Any, noise: Noise, cache: Any = None) -> Any:
        if cache is None and noise.step is None:
            segments = (Segment(0, len(q), segments[0].sample),)
        return real(shape, q, k, v, segments, noise, cache)

    patch.setattr("samebits.models.gpt2.attend", attend)


CUT_FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "a sum by micro-batches": _sums_by_micro_batches,
    "dropout by the place in the pack": _repacked(_by_place),
    "positions through the pack": _repacked(_by_row),
    "losses rounded at every pass": _losses_in_float64,
    "attention across samples": _attention_across,
}


def test_the_sound_engine_has_one_digest(tmp_path: Path) -> None:
    one, other = _digests(tmp_path)
    assert one == other


@pytest.mark.parametrize("name", CUT_FAULTS)
def test_a_fault_that_follows_the_cut_shows_as_another_digest(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CUT_FAULTS[name](monkeypatch)
    one, other = _digests(tmp_path)
    assert one != other


def _blocks_over_the_pack(patch: pytest.MonkeyPatch) -> None:
    """The head's rows are cut every 128 rows of the pack, whosever they are."""

    def cut(segments: Sequence[Segment], n_rows: int) -> list[Part]:
        parts = []
        for start in range(0, segments[-1].stop, n_rows):
            stop = min(start + n_rows, segments[-1].stop)
            places = [place for place, whole in enumerate(segments) if whole.start < stop and whole.stop > start]
            pieces = []
            for place in places:
                whole = segments[place]
                begin = max(whole.start, start)
                rows = begin - start, min(whole.stop, stop) - start
                pieces.append(Segment(*rows, whole.sample, begin - whole.start))
            parts.append(Part(slice(start, stop), tuple(pieces), tuple(places)))
        return parts

    patch.setattr(decoder_module, "cut_samples", cut)


def _blocks_by_room(patch: pytest.MonkeyPatch) -> None:
    """More samples in a pass, longer blocks."""
    real = decoder_module.cut_samples
    patch.setattr(decoder_module, "cut_samples", lambda segments, n_rows: real(segments, n_rows * len(segments)))


def _dropout_by_row(patch: pytest.MonkeyPatch) -> None:
    """Dropout counts the rows of what is computed at once."""
    real = Noise._drop

    def drop(self: Noise, x: F32, out: F32, p: float, segments: Sequence[Segment], parameter: str) -> F32:
        moved = [dataclasses.replace(segment, first=segment.start) for segment in segments]
        return real(self, x, out, p, moved, parameter)

    patch.setattr(Noise, "_drop", drop)


HEAD_FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "blocks cut over the pack": _blocks_over_the_pack,
    "blocks as long as there is room": _blocks_by_room,
    "dropout by the row of the block": _dropout_by_row,
}


def test_the_sound_engine_has_one_digest_with_an_adapted_head(tmp_path: Path) -> None:
    one, other = _digests(tmp_path, **HEAD)
    assert one == other


@pytest.mark.parametrize("name", HEAD_FAULTS)
def test_a_fault_of_an_adapted_head_that_follows_the_cut_shows_as_another_digest(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    HEAD_FAULTS[name](monkeypatch)
    one, other = _digests(tmp_path, **HEAD)
    assert one != other


def _other_rows(pack: Pack) -> Pack:
    """The head runs on the row of the target itself, where there is one."""
    last = np.concatenate([np.full(s.stop - s.start, s.stop - 1) for s in pack.segments])
    return dataclasses.replace(pack, target_rows=np.minimum(pack.target_rows + 1, last[pack.target_rows]))


def _own_tokens(pack: Pack) -> Pack:
    """The loss asks for the token that was read, not for the next one."""
    return dataclasses.replace(pack, target_ids=pack.token_ids[pack.target_rows])


def _one_target_less(pack: Pack) -> Pack:
    """The first target of every sample is lost: its row is that of the second one."""
    rows, ids = pack.target_rows.copy(), pack.target_ids.copy()
    for segment in pack.target_segments:
        second = min(segment.start + 1, segment.stop - 1)
        rows[segment.start], ids[segment.start] = rows[second], ids[second]
    return dataclasses.replace(pack, target_rows=rows, target_ids=ids)


PACK_FAULTS: dict[str, Callable[[Pack], Pack]] = {
    "the head runs on other rows": _other_rows,
    "the loss asks for the token that was read": _own_tokens,
    "a target is lost": _one_target_less,
}


def _evaluations(change: Callable[[Pack], Pack]) -> tuple[float, float]:
    """Return the evaluation loss by packs, and by the logits after each token, made one prefix at a time."""
    settings = settings_from({**RECIPE, "val_size": 1}, where="test")
    inputs = find_inputs(settings)
    assert inputs.data.evaluation is not None
    (sample,) = inputs.data.evaluation.samples
    model = adapt(inputs.base, settings).model
    by_packs = sum(model.sample_losses(change(pack_samples([sample])), Noise(0)))
    by_prefixes = 0.0
    for place, is_target in enumerate(sample.is_target):
        if is_target:
            logits = model.next_logits(pack_tokens(sample.input_ids[:place]), model.new_caches(place)).astype(
                np.float64
            )
            by_prefixes += np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[sample.input_ids[place]]
    return by_packs, by_prefixes


def test_the_sound_loss_is_that_of_the_logits() -> None:
    """Beside a sum in float64: a share of 1e-6 is some roundings of float32."""
    by_packs, by_prefixes = _evaluations(lambda pack: pack)
    assert abs(by_packs - by_prefixes) < 1e-6 * by_prefixes


@pytest.mark.parametrize("name", PACK_FAULTS)
def test_a_fault_of_the_rows_shows_in_the_loss(name: str) -> None:
    by_packs, by_prefixes = _evaluations(PACK_FAULTS[name])
    assert abs(by_packs - by_prefixes) > 1e-4 * by_prefixes
