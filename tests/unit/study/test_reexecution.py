"""A recorded run is executed as its own execution was, and the machine's facts are those that a run records."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from samebits.data.reader import embedded_path
from samebits.errors import ModelError, RecordError, UsageError
from samebits.models.seeded import embedded_folder
from samebits.numerics import library
from samebits.recipe.reader import settings_from
from samebits.record.progress import Silence
from samebits.study.rebuild import Sources
from samebits.study.reexecution import Reexecution, at_hand
from samebits.study.trainer import trainer
from samebits.verify.sides import Side, read_side

pytestmark = pytest.mark.usefixtures("native_libraries")


@pytest.fixture(scope="module", params=["portable-f32", "stock"])
def side(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, native_libraries: Path) -> Side:
    out = tmp_path_factory.mktemp("reexecution") / "run"
    settings = settings_from({"numerics": request.param, "max_steps": 1, "threads": 1}, where="here")
    trainer(request.param)(settings, out, resume=False, progress=Silence())
    return read_side("A", out)


def test_a_run_is_executed_again_to_its_line(side: Side) -> None:
    with Reexecution({}).begin(side) as session:
        assert session.take_step() == side.trace[0]


def test_the_recorded_instruction_set_is_used_where_this_machine_has_it(side: Side) -> None:
    other = replace(side, observed={"execution": {"isa": "baseline", "n_threads": 2}})
    if side.recipe is not None and side.recipe["numerics"] == "stock":
        with pytest.raises(UsageError, match=r"stock kernels must run on baseline.*ATEN_CPU_CAPABILITY"):
            Reexecution({}).begin(other).__enter__()
        # Where this machine is what is asked about, it executes the run as it can.
        with Reexecution({}, as_recorded=False).begin(other) as session:
            session.take_step()
        return
    best = library.loaded().isa
    with Reexecution({}).begin(other) as session:
        assert (library.loaded().isa, library.threads()) == ("baseline", 2)
        assert session.take_step() == side.trace[0]
    assert library.loaded().isa == best
    unknown = replace(side, observed={"execution": {"isa": "none"}})
    with Reexecution({}, threads=1).begin(unknown):
        assert (library.loaded().isa, library.threads()) == (best, 1)


def test_the_facts_of_this_machine_are_those_of_a_run_made_here(side: Side) -> None:
    facts = Reexecution({}).facts(side)
    recorded = side.observed
    for key in ("isa", "libraries"):
        assert facts["execution"][key] == recorded["execution"][key]
    assert facts["env"]["cpu"] == recorded["env"]["cpu"]


def test_a_run_without_a_recipe_or_with_another_base_is_refused(side: Side, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="must have a recipe"):
        Reexecution({}).begin(replace(side, recipe=None)).__enter__()
    base = shutil.copytree(embedded_folder(), tmp_path / "base")
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ModelError, match="weights_sha256"):
        Reexecution({"A": Sources(base=str(base))}).begin(side).__enter__()


def test_what_lies_at_hand_is_what_was_named_for_either_side(tmp_path: Path) -> None:
    base = shutil.copytree(embedded_folder(), tmp_path / "base")
    data = shutil.copy(embedded_path(), tmp_path / "train.jsonl")
    assert at_hand(Sources(), Sources()).bases is None
    # The same base under another path is no other base.
    assert at_hand(Sources(), Sources(base=str(base))).bases is None
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    known = at_hand(Sources(), Sources(base=str(base), data=str(data)), A=None, B=tmp_path)
    assert known.bases == ((embedded_folder() / "model.safetensors",), (weights,))
    assert known.data == (embedded_path(), Path(data))
    assert known.operations == {"B": tmp_path}
