"""GPT-2, forward and backward, over the portable arithmetic.

Source: Radford et al., "Language models are unsupervised multitask learners", 2019; names are transformers'.

Shapes: T rows of all samples of a pack, C wide, H heads of D = C / H, V tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from samebits.errors import ModelError
from samebits.models.heads import AttentionOutput, SelfAttention
from samebits.models.linear import Linear, LinearInput
from samebits.models.lora import LinearShape, Parameters
from samebits.models.noise import Noise
from samebits.models.pack import Pack
from samebits.models.weights import Weights
from samebits.numerics import elementwise, embedding, functions, norms
from samebits.numerics.arrays import F32

HEAD = "lm_head"
ACTIVATIONS = {
    "gelu_new": (functions.gelu_tanh, functions.gelu_tanh_backward),
    "gelu_pytorch_tanh": (functions.gelu_tanh, functions.gelu_tanh_backward),
    "gelu": (functions.gelu, functions.gelu_backward),
    "relu": (functions.relu, functions.relu_backward),
    "silu": (functions.silu, functions.silu_backward),
}
_PLAIN = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "reorder_and_upcast_attn": False,
    "add_cross_attention": False,
}


def check_config(config: Mapping[str, Any], where: str) -> None:
    """Refuse what this file does not compute."""
    for key, value in _PLAIN.items():
        if config.get(key, value) != value:
            raise ModelError(
                f"`{key}` must be {value} on portable arithmetic",
                got=repr(config[key]),
                where=where,
                remedy="use `--set numerics=stock`",
            )


def linear_shapes(config: Mapping[str, Any]) -> dict[str, LinearShape]:
    """Return the linear layers in the model's order."""
    width, inner = config["n_embd"], config.get("n_inner") or 4 * config["n_embd"]
    shapes = {}
    for layer in range(config["n_layer"]):
        block = f"transformer.h.{layer}"
        shapes[f"{block}.attn.c_attn"] = LinearShape(width, 3 * width)
        shapes[f"{block}.attn.c_proj"] = LinearShape(width, width)
        shapes[f"{block}.mlp.c_fc"] = LinearShape(width, inner)
        shapes[f"{block}.mlp.c_proj"] = LinearShape(inner, width)
    return shapes | {HEAD: LinearShape(width, config["vocab_size"])}


@dataclass(frozen=True)
class LayerNorm:
    """A frozen layer norm."""

    weight: F32
    bias: F32
    eps: float

    def forward(self, x: F32) -> tuple[F32, tuple[F32, F32]]:
        """Return the normed rows, and their means and inverse deviations."""
        y, mean, rstd = norms.layer_norm(x, self.weight, self.bias, eps=self.eps)
        return y, (mean, rstd)

    def backward(
        self, dy: F32, x: F32, kept: tuple[F32, F32], *, out: F32 | None = None, accumulate: bool = False
    ) -> F32:
        """Return the gradient of x, or add it to `out`."""
        return norms.layer_norm_backward(dy, x, *kept, self.weight, out=out, accumulate=accumulate)


@dataclass(frozen=True)
class BlockKept:
    """What a block keeps: each linear layer's input, the norms' statistics, attention, and the MLP's pre-activation."""

    norm_1: tuple[F32, F32]
    c_attn: LinearInput | None
    attention: AttentionOutput
    attn_proj: LinearInput | None
    middle: F32
    norm_2: tuple[F32, F32]
    c_fc: LinearInput | None
    pre_activation: F32
    mlp_proj: LinearInput | None


class Block:
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, name: str, layers: Mapping[str, Linear], norm_1: LayerNorm, norm_2: LayerNorm, config: Any):
        self.name = name
        self.norm_1, self.norm_2 = norm_1, norm_2
        self.c_attn, self.attn_proj = layers[f"{name}.attn.c_attn"], layers[f"{name}.attn.c_proj"]
        self.c_fc, self.mlp_proj = layers[f"{name}.mlp.c_fc"], layers[f"{name}.mlp.c_proj"]
        heads, width = config["n_head"], config["n_embd"]
        self.attention = SelfAttention(
            layer=int(name.rpartition(".")[2]),
            n_heads=heads,
            n_kv_heads=heads,
            head_width=width // heads,
            dropout=config.get("attn_pdrop", 0.1),
        )
        self.resid_pdrop = config.get("resid_pdrop", 0.1)
        self.activate, self.activate_backward = ACTIVATIONS[config.get("activation_function", "gelu_new")]

    def forward(self, x: F32, pack: Pack, noise: Noise) -> tuple[F32, BlockKept]:
        """Return the block's output [T, C], and what `backward` needs."""
        normed, norm_1 = self.norm_1.forward(x)
        qkv, c_attn = self.c_attn.forward(normed, pack.segments, noise)
        attention = self.attention.forward(qkv, pack, noise)
        branch, attn_proj = self.attn_proj.forward(attention.out, pack.segments, noise)
        noise.drop_base(branch, self.resid_pdrop, pack.segments, f"{self.name}.attn.resid_dropout")
        middle = elementwise.add(x, branch, out=branch)

        normed, norm_2 = self.norm_2.forward(middle)
        pre_activation, c_fc = self.c_fc.forward(normed, pack.segments, noise)
        branch, mlp_proj = self.mlp_proj.forward(self.activate(pre_activation), pack.segments, noise)
        noise.drop_base(branch, self.resid_pdrop, pack.segments, f"{self.name}.mlp.dropout")
        out = elementwise.add(middle, branch, out=branch)
        return out, BlockKept(
            norm_1, c_attn, attention, attn_proj, middle, norm_2, c_fc, pre_activation, mlp_proj
        )

    def backward(
        self, dy: F32, x: F32, kept: BlockKept, pack: Pack, noise: Noise, gradients: Sequence[Parameters]
    ) -> F32:
        """Return the gradient of x in dy's place, and write the adapters' gradients."""
        segments = pack.segments
        branch = noise.dropped_base(dy, self.resid_pdrop, segments, f"{self.name}.mlp.dropout")
        d_inner = self.mlp_proj.backward(branch, kept.mlp_proj, segments, noise, gradients)
        self.activate_backward(d_inner, kept.pre_activation, out=d_inner)
        d_normed = self.c_fc.backward(d_inner, kept.c_fc, segments, noise, gradients)
        self.norm_2.backward(d_normed, kept.middle, kept.norm_2, out=dy, accumulate=True)

        branch = noise.dropped_base(dy, self.resid_pdrop, segments, f"{self.name}.attn.resid_dropout")
        d_attention = self.attn_proj.backward(branch, kept.attn_proj, segments, noise, gradients)
        d_qkv = self.attention.backward(d_attention, kept.attention, pack, noise)
        d_normed = self.c_attn.backward(d_qkv, kept.c_attn, segments, noise, gradients)
        return self.norm_1.backward(d_normed, x, kept.norm_1, out=dy, accumulate=True)
