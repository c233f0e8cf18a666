from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from samebits.canonical.digests import sha256_bytes
from samebits.canonical.safetensors_file import TensorFile
from samebits.errors import ModelError, UsageError
from samebits.models.seeded import write_base
from samebits.pytorch.adapter import load_base
from samebits.pytorch.conversion import INDEX, WEIGHTS, convert_bin

pytestmark = pytest.mark.usefixtures("quiet")

SHAPES = ("gpt2-tiny", "llama-tiny", "qwen2-tiny", "qwen3-tiny", "mistral-tiny")


@pytest.fixture
def tensors(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, torch.Tensor]:
    """The state of a seeded model, as torch.save took it; its folder, without weights, is `bin`."""
    write_base(getattr(request, "param", "gpt2-tiny"), 3, tmp_path / "base")
    shutil.copytree(tmp_path / "base", tmp_path / "bin", ignore=shutil.ignore_patterns("*.safetensors"))
    return dict(load_base(tmp_path / "base", "sdpa").state_dict())


def _converted(tmp_path: Path) -> str:
    convert_bin(tmp_path / "bin", tmp_path / "out")
    return sha256_bytes((tmp_path / "out" / "model.safetensors").read_bytes())


@pytest.mark.parametrize("tensors", SHAPES, indirect=True)
def test_a_base_comes_back_with_its_bytes(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    torch.save(tensors, tmp_path / "bin" / WEIGHTS)
    assert _converted(tmp_path) == sha256_bytes((tmp_path / "base" / "model.safetensors").read_bytes())
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "base" / name).read_bytes()
    assert len(list((tmp_path / "out").iterdir())) == 5


