"""A base model folder: found, checked, and known by the digest of its contents rather than of its files."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import rfc8785

from samebits.canonical.digests import sha256_bytes
from samebits.canonical.json_bytes import dump_json, load_json
from samebits.canonical.safetensors_file import TensorFile
from samebits.errors import ModelError
from samebits.models.hub import HUB_NAME, download
from samebits.models.seeded import embedded_folder
from samebits.models.shapes import COMPUTED_BUFFERS, context_key, tensors_of
from samebits.recipe.settings import EMBEDDED

FAMILIES = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "mistral": "MistralForCausalLM",
}
"""model_type of each family that can be trained, and its architecture."""

DEFAULT_TARGETS = {
    "gpt2": ("c_attn",),
    "llama": ("q_proj", "v_proj"),
    "qwen2": ("q_proj", "v_proj"),
    "qwen3": ("q_proj", "v_proj"),
    "mistral": ("q_proj", "v_proj"),
}
"""PEFT's choice of LoRA target modules for each family: leaving them out and stating them is one recipe."""

SIZE_KEYS = {
    "gpt2": ("vocab_size", "n_embd", "n_layer", "n_head"),
    "llama": ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
}
SIZE_KEYS["qwen2"] = SIZE_KEYS["mistral"] = (*SIZE_KEYS["llama"], "num_key_value_heads")
SIZE_KEYS["qwen3"] = (*SIZE_KEYS["qwen2"], "head_dim")
"""Sizes that a family's config.json must state: what is left out would be filled in by transformers' version."""
OPTIONAL_SIZE_KEYS = ("n_inner", "num_key_value_heads", "head_dim")
MAX_SIZE = 1 << 24
MAX_LAYERS = 4096

WEIGHT_DTYPES = ("F32", "F16", "BF16")
MAX_CONFIG_BYTES = 1 << 20
MAX_INDEX_BYTES = 64 << 20
MAX_SHARDS = 1000
UNDECIDING_CONFIG_KEYS = ("_name_or_path", "transformers_version", "torch_dtype", "dtype", "architectures", "use_cache")
"""Keys of config.json that decide no bits: where it was saved, by what, and as which type the weights lie there."""


@dataclass(frozen=True)
class Base:
    """A base model that can be trained.

    `config_sha256` is the digest of the canonical configuration without the keys that decide no bits;
    `weights_sha256` is that of the tensors, sorted by name, whatever files they lie in, without buffers that are
    computed. `origin` is for the observed set only: it names a place of this machine or of a hub.
    """

    folder: Path
    config: dict[str, Any]
    architecture: str
    weight_files: tuple[Path, ...]
    weight_dtypes: tuple[str, ...]
    n_parameters: int
    config_sha256: str
    weights_sha256: str
    origin: str

    @property
    def document(self) -> dict[str, Any]:
        """The base's part of `recipe.json`."""
        return {
            "architecture": self.architecture,
            "config_sha256": self.config_sha256,
            "n_parameters": self.n_parameters,
            "weight_dtypes": list(self.weight_dtypes),
            "weights_sha256": self.weights_sha256,
        }


def find_base(name_or_path: str, revision: str | None) -> Base:
    """Find a base by folder, by hub name and commit, or the embedded one, and digest it.

    Raises:
        ModelError: nothing is there, or what is there cannot be trained; the reason and the remedy are named.
    """
    folder, origin = _find_folder(name_or_path, revision)
    config = _read_config(folder)
    files = _weight_files(folder)
    tensors = _map_tensors(files)
    _check_complete(config, tensors, folder)
    dtypes = {file.tensors[name].dtype for name, file in tensors.items()}
    return Base(
        folder=folder,
        config=config,
        architecture=FAMILIES[config["model_type"]],
        weight_files=tuple(files),
        weight_dtypes=tuple(sorted(dtypes)),
        n_parameters=sum(file.tensors[name].n_elements for name, file in tensors.items()),
        config_sha256=_config_sha256(config, str(folder / "config.json")),
        weights_sha256=_weights_sha256(tensors),
        origin=origin,
    )


