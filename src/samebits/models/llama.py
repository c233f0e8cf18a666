"""Llama and its kin (Qwen2, Qwen3, Mistral), forward and backward, over the portable arithmetic.

Source: Touvron et al., "LLaMA: Open and Efficient Foundation Language Models", 2023; Jiang et al., "Mistral 7B", 2023;
Yang et al., "Qwen2 Technical Report", 2024 (biases on q, k, v) and "Qwen3 Technical Report", 2025 (norms on q and k);
names are transformers'.

Shapes: T rows of all samples of a pack, C wide, H heads and G key heads of D, V tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from samebits.models.attention import AttentionKept, AttentionShape, attend, attend_backward
from samebits.models.linear import Linear, LinearInput
from samebits.models.lora import LinearShape, Parameters
from samebits.models.noise import Noise
from samebits.models.pack import Pack
from samebits.numerics import elementwise, functions, norms, rotary
from samebits.numerics.arrays import F32

HEAD = "lm_head"


def linear_shapes(config: Mapping[str, Any]) -> dict[str, LinearShape]:
    """Return the linear layers in the model's order."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    heads, key_heads, head_width = head_sizes(config)
    shapes = {}
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}"
        shapes[f"{block}.self_attn.q_proj"] = LinearShape(width, heads * head_width)
        shapes[f"{block}.self_attn.k_proj"] = LinearShape(width, key_heads * head_width)
        shapes[f"{block}.self_attn.v_proj"] = LinearShape(width, key_heads * head_width)
        shapes[f"{block}.self_attn.o_proj"] = LinearShape(heads * head_width, width)
        shapes[f"{block}.mlp.gate_proj"] = LinearShape(width, inner)
        shapes[f"{block}.mlp.up_proj"] = LinearShape(width, inner)
        shapes[f"{block}.mlp.down_proj"] = LinearShape(inner, width)
    return shapes | {HEAD: LinearShape(width, config["vocab_size"])}


