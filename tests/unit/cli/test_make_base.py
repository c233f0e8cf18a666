from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from samebits.cli.main import run
from samebits.models.base import find_base
from samebits.models.seeded import embedded_folder
from samebits.models.shapes import SHAPES
from samebits.recipe.settings import EMBEDDED


def test_a_seeded_base_is_written_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "base"
    assert run(["make-base", "--like", "gpt2-tiny", "--seed", "42", "--out", str(out)]) == 0
    expected = find_base(EMBEDDED, None)
    assert capsys.readouterr().out.splitlines() == [
        f"{out}: GPT2LMHeadModel, 165,632 parameters",
        "tokenizer: the bundled one, 512 tokens; ids stay below the base's vocabulary",
        f"weights sha256: {expected.weights_sha256}",
    ]
    for path in embedded_folder().iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
def test_a_terminal_has_a_bar_and_a_pipe_has_none(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "samebits", "make-base", "--like", "gpt2-tiny", "--out"]
    piped = subprocess.run([*command, str(tmp_path / "pipe")], capture_output=True, text=True, check=True)
    assert piped.stderr == ""
    ours, theirs = os.openpty()
    subprocess.run([*command, str(tmp_path / "terminal")], stdout=subprocess.PIPE, stderr=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "weights" in shown
    assert "662.5/662.5 kB" in shown


def test_json_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "base")
    assert run(["make-base", "--like", "qwen2-tiny", "--out", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"out": out, **find_base(out, None).document}


@pytest.mark.parametrize("as_json", [False, True])
def test_the_shapes_are_listed(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["make-base", "--list", *(["--json"] if as_json else [])]) == 0
    printed = capsys.readouterr().out
    if as_json:
        assert json.loads(printed) == {name: about for name, (about, _) in SHAPES.items()}
    else:
        assert [line.split()[0] for line in printed.splitlines()] == list(SHAPES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "takes --like SHAPE or --from-bin FOLDER, and --out FOLDER"),
        (["--like", "gpt2-tiny"], "takes --like SHAPE or --from-bin FOLDER, and --out FOLDER"),
        (["--out", "OUT"], "takes --like SHAPE or --from-bin FOLDER, and --out FOLDER"),
        (["--like", "gpt2-tiny", "--from-bin", "x", "--out", "OUT"], "takes --like SHAPE or --from-bin FOLDER"),
        (["--like", "gpt9", "--out", "OUT"], "--like must be one of gpt2-tiny"),
        (["--like", "gpt2-tiny", "--seed", "-1", "--out", "OUT"], "Invalid value for '--seed'"),
        (["--like", "gpt2-tiny", "--seed", "4294967296", "--out", "OUT"], "Invalid value for '--seed'"),
        (["--like", "gpt2-tiny", "--revision", "0" * 40, "--out", "OUT"], "--revision belongs to a hub name"),
        (["--from-bin", str(embedded_folder()), "--revision", "0" * 40, "--out", "OUT"], "--revision belongs to a hub"),
        (["--from-bin", str(embedded_folder()), "--out", "OUT"], "must hold pytorch_model.bin or"),
        (["--from-bin", "./missing", "--out", "OUT"], "--from-bin must be a model folder or a hub name"),
    ],
)
def test_arguments_that_do_not_fit_exit_2_and_write_nothing(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(["make-base", *(str(out) if argument == "OUT" else argument for argument in arguments)]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert not out.exists()


def test_a_full_folder_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("mine")
    assert run(["make-base", "--like", "gpt2-tiny", "--out", str(tmp_path)]) == 2
    assert "must be new or empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_pickle_becomes_the_base_that_it_was_saved_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for path in embedded_folder().glob("*.json"):
        (folder / path.name).write_bytes(path.read_bytes())
    from safetensors.torch import load_file

    torch.save(load_file(embedded_folder() / "model.safetensors"), folder / "pytorch_model.bin")
    out = tmp_path / "out"
    assert run(["make-base", "--from-bin", str(folder), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "tokenizer:" not in printed
    assert f"weights sha256: {find_base(EMBEDDED, None).weights_sha256}" in printed
    assert find_base(str(out), None).document == find_base(EMBEDDED, None).document


def test_a_seeded_base_needs_no_torch(tmp_path: Path) -> None:
    program = (
        "import sys; from samebits.cli.main import run\n"
        f"code = run(['make-base', '--like', 'gpt2-tiny', '--out', {str(tmp_path / 'base')!r}])\n"
        "print(code, *(name in sys.modules for name in ('torch', 'transformers', 'huggingface_hub')))"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert child.stdout.splitlines()[-1] == "0 False False False"