def test_a_file_of_torch_before_1_6_is_read(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    torch.save(tensors, tmp_path / "bin" / WEIGHTS, _use_new_zipfile_serialization=False)
    assert _converted(tmp_path) == sha256_bytes((tmp_path / "base" / "model.safetensors").read_bytes())


def test_masks_are_dropped_and_a_bare_models_names_get_their_prefix(
    tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    bare = {
        name.removeprefix("transformer."): tensor for name, tensor in tensors.items() if not name.startswith("lm_head")
    }
    bare["h.0.attn.bias"] = torch.ones(1, 1, 8, 8)
    bare["h.0.attn.masked_bias"] = torch.tensor(-1e4)
    torch.save(bare, tmp_path / "bin" / WEIGHTS)
    assert _converted(tmp_path) == sha256_bytes((tmp_path / "base" / "model.safetensors").read_bytes())


def test_shards_are_joined(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    names = sorted(tensors)
    halves = {"a.bin": names[::2], "b.bin": names[1::2]}
    for file, part in halves.items():
        torch.save({name: tensors[name].clone() for name in part}, tmp_path / "bin" / file)
    weight_map = {name: file for file, part in halves.items() for name in part}
    (tmp_path / "bin" / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    assert _converted(tmp_path) == sha256_bytes((tmp_path / "base" / "model.safetensors").read_bytes())


def test_half_precision_is_kept_and_bfloat16_is_widened(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    cast = {name: tensor.to(torch.float16) for name, tensor in tensors.items()}
    name = "transformer.ln_f.weight"
    cast[name] = tensors[name].to(torch.bfloat16)
    torch.save(cast, tmp_path / "bin" / WEIGHTS)
    convert_bin(tmp_path / "bin", tmp_path / "out")
    file = TensorFile(tmp_path / "out" / "model.safetensors")
    assert file.tensors["transformer.wte.weight"].dtype == "F16"
    assert file.tensors[name].dtype == "F32"
    assert np.array_equal(file.array(name), cast[name].float().numpy())


class _Touch:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._path),)


@pytest.mark.parametrize("kind", ["archive", "plain pickle, protocol 2", "plain pickle, protocol 5"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not(tmp_path: Path, kind: str) -> None:
    write_base("gpt2-tiny", 3, tmp_path / "bin")
    trap = {"transformer.wte.weight": _Touch(tmp_path / "touched")}
    if kind == "archive":
        torch.save(trap, tmp_path / "bin" / WEIGHTS)
    else:
        (tmp_path / "bin" / WEIGHTS).write_bytes(pickle.dumps(trap, protocol=int(kind[-1])))
    with pytest.raises(ModelError, match="the weights must be tensors and nothing else: no code of a pickle is run"):
        convert_bin(tmp_path / "bin", tmp_path / "out")
    assert not (tmp_path / "touched").exists()
    assert not (tmp_path / "out").exists()
    if kind != "plain pickle, protocol 5":
        # The trap is a real one: Python's own loader would have run it.
        pickle.loads(pickle.dumps(trap))
        assert (tmp_path / "touched").is_dir()


@pytest.mark.parametrize(
    "shard", ["../secret.bin", "/etc/passwd", "sub/a.bin", "..", ".hidden.bin", "a.safetensors", ""]
)
def test_an_index_may_not_leave_the_folder(tmp_path: Path, tensors: dict[str, torch.Tensor], shard: str) -> None:
    torch.save(tensors, tmp_path / "secret.bin")
    (tmp_path / "bin" / INDEX).write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(ModelError, match=r"a shard must be a \.bin file of the folder itself"):
        convert_bin(tmp_path / "bin", tmp_path / "out")


@pytest.mark.parametrize(
    "index", ['{"weight_map": {}}', "[]", '{"weight_map": {"a": "a.bin"}}', "{", '{"a": 1, "a": 2}']
)
def test_a_broken_index_is_refused(tmp_path: Path, tensors: dict[str, torch.Tensor], index: str) -> None:
    (tmp_path / "bin" / INDEX).write_text(index)
    with pytest.raises(ModelError):
        convert_bin(tmp_path / "bin", tmp_path / "out")


def _drop(tensors: dict[str, Any]) -> None:
    del tensors["transformer.ln_f.weight"]


def _add(tensors: dict[str, Any]) -> None:
    tensors["transformer.extra"] = torch.ones(1)


def _reshape(tensors: dict[str, Any]) -> None:
    tensors["transformer.ln_f.weight"] = torch.ones(3)


def _untie(tensors: dict[str, Any]) -> None:
    tensors["lm_head.weight"] = tensors["lm_head.weight"] + 1


def _no_tensor(tensors: dict[str, Any]) -> None:
    tensors["transformer.ln_f.weight"] = [1.0]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (_drop, "transformer.ln_f.weight, which is missing"),
        (_add, "transformer.extra, which is not the model's"),
        (_reshape, r"transformer.ln_f.weight must be \[64\], got \[3\]"),
        (_untie, "tied tensors must be equal"),
        (_no_tensor, "the weights must be tensors by name"),
    ],
)
def test_weights_that_are_not_the_models_are_refused(
    tmp_path: Path, tensors: dict[str, torch.Tensor], fault: Any, told: str
) -> None:
    fault(tensors)
    torch.save(tensors, tmp_path / "bin" / WEIGHTS)
    with pytest.raises(ModelError, match=told):
        convert_bin(tmp_path / "bin", tmp_path / "out")


@pytest.mark.parametrize("n_bytes", [0, 10, 5000])
def test_a_truncated_file_is_refused(tmp_path: Path, tensors: dict[str, torch.Tensor], n_bytes: int) -> None:
    torch.save(tensors, tmp_path / "bin" / WEIGHTS)
    os.truncate(tmp_path / "bin" / WEIGHTS, n_bytes)
    with pytest.raises(ModelError):
        convert_bin(tmp_path / "bin", tmp_path / "out")


def test_a_folder_without_weights_and_a_full_target_are_refused(
    tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    with pytest.raises(ModelError, match=r"must hold pytorch_model\.bin or"):
        convert_bin(tmp_path / "bin", tmp_path / "out")
    torch.save(tensors, tmp_path / "bin" / WEIGHTS)
    with pytest.raises(UsageError, match="new or empty"):
        convert_bin(tmp_path / "bin", tmp_path / "base")