def head_sizes(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return heads, key heads, and the width of each."""
    heads = config["num_attention_heads"]
    return heads, config.get("num_key_value_heads") or heads, config.get("head_dim") or config["hidden_size"] // heads


@dataclass(frozen=True)
class RMSNorm:
    """A frozen RMS norm."""

    weight: F32
    eps: float

    def forward(self, x: F32) -> tuple[F32, F32]:
        """Return the normed rows, and their inverse root mean squares."""
        return norms.rms_norm(x, self.weight, eps=self.eps)

    def backward(self, dy: F32, x: F32, kept: F32, *, out: F32 | None = None, accumulate: bool = False) -> F32:
        """Return the gradient of x, or add it to `out`."""
        return norms.rms_norm_backward(dy, x, kept, self.weight, out=out, accumulate=accumulate)


@dataclass(frozen=True)
class HeadNorm:
    """Qwen3's norm of each head's D numbers, of queries or keys."""

    norm: RMSNorm

    def forward(self, x: F32) -> tuple[F32, tuple[F32, F32]]:
        """Return the normed heads [T, H, D], and what `backward` needs."""
        rows = x.reshape(-1, x.shape[-1])
        y, rrms = self.norm.forward(rows)
        return y.reshape(x.shape), (rows, rrms)

    def backward(self, dy: F32, kept: tuple[F32, F32]) -> F32:
        """Return the gradient of x, in dy's place."""
        rows = dy.reshape(-1, dy.shape[-1])
        return self.norm.backward(rows, *kept, out=rows).reshape(dy.shape)


@dataclass(frozen=True)
class BlockKept:
    """What a block keeps: each linear layer's input, the norms' statistics, attention, and the MLP's two halves."""

    norm_1: F32
    qkv: tuple[LinearInput | None, LinearInput | None, LinearInput | None]
    head_norms: tuple[tuple[F32, F32] | None, tuple[F32, F32] | None]
    attention: AttentionKept
    o_proj: LinearInput | None
    middle: F32
    norm_2: F32
    gate: F32
    up: F32
    gate_up: tuple[LinearInput | None, LinearInput | None]
    down_proj: LinearInput | None


class Block:
    """x + attention(norm(x)), then x + down(silu(gate(n)) * up(n)) with n = norm(x)."""

    def __init__(
        self,
        name: str,
        layers: Mapping[str, Linear],
        norms_by_name: Mapping[str, RMSNorm],
        attention: AttentionShape,
        tables: rotary.Tables,
    ) -> None:
        self.name, self.attention, self.tables = name, attention, tables
        self.norm_1, self.norm_2 = (
            norms_by_name[f"{name}.{part}"] for part in ("input_layernorm", "post_attention_layernorm")
        )
        self.head_norms = tuple(
            HeadNorm(found) if (found := norms_by_name.get(f"{name}.self_attn.{part}")) else None
            for part in ("q_norm", "k_norm")
        )
        self.qkv = tuple(layers[f"{name}.self_attn.{part}"] for part in ("q_proj", "k_proj", "v_proj"))
        self.o_proj = layers[f"{name}.self_attn.o_proj"]
        self.gate, self.up, self.down = (layers[f"{name}.mlp.{part}_proj"] for part in ("gate", "up", "down"))

    def forward(self, x: F32, pack: Pack, noise: Noise) -> tuple[F32, BlockKept]:
        """Return the block's output [T, C], and what `backward` needs."""
        segments = pack.segments
        normed, norm_1 = self.norm_1.forward(x)
        (q, q_kept), (k, k_kept), (v, v_kept) = (layer.forward(normed, segments, noise) for layer in self.qkv)
        heads, head_norms = self._heads(q, k, v, pack)
        attention = attend(self.attention, *heads, pack, noise)
        branch, o_proj = self.o_proj.forward(attention.rows, segments, noise)
        middle = elementwise.add(x, branch, out=branch)

        normed, norm_2 = self.norm_2.forward(middle)
        gate, gate_kept = self.gate.forward(normed, segments, noise)
        up, up_kept = self.up.forward(normed, segments, noise)
        inner = elementwise.mul(functions.silu(gate), up)
        branch, down_proj = self.down.forward(inner, segments, noise)
        out = elementwise.add(middle, branch, out=branch)
        return out, BlockKept(
            *(norm_1, (q_kept, k_kept, v_kept), head_norms, attention, o_proj),
            *(middle, norm_2, gate, up, (gate_kept, up_kept), down_proj),
        )

    def backward(
        self, dy: F32, x: F32, kept: BlockKept, pack: Pack, noise: Noise, gradients: Sequence[Parameters]
    ) -> F32:
        """Return the gradient of x in dy's place, and write the adapters' gradients."""
        segments = pack.segments
        d_inner = self.down.backward(dy, kept.down_proj, segments, noise, gradients)
        d_up = elementwise.mul(d_inner, functions.silu(kept.gate))
        d_gate = elementwise.mul(d_inner, kept.up, out=d_inner)
        functions.silu_backward(d_gate, kept.gate, out=d_gate)
        d_normed = self.gate.backward(d_gate, kept.gate_up[0], segments, noise, gradients)
        self.up.backward(d_up, kept.gate_up[1], segments, noise, gradients, out=d_normed, accumulate=True)
        self.norm_2.backward(d_normed, kept.middle, kept.norm_2, out=dy, accumulate=True)

        d_attention = self.o_proj.backward(dy, kept.o_proj, segments, noise, gradients)
        d_heads = attend_backward(self.attention, d_attention, kept.attention, pack, noise)
        d_qkv = self._heads_backward(*d_heads, kept, pack)
        d_normed = None
        for layer, d_part, part_kept in zip(self.qkv, d_qkv, kept.qkv, strict=True):
            d_normed = layer.backward(
                d_part, part_kept, segments, noise, gradients, out=d_normed, accumulate=d_normed is not None
            )
        return self.norm_1.backward(d_normed, x, kept.norm_1, out=dy, accumulate=True)
