from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from samebits.canonical.safetensors_file import TensorFile
from samebits.models.base import Base, find_base
from samebits.models.weights import Weights

pytestmark = pytest.mark.usefixtures("native_libraries")

NORM = "transformer.ln_f.weight"


@pytest.fixture
def folder(base_of: Callable[[str], Base], tmp_path: Path) -> Path:
    return Path(shutil.copytree(base_of("gpt2-tiny").folder, tmp_path / "base"))


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / "model.safetensors")


def _weights(folder: Path, tensors: dict[str, torch.Tensor]) -> Weights:
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    return Weights(find_base(str(folder), None))


def test_float32_comes_with_its_bits_as_an_aligned_array_of_its_own(folder: Path) -> None:
    weights, tensors = Weights(find_base(str(folder), None)), _tensors(folder)
    for name, tensor in tensors.items():
        array = weights.read(name)
        assert array.tobytes() == tensor.numpy().tobytes()
        assert array.dtype == np.dtype(np.float32)
        assert array.dtype.isnative
        assert array.flags.c_contiguous
        assert array.flags.aligned
        assert array.flags.writeable
        assert array.flags.owndata
    assert not np.shares_memory(weights.read(NORM), weights.read(NORM))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_every_value_of_the_halves_is_read_exactly(folder: Path, dtype: torch.dtype) -> None:
    values = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    finite = torch.where(torch.isfinite(values), values, torch.zeros((), dtype=dtype)).reshape(2, 512, 64)
    halves = dict(zip(("transformer.wte.weight", "transformer.wpe.weight"), finite.clone(), strict=True))
    weights = _weights(folder, _tensors(folder) | halves)
    for name, tensor in halves.items():
        assert weights.read(name).dtype == np.dtype(np.float32)
        assert weights.read(name).tobytes() == tensor.float().numpy().tobytes()


def test_names_without_their_first_part_are_found(folder: Path) -> None:
    """As GPT-2 lies on the hub, saved without its head."""
    tensors = _tensors(folder)
    weights = _weights(folder, {name.partition(".")[2]: tensor for name, tensor in tensors.items()})
    assert NORM in weights
    assert weights.read(NORM).tobytes() == tensors[NORM].numpy().tobytes()


def test_shards_are_one_base(folder: Path) -> None:
    tensors = _tensors(folder)
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    files = {name: f"part-{number % 3}.safetensors" for number, name in enumerate(names)}
    for file in set(files.values()):
        safetensors.torch.save_file({name: tensors[name] for name in names if files[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    weights = Weights(find_base(str(folder), None))
    assert all(weights.read(name).tobytes() == tensors[name].numpy().tobytes() for name in names)


def test_what_the_configuration_does_not_have_is_no_part_of_the_model(
    base_of: Callable[[str], Base], tmp_path: Path
) -> None:
    """transformers passes it over: a bias beside a Llama without biases must not be added."""
    folder = Path(shutil.copytree(base_of("llama-tiny").folder, tmp_path / "base"))
    bias, norm = "model.layers.0.self_attn.q_proj.bias", "model.layers.0.self_attn.q_norm.weight"
    weights = _weights(folder, _tensors(folder) | {bias: torch.ones(64), norm: torch.ones(16)})
    assert bias not in weights
    assert norm not in weights
    assert "model.layers.0.self_attn.q_proj.weight" in weights


def test_a_released_base_can_be_read_again(folder: Path) -> None:
    weights = Weights(find_base(str(folder), None))
    before = weights.read(NORM)
    weights.release()
    assert weights.read(NORM).tobytes() == before.tobytes()
    assert TensorFile(folder / "model.safetensors").array(NORM).tobytes() == before.tobytes()
