"""A base that exists only as `pytorch_model.bin`, converted once to safetensors; nothing of the pickle is run."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from samebits.canonical.atomic import write_atomic
from samebits.canonical.json_bytes import load_json
from samebits.canonical.safetensors_file import write_safetensors
from samebits.errors import ModelError, RecordError
from samebits.models.seeded import make_empty
from samebits.models.shapes import COMPUTED_BUFFERS
from samebits.pytorch.quiet import quiet_libraries

WEIGHTS = "pytorch_model.bin"
INDEX = "pytorch_model.bin.index.json"
COPIED = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt", "chat_template.jinja", "generation_config.json",
)  # fmt: skip
_SHARD = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*\.bin")


def convert_bin(folder: Path, out: Path) -> None:
    """Write the model of `folder` to `out` as one canonical model.safetensors with its configuration and tokenizer.

    Tensors keep their names, shapes and bits, but for bfloat16, which becomes float32 (every value exactly). Tied
    tensors are kept once, computed buffers are dropped, both as `save_pretrained` does.

    Args:
        folder: holds config.json and pytorch_model.bin, or its shards and their index.
        out: a new or empty folder.
    Raises:
        ModelError: a pickle with anything but tensors in it, a damaged file, tensors that are not the model's.
        UsageError: `out` holds something.
        StorageError: the disk refused.
    """
    tensors = _load(folder)
    model = _empty_model(folder)
    arrays = {name: _array(tensor) for name, tensor in _matched(tensors, model, str(folder)).items()}
    make_empty(out)
    write_safetensors(out / "model.safetensors", arrays)
    for name in COPIED:
        if (folder / name).is_file():
            write_atomic(out / name, _bytes(folder / name))
    # Last: a folder without its configuration is no model, so a killed command leaves nothing that looks like one.
    write_atomic(out / "config.json", _bytes(folder / "config.json"))


def _load(folder: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for name in _weight_files(folder):
        for tensor_name, tensor in _load_file(folder / name).items():
            if tensor_name in tensors:
                raise ModelError("a tensor must be in one shard", got=f"{tensor_name} twice", where=str(folder / name))
            tensors[tensor_name] = tensor
    return tensors


def _weight_files(folder: Path) -> list[str]:
    if (folder / WEIGHTS).is_file():
        return [WEIGHTS]
    if not (folder / INDEX).is_file():
        raise ModelError(f"the folder must hold {WEIGHTS} or {INDEX}", got="neither", where=str(folder))
    try:
        index = load_json(_bytes(folder / INDEX), where=str(folder / INDEX))
    except RecordError as error:
        raise ModelError(error.must, got=error.got, where=error.where) from error
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelError("the index must have a `weight_map`", where=str(folder / INDEX))
    names = sorted(set(map(str, weight_map.values())))
    for name in names:
        if not _SHARD.fullmatch(name):
            raise ModelError(
                "a shard must be a .bin file of the folder itself", got=repr(name), where=str(folder / INDEX)
            )
        if not (folder / name).is_file():
            raise ModelError("every shard of the index must be there", got=f"no {name}", where=str(folder))
    return names


def _load_file(path: Path) -> Mapping[str, torch.Tensor]:
    try:
        # Files of torch before 1.6 are no archives and cannot be mapped.
        with quiet_libraries():
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        named = re.search(r"(?:GLOBAL|class|function) `?([\w.]+)", str(error))
        raise ModelError(
            "the weights must be tensors and nothing else: no code of a pickle is run",
            got=named[1] if named else "something else",
            where=str(path),
            remedy="get the model as safetensors from somebody you trust",
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ModelError(
            "the weights must be a readable torch file", got=_first_line(error), where=str(path)
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in state.items()
    ):
        raise ModelError("the weights must be tensors by name", got=type(state).__name__, where=str(path))
    return state


def _empty_model(folder: Path) -> PreTrainedModel:
    """Return the model that the configuration describes, without memory for its tensors."""
    try:
        with quiet_libraries(), torch.device("meta"):
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            return AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            "config.json must describe a causal language model of transformers",
            got=_first_line(error),
            where=str(folder / "config.json"),
        ) from error


def _matched(tensors: Mapping[str, torch.Tensor], model: PreTrainedModel, where: str) -> dict[str, torch.Tensor]:
    """Return the tensors that the model stores, under its own names, each tied one once."""
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    tied: Mapping[str, str] = model.all_tied_weights_keys
    prefix = f"{model.base_model_prefix}."
    found = {
        # A file saved from the bare model, without its head, lacks the prefix.
        name if name in expected or COMPUTED_BUFFERS.fullmatch(name) else f"{prefix}{name}": tensor
        for name, tensor in tensors.items()
        if name in expected or not COMPUTED_BUFFERS.fullmatch(name)
    }
    for name, source in tied.items():
        head = found.pop(name, None)
        if head is not None and not _same(head, found.setdefault(source, head)):
            raise ModelError("tied tensors must be equal", got=f"another {name} than {source}", where=where)
        expected.pop(name, None)
    if found.keys() != expected.keys():
        name = min(found.keys() ^ expected.keys())
        state = "is not the model's" if name in found else "is missing"
        raise ModelError("the weights must be those of config.json", got=f"{name}, which {state}", where=where)
    for name, tensor in found.items():
        if tuple(tensor.shape) != expected[name]:
            raise ModelError(f"{name} must be {list(expected[name])}", got=f"{list(tensor.shape)}", where=where)
    return found


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.data_ptr() == b.data_ptr() or _array(a).tobytes() == _array(b).tobytes()


def _array(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    # NumPy has no bfloat16; float32 holds each of its values.
    array: np.ndarray[Any, Any] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()
    return array


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError("the file must be readable", got=str(error.strerror), where=str(path)) from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
