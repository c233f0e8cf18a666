from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from samebits.canonical.safetensors_file import TensorFile, tensors_sha256, write_safetensors
from samebits.errors import ModelError, RecordError, SamebitsError
from samebits.models import base as base_module
from samebits.models.base import DEFAULT_TARGETS, FAMILIES, UNDECIDING_CONFIG_KEYS, find_base
from samebits.models.seeded import embedded_folder, write_base
from samebits.recipe.settings import EMBEDDED

Arrays = dict[str, np.ndarray[Any, Any]]
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the bundled model."""
    shutil.copytree(embedded_folder(), tmp_path / "base")
    return tmp_path / "base"


def arrays_of(folder: Path) -> Arrays:
    file = TensorFile(folder / WEIGHTS)
    return {name: file.array(name).copy() for name in file.tensors}


def shard(
    folder: Path, arrays: Arrays, n_shards: int, names: Callable[[int], str] = "model-{:05}.safetensors".format
) -> None:
    (folder / WEIGHTS).unlink(missing_ok=True)
    weight_map = {}
    for i in range(n_shards):
        part = {name: arrays[name] for name in sorted(arrays)[i::n_shards]}
        if "/" not in names(i):
            write_safetensors(folder / names(i), part)
        weight_map |= dict.fromkeys(part, names(i))
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= changes
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


def refusal(folder: Path) -> str:
    with pytest.raises(SamebitsError) as caught:
        find_base(str(folder), None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_embedded_base() -> None:
    base = find_base(EMBEDDED, None)
    assert (base.architecture, base.origin, base.folder) == ("GPT2LMHeadModel", EMBEDDED, embedded_folder())
    assert base.n_parameters == 165_632
    assert base.weight_dtypes == ("F32",)
    assert base.weights_sha256 == tensors_sha256(arrays_of(embedded_folder()))
    assert base.document == {
        "architecture": "GPT2LMHeadModel",
        "config_sha256": base.config_sha256,
        "n_parameters": 165_632,
        "weight_dtypes": ["F32"],
        "weights_sha256": base.weights_sha256,
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_found(tmp_path: Path, family: str) -> None:
    write_base(f"{family}-tiny", 1, tmp_path / "base")
    base = find_base(str(tmp_path / "base"), None)
    assert base.architecture == FAMILIES[family]
    assert base.origin == str(tmp_path / "base")


def test_shards_and_another_header_have_the_same_digest(folder: Path) -> None:
    expected, arrays = find_base(EMBEDDED, None).document, arrays_of(folder)
    for n_shards in (1, 2, 5):
        shard(folder, arrays, n_shards)
        base = find_base(str(folder), None)
        assert len(base.weight_files) == n_shards
        assert base.document == expected
        for path in base.weight_files:
            path.unlink()
    # The package orders by size and pads the header otherwise; `z` comes first here.
    backwards = dict(sorted(arrays.items(), reverse=True))
    safetensors.numpy.save_file(backwards, folder / WEIGHTS, metadata={"writer": "another"})
    assert (folder / WEIGHTS).read_bytes() != (embedded_folder() / WEIGHTS).read_bytes()
    assert find_base(str(folder), None).document == expected


@pytest.mark.parametrize("change", ["bit", "name", "shape", "dtype"])
def test_the_weights_digest_sees_one_change(folder: Path, change: str) -> None:
    # A tensor that no configuration asks for may have any name and shape.
    arrays = arrays_of(folder) | {"extra": np.zeros((4, 6), np.float32)}
    write_safetensors(folder / WEIGHTS, arrays)
    expected = find_base(str(folder), None)
    if change == "bit":
        arrays["transformer.wpe.weight"].view(np.uint8).reshape(-1)[777] ^= 1
    elif change == "name":
        arrays["extras"] = arrays.pop("extra")
    elif change == "shape":
        arrays["extra"] = arrays["extra"].reshape(6, 4)
    else:
        arrays["transformer.ln_f.bias"] = arrays["transformer.ln_f.bias"].astype(np.float16)
    write_safetensors(folder / WEIGHTS, arrays)
    actual = find_base(str(folder), None)
    assert actual.weights_sha256 != expected.weights_sha256
    assert actual.config_sha256 == expected.config_sha256


def test_two_tensors_that_change_places_change_the_digest(folder: Path) -> None:
    arrays = arrays_of(folder)
    a, b = "transformer.h.0.mlp.c_fc.weight", "transformer.h.1.mlp.c_fc.weight"
    arrays[a], arrays[b] = arrays[b], arrays[a]
    write_safetensors(folder / WEIGHTS, arrays)
    assert find_base(str(folder), None).weights_sha256 != find_base(EMBEDDED, None).weights_sha256


@pytest.mark.parametrize("change", [{"layer_norm_epsilon": 1e-6}, {"resid_pdrop": 0.0}, {"scale_attn_weights": False}])
def test_the_config_digest_sees_one_key(folder: Path, change: dict[str, Any]) -> None:
    change_config(folder, **change)
    expected, actual = find_base(EMBEDDED, None), find_base(str(folder), None)
    assert actual.config_sha256 != expected.config_sha256
    assert actual.weights_sha256 == expected.weights_sha256


def test_the_config_digest_does_not_see_where_it_was_saved_and_by_what(folder: Path) -> None:
    assert {"_name_or_path", "transformers_version"} <= set(UNDECIDING_CONFIG_KEYS)
    change_config(
        folder, _name_or_path="/somewhere", transformers_version="4.9", torch_dtype="float32", use_cache=False
    )
    assert find_base(str(folder), None).document == find_base(EMBEDDED, None).document


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"model_type": "bert"}, "`model_type` must be one of gpt2, llama, qwen2, qwen3, mistral, got 'bert'"),
        ({"model_type": ...}, "`model_type` must be one of .*, got None"),
        ({"model_type": ["gpt2"]}, r"`model_type` must be one of .*, got \['gpt2'\]"),
        ({"architectures": ["GPT2ForSequenceClassification"]}, "must be a GPT2LMHeadModel .*GPT2ForSequence"),
        ({"architectures": ["GPT2LMHeadModel", "Other"]}, "must be a GPT2LMHeadModel"),
        ({"auto_map": {"AutoModel": "modeling_x.X"}}, "no code of its own, got `auto_map`"),
        ({"quantization_config": {"bits": 4}}, "float weights, got a quantized one"),
        ({"n_positions": ...}, "`n_positions` must say how many tokens the base can read, got None"),
        ({"n_positions": "512"}, "`n_positions` must say .*, got '512'"),
        ({"n_positions": True}, "`n_positions` must say .*, got True"),
        ({"n_positions": 0}, "`n_positions` must say .*, got 0"),
        ({"n_layer": ...}, "`n_layer` must be a whole number from 1 to 4096, got None"),
        ({"n_layer": 10**9}, "`n_layer` must be .*, got 1000000000"),
        ({"n_embd": 64.0}, "`n_embd` must be a whole number from 1 to 16777216, got 64.0"),
        ({"vocab_size": True}, "`vocab_size` must be .*, got True"),
        ({"vocab_size": "512"}, "`vocab_size` must be .*, got '512'"),
        ({"n_inner": -1}, "`n_inner` must be .*, got -1"),
        ({"seed": 2**53}, "must be ones that every JSON reader holds, got .*9007199254740992"),
        ({"name": "\ud800"}, "must be ones that every JSON reader holds"),
    ],
)
def test_a_config_is_refused(folder: Path, changes: dict[str, Any], match: str) -> None:
    change_config(folder, **changes)
    assert re.search(match, refusal(folder))
    assert str(folder / "config.json") in refusal(folder)


@pytest.mark.parametrize(
    ("family", "key"),
    [
        ("qwen2", "num_key_value_heads"),
        ("mistral", "num_key_value_heads"),
        ("qwen3", "num_key_value_heads"),
        ("qwen3", "head_dim"),
    ],
)
def test_a_size_that_transformers_would_fill_in_must_be_stated(tmp_path: Path, family: str, key: str) -> None:
    write_base(f"{family}-tiny", 1, tmp_path / "base")
    change_config(tmp_path / "base", **{key: ...})
    assert f"`{key}` must be a whole number from 1 to 16777216, got None" in refusal(tmp_path / "base")


def test_a_config_without_architectures_or_with_no_quantization_is_taken(folder: Path) -> None:
    change_config(folder, architectures=..., quantization_config=None)
    assert find_base(str(folder), None).architecture == "GPT2LMHeadModel"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"[]", "config.json must be a JSON object, got list"),
        (b'{"model_type": "gpt2", "model_type": "llama"}', "'model_type' twice"),
        (b'{"n_positions": NaN}', "NaN"),
        (b'{"model_type": "gpt2", "n_positions": 8, "x": 1e999}', "binary64"),
        (b"{" + b" " * (1 << 20) + b"}", "at most 1048576 bytes"),
        (b"", "one JSON value"),
        (b"\xff\xfe", "UTF-8"),
        (b"[" * 100_000, "one JSON value"),
    ],
)
def test_a_damaged_config_is_refused(folder: Path, content: bytes, match: str) -> None:
    (folder / "config.json").write_bytes(content)
    assert match in refusal(folder)


def test_a_folder_without_config_or_weights_is_refused(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    assert "must hold model.safetensors, got none" in refusal(folder)
    (folder / "config.json").unlink()
    assert "must hold a readable config.json, got No such file" in refusal(folder)
    (folder / "config.json").mkdir()
    assert "must hold regular files, got a folder, a pipe or a device" in refusal(folder)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no /dev and no pipes in folders")
@pytest.mark.parametrize("name", ["config.json", WEIGHTS, INDEX])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_never_answers_or_never_ends_is_not_read(folder: Path, name: str, kind: str) -> None:
    if name == INDEX:
        (folder / WEIGHTS).unlink()
    else:
        (folder / name).unlink()
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to("/dev/null")
    assert f"regular files, got a folder, a pipe or a device ({folder / name})" in refusal(folder)


def test_links_to_files_are_read_as_a_hub_cache_makes_them(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    for path in list(folder.iterdir()):
        path.rename(tmp_path / "blobs" / path.name)
        path.symlink_to(tmp_path / "blobs" / path.name)
    assert find_base(str(folder), None).document == find_base(EMBEDDED, None).document


def test_an_adapter_beside_the_weights_is_refused(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    assert "a base must hold no adapter, got adapter_config.json beside its weights" in refusal(folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_missing_tensor_is_refused_for_it_would_be_drawn(tmp_path: Path, family: str) -> None:
    folder = tmp_path / "base"
    write_base(f"{family}-tiny", 1, folder)
    arrays = arrays_of(folder)
    for name in arrays:
        write_safetensors(folder / WEIGHTS, {key: array for key, array in arrays.items() if key != name})
        assert f"a base must hold every tensor of its configuration, got no {name} (" in refusal(folder)


def test_a_tensor_of_another_shape_is_refused(folder: Path) -> None:
    arrays = arrays_of(folder)
    arrays["transformer.wpe.weight"] = arrays["transformer.wpe.weight"].reshape(256, 128)
    write_safetensors(folder / WEIGHTS, arrays)
    assert "transformer.wpe.weight must be [512, 64], as config.json has it, got [256, 128]" in refusal(folder)


def test_a_tied_head_is_not_asked_for_and_an_untied_one_is(folder: Path) -> None:
    change_config(folder, tie_word_embeddings=...)
    assert find_base(str(folder), None).n_parameters == 165_632
    change_config(folder, tie_word_embeddings=False)
    assert "got no lm_head.weight" in refusal(folder)


def test_names_without_the_models_own_part_are_taken_as_on_the_hub(folder: Path) -> None:
    arrays = {name.removeprefix("transformer."): array for name, array in arrays_of(folder).items()}
    write_safetensors(folder / WEIGHTS, arrays)
    assert find_base(str(folder), None).n_parameters == 165_632
    del arrays["h.1.mlp.c_fc.weight"]
    write_safetensors(folder / WEIGHTS, arrays)
    assert "got no transformer.h.1.mlp.c_fc.weight" in refusal(folder)


def test_buffers_that_old_versions_of_transformers_stored_are_passed_over(folder: Path) -> None:
    expected, arrays = find_base(EMBEDDED, None).document, arrays_of(folder)
    mask = np.tril(np.ones((1, 1, 4, 4), np.uint8))
    arrays |= {"transformer.h.0.attn.bias": mask, "transformer.h.0.attn.masked_bias": np.float32([-1e4])}
    write_safetensors(folder / WEIGHTS, arrays)
    assert find_base(str(folder), None).document == expected
    # A bias that only ends alike is a weight.
    write_safetensors(folder / WEIGHTS, {**arrays, "transformer.h.0.self_attn.bias": np.float32([1])})
    assert find_base(str(folder), None).weights_sha256 != expected["weights_sha256"]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model.bin.index.json"])
def test_a_pickle_is_refused_with_the_command_that_converts_it(folder: Path, name: str) -> None:
    (folder / WEIGHTS).unlink()
    (folder / name).write_bytes(b"")
    assert f"samebits make-base --from-bin {folder} --out NEW_FOLDER" in refusal(folder)


def test_the_command_quotes_a_folder_with_blanks(folder: Path, tmp_path: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"")
    spaced = folder.rename(tmp_path / "my base")
    assert f"--from-bin '{spaced}' --out" in refusal(spaced)


@pytest.mark.parametrize("name", ["../model-{}.safetensors", "/tmp/model-{}.safetensors", "sub/model-{}.safetensors"])
def test_an_index_that_leaves_the_folder_is_refused(folder: Path, name: str) -> None:
    arrays = arrays_of(folder)
    shard(folder, arrays, 2, name.format)
    # The files are there: it is the name that is refused.
    for i in range(2):
        target = folder / name.format(i)
        if target.is_relative_to(folder.parent):
            target.parent.mkdir(exist_ok=True)
            write_safetensors(target, {key: arrays[key] for key in sorted(arrays)[i::2]})
    assert f"must be a safetensors file of the folder, got {name.format(0)!r}" in refusal(folder)


@pytest.mark.parametrize(
    ("index", "match"),
    [
        ("{}", "`weight_map` must map"),
        ('{"weight_map": []}', "`weight_map` must map"),
        ('{"weight_map": {"a": 1}}', "`weight_map` must map"),
        ('{"weight_map": {}}', "1 to 1000 shards, got 0"),
        (json.dumps({"weight_map": {str(i): f"{i}.safetensors" for i in range(1001)}}), "1 to 1000 shards, got 1001"),
        ('{"weight_map": {"a": "model.bin"}}', "safetensors file of the folder, got 'model.bin'"),
        ('{"weight_map": {"a": "a\\\\b.safetensors"}}', "safetensors file of the folder"),
        ('{"weight_map": {"a": "missing.safetensors"}}', "every shard of the index must be there, got no missing.safe"),
    ],
)
def test_a_damaged_index_is_refused(folder: Path, index: str, match: str) -> None:
    (folder / WEIGHTS).unlink()
    (folder / INDEX).write_text(index)
    assert match in refusal(folder)


def test_a_huge_index_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard(folder, arrays_of(folder), 2)
    monkeypatch.setattr(base_module, "MAX_INDEX_BYTES", 100)
    assert f"{INDEX} must have at most 100 bytes" in refusal(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    shard(folder, arrays_of(folder), 3)
    (folder / "model-00001.safetensors").unlink()
    assert "got no model-00001.safetensors" in refusal(folder)


def test_a_tensor_in_two_shards_is_refused(folder: Path) -> None:
    arrays = arrays_of(folder)
    shard(folder, arrays, 2)
    write_safetensors(folder / "model-00001.safetensors", arrays)
    assert "a tensor must lie in one shard, got 'transformer." in refusal(folder)


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.bool_, np.float64])
def test_tensors_of_other_types_are_refused(folder: Path, dtype: type) -> None:
    arrays = arrays_of(folder)
    arrays["transformer.h.0.attn.mask"] = np.ones((4, 4), dtype)
    write_safetensors(folder / WEIGHTS, arrays)
    assert "weights must be F32, F16, BF16, got" in refusal(folder)
    assert "'transformer.h.0.attn.mask'" in refusal(folder)


def test_half_precision_is_taken_and_recorded(folder: Path) -> None:
    arrays = arrays_of(folder)
    arrays["transformer.wpe.weight"] = arrays["transformer.wpe.weight"].astype(np.float16)
    write_safetensors(folder / WEIGHTS, arrays)
    assert find_base(str(folder), None).document["weight_dtypes"] == ["F16", "F32"]


def test_no_tensors_are_refused(folder: Path) -> None:
    write_safetensors(folder / WEIGHTS, {})
    assert "must hold tensors, got none" in refusal(folder)


def test_damaged_weights_are_refused(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    for damaged, match in (
        (data[:-1], "truncated"),
        (data + b"\0", "too long"),
        (data[:5], "8 bytes"),
        (b"", "8 bytes"),
    ):
        (folder / WEIGHTS).write_bytes(damaged)
        with pytest.raises(RecordError, match=match):
            find_base(str(folder), None)
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).mkdir()
    assert "must hold regular files, got a folder" in refusal(folder)


@pytest.mark.parametrize(
    "name",
    ["no such folder", "./missing", "a/b/c", "/nowhere/at/all", "x" * 97, "x" * 5000, "../missing", "a/-b", "nul\0"],
)
def test_what_is_no_folder_and_no_hub_name_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="must be a model folder, a hub name or `embedded`"):
        find_base(name, None)


def test_a_file_and_a_revision_of_a_folder_are_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="must be a model folder, got a file"):
        find_base(str(folder / WEIGHTS), None)
    for name in (EMBEDDED, str(folder)):
        with pytest.raises(ModelError, match="`model_revision` belongs to a hub name"):
            find_base(name, "0" * 40)


def test_default_targets_are_pefts() -> None:
    from peft.utils import constants

    theirs = constants.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    assert {family: tuple(sorted(theirs[family])) for family in DEFAULT_TARGETS} == DEFAULT_TARGETS
