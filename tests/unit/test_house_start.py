"""Light commands stay light: they load no PyTorch, and the core works where no extra is installed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src"
TORCH_PACKAGES = {"torch", "transformers", "peft", "accelerate"}
EXTRA_PACKAGES = {*TORCH_PACKAGES, "matplotlib", "safetensors", "pytest", "hypothesis", "jsonschema"}

LIST_LOADED = """
import json, sys
from samebits.cli.main import run
code = run(sys.argv[1:])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""

WITHOUT_EXTRAS = """
import importlib.abc, importlib.metadata, itertools, sys

finders = list(sys.meta_path)

class WithoutExtras(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] in {names}:
            return None
        return next(filter(None, (finder.find_spec(fullname, path, target) for finder in finders)), None)

    def find_distributions(self, context=importlib.metadata.DistributionFinder.Context()):
        found = (finder.find_distributions(context) for finder in finders if hasattr(finder, "find_distributions"))
        return itertools.chain.from_iterable(found)

sys.meta_path[:] = [WithoutExtras()]
"""


def _python(code: str, *arguments: str, cwd: Path, sources: Path = SOURCES) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(sources)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def _loaded(arguments: list[str], cwd: Path, sources: Path = SOURCES) -> tuple[int, set[str]]:
    done = _python(LIST_LOADED, *arguments, cwd=cwd, sources=sources)
    assert done.returncode == 0, done.stderr
    code, names = json.loads(done.stdout.splitlines()[-1])
    return code, set(names)


@pytest.fixture
def two_folders(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "losses.json").write_text('{"loss": 1.5}\n', encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--version"], {"numpy", "pydantic", "yaml", "huggingface_hub", "tokenizers", "jinja2", "rich"}),
        (["--help"], {"numpy", "pydantic", "yaml", "huggingface_hub", "tokenizers", "jinja2", "rich"}),
        (["compare", "a", "b"], {"huggingface_hub", "tokenizers", "matplotlib", "jinja2"}),
        (["compare", "--help"], {"huggingface_hub", "tokenizers", "matplotlib", "jinja2"}),
        (["analyze", "--help"], {"huggingface_hub", "tokenizers", "matplotlib"}),
        (["study", "--help"], {"huggingface_hub", "tokenizers", "matplotlib"}),
        (["train", "--help"], {"huggingface_hub", "tokenizers", "matplotlib"}),
        (["doctor", "--help"], {"huggingface_hub", "tokenizers", "matplotlib"}),
        (["make-base", "--help"], {"huggingface_hub", "matplotlib"}),
        (["env", "--no-torch"], {"huggingface_hub", "tokenizers", "matplotlib"}),
    ],
    ids=" ".join,
)
def test_light_command(two_folders: Path, arguments: list[str], absent: set[str]) -> None:
    code, loaded = _loaded(arguments, two_folders)
    assert code == 0
    assert not loaded & (TORCH_PACKAGES | absent)


def test_a_heavy_import_would_be_seen(two_folders: Path) -> None:
    sources = two_folders / "src"
    shutil.copytree(SOURCES / "samebits", sources / "samebits", ignore=shutil.ignore_patterns("__pycache__"))
    (sources / "torch").mkdir()
    (sources / "torch" / "__init__.py").write_text("", encoding="utf-8")
    with (sources / "samebits" / "cli" / "compare.py").open("a", encoding="utf-8") as stream:
        stream.write("\nimport torch\n")
    assert "torch" in _loaded(["compare", "--help"], two_folders, sources)[1]


def _core_modules() -> list[str]:
    paths = (path.relative_to(SOURCES).with_suffix("") for path in (SOURCES / "samebits").rglob("*.py"))
    names = (".".join(path.parts).removesuffix(".__init__") for path in paths)
    # The part `pytorch` is what the extra `torch` is for; api.py offers its classes, and is itself loaded on first use.
    return sorted(name for name in names if not name.startswith(("samebits.pytorch", "samebits.api", "samebits.__")))


def test_core_imports_without_any_extra(tmp_path: Path) -> None:
    code = WITHOUT_EXTRAS.replace("{names}", repr(EXTRA_PACKAGES)) + (
        "import importlib\nfor name in sys.argv[1:]:\n    importlib.import_module(name)\nprint('all')\n"
    )
    done = _python(code, *_core_modules(), cwd=tmp_path)
    assert done.stdout == "all\n", done.stderr


def test_a_portable_training_needs_no_extra(tmp_path: Path, native_libraries: Path) -> None:
    code = WITHOUT_EXTRAS.replace("{names}", repr(EXTRA_PACKAGES)) + (
        "from pathlib import Path\nfrom samebits.numerics import library\nlibrary.LIBRARIES = Path(sys.argv[1])\n"
        "from samebits.cli.main import run\nsys.exit(run(sys.argv[2:]))\n"
    )
    arguments = ["--set", "numerics=portable-f32", "--set", "max_steps=1", "--out", "run"]
    done = _python(code, str(native_libraries), "train", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "golden" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize("arguments", [["train", "--set", "numerics=stock", "--out", "run"]], ids=" ".join)
def test_missing_extra_is_said(tmp_path: Path, arguments: list[str]) -> None:
    code = WITHOUT_EXTRAS.replace("{names}", repr(EXTRA_PACKAGES)) + (
        "from samebits.cli.main import run\nsys.exit(run(sys.argv[1:]))\n"
    )
    done = _python(code, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "samebits[torch]" in done.stderr
    assert "Traceback" not in done.stderr
