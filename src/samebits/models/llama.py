"""Llama and its kin (Qwen2, Qwen3, Mistral), forward and backward, over the portable arithmetic.

Source: Touvron et al., "LLaMA: Open and Efficient Foundation Language Models", 2023; Jiang et al., "Mistral 7B", 2023;
Yang et al., "Qwen2 Technical Report", 2024 (biases on q, k, v) and "Qwen3 Technical Report", 2025 (norms on q and k);
names are transformers'.

Shapes: T rows of all samples of a pack, C wide, H heads and G key heads of D.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from samebits.models.attention import AttentionKept, AttentionShape, KeyValues, attend, attend_backward, inverse_root
from samebits.models.decoder import Block, Decoder, Head, Norm
from samebits.models.linear import Gradients, Linear, LinearInput, LowRank
from samebits.models.llama_config import check_config, head_sizes, rope_scaling, rope_theta, window_of
from samebits.models.lora import LinearShape
from samebits.models.noise import Noise
from samebits.models.pack import I64, Pack
from samebits.models.weights import Weights
from samebits.numerics import elementwise, functions, norms, observation, products, rotary
from samebits.numerics.arrays import F32
from samebits.numerics.embedding import embedding
from samebits.numerics.host_scalars import decimal_of, nearest_f32

HEAD = "lm_head"


def linear_shapes(config: Mapping[str, Any]) -> dict[str, LinearShape]:
    """Return the linear layers in the model's order, the head last."""
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


@dataclass(frozen=True)
class RMSNorm(Norm[F32]):
    """A frozen RMS norm; its statistics are the rows' inverse root mean squares."""

    weight: F32
    eps: float
    name: str = ""

    @observation.forward
    def forward(self, x: F32) -> tuple[F32, F32]:
        """Return the normed rows and their statistics."""
        return norms.rms_norm(x, self.weight, eps=self.eps)

    @observation.backward
    def backward(self, dy: F32, x: F32, statistics: F32, *, onto: F32 | None = None) -> F32:
        """Return the gradient of x, added to `onto` where it is given."""
        return norms.rms_norm_backward(dy, x, statistics, self.weight, out=onto, accumulate=onto is not None)

    def forward_heads(self, x: F32) -> tuple[F32, F32]:
        """Norm each head of [T, H, D] by itself, as Qwen3 does."""
        y, statistics = self.forward(x.reshape(-1, x.shape[-1]))
        return y.reshape(x.shape), statistics

    def backward_heads(self, dy: F32, x: F32, statistics: F32) -> F32:
        """Return the gradient of [T, H, D]."""
        dy_rows, x_rows = (array.reshape(-1, x.shape[-1]) for array in (dy, x))
        return self.backward(dy_rows, x_rows, statistics).reshape(x.shape)


class Angles:
    """Cosines and sines by position, as far as a sequence has come: a context is often far longer than what is read.

    Args:
        frequencies: [D / 2], the angle of each pair at position 1.
    """

    def __init__(self, frequencies: F32) -> None:
        self._frequencies = frequencies
        self._cos, self._sin = rotary.tables(0, frequencies)

    def at(self, positions: I64) -> tuple[F32, F32]:
        """Return two arrays [T, D / 2]; a position's angles are the same however long the tables are (N-20)."""
        n = int(positions.max(initial=-1)) + 1
        if n > len(self._cos):
            # Twice as long each time: a generated sequence comes one position further at every token.
            self._cos, self._sin = rotary.tables(1 << (n - 1).bit_length(), self._frequencies)
        return self._cos[positions], self._sin[positions]


@dataclass(frozen=True)
class HeadsKept:
    """What the way from a projection to its rotated heads keeps: the projection's heads and the norm's statistics."""

    x: F32
    statistics: F32 | None


@dataclass(frozen=True)
class Kept:
    """What a block keeps: inputs of layers with an adapter, the norms' statistics, attention, the MLP's two halves."""

    norm_1: F32
    qkv: tuple[LinearInput | None, ...]
    q: HeadsKept
    k: HeadsKept
    attention: AttentionKept
    o_proj: LinearInput | None
    middle: F32
    norm_2: F32
    gate: F32
    up: F32
    gate_up: tuple[LinearInput | None, LinearInput | None]
    down_proj: LinearInput | None


