"""A number that is not finite stops the run at its step, is named, and leaves the checkpoints before it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from samebits.canonical.safetensors_file import TensorFile, write_safetensors
from samebits.errors import NonFiniteError
from samebits.models.seeded import embedded_folder
from samebits.pytorch.stock import train
from samebits.recipe.reader import settings_from
from samebits.record.progress import Silence


def _train(out: Path, **values: Any) -> None:
    settings = settings_from(
        {"numerics": "stock", "max_steps": 5, "save_steps": 1, "threads": 1, **values}, where="test"
    )
    train(settings, out, resume=False, progress=Silence())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_element_of_the_base_that_is_not_finite_shows_in_the_first_loss(tmp_path: Path, value: float) -> None:
    base = Path(shutil.copytree(embedded_folder(), tmp_path / "base"))
    file = TensorFile(base / "model.safetensors")
    tensors = {name: np.array(file.array(name)) for name in file.tensors}
    tensors["transformer.ln_f.weight"][3] = value
    write_safetensors(base / "model.safetensors", tensors)
    with pytest.raises(NonFiniteError, match=r"the loss must be finite, got (nan|inf) \(step 1\); look .*base"):
        _train(tmp_path / "run", model_name_or_path=str(base))
    assert not (tmp_path / "run").exists()


def test_a_learning_rate_that_blows_up_is_named_and_earlier_checkpoints_stay(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match=r"\(step [23]") as caught:
        _train(tmp_path / "run", learning_rate=1e37, max_grad_norm=0)
    assert "lower learning_rate" in str(caught.value)
    assert (tmp_path / "run" / "checkpoints" / "step-00000001" / "manifest.json").is_file()
    assert not (tmp_path / "run" / "golden").exists()


@pytest.mark.parametrize(("kind", "step"), [("gradient", 3), ("parameter", 3)])
def test_a_tensor_that_is_not_finite_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, step: int
) -> None:
    """The fault is planted by the kernel: AdamW's, or the one that hands out gradients."""
    calls = []

    def spoil(tensors: Any) -> None:
        calls.append(len(calls))
        if len(calls) == step:
            tensors.reshape(-1)[5] = float("nan")

    if kind == "parameter":
        real_step = torch.optim.AdamW.step

        def spoilt_step(optimizer: Any, *arguments: Any) -> Any:
            outcome = real_step(optimizer, *arguments)
            with torch.no_grad():
                spoil(optimizer.param_groups[0]["params"][1])
            return outcome

        monkeypatch.setattr(torch.optim.AdamW, "step", spoilt_step)
    else:
        real_backward = torch.Tensor.backward

        def spoilt_backward(loss: Any, *arguments: Any) -> None:
            real_backward(loss, *arguments)
            spoil(parameters[1].grad)

        parameters: list[Any] = []
        real_init = torch.optim.AdamW.__init__

        def watched_init(optimizer: Any, params: Any, **options: Any) -> None:
            parameters.extend(params)
            real_init(optimizer, parameters, **options)

        monkeypatch.setattr(torch.optim.AdamW, "__init__", watched_init)
        monkeypatch.setattr(torch.Tensor, "backward", spoilt_backward)
    named = r"base_model\.model\.transformer\.h\.0\.attn\.c_attn\.lora_B\.weight"
    with pytest.raises(
        NonFiniteError, match=rf"every {kind} must be finite, got 1 of .* \(step 3, {kind} of {named}\)"
    ):
        _train(tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == [
        "step-00000001",
        "step-00000002",
    ]
