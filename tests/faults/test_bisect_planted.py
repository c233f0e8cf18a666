"""Twelve differences of twelve kinds, planted into real runs: bisect must name where each is, and why.

The table in docs/bisect.md is what these tests found. With SAMEBITS_WRITE_TABLES=1 they write it.
"""

from __future__ import annotations

import functools
import json
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.canonical.safetensors_file import TensorFile, tensor_sha256, write_safetensors
from samebits.data.reader import embedded_path
from samebits.models.seeded import embedded_folder
from samebits.numerics import library
from samebits.numerics.library import Library
from samebits.recipe.reader import settings_from
from samebits.record.operations import MAX_OUTPUTS, write_operations
from samebits.record.progress import Silence
from samebits.study.rebuild import Sources, rebuild
from samebits.study.reexecution import Reexecution, at_hand
from samebits.study.trainer import trainer
from samebits.training.portable import Training
from samebits.verify.bisection import Bisection, bisect
from samebits.verify.compare import compare
from samebits.verify.operations import name_of

pytestmark = pytest.mark.usefixtures("native_libraries")

WRITE = "SAMEBITS_WRITE_TABLES"
START, END = "<!-- table: start -->\n", "<!-- table: end -->\n"
PAGE = Path(__file__).parents[2] / "docs" / "bisect.md"
RECIPE = {"max_steps": 4, "threads": 1, "save_steps": 2, "val_size": 0, "generation_max_new_tokens": 1}
CHANCE = random.Random(1)
# One of the middle of the model, so that what comes before it must be seen to be the same.
WEIGHT = "transformer.h.1.mlp.c_fc.weight"
EXCHANGED = (5, 9)
NEIGHBOURS = (
    "lanes.hpp",
    "lanes[v] = join(lanes[v], lanes[v + half])",
    "lanes[v] = join(lanes[2 * v], lanes[2 * v + 1])",
)


@dataclass(frozen=True)
class Planted:
    """Two runs, what lies at hand beside them, and what must be found.

    `where` is sought in the place as the table tells it, `kind` and `why` in the cause.
    """

    a: Path
    b: Path
    where: str
    kind: str
    why: str
    sources: tuple[Sources, Sources] = (Sources(), Sources())
    operations: Path | None = None
    host: Callable[[], AbstractContextManager[None]] = nullcontext


class KilledError(Exception):
    """Ends a training as a kill does, from within."""


class Stop(Silence):
    """Kills the run that it is told of after a step."""

    def on_step(self, step: int, loss: float, learning_rate: float, grad_norm: float) -> None:
        if step == 3:
            raise KilledError


def run(out: Path, numerics: str = "portable-f32", progress: Silence | None = None, **settings: Any) -> Path:
    made = settings_from({"numerics": numerics, **RECIPE, **settings}, where="test")
    trainer(numerics)(made, out, resume=False, progress=progress or Silence())
    return out


def recipe_of(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((path / "golden" / "recipe.json").read_text())
    return document


def traced(path: Path, step: int, out: Path) -> Path:
    """Trace a step of a run, all tensors kept, on the kernels and libraries of this moment."""
    session = rebuild(recipe_of(path), Sources(), {"threads": 1})
    while session.step < step - 1:
        session.take_step()
    write_operations(out, session.trace_step("op", range(1, MAX_OUTPUTS)))
    return out


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory, native_libraries: Path) -> Path:
    return run(tmp_path_factory.mktemp("golden") / "portable")


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory, native_libraries: Path) -> Path:
    return run(tmp_path_factory.mktemp("golden") / "stock", "stock")


def base_weight(golden: Path, out: Path) -> Planted:
    base = shutil.copytree(embedded_folder(), out / "base")
    file = TensorFile(base / "model.safetensors")
    tensors = {name: file.array(name).copy() for name in file.tensors}
    tensors[WEIGHT].view("<u4")[3, 17] ^= 1
    write_safetensors(base / "model.safetensors", tensors)
    b = run(out / "b", model_name_or_path=str(base))
    where = r"step 1, transformer\.h\.1\.mlp\.c_fc, linear.*, element \["
    return Planted(golden, b, where, "base", re.escape(WEIGHT), (Sources(), Sources(base=str(base))))