def _find_folder(name_or_path: str, revision: str | None) -> tuple[Path, str]:
    path = Path(name_or_path)
    if name_or_path == EMBEDDED or _exists(path):
        if revision is not None:
            raise ModelError(
                "`model_revision` belongs to a hub name", got=f"it with {name_or_path!r}", remedy="leave it out"
            )
        if name_or_path == EMBEDDED:
            return embedded_folder(), EMBEDDED
        if not path.is_dir():
            raise ModelError("`model_name_or_path` must be a model folder", got="a file", where=name_or_path)
        return path, str(path.resolve())
    if HUB_NAME.fullmatch(name_or_path) is None:
        raise ModelError(
            "`model_name_or_path` must be a model folder, a hub name or `embedded`",
            got=f"{name_or_path!r}, which is none of them",
            remedy="see `samebits make-base --help` to write a base here",
        )
    return download(name_or_path, revision), f"{name_or_path}@{revision}"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        # A name too long for a file, or in a folder that is not ours to read.
        return False


def _read_config(folder: Path) -> dict[str, Any]:
    config = _read_object(folder / "config.json", MAX_CONFIG_BYTES)
    where = str(folder / "config.json")
    if "auto_map" in config:
        raise ModelError("a base must need no code of its own", got="`auto_map`, which names some", where=where)
    if config.get("quantization_config") is not None:
        raise ModelError("a base must hold float weights", got="a quantized one", where=where)
    family = config.get("model_type")
    if not isinstance(family, str) or family not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise ModelError(f"`model_type` must be one of {known}", got=repr(family), where=where)
    architectures = config.get("architectures") or [FAMILIES[family]]
    if architectures != [FAMILIES[family]]:
        raise ModelError(
            f"a {family} base must be a {FAMILIES[family]} (a causal language model)",
            got=repr(architectures),
            where=where,
        )
    context = config.get(context_key(family))
    # `type`, because true is an int too.
    if type(context) is not int or context < 1:
        raise ModelError(
            f"`{context_key(family)}` must say how many tokens the base can read", got=repr(context), where=where
        )
    _check_sizes(config, where)
    return config


def _check_sizes(config: dict[str, Any], where: str) -> None:
    stated = {key: config.get(key) for key in SIZE_KEYS[config["model_type"]]}
    stated |= {key: config[key] for key in OPTIONAL_SIZE_KEYS if config.get(key) is not None}
    for key, size in stated.items():
        limit = MAX_LAYERS if key.endswith(("n_layer", "hidden_layers")) else MAX_SIZE
        if type(size) is not int or not 1 <= size <= limit:
            raise ModelError(f"`{key}` must be a whole number from 1 to {limit}", got=repr(size), where=where)


def _check_complete(config: dict[str, Any], tensors: dict[str, TensorFile], folder: Path) -> None:
    """Refuse a base that would be completed: what a file lacks, a loader draws at random, and no digest sees it."""
    expected = tensors_of({**config, "initializer_range": 0})
    found = {name: file.tensors[name].shape for name, file in tensors.items()}
    for name, tensor in expected.items():
        # Bases saved without their head, as GPT-2 on the hub, have no first part in their names.
        shape = found.get(name, found.get(name.partition(".")[2]))
        if shape is None:
            raise ModelError("a base must hold every tensor of its configuration", got=f"no {name}", where=str(folder))
        if shape != tensor.shape:
            raise ModelError(
                f"{name} must be {list(tensor.shape)}, as config.json has it", got=str(list(shape)), where=str(folder)
            )


def _config_sha256(config: dict[str, Any], where: str) -> str:
    deciding = {key: value for key, value in config.items() if key not in UNDECIDING_CONFIG_KEYS}
    try:
        return sha256_bytes(dump_json(deciding))
    except rfc8785.CanonicalizationError as error:
        raise ModelError(
            "numbers and texts of config.json must be ones that every JSON reader holds", got=str(error), where=where
        ) from error


