"""A frozen linear layer, and the adapter that may lie on it (N-04, N-17)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from samebits.models.lora import PREFIX, Parameters
from samebits.models.noise import Noise
from samebits.models.pack import Segment
from samebits.numerics import elementwise, products
from samebits.numerics.arrays import F32
from samebits.numerics.products import PackedWeight


@dataclass(frozen=True)
class LowRank:
    """The adapter of one layer: A [r, in], B [out, r], the scale, and how the input is dropped."""

    name: str
    a: F32
    b: F32
    scale: float
    dropout: float


@dataclass(frozen=True)
class LinearInput:
    """What a layer with an adapter keeps for its backward pass: its input, and s (x A^T), [T, r]."""

    x: F32
    scaled: F32


class Linear:
    """y = x W + bias, plus s (drop(x) A^T) B^T where there is an adapter.

    Args:
        weight: packed, frozen.
        bias: [out], frozen.
        adapter: or None.
    """

    def __init__(self, name: str, weight: PackedWeight, bias: F32 | None, adapter: LowRank | None) -> None:
        self.name, self.weight, self.bias, self.adapter = name, weight, bias, adapter

    def forward(self, x: F32, segments: Sequence[Segment], noise: Noise) -> tuple[F32, LinearInput | None]:
        """Return [T, out], and what `backward` needs."""
        y = products.linear(x, self.weight, self.bias)
        adapter = self.adapter
        if adapter is None:
            return y, None
        dropped = noise.drop(x, adapter.dropout, segments, f"{self.name}.lora_dropout")
        scaled = products.mm(dropped, adapter.a.T)
        elementwise.scale(scaled, adapter.scale, out=scaled)
        products.mm(scaled, adapter.b.T, out=y, accumulate=True)
        return y, LinearInput(x, scaled)

    def backward(
        self,
        dy: F32,
        kept: LinearInput | None,
        segments: Sequence[Segment],
        noise: Noise,
        gradients: Sequence[Parameters],
        *,
        out: F32 | None = None,
        accumulate: bool = False,
    ) -> F32:
        """Return the input's gradient, and write the adapter's gradient of each sample into `gradients`."""
        dx = products.linear_backward(dy, self.weight, out=out, accumulate=accumulate)
        adapter = self.adapter
        if adapter is None or kept is None:
            return dx
        d_scaled = self.adapter_backward(dy, kept, segments, noise, gradients)
        if adapter.dropout == 0 or not noise.is_on:
            return products.mm(d_scaled, adapter.a, out=dx, accumulate=True)
        d_dropped = products.mm(d_scaled, adapter.a)
        noise.drop(d_dropped, adapter.dropout, segments, f"{self.name}.lora_dropout", out=d_dropped)
        return elementwise.add(dx, d_dropped, out=dx)

    def adapter_backward(
        self, dy: F32, kept: LinearInput, segments: Sequence[Segment], noise: Noise, gradients: Sequence[Parameters]
    ) -> F32:
        """Write the adapter's gradient of each sample; return s (dY B), [T, r]."""
        adapter = self.adapter
        assert adapter is not None
        d_scaled = products.mm(dy, adapter.b)
        elementwise.scale(d_scaled, adapter.scale, out=d_scaled)
        dropped = noise.drop(kept.x, adapter.dropout, segments, f"{self.name}.lora_dropout")
        for segment, gradient in zip(segments, gradients, strict=True):
            rows = segment.rows
            products.mm(d_scaled[rows].T, dropped[rows], out=gradient.tensors[f"{PREFIX}{self.name}.lora_A.weight"])
            products.mm(dy[rows].T, kept.scaled[rows], out=gradient.tensors[f"{PREFIX}{self.name}.lora_B.weight"])
        return d_scaled