def changed_data(out: Path, change: Callable[[list[bytes]], None]) -> tuple[Path, Sources]:
    lines = embedded_path().read_bytes().splitlines(keepends=True)
    change(lines)
    data = out / "train.jsonl"
    data.write_bytes(b"".join(lines))
    return run(out / "b", dataset_name=str(data)), Sources(data=str(data))


def step_of(golden: Path, *samples: int) -> int:
    lines = map(json.loads, (golden / "golden" / "trace.jsonl").read_text().splitlines())
    return min(line["step"] for line in lines if set(samples) & set(line["sample_ids"]))


def samples_swapped(golden: Path, out: Path) -> Planted:
    def change(lines: list[bytes]) -> None:
        one, other = EXCHANGED
        lines[one], lines[other] = lines[other], lines[one]

    b, sources = changed_data(out, change)
    where = rf"step {step_of(golden, *EXCHANGED)}, samples 5, 9"
    return Planted(golden, b, where, "data", r"^samples 5 and 9$", (Sources(), sources))


def one_character(golden: Path, out: Path) -> Planted:
    def change(lines: list[bytes]) -> None:
        sample = json.loads(lines[EXCHANGED[0]])
        sample["output"] = sample["output"].replace("e", "a", 1)
        lines[EXCHANGED[0]] = json.dumps(sample).encode() + b"\n"

    b, sources = changed_data(out, change)
    where = rf"step {step_of(golden, EXCHANGED[0])}, samples 5\b"
    return Planted(golden, b, where, "data", r"^sample 5$", (Sources(), sources))


def dropout_seed(golden: Path, out: Path) -> Planted:
    # The order of the samples keeps its seed.
    b = run(out / "b", seed=43, data_seed=42)
    return Planted(golden, b, r"step 1, transformer\.drop, dropout|step 1, .*dropout", "recipe", "^seed$")


def learning_rate(golden: Path, out: Path) -> Planted:
    b = run(out / "b", learning_rate=0.00020000000000000004)
    return Planted(golden, b, r"step 1, the learning rate", "recipe", "^learning_rate$")


def kernel_tree(golden: Path, out: Path, faulty: Callable[..., Library]) -> Planted:
    with library.using(faulty(NEIGHBOURS)):
        b = run(out / "b")
        operations = traced(b, 1, out / "operations")
    # The first sum over lanes of the model is that of its first norm.
    where = r"step 1, transformer\.h\.0\.ln_1, layer_norm.*, element \["
    return Planted(golden, b, where, "code", "sources_sha256", operations=operations)


def attention(_: Path, out: Path) -> Planted:
    # With dropout on attention's weights torch runs both in one way; without, it has a kernel for one of them.
    base = shutil.copytree(embedded_folder(), out / "base")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "attn_pdrop": 0.0}))
    a, b = (
        run(out / name, "stock", model_name_or_path=str(base), attn_implementation=name) for name in ("sdpa", "eager")
    )
    sources = Sources(base=str(base)), Sources(base=str(base))
    return Planted(a, b, r"step 1, transformer\.h\.0\.attn, ", "recipe", "^attn_implementation$", sources)


@contextmanager
def other_transformers() -> Iterator[None]:
    """A release of transformers whose GELU is torch's own, one rounding where there were several."""
    import importlib.metadata

    import torch
    from transformers.activations import NewGELUActivation

    real = importlib.metadata.version
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NewGELUActivation, "forward", lambda _, x: torch.nn.functional.gelu(x, approximate="tanh"))
        patch.setattr(importlib.metadata, "version", lambda name: "5.99.0" if name == "transformers" else real(name))
        yield


def library_version(stock: Path, out: Path) -> Planted:
    with other_transformers():
        b = run(out / "b", "stock")
        operations = traced(b, 1, out / "operations")
    where = r"step 1, transformer\.h\.0\.mlp\.act, "
    return Planted(stock, b, where, "library", "^transformers$", operations=operations)


def edited_line(golden: Path, out: Path) -> Planted:
    b = shutil.copytree(golden, out / "b")
    trace = b / "golden" / "trace.jsonl"
    lines = trace.read_text().splitlines(keepends=True)
    record = json.loads(lines[2])
    lines[2] = lines[2].replace(record["loss"], record["loss"].replace("p+2", "p+1"))
    trace.write_text("".join(lines))
    return Planted(golden, b, r"step 3, the loss.*trace\.jsonl, line 3 of B", "edited record", "trace.jsonl, line 3$")


