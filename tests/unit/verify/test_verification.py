"""The verdict of a verification: what was rebuilt has the recorded bits, has not, or that could not be told."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from samebits.errors import ModelError, NonFiniteError, StorageError, UsageError
from samebits.record.trace import step_record
from samebits.verify.compare import compare
from samebits.verify.verification import Spot, Verification, verify


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained_run, tmp_path / "run")


def cheat(replay: Any, step: int, **changes: Any) -> None:
    """Let the rebuilt run have another record from one step on, with a chain of its own."""
    for number in range(step, len(replay.trace) + 1):
        record = dict(replay.trace[number - 1])
        del record["sha256"]
        for name in ("loss", "grad_norm", "learning_rate"):
            record[name] = float.fromhex(record[name])
        record["previous_sha256"] = replay.trace[number - 2]["sha256"] if number > 1 else "0" * 64
        replay.trace[number - 1] = step_record(**{**record, **(changes if number == step else {})})


def test_the_same_bits_are_the_same(run: Path, replay: Any) -> None:
    found = verify(run, lambda recorded: replay)
    assert (found.verdict, found.executed, found.n_executed, found.next_steps) == ("same", ((1, 6),), 6, ())
    assert found.comparison is not None
    assert found.comparison.n_same_files == 7
    assert found.golden_digest == json.loads((run / "artifact_summary.json").read_bytes())["golden_digest"]
    json.dumps(found.as_document(), allow_nan=False)


def test_it_stops_at_the_first_difference_and_names_the_field(run: Path, replay: Any) -> None:
    cheat(replay, 3, grad_norm=1.0, parameters_sha256="0" * 64)
    found = verify(run, lambda recorded: replay)
    assert (found.verdict, found.executed, found.comparison) == ("different", ((1, 3),), None)
    (step,) = found.steps
    assert (step.where, step.facts["first_field"]) == ("step 3", "grad_norm")
    assert step.note.startswith("first the gradient norm; only the norm moved first")
    assert [child.where for child in step.children] == ["grad_norm", "parameters_sha256"]
    assert "samebits bisect" in found.next_steps[0]


def test_it_names_the_samples_whose_gradients_differ(run: Path, replay: Any) -> None:
    record = replay.trace[1]
    digests = [*record["sample_gradients_sha256"][:-1], "0" * 64]
    cheat(replay, 2, sample_gradients_sha256=digests, gradients_sha256="0" * 64)
    (step,) = verify(run, lambda recorded: replay).steps
    assert step.facts["samples"] == record["sample_ids"][-1:]
    assert f"first samples' own gradients of sample {record['sample_ids'][-1]}; " in step.note


def test_it_goes_on_where_it_is_told_to(run: Path, replay: Any) -> None:
    cheat(replay, 2, loss=1.0)
    cheat(replay, 5, loss=2.0)
    found = verify(run, lambda recorded: replay, keep_going=True)
    assert (found.verdict, found.n_executed) == ("different", 6)
    # The steps between have another predecessor, and nothing else.
    assert [step.where for step in found.steps] == ["step 2", "step 5"]
    assert found.steps[1].note == "first the loss; an earlier step differs already"
    assert found.comparison is not None


def test_an_equal_trace_with_other_files_is_different(run: Path, replay: Any) -> None:
    replay.documents["generations"][0]["text"] = "another"
    found = verify(run, lambda recorded: replay)
    assert (found.verdict, found.steps, found.n_executed) == ("different", (), 6)


def test_a_folder_that_was_edited_is_not_rebuilt(run: Path) -> None:
    path = run / "golden" / "results.json"
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))

    def never(recorded: Any) -> Any:
        raise AssertionError

    found = verify(run, never)
    assert (found.verdict, found.executed) == ("different", ())
    assert found.next_steps


def test_a_base_that_is_missing_leaves_it_open(run: Path) -> None:
    def ask(recorded: Any) -> Any:
        raise ModelError("the base must be the one", remedy="name its folder with --base")

    found = verify(run, ask)
    assert found.verdict == "undecided"
    assert found.fault is not None
    assert found.fault.note == "the base must be the one; name its folder with --base"


def test_a_recipe_too_large_for_the_memory_leaves_it_open(run: Path) -> None:
    def fill(recorded: Any) -> Any:
        raise MemoryError

    assert verify(run, fill).verdict == "undecided"


def test_a_recipe_of_other_steps_is_different(run: Path, replay: Any) -> None:
    replay.trace = replay.trace[:5]
    found = verify(run, lambda recorded: replay)
    assert found.verdict == "different"
    assert found.fault is not None
    assert found.fault.note == "the recipe makes 5 steps, and the trace has 6"


def test_a_rebuilt_run_that_is_not_finite_is_different(run: Path, replay: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def burst() -> Any:
        raise NonFiniteError("the loss must be finite", got="nan")

    monkeypatch.setattr(replay, "golden_documents", burst)
    assert verify(run, lambda recorded: replay).verdict == "different"
    monkeypatch.setattr(replay, "take_step", burst)
    replay.step = 0
    found = verify(run, lambda recorded: replay, keep_going=True)
    assert (found.verdict, len(found.steps), found.n_executed) == ("different", 1, 0)


def test_a_rebuilt_run_is_kept_where_it_is_asked_for(run: Path, replay: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert verify(run, lambda recorded: replay, out=out).verdict == "same"
    assert compare(run, out).verdict == "same"
    with pytest.raises(UsageError, match="new or empty"):
        verify(run, lambda recorded: replay, out=out)
    with pytest.raises(UsageError, match="--spot"):
        verify(run, lambda recorded: replay, out=tmp_path / "other", spot=Spot(1))


def test_a_disk_that_refuses_is_told(run: Path, replay: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise StorageError("the disk must take the file")

    monkeypatch.setattr("samebits.verify.reexecution.write_golden", refuse)
    with pytest.raises(StorageError):
        verify(run, lambda recorded: replay)


@pytest.mark.parametrize(("seed", "executed"), [("8", ((1, 2),)), ("1", ((3, 4),)), ("0", ((5, 6),))])
def test_a_spot_executes_one_segment(run: Path, replay: Any, seed: str, executed: tuple[Any, ...]) -> None:
    found = verify(run, lambda recorded: replay, spot=Spot(1, seed))
    assert (found.verdict, found.executed) == ("same", executed)
    assert found.as_document()["spot"]["unseen_fraction"] == "2/3"
    # The golden files are made anew where the last step is.
    assert (found.comparison is not None) == (executed == ((5, 6),))
    assert "did not know" in found.remarks[0]
    assert verify(run, lambda recorded: replay, spot=Spot(1)).remarks == ()


def test_a_spot_sees_a_cheat_where_it_was_drawn_and_nowhere_else(run: Path, replay: Any) -> None:
    cheat(replay, 4, optimizer_sha256="0" * 64)
    verdicts = []
    for seed in ("8", "1"):
        replay.step = 0
        found = verify(run, lambda recorded: replay, spot=Spot(1, seed))
        verdicts.append((found.verdict, [step.where for step in found.steps]))
    assert verdicts == [("same", []), ("different", ["step 4"])]


def test_spots_without_checkpoints_are_undecided_with_a_remedy(run: Path, replay: Any) -> None:
    shutil.rmtree(run / "checkpoints")
    found = verify(run, lambda recorded: replay, spot=Spot(1))
    assert found.verdict == "undecided"
    assert found.fault is not None
    assert "without --spot" in found.fault.note


def test_a_damaged_checkpoint_leaves_a_spot_open(run: Path, replay: Any) -> None:
    (run / "checkpoints" / "step-00000002" / "state.json").write_bytes(b"{}")
    found = verify(run, lambda recorded: replay, spot=Spot(1, "1"))
    assert (found.verdict, found.n_executed) == ("undecided", 0)
    assert verify(run, lambda recorded: replay).verdict == "same"


def test_a_loss_sum_out_of_a_checkpoint_decides_nothing(run: Path, replay: Any) -> None:
    replay.documents["results"] = {**replay.documents["results"], "train_loss": 1.5, "train_loss_hex": "0x1.8p+0"}
    assert verify(run, lambda recorded: replay, spot=Spot(1, "0")).verdict == "undecided"
    replay.step = 0
    assert verify(run, lambda recorded: replay).verdict == "different"
    replay.documents["results"]["eval_loss"] = 2
    assert verify(run, lambda recorded: replay, spot=Spot(1, "0")).verdict == "different"


def test_a_stock_step_after_a_checkpoint_decides_nothing(
    run: Path, replay: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cheat(replay, 3, loss=1.0)
    from samebits.verify import verification

    read = verification.read_recorded

    def as_stock(path: Path) -> Any:
        recorded = read(path)
        return replace(recorded, recipe={**recorded.recipe, "numerics": "stock"})

    monkeypatch.setattr(verification, "read_recorded", as_stock)
    found = verify(run, lambda recorded: replay, spot=Spot(1, "1"))
    assert found.verdict == "undecided"
    assert "torch's generator" in found.steps[0].note
    assert found.next_steps[0].startswith("execute every step")


@pytest.mark.parametrize(
    ("here", "words"),
    [
        ({}, ()),
        ({"isa": "amx", "n_threads": 1}, ("this one is another in isa (amx for avx2)",)),
        ({"isa": "avx2"}, ("what was recorded",)),
        ({"probes": {"exp": "0"}}, ("another in probes",)),
    ],
)
def test_another_machine_is_told_where_it_decides(run: Path, replay: Any, here: dict[str, Any], words: Any) -> None:
    (run / "observed" / "execution.json").write_text('{"isa":"avx2","n_threads":1,"probes":{}}\n')
    replay.deciding = here
    remarks = verify(run, lambda recorded: replay).remarks
    assert len(remarks) == len(words)
    assert all(word in remark for word, remark in zip(words, remarks, strict=True))


def test_nothing_executed_is_never_the_same(tmp_path: Path) -> None:
    assert Verification(tmp_path).verdict == "undecided"
    assert Verification(tmp_path, n_steps=2, executed=((1, 2),)).verdict == "undecided"
