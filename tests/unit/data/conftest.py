"""Small datasets and tokenizers on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import samebits
from samebits.data.tokenizer import Tokenizer, load_tokenizer

BUNDLED = Path(samebits.__file__).parent / "models" / "embedded"

WriteLines = Callable[..., Path]


@pytest.fixture
def write_lines(tmp_path: Path) -> WriteLines:
    """Write objects as JSONL, one a line, and return the file."""

    def write(*samples: Any, name: str = "data.jsonl") -> Path:
        path = tmp_path / name
        path.write_bytes("".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples).encode())
        return path

    return write


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """The bundled byte-level BPE; <|endoftext|> is its only special token."""
    return load_tokenizer(BUNDLED)


@pytest.fixture
def json_folder(tmp_path: Path) -> Path:
    """A model folder with the bundled tokenizer.json, to be changed by a test."""
    folder = tmp_path / "json-tokenizer"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(BUNDLED / name, folder / name)
    return folder


@pytest.fixture
def gpt2_folder(tmp_path: Path) -> Path:
    """A model folder as GPT-2 and DialoGPT have it on the hub: vocab.json, merges.txt, config.json."""
    folder = tmp_path / "gpt2-tokenizer"
    folder.mkdir()
    model = json.loads((BUNDLED / "tokenizer.json").read_bytes())["model"]
    merges = "".join(f"{left} {right}\n" for left, right in model["merges"])
    vocab = {"<|endoftext|>": 0, **model["vocab"]}
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}", encoding="utf-8")
    (folder / "config.json").write_text('{"model_type": "gpt2", "eos_token_id": 0, "bos_token_id": 0}')
    return folder