def truncated_checkpoint(golden: Path, out: Path) -> Planted:
    with pytest.raises(KilledError):
        run(out / "b", progress=Stop())
    tensors = out / "b" / "checkpoints" / "step-00000002" / "tensors.safetensors"
    os.truncate(tensors, tensors.stat().st_size // 2)
    where = "checkpoints/step-00000002 of B"
    return Planted(golden, out / "b", where, "damaged checkpoint", "checkpoints/step-00000002")


def stock_threads(stock: Path, out: Path) -> Planted:
    b = run(out / "b", "stock", threads=2)
    if compare(stock, b).verdict == "same":
        pytest.skip("this machine's stock kernels give the same bits with 1 and 2 threads")
    return Planted(stock, b, r"step 1, .*aten::.*, element \[", "execution", "^n_threads$")


@contextmanager
def unsound_host() -> Iterator[None]:
    """A host that flips one bit of one parameter before each third step, never the same."""
    real = Training.take_step

    def take_step(session: Training) -> dict[str, Any]:
        if session.step == 2:
            flat = session.state.adapted.flat.view("<u4")
            flat[CHANCE.randrange(len(flat))] ^= 1 << CHANCE.randrange(23)
        return real(session)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "take_step", take_step)
        yield


def unsound(golden: Path, out: Path) -> Planted:
    with unsound_host():
        b = run(out / "b")
    return Planted(golden, b, "step 3, ", "hardware", "^this host$", host=unsound_host)


PLANTED: dict[str, Callable[..., Planted]] = {
    "one bit of one base weight": base_weight,
    "two samples swapped": samples_swapped,
    "one character in one sample": one_character,
    "another dropout seed": dropout_seed,
    "the learning rate off by one ULP": learning_rate,
    "one kernel's tree re-associated": kernel_tree,
    "another implementation of attention (stock)": attention,
    "another version of transformers (stock)": library_version,
    "an edited line of the trace": edited_line,
    "a truncated checkpoint": truncated_checkpoint,
    "1 and 2 threads (stock)": stock_threads,
    "a host that does not repeat itself": unsound,
}


def examined(planted: Planted) -> Bisection:
    ours, theirs = planted.sources
    known = at_hand(ours, theirs, B=planted.operations)
    with planted.host():
        return bisect(planted.a, planted.b, Reexecution({"A": ours, "B": theirs}), known)


def place_of(found: Bisection) -> str:
    """Return the place in one line, as the table shows it."""
    told = [] if found.first is None else [f"step {found.first.step}"]
    operation = found.operation
    if found.samples and found.first is not None and "token" in found.first.field:
        told.append(f"samples {', '.join(map(str, found.samples))}")
    if operation is not None:
        output = operation.output
        told += [output.module or output.phase, name_of(output).partition(" in ")[0]]
        if operation.elements is not None:
            facts = operation.elements.facts
            told.append(
                f"element {facts['first_index']}: {operation.elements.golden} and {operation.elements.candidate}"
            )
    elif found.first is not None:
        told.append(found.first.what)
    return ", ".join([*told, *([found.file] if found.file else [])])


Findings = Callable[[str], tuple[Planted, Bisection]]