def _read_object(path: Path, max_bytes: int) -> dict[str, Any]:
    _refuse_device(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(max_bytes + 1)
    except OSError as error:
        raise ModelError(
            f"a model folder must hold a readable {path.name}", got=str(error.strerror), where=str(path)
        ) from error
    if len(data) > max_bytes:
        raise ModelError(f"{path.name} must have at most {max_bytes} bytes", where=str(path))
    document = load_json(data, where=str(path))
    if not isinstance(document, dict):
        raise ModelError(f"{path.name} must be a JSON object", got=type(document).__name__, where=str(path))
    return document


def _refuse_device(path: Path) -> None:
    """A pipe would never answer, and a device might never end; links are what a hub's cache is made of."""
    if path.exists() and not path.is_file():
        raise ModelError("a model folder must hold regular files", got="a folder, a pipe or a device", where=str(path))


def _weight_files(folder: Path) -> list[Path]:
    if (folder / "adapter_config.json").exists():
        # transformers would load the adapter too, and train on top of it.
        raise ModelError(
            "a base must hold no adapter", got="adapter_config.json beside its weights", where=str(folder),
            remedy="merge the adapter into the base, or remove it from the folder",
        )  # fmt: skip
    if (folder / "model.safetensors").exists():
        return [folder / "model.safetensors"]
    index = folder / "model.safetensors.index.json"
    if index.exists():
        return _shards(folder, index)
    if (folder / "pytorch_model.bin").exists() or (folder / "pytorch_model.bin.index.json").exists():
        raise ModelError(
            "weights must be safetensors",
            got="only pytorch_model.bin, a pickle",
            where=str(folder),
            remedy=f"convert it once: samebits make-base --from-bin {shlex.quote(str(folder))} --out NEW_FOLDER",
        )
    raise ModelError("a model folder must hold model.safetensors", got="none", where=str(folder))


def _shards(folder: Path, index: Path) -> list[Path]:
    mapping = _read_object(index, MAX_INDEX_BYTES).get("weight_map")
    if not isinstance(mapping, dict) or not all(isinstance(name, str) for name in mapping.values()):
        raise ModelError("`weight_map` must map tensor names to file names", where=str(index))
    names = sorted(set(mapping.values()))
    if not 1 <= len(names) <= MAX_SHARDS:
        raise ModelError(f"a base must have 1 to {MAX_SHARDS} shards", got=str(len(names)), where=str(index))
    for name in names:
        if PurePosixPath(name).name != name or "\\" in name or not name.endswith(".safetensors"):
            raise ModelError("a shard must be a safetensors file of the folder", got=repr(name), where=str(index))
        if not (folder / name).is_file():
            raise ModelError("every shard of the index must be there", got=f"no {name}", where=str(folder))
    return [folder / name for name in names]


def _map_tensors(files: list[Path]) -> dict[str, TensorFile]:
    tensors: dict[str, TensorFile] = {}
    for path in files:
        _refuse_device(path)
        try:
            file = TensorFile(path)
        except OSError as error:
            raise ModelError("weights must be readable", got=str(error.strerror), where=str(path)) from error
        for name, info in file.tensors.items():
            if COMPUTED_BUFFERS.fullmatch(name):
                continue
            if name in tensors:
                raise ModelError("a tensor must lie in one shard", got=f"{name!r} in two", where=str(path))
            if info.dtype not in WEIGHT_DTYPES:
                raise ModelError(
                    f"weights must be {', '.join(WEIGHT_DTYPES)}", got=info.dtype, where=f"tensor {name!r} of {path}"
                )
            tensors[name] = file
    if not tensors:
        raise ModelError("a base must hold tensors", got="none", where=str(files[0]))
    return tensors


def _weights_sha256(tensors: dict[str, TensorFile]) -> str:
    """The digest that `canonical.tensors_sha256` gives the same tensors as arrays, read through the maps."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{tensors[name].sha256_of(name)}  {name}\n".encode())
    return digest.hexdigest()
