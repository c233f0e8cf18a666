"""Runs that were trained otherwise than their recipe says, with everything that is recorded made to agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from samebits.cli.verify import command
from samebits.models.seeded import write_base
from samebits.numerics import library
from samebits.numerics.optimizer import adamw_scalars
from samebits.numerics.reference.library import reference_library
from samebits.recipe.reader import settings_from
from samebits.record.progress import Silence
from samebits.study.rebuild import Sources, rebuild
from samebits.study.trainer import trainer
from samebits.training import portable
from samebits.verify.recorded import Recorded
from samebits.verify.verification import Spot, Verification, verify

N_STEPS, SAVE_STEPS, CHEATED_STEP = 10, 2, 6
Make = Callable[[Recorded], Any]


def trained(out: Path, **values: Any) -> Path:
    settings = settings_from({"max_steps": N_STEPS, "save_steps": SAVE_STEPS, "lora_r": 2, **values}, where="here")
    trainer(settings.numerics)(settings, out, resume=False, progress=Silence())
    return out


def make(recorded: Recorded) -> Any:
    return rebuild(recorded.recipe, Sources())


@pytest.fixture(scope="module")
def cheated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run one step of which was updated with ten times the learning rate that its line tells."""

    def cheat(*arguments: Any, learning_rate: float, step: int, **others: Any) -> Any:
        factor = 10 if step + 1 == CHEATED_STEP else 1
        return adamw_scalars(*arguments, learning_rate=learning_rate * factor, step=step, **others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portable, "adamw_scalars", cheat)
        return trained(tmp_path_factory.mktemp("cheated") / "run")


def test_a_cheated_step_is_found_and_named(cheated: Path) -> None:
    found = verify(cheated, make)
    assert (found.verdict, found.n_executed) == ("different", CHEATED_STEP)
    assert [(step.where, step.facts["first_field"]) for step in found.steps] == [("step 6", "parameters_sha256")]


def test_a_spot_finds_it_exactly_where_it_was_drawn(cheated: Path) -> None:
    caught = 0
    for number in range(20):
        found = verify(cheated, make, spot=Spot(1, f"try {number}"))
        assert found.choice is not None
        (segment,) = found.choice.segments
        is_drawn = segment.first <= CHEATED_STEP <= segment.last
        assert (found.verdict == "different") == is_drawn
        assert found.verdict != "undecided"
        caught += is_drawn
    # One in five; the seeds are fixed, so that the count is.
    assert 1 <= caught <= 9


def test_a_stock_run_is_rebuilt_whole_and_in_spots(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    run = trained(tmp_path / "run", numerics="stock", max_steps=6, lr_scheduler_type="cosine", warmup_steps=1)
    whole = verify(run, make)
    assert whole.verdict == "same", whole
    assert "one machine at best" in whole.remarks[0]

    def spotted(seed: str) -> Verification:
        return verify(run, make, spot=Spot(2, seed))

    starts = set()
    for seed in ("1", "2", "4"):
        found = spotted(seed)
        assert found.verdict == "same", found
        starts.add(tuple(first for first, _ in found.executed))
    # The first segment and the last: a session that goes on from a later checkpoint than its own step.
    assert starts == {(1, 3), (1, 5), (3, 5)}


def test_the_reference_engine_gives_a_small_run_again(tmp_path: Path) -> None:
    base = tmp_path / "base"
    write_base("gpt2-micro", 1, base)
    values = {"max_steps": 1, "per_device_train_batch_size": 1, "max_length": 8, "completion_only_loss": False}
    small = {"val_size": 0, "generation_prompts": ["a"], "generation_max_new_tokens": 1, "lora_dropout": 0.5}
    run = trained(tmp_path / "run", model_name_or_path=str(base), **values, **small)
    from click.testing import CliRunner

    result = CliRunner().invoke(command, [str(run), "--base", str(base), "--engine", "reference"])
    assert result.exit_code == 0, result.output
    assert "by the reference engine" in result.stdout
    assert library.loaded() is not reference_library()


def test_a_large_run_is_refused_to_the_reference_engine(tmp_path: Path) -> None:
    from click.testing import CliRunner

    run = trained(tmp_path / "run", max_steps=20)
    result = CliRunner().invoke(command, [str(run), "--engine", "reference"])
    assert result.exit_code == 2
    assert "must take the reference engine at most 60 minutes, got about" in result.stdout
