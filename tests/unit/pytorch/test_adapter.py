from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest
import torch
from peft import get_peft_model_state_dict
from peft.tuners.lora import LoraLayer

from samebits.errors import RecipeError
from samebits.pytorch.adapter import adapter_config, arrays, attach_adapter, load_base, trained_parameters
from samebits.recipe.reader import settings_from
from samebits.recipe.settings import Settings

pytestmark = pytest.mark.usefixtures("quiet")


def test_names_and_values_are_those_that_peft_saves(gpt2: Path, llama: Path, settings: Settings) -> None:
    for base in (gpt2, llama):
        model = attach_adapter(load_base(base, "sdpa"), settings)
        saved = get_peft_model_state_dict(model)
        ours = arrays(trained_parameters(model))
        assert ours.keys() == saved.keys()
        assert all(ours[name].tobytes() == saved[name].numpy().tobytes() for name in saved)


def test_nothing_but_the_adapter_is_trained(gpt2: Path, settings: Settings) -> None:
    model = attach_adapter(load_base(gpt2, "eager"), settings)
    assert all("lora_" in name for name in trained_parameters(model))
    assert model.config._attn_implementation == "eager"


def test_the_seed_decides_the_adapters_first_weights(gpt2: Path, settings: Settings) -> None:
    weights = []
    for seed in (1, 1, 2):
        base = load_base(gpt2, "sdpa")
        torch.manual_seed(seed)
        weights.append(arrays(trained_parameters(attach_adapter(base, settings))))
    name = next(name for name in weights[0] if "lora_A" in name)
    assert weights[0][name].tobytes() == weights[1][name].tobytes()
    assert weights[0][name].tobytes() != weights[2][name].tobytes()


def test_a_base_is_loaded_in_float32_with_its_own_bits(llama: Path) -> None:
    from samebits.canonical.safetensors_file import TensorFile

    file, loaded = TensorFile(llama / "model.safetensors"), load_base(llama, "sdpa").state_dict()
    assert {tensor.dtype for tensor in loaded.values()} == {torch.float32}
    assert all(file.array(name).tobytes() == loaded[name].numpy().tobytes() for name in file.tensors)


@pytest.mark.parametrize("n_blanks", [0, 8, 24, 56])
def test_where_a_tensor_lies_in_its_file_does_not_reach_its_place_in_memory(
    gpt2: Path, tmp_path: Path, n_blanks: int
) -> None:
    folder = Path(shutil.copytree(gpt2, tmp_path / "base"))
    data = (folder / "model.safetensors").read_bytes()
    (n_header,) = struct.unpack("<Q", data[:8])
    header, tensors = data[8 : 8 + n_header] + b" " * n_blanks, data[8 + n_header :]
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + tensors)
    model = load_base(folder, "sdpa")
    tensors_in_memory = [*model.parameters(), *model.buffers()]
    assert {tensor.data_ptr() % 64 for tensor in tensors_in_memory} == {0}
    assert model.lm_head.weight is model.transformer.wte.weight


@pytest.mark.parametrize(
    ("targets", "resolved"),
    [
        (None, {"q_proj", "v_proj"}),
        (["o_proj"], {"o_proj"}),
        (["all-linear"], {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}),
    ],
)
def test_target_modules_are_resolved(llama: Path, targets: list[str] | None, resolved: set[str]) -> None:
    settings = settings_from(
        {"numerics": "stock", "lora_target_modules": targets} if targets else {"numerics": "stock"}, where="test"
    )
    model = attach_adapter(load_base(llama, "sdpa"), settings)
    # PEFT writes the layers that it found for "all-linear" with their whole paths.
    assert {name.rpartition(".")[2] for name in adapter_config(model)["target_modules"]} == resolved


def test_a_module_that_the_base_does_not_have_is_refused(gpt2: Path) -> None:
    settings = settings_from({"numerics": "stock", "lora_target_modules": ["q_proj"]}, where="test")
    with pytest.raises(RecipeError, match=r"`lora_target_modules` must name linear layers of the base, got q_proj"):
        attach_adapter(load_base(gpt2, "sdpa"), settings)


def test_the_scale_follows_rslora(gpt2: Path) -> None:
    for use_rslora, scale in ((False, 2.0), (True, 8.0)):
        settings = settings_from(
            {"numerics": "stock", "use_rslora": use_rslora, "lora_r": 16, "lora_alpha": 32}, where="test"
        )
        model = attach_adapter(load_base(gpt2, "sdpa"), settings)
        found = {module.scaling["default"] for module in model.modules() if isinstance(module, LoraLayer)}
        assert found == {scale}


@pytest.mark.parametrize("r", [10**13, 10**18])
def test_an_adapter_that_does_not_fit_into_memory_is_refused(gpt2: Path, settings: Settings, r: int) -> None:
    with pytest.raises(RecipeError, match=f"the adapter must fit into memory, got r={r}; use a smaller rank"):
        # A copy is not validated: a rank within the bounds may or may not fit here.
        attach_adapter(load_base(gpt2, "sdpa"), settings.model_copy(update={"lora_r": r}))