class LlamaBlock(Block[Kept]):
    """x + attention(norm(x)), then x + down(silu(gate(n)) * up(n)) with n = norm(x)."""

    def __init__(
        self,
        name: str,
        layers: Mapping[str, Linear],
        norms_by_name: Mapping[str, RMSNorm],
        attention: AttentionShape,
        head_width: int,
        angles: Angles,
    ) -> None:
        self.name, self.attention, self.head_width, self.angles = name, attention, head_width, angles
        self.norm_1 = norms_by_name[f"{name}.input_layernorm"]
        self.norm_2 = norms_by_name[f"{name}.post_attention_layernorm"]
        self.q_norm, self.k_norm = (norms_by_name.get(f"{name}.self_attn.{part}_norm") for part in ("q", "k"))
        self.qkv = tuple(layers[f"{name}.self_attn.{part}_proj"] for part in ("q", "k", "v"))
        self.o_proj = layers[f"{name}.self_attn.o_proj"]
        self.gate, self.up, self.down = (layers[f"{name}.mlp.{part}_proj"] for part in ("gate", "up", "down"))

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The block's linear layers."""
        return *self.qkv, self.o_proj, self.gate, self.up, self.down

    @property
    def kept_floats_per_row(self) -> int:
        """Its own and its middle's input, the norms' outputs, q, k, v, the heads' output, three rows of the MLP."""
        q, k, v = (layer.weight.n for layer in self.qkv)
        wide = 4 * self.o_proj.weight.n + q + k + v + self.o_proj.weight.k + 3 * self.up.weight.n
        # Where q and k have norms, what they were before.
        before = 0 if self.q_norm is None else q + k
        # A number of each norm, and of each head two, or up to four.
        return wide + before + 2 + 4 * (q // self.head_width) + self.adapter_floats_per_row

    @observation.forward
    def forward(self, x: F32, pack: Pack, noise: Noise, cache: KeyValues | None = None) -> tuple[F32, Kept]:
        """Return the block's output [T, C], and what `backward` reads."""
        segments = pack.segments
        normed, norm_1 = self.norm_1.forward(x)
        (q_rows, *_), (k_rows, *_), (v_rows, *_) = made = [layer.forward(normed, segments, noise) for layer in self.qkv]
        q, q_kept = self._rotated(q_rows, self.q_norm, pack)
        k, k_kept = self._rotated(k_rows, self.k_norm, pack)
        attention = attend(self.attention, q, k, self._heads(v_rows), segments, noise, cache)
        branch, o_proj = self.o_proj.forward(attention.rows, segments, noise)
        middle = elementwise.add(x, branch, out=branch)

        normed, norm_2 = self.norm_2.forward(middle)
        gate, gate_kept = self.gate.forward(normed, segments, noise)
        up, up_kept = self.up.forward(normed, segments, noise)
        inner = functions.silu(gate)
        elementwise.mul(inner, up, out=inner)
        branch, down_proj = self.down.forward(inner, segments, noise)
        out = elementwise.add(middle, branch, out=branch)
        linear_inputs = tuple(kept for _, kept in made)
        return out, Kept(
            *(norm_1, linear_inputs, q_kept, k_kept, attention, o_proj),
            *(middle, norm_2, gate, up, (gate_kept, up_kept), down_proj),
        )

    @observation.backward
    def backward(
        self, dy: F32, x: F32, kept: Kept, pack: Pack, noise: Noise, gradients: Gradients, *, needs_dx: bool
    ) -> F32:
        """Return the gradient of x, in dy's place, and write the adapters' gradients; x's only where it is needed."""
        segments = pack.segments
        d_inner = self.down.backward(dy, kept.down_proj, segments, noise, gradients)
        d_up = functions.silu(kept.gate)
        elementwise.mul(d_inner, d_up, out=d_up)
        d_gate = elementwise.mul(d_inner, kept.up, out=d_inner)
        functions.silu_backward(d_gate, kept.gate, out=d_gate)
        d_normed = self.gate.backward(d_gate, kept.gate_up[0], segments, noise, gradients)
        self.up.backward(d_up, kept.gate_up[1], segments, noise, gradients, onto=d_normed)
        self.norm_2.backward(d_normed, kept.middle, kept.norm_2, onto=dy)

        d_rows = self.o_proj.backward(dy, kept.o_proj, segments, noise, gradients)
        d_qkv = self._attention_backward(d_rows, kept, pack, noise)
        onto = None
        for layer, d_part, part_kept in zip(self.qkv, d_qkv, kept.qkv, strict=True):
            if needs_dx:
                onto = layer.backward(d_part, part_kept, segments, noise, gradients, onto=onto)
            elif part_kept is not None:
                layer.adapter_backward(d_part, part_kept, segments, noise, gradients)
        return dy if onto is None else self.norm_1.backward(onto, x, kept.norm_1, onto=dy)

    def _heads(self, rows: F32) -> F32:
        return rows.reshape(len(rows), -1, self.head_width)

    def _rotated(self, rows: F32, norm: RMSNorm | None, pack: Pack) -> tuple[F32, HeadsKept]:
        """Return the heads of a projection, normed where the family does so, and turned by their positions."""
        heads = self._heads(rows)
        cos, sin = self.angles.at(pack.positions)
        if norm is None:
            return rotary.rotate(heads, cos, sin, out=heads), HeadsKept(heads, None)
        normed, statistics = norm.forward_heads(heads)
        return rotary.rotate(normed, cos, sin, out=normed), HeadsKept(heads, statistics)

    def _attention_backward(self, d_rows: F32, kept: Kept, pack: Pack, noise: Noise) -> tuple[F32, F32, F32]:
        """Return the gradients of the three projections, as rows."""
        attention = kept.attention
        d_heads = tuple(np.empty(array.shape, dtype=np.float32) for array in (attention.q, attention.k, attention.v))
        dq, dk, dv = d_heads
        attend_backward(self.attention, d_rows, attention, (dq, dk, dv), pack.segments, noise)
        cos, sin = self.angles.at(pack.positions)
        for d_part in (dq, dk):
            rotary.rotate_backward(d_part, cos, sin, out=d_part)
        if self.q_norm is not None and self.k_norm is not None:
            dq = self.q_norm.backward_heads(dq, kept.q.x, _statistics(kept.q))
            dk = self.k_norm.backward_heads(dk, kept.k.x, _statistics(kept.k))
        q_rows, k_rows, v_rows = (d_part.reshape(len(d_part), -1) for d_part in (dq, dk, dv))
        return q_rows, k_rows, v_rows


def _statistics(kept: HeadsKept) -> F32:
    assert kept.statistics is not None
    return kept.statistics


class Llama(Decoder):
    """An embedding of tokens, blocks, a last norm, and a head that is the embedding or its own."""

    def __init__(self, config: Mapping[str, Any], weights: Weights, adapters: Mapping[str, LowRank]) -> None:
        check_config(config)
        _, key_heads, head_width = head_sizes(config)
        n_positions, n_layers = config["max_position_embeddings"], config["num_hidden_layers"]
        eps = nearest_f32(decimal_of(config.get("rms_norm_eps", 1e-6)))
        angles = Angles(rotary.inverse_frequencies(head_width, rope_theta(config), rope_scaling(config)))
        self.tokens = weights.read("model.embed_tokens.weight")
        layers = {}
        for name in linear_shapes(config):
            if name != HEAD:
                packed = products.pack(weights.read(f"{name}.weight"), layout="nk")
                bias = weights.read(f"{name}.bias") if f"{name}.bias" in weights else None
                layers[name] = Linear(packed, bias, adapters.get(name), name)
        blocks = []
        for number in range(n_layers):
            name = f"model.layers.{number}"
            attention = AttentionShape(
                *(number, inverse_root(head_width), window_of(config, number)),
                *(config.get("attention_dropout") or 0.0, f"{name}.self_attn"),
            )
            found = {
                norm: RMSNorm(weights.read(f"{norm}.weight"), eps, norm)
                for part in ("input_layernorm", "post_attention_layernorm", "self_attn.q_norm", "self_attn.k_norm")
                if f"{(norm := f'{name}.{part}')}.weight" in weights
            }
            blocks.append(LlamaBlock(name, layers, found, attention, head_width, angles))
        is_tied = config.get("tie_word_embeddings", False)
        head = self.tokens if is_tied else weights.read(f"{HEAD}.weight")
        super().__init__(
            blocks,
            RMSNorm(weights.read("model.norm.weight"), eps, "model.norm"),
            Head(products.pack(head, layout="nk"), adapters.get(HEAD)),
            n_positions=n_positions,
            key_shape=(key_heads, head_width),
        )

    def embed(self, pack: Pack, noise: Noise) -> F32:
        """Return the embeddings, [T, C]."""
        return embedding(self.tokens, pack.token_ids)