@pytest.fixture(scope="module")
def findings(golden: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Findings:
    """Plant and bisect on first use; every test of a difference looks at one finding."""

    @functools.cache
    def finding(name: str) -> tuple[Planted, Bisection]:
        plant = PLANTED[name]
        of = request.getfixturevalue("stock") if "stock" in name else golden
        more = (request.getfixturevalue("faulty"),) if plant is kernel_tree else ()
        planted = plant(of, tmp_path_factory.mktemp("planted"), *more)
        return planted, examined(planted)

    return finding


def test_the_sound_run_is_the_same(golden: Path) -> None:
    assert bisect(golden, golden, Reexecution({})).verdict == "same"
    assert bisect(golden, None, Reexecution({})).verdict == "same"


@pytest.mark.parametrize("name", PLANTED)
def test_the_place_is_named(name: str, findings: Findings) -> None:
    planted, found = findings(name)
    assert is_right(planted, found)[0], place_of(found)


@pytest.mark.parametrize("name", PLANTED)
def test_the_cause_is_named(name: str, findings: Findings) -> None:
    planted, found = findings(name)
    assert is_right(planted, found)[1], found.cause


def is_right(planted: Planted, found: Bisection) -> tuple[bool, bool]:
    """Say whether the place and the cause are those that were planted."""
    assert found.cause is not None
    is_placed = found.verdict == "different" and re.search(planted.where, place_of(found)) is not None
    return is_placed, found.cause.kind == planted.kind and re.search(planted.why, found.cause.name) is not None


def test_another_place_or_cause_would_not_be_right(findings: Findings) -> None:
    planted, found = findings("another dropout seed")
    assert is_right(replace(planted, where="step 2"), found) == (False, True)
    assert is_right(replace(planted, kind="data"), found) == (True, False)
    assert is_right(replace(planted, why="^data_seed$"), found) == (True, False)


def row(name: str, planted: Planted, found: Bisection) -> str:
    """Return a line of the table; what a stock kernel gives is this machine's, and told without numbers."""
    assert found.cause is not None
    where = place_of(found)
    if "stock" in name:
        where = where.partition(", element")[0]
    right = ["yes" if each else "no" for each in is_right(planted, found)]
    cells = (name, where, f"{found.cause.kind}: {found.cause.name}", *right)
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def test_the_table_of_the_page_is_what_was_found(findings: Findings) -> None:
    rows = {name: row(name, *findings(name)) for name in PLANTED}
    right = [is_right(*findings(name)) for name in PLANTED]
    counts = [sum(each) for each in zip(*right, strict=True)]
    assert (counts[0], counts[1] >= 11) == (12, True)
    head = "| planted | where, as bisect says it | why, as bisect says it | place right | cause right |"
    lines = [head, "| --- | --- | --- | --- | --- |", *rows.values(), ""]
    total = f"{counts[0]} of {len(rows)} places and {counts[1]} of {len(rows)} causes are right."
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(START)
    table, _, after = rest.partition(END)
    if os.environ.get(WRITE) == "1":
        PAGE.write_text(f"{before}{START}\n{chr(10).join(lines)}\n{total}\n\n{END}{after}", encoding="utf-8")
        return
    written = {line.split(" | ")[0].removeprefix("| "): line for line in table.splitlines() if line.startswith("| ")}
    for name, line in rows.items():
        # Where stock kernels part is this machine's: the cause is the same everywhere.
        cells = [1, 2, 3, 4] if "stock" not in name else [2, 3, 4]
        expected, actual = written[name].split(" | "), line.split(" | ")
        assert [expected[cell] for cell in cells] == [actual[cell] for cell in cells], name
    assert total in table


def test_the_stock_operation_is_confirmed_by_hand(stock: Path, findings: Findings) -> None:
    """The one product, computed alone by torch from its own inputs, gives A's bits on one thread and B's on two."""
    import torch

    _, found = findings("1 and 2 threads (stock)")
    operation = found.operation
    assert operation is not None
    assert operation.elements is not None
    module = operation.output.module
    if operation.output.operation != "aten::mm" or not module.endswith(".lora_B.default"):
        pytest.skip(f"on this machine another operation differs first: {name_of(operation.output)}")
    trace = rebuild(recipe_of(stock), Sources(), {"threads": 1}).trace_step("op", range(1, MAX_OUTPUTS))
    branch = module.replace("lora_B", "lora_A")
    (left,) = (o.n for o in trace.outputs if (o.module, o.phase, o.operation) == (branch, "forward", "aten::mm"))
    n_rows, width = trace.tensors[left].shape[0], operation.output.shape[0]
    # The gradient that arrives at the branch is the last output of that size before the product.
    earlier = [o.n for o in trace.outputs[: operation.output.n - 1] if np.prod(o.shape, dtype=int) == n_rows * width]
    gradient = torch.from_numpy(trace.tensors[earlier[-1]].reshape(n_rows, width))
    products = []
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        products.append(torch.mm(gradient.t(), torch.from_numpy(trace.tensors[left])).numpy().copy())
    assert tensor_sha256(products[0]) == found.operation.golden.sha256
    assert tensor_sha256(products[1]) == found.operation.candidate.sha256
    differing = np.argwhere(products[0].view("u4") != products[1].view("u4"))
    facts = operation.elements.facts
    assert (len(differing), differing[0].tolist()) == (facts["n_different"], facts["first_index"])
