"""GPT-2, forward and backward, over the portable arithmetic.

Source: Radford et al., "Language models are unsupervised multitask learners", 2019; names are transformers'.

Shapes: T rows of all samples of a pack, C wide, H heads of D = C / H.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from samebits.errors import ModelError
from samebits.models.attention import AttentionKept, AttentionShape, KeyValues, attend, attend_backward, inverse_root
from samebits.models.decoder import Block, Decoder, Head, Norm
from samebits.models.linear import Gradients, Linear, LinearInput, LowRank
from samebits.models.lora import LinearShape
from samebits.models.noise import Noise
from samebits.models.pack import Pack
from samebits.models.weights import Weights
from samebits.numerics import elementwise, functions, norms, observation, products
from samebits.numerics.arrays import F32
from samebits.numerics.embedding import embedding
from samebits.numerics.host_scalars import decimal_of, nearest_f32

HEAD = "lm_head"
_GELU_TANH = (partial(functions.gelu, approximate="tanh"), partial(functions.gelu_backward, approximate="tanh"))
ACTIVATIONS: dict[str, tuple[Callable[..., F32], Callable[..., F32]]] = {
    "gelu_new": _GELU_TANH,
    "gelu_pytorch_tanh": _GELU_TANH,
    "gelu": (functions.gelu, functions.gelu_backward),
    "relu": (functions.relu, functions.threshold_backward),
    "silu": (functions.silu, functions.silu_backward),
}
# What this file computes of the keys that change a GPT-2's arithmetic.
_PLAIN = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "reorder_and_upcast_attn": False,
    "add_cross_attention": False,
}


def check_config(config: Mapping[str, Any]) -> None:
    """Refuse a configuration that this file does not compute.

    Raises:
        ModelError: the key, and the door that serves it.
    """
    choices: dict[str, tuple[Any, ...]] = {key: (value,) for key, value in _PLAIN.items()}
    choices["activation_function"] = tuple(ACTIVATIONS)
    for key, allowed in choices.items():
        if (found := config.get(key, allowed[0])) not in allowed:
            raise ModelError(
                f"`{key}` must be {' or '.join(map(str, allowed))} on portable arithmetic",
                got=repr(found),
                where="config.json",
                remedy="use `--set numerics=stock`",
            )
    if config["n_embd"] % config["n_head"]:
        raise ModelError("`n_embd` must be a multiple of `n_head`", got=str(config["n_embd"]), where="config.json")


def linear_shapes(config: Mapping[str, Any]) -> dict[str, LinearShape]:
    """Return the linear layers in the model's order, the head last."""
    width, inner = config["n_embd"], config.get("n_inner") or 4 * config["n_embd"]
    shapes = {}
    for layer in range(config["n_layer"]):
        block = f"transformer.h.{layer}"
        shapes[f"{block}.attn.c_attn"] = LinearShape(width, 3 * width)
        shapes[f"{block}.attn.c_proj"] = LinearShape(width, width)
        shapes[f"{block}.mlp.c_fc"] = LinearShape(width, inner)
        shapes[f"{block}.mlp.c_proj"] = LinearShape(inner, width)
    return shapes | {HEAD: LinearShape(width, config["vocab_size"])}


def dropping_places(config: Mapping[str, Any]) -> list[str]:
    """Return the places that drop rows, by their modules' names."""
    blocks = [f"transformer.h.{layer}" for layer in range(config["n_layer"])]
    parts = ("attn.resid_dropout", "mlp.dropout")
    return ["transformer.drop", *(f"{block}.{part}" for block in blocks for part in parts)]


@dataclass(frozen=True)
class LayerNorm(Norm[tuple[F32, F32]]):
    """A frozen layer norm; its statistics are the rows' means and inverse deviations."""

    weight: F32
    bias: F32
    eps: float
    name: str = ""

    @observation.forward
    def forward(self, x: F32) -> tuple[F32, tuple[F32, F32]]:
        """Return the normed rows and their statistics."""
        y, mean, rstd = norms.layer_norm(x, self.weight, self.bias, eps=self.eps)
        return y, (mean, rstd)

    @observation.backward
    def backward(self, dy: F32, x: F32, statistics: tuple[F32, F32], *, onto: F32 | None = None) -> F32:
        """Return the gradient of x, added to `onto` where it is given."""
        return norms.layer_norm_backward(dy, x, *statistics, self.weight, out=onto, accumulate=onto is not None)


@dataclass(frozen=True)
class Kept:
    """What a block keeps: the inputs of layers with an adapter, the norms' statistics, attention, the MLP's input."""

    norm_1: tuple[F32, F32]
    c_attn: LinearInput | None
    attention: AttentionKept
    attn_proj: LinearInput | None
    middle: F32
    norm_2: tuple[F32, F32]
    c_fc: LinearInput | None
    inner: F32
    mlp_proj: LinearInput | None


