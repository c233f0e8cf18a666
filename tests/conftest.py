"""The native libraries, compiled once per session into a temporary folder; nothing else in the tests needs them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REFERENCE = "reference"
RUNNABLE = pytest.StashKey[tuple[str, ...]]()
_PROGRAM = """
import sys
from pathlib import Path
from samebits.numerics import library
library.LIBRARIES = Path(sys.argv.pop(1))
from samebits.cli.main import main
main()
"""


@pytest.fixture(scope="session")
def native_libraries(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the kernels find this session's libraries, made by the pinned compiler from the sources under test."""
    from samebits.numerics import build, library

    folder = tmp_path_factory.mktemp("libraries")
    build.build(folder=folder, compiler="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "LIBRARIES", folder)
        request.config.stash[RUNNABLE] = library.runnable_isas()
        yield folder


@pytest.fixture(scope="session")
def program(native_libraries: Path) -> list[str]:
    """The command line of `samebits`, up to its arguments, with the kernels of this session."""
    return [sys.executable, "-c", _PROGRAM, str(native_libraries)]


@pytest.fixture
def native(request: pytest.FixtureRequest, native_libraries: Path) -> Iterator[object]:
    """One `Library` that this machine can run, in use; a test that asks for it runs once for each instruction set."""
    from samebits.numerics import library
    from samebits.numerics.reference.library import reference_library

    if request.param == REFERENCE:
        with library.using(reference_library()) as used:
            yield used
        return
    if request.param not in library.runnable_isas():
        pytest.skip(f"this processor has no {request.param}")
    with library.using(library.open_library(request.param)) as used:
        yield used


class Replay:
    """A `Session` that computes nothing: it hands out again what a finished run recorded."""

    def __init__(self, run: Path) -> None:
        from samebits.canonical.safetensors_file import TensorFile
        from samebits.record.trace import read_trace

        golden = run / "golden"
        file = TensorFile(golden / "adapter_model.safetensors")
        documents = {
            name: json.loads((golden / f"{name}.json").read_bytes())
            for name in ("recipe", "training_args", "results", "adapter_config")
        }
        trace = (golden / "trace.jsonl").read_bytes()
        self.documents: dict[str, Any] = {
            **documents,
            "trace": trace,
            "generations": [json.loads(line) for line in (golden / "generations.jsonl").read_bytes().splitlines()],
            "adapter": {name: file.array(name).copy() for name in file.tensors},
        }
        self.trace = read_trace(trace, "trace")
        self.recipe, self.deciding, self.step = documents["recipe"], dict[str, Any](), 0

    @property
    def n_steps(self) -> int:
        return len(self.trace)

    def restore(self, checkpoint: Any, where: str) -> None:
        self.step = checkpoint.step

    def take_step(self) -> dict[str, Any]:
        self.step += 1
        return self.trace[self.step - 1]

    def golden_documents(self) -> dict[str, Any]:
        return self.documents


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portable run of 6 steps with checkpoints after 2 and 4. Whoever changes it must change a copy."""
    from samebits.recipe.reader import settings_from
    from samebits.record.progress import Silence
    from samebits.training.portable import train

    out = tmp_path_factory.mktemp("trained") / "run"
    values = {"max_steps": 6, "save_steps": 2, "lora_r": 2, "generation_max_new_tokens": 2}
    train(settings_from(values, where="here"), out, resume=False, progress=Silence())
    return out


@pytest.fixture
def replay(trained_run: Path) -> Replay:
    """A session that hands out `trained_run` again."""
    return Replay(trained_run)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this processor lacks from here, not from `native`: pytest lists one line for it, not one per test."""
    isa = (
        item.callspec.params.get("native") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else None
    )
    if isa not in (None, REFERENCE) and isa not in item.config.stash.get(RUNNABLE, (isa,)):
        pytest.skip(f"this processor has no {isa}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for `native` on every instruction set of this platform; a clause's tests on the reference, too."""
    if "native" in metafunc.fixturenames:
        from samebits.numerics.build import PLATFORMS, host_platform

        platform = PLATFORMS.get(host_platform())
        isas = [*platform.zig_processors] if platform else []
        if metafunc.definition.path.parent.name == "spec" and not metafunc.definition.get_closest_marker("compiled"):
            isas.append(REFERENCE)
        metafunc.parametrize("native", isas, indirect=True)
