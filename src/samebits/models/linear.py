"""A frozen linear layer, and the adapter that may lie on it (N-04, N-17)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from samebits.models.noise import Noise
from samebits.models.pack import Segment
from samebits.numerics import elementwise, observation, products
from samebits.numerics.arrays import F32
from samebits.numerics.products import PackedWeight

Gradients = Sequence[Mapping[str, F32]]
"""The gradients of the trained tensors by name, for each sample of a pack."""


@dataclass(frozen=True)
class LowRank:
    """The adapter of one layer: A [r, in] and B [out, r] by their names, the scale, and how the input is dropped."""

    a_name: str
    b_name: str
    a: F32
    b: F32
    scale: float
    dropout: float


@dataclass(frozen=True)
class LinearInput:
    """What a layer with an adapter keeps for its backward pass: its input, and s (drop(x) A^T), [T, r]."""

    x: F32
    scaled: F32


class Linear:
    """y = x W + bias, plus (s (drop(x) A^T)) B^T where there is an adapter.

    Args:
        weight: packed, frozen.
        bias: [out], frozen.
        adapter: or None.
        name: the layer's in the base.
    """

    def __init__(self, weight: PackedWeight, bias: F32 | None, adapter: LowRank | None, name: str = "") -> None:
        self.weight, self.bias, self.adapter, self.name = weight, bias, adapter, name

    @observation.forward
    def forward(self, x: F32, segments: Sequence[Segment], noise: Noise) -> tuple[F32, LinearInput | None]:
        """Return [T, out], and what `backward` needs."""
        y = products.linear(x, self.weight, self.bias)
        adapter = self.adapter
        if adapter is None:
            return y, None
        scaled = products.mm(noise.drop_input(x, adapter.dropout, segments, adapter.a_name), adapter.a.T)
        elementwise.scale(scaled, adapter.scale, out=scaled)
        products.mm(scaled, adapter.b.T, out=y, accumulate=True)
        return y, LinearInput(x, scaled)

    @observation.backward
    def backward(
        self,
        dy: F32,
        kept: LinearInput | None,
        segments: Sequence[Segment],
        noise: Noise,
        gradients: Gradients,
        *,
        onto: F32 | None = None,
    ) -> F32:
        """Return the input's gradient, added to `onto` where it is given; write the adapter's into `gradients`."""
        dx = products.linear_backward(dy, self.weight, out=onto, accumulate=onto is not None)
        adapter = self.adapter
        if adapter is None or kept is None:
            return dx
        d_scaled = self.adapter_backward(dy, kept, segments, noise, gradients)
        if not noise.drops(adapter.dropout):
            return products.mm(d_scaled, adapter.a, out=dx, accumulate=True)
        d_dropped = products.mm(d_scaled, adapter.a)
        noise.drop_gradient(d_dropped, adapter.dropout, segments, adapter.a_name)
        return elementwise.add(dx, d_dropped, out=dx)

    @observation.backward
    def adapter_backward(
        self, dy: F32, kept: LinearInput, segments: Sequence[Segment], noise: Noise, gradients: Gradients
    ) -> F32:
        """Write the adapter's gradient of each sample, or add that of a later piece of it; return s (dY B), [T, r]."""
        adapter = self.adapter
        assert adapter is not None
        d_scaled = products.mm(dy, adapter.b)
        elementwise.scale(d_scaled, adapter.scale, out=d_scaled)
        dropped = noise.drop_input(kept.x, adapter.dropout, segments, adapter.a_name)
        for segment, gradient in zip(segments, gradients, strict=True):
            rows, is_later = segment.rows, segment.first > 0
            products.mm(d_scaled[rows].T, dropped[rows], out=gradient[adapter.a_name], accumulate=is_later)
            products.mm(dy[rows].T, kept.scaled[rows], out=gradient[adapter.b_name], accumulate=is_later)
        return d_scaled