class GPT2Block(Block[Kept]):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, name: str, layers: Mapping[str, Linear], norm_1: LayerNorm, norm_2: LayerNorm, config: Any):
        self.name, self.norm_1, self.norm_2 = name, norm_1, norm_2
        self.c_attn, self.attn_proj = layers[f"{name}.attn.c_attn"], layers[f"{name}.attn.c_proj"]
        self.c_fc, self.mlp_proj = layers[f"{name}.mlp.c_fc"], layers[f"{name}.mlp.c_proj"]
        self.n_heads, self.width = int(config["n_head"]), int(config["n_embd"])
        layer = int(name.rpartition(".")[2])
        scale = inverse_root(self.width // self.n_heads)
        self.attention = AttentionShape(layer, scale, None, config.get("attn_pdrop", 0.1), f"{name}.attn")
        self.resid_pdrop = config.get("resid_pdrop", 0.1)
        self.activate, self.activate_backward = ACTIVATIONS[config.get("activation_function", "gelu_new")]

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The block's linear layers."""
        return self.c_attn, self.attn_proj, self.c_fc, self.mlp_proj

    @property
    def kept_floats_per_row(self) -> int:
        """Its own and its middle's input, the norms' outputs, q, k, v, the heads' output, the MLP's two inner rows."""
        wide = 8 * self.attn_proj.weight.n + 2 * self.c_fc.weight.n
        # Two numbers of each norm, and of each head.
        return wide + 4 + 2 * self.n_heads + self.adapter_floats_per_row

    @observation.forward
    def forward(self, x: F32, pack: Pack, noise: Noise, cache: KeyValues | None = None) -> tuple[F32, Kept]:
        """Return the block's output [T, C], and what `backward` reads."""
        segments, p = pack.segments, self.resid_pdrop
        normed, norm_1 = self.norm_1.forward(x)
        qkv, c_attn = self.c_attn.forward(normed, segments, noise)
        attention = attend(self.attention, *self._heads(qkv), segments, noise, cache)
        branch, attn_proj = self.attn_proj.forward(attention.rows, segments, noise)
        noise.drop_rows(branch, p, segments, f"{self.name}.attn.resid_dropout", out=branch)
        middle = elementwise.add(x, branch, out=branch)

        normed, norm_2 = self.norm_2.forward(middle)
        inner, c_fc = self.c_fc.forward(normed, segments, noise)
        branch, mlp_proj = self.mlp_proj.forward(self.activate(inner), segments, noise)
        noise.drop_rows(branch, p, segments, f"{self.name}.mlp.dropout", out=branch)
        out = elementwise.add(middle, branch, out=branch)
        return out, Kept(norm_1, c_attn, attention, attn_proj, middle, norm_2, c_fc, inner, mlp_proj)

    @observation.backward
    def backward(
        self, dy: F32, x: F32, kept: Kept, pack: Pack, noise: Noise, gradients: Gradients, *, needs_dx: bool
    ) -> F32:
        """Return the gradient of x, in dy's place, and write the adapters' gradients; x's only where it is needed."""
        segments, p = pack.segments, self.resid_pdrop
        branch = noise.drop_rows(dy, p, segments, f"{self.name}.mlp.dropout")
        d_inner = self.mlp_proj.backward(branch, kept.mlp_proj, segments, noise, gradients)
        self.activate_backward(d_inner, kept.inner, out=d_inner)
        d_normed = self.c_fc.backward(d_inner, kept.c_fc, segments, noise, gradients)
        self.norm_2.backward(d_normed, kept.middle, kept.norm_2, onto=dy)

        branch = noise.drop_rows(dy, p, segments, f"{self.name}.attn.resid_dropout")
        d_rows = self.attn_proj.backward(branch, kept.attn_proj, segments, noise, gradients)
        d_qkv = np.empty((len(dy), 3 * self.width), dtype=np.float32)
        attend_backward(self.attention, d_rows, kept.attention, self._heads(d_qkv), segments, noise)
        if not needs_dx:
            if kept.c_attn is not None:
                self.c_attn.adapter_backward(d_qkv, kept.c_attn, segments, noise, gradients)
            return dy
        d_normed = self.c_attn.backward(d_qkv, kept.c_attn, segments, noise, gradients)
        return self.norm_1.backward(d_normed, x, kept.norm_1, onto=dy)

    def _heads(self, qkv: F32) -> tuple[F32, F32, F32]:
        """Return queries, keys and values [T, H, D] as views of [T, 3 C]."""
        q, k, v = (
            qkv[:, start : start + self.width].reshape(len(qkv), self.n_heads, -1)
            for start in range(0, 3 * self.width, self.width)
        )
        return q, k, v


class GPT2(Decoder):
    """Embeddings of tokens and positions, blocks, a last norm, and a head that is the token embedding or its own."""

    def __init__(self, config: Mapping[str, Any], weights: Weights, adapters: Mapping[str, LowRank]) -> None:
        check_config(config)
        self.tokens = weights.read("transformer.wte.weight")
        self.positions = weights.read("transformer.wpe.weight")
        self.embd_pdrop = config.get("embd_pdrop", 0.1)
        eps = nearest_f32(decimal_of(config.get("layer_norm_epsilon", 1e-5)))

        def norm(name: str) -> LayerNorm:
            return LayerNorm(weights.read(f"{name}.weight"), weights.read(f"{name}.bias"), eps, name)

        layers = {}
        for name in linear_shapes(config):
            if name != HEAD:
                packed = products.pack(weights.read(f"{name}.weight"), layout="kn")
                layers[name] = Linear(packed, weights.read(f"{name}.bias"), adapters.get(name), name)
        names = [f"transformer.h.{layer}" for layer in range(config["n_layer"])]
        blocks = [GPT2Block(name, layers, norm(f"{name}.ln_1"), norm(f"{name}.ln_2"), config) for name in names]
        head = self.tokens if config.get("tie_word_embeddings", True) else weights.read(f"{HEAD}.weight")
        super().__init__(
            blocks, norm("transformer.ln_f"), Head(products.pack(head, layout="nk"), adapters.get(HEAD)),
            n_positions=len(self.positions), key_shape=(config["n_head"], config["n_embd"] // config["n_head"]),
        )  # fmt: skip

    def embed(self, pack: Pack, noise: Noise) -> F32:
        """Return the sum of both embeddings, [T, C]."""
        x = embedding(self.tokens, pack.token_ids)
        elementwise.add(x, embedding(self.positions, pack.positions), out=x)
        return noise.drop_rows(x, self.embd_pdrop, pack.segments, "transformer.drop", out=x)
