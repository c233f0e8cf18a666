"""What every family is: an embedding, blocks, a last norm and a head; the loss, its gradients, and logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from samebits.models.attention import KeyValues
from samebits.models.linear import Gradients, Linear, LowRank
from samebits.models.noise import Noise
from samebits.models.pack import Pack, Segment, cut_samples
from samebits.numerics import losses, observation
from samebits.numerics.arrays import F32
from samebits.numerics.products import PackedWeight

K = TypeVar("K")
S = TypeVar("S")

HEAD_ROWS = 128
"""Rows of logits that are held at once; of one sample, also those of one chain of an adapter's gradients (N-17)."""


class Norm(ABC, Generic[S]):
    """A frozen norm."""

    @abstractmethod
    def forward(self, x: F32) -> tuple[F32, S]:
        """Return the normed rows and the statistics that `backward` reads."""

    @abstractmethod
    def backward(self, dy: F32, x: F32, statistics: S, *, onto: F32 | None = None) -> F32:
        """Return the gradient of x, added to `onto` where it is given."""


class Block(ABC, Generic[K]):
    """One layer of a decoder."""

    @property
    @abstractmethod
    def linears(self) -> tuple[Linear, ...]:
        """The block's linear layers."""

    @abstractmethod
    def forward(self, x: F32, pack: Pack, noise: Noise, cache: KeyValues | None = None) -> tuple[F32, K]:
        """Return the output [T, C], and what `backward` reads."""

    @abstractmethod
    def backward(
        self, dy: F32, x: F32, kept: K, pack: Pack, noise: Noise, gradients: Gradients, *, needs_dx: bool
    ) -> F32:
        """Return the gradient of x, in dy's place, and write the adapters' gradients; x's only where it is needed."""

    @property
    @abstractmethod
    def kept_floats_per_row(self) -> int:
        """How many floats `forward` keeps for each row where every layer has an adapter: for planning memory."""

    @property
    def adapter_floats_per_row(self) -> int:
        """How many of them are rows of width r."""
        return sum(layer.adapter.a.shape[0] for layer in self.linears if layer.adapter is not None)

    @property
    def is_trained(self) -> bool:
        """Whether one of its layers has an adapter."""
        return any(layer.adapter is not None for layer in self.linears)


class Head:
    """The frozen layer from the last norm to logits, [C, V], which may have an adapter."""

    name = "lm_head"

    def __init__(self, weight: PackedWeight, adapter: LowRank | None = None) -> None:
        self.weight, self.layer = weight, Linear(weight, None, adapter, self.name)

    def logits(self, x: F32) -> F32:
        """Return [rows, V], without dropout."""
        return self.layer.forward(x, (Segment(0, len(x), 0),), Noise(seed=0))[0]

    def losses(self, x: F32, pack: Pack, noise: Noise) -> F32:
        """Return each row's loss, [rows], of the rows with a target."""
        found = np.empty(len(x), dtype=np.float32)
        for part in cut_samples(pack.target_segments, HEAD_ROWS):
            logits, _ = self.layer.forward(x[part.rows], part.pieces, noise)
            found[part.rows] = losses.cross_entropy(logits, pack.target_ids[part.rows])
        return found

    @observation.backward
    def losses_and_gradient(
        self, x: F32, pack: Pack, noise: Noise, gradients: Gradients, *, needs_dx: bool
    ) -> tuple[F32, F32]:
        """Return each row's loss [rows], and the gradient of their sum [rows, C], zeros where it is not needed.

        The adapter's gradients are written.
        """
        found, dx = np.empty(len(x), dtype=np.float32), np.zeros(x.shape, dtype=np.float32)
        for part in cut_samples(pack.target_segments, HEAD_ROWS):
            rows, pieces, own = part.rows, part.pieces, [gradients[place] for place in part.places]
            logits, kept = self.layer.forward(x[rows], pieces, noise)
            found[rows], d_logits = losses.cross_entropy_backward(logits, pack.target_ids[rows], out=logits)
            if needs_dx:
                dx[rows] = self.layer.backward(d_logits, kept, pieces, noise, own)
            elif kept is not None:
                self.layer.adapter_backward(d_logits, kept, pieces, noise, own)
        return found, dx


class Decoder(ABC):
    """A family's model.

    Args:
        blocks: in order.
        n_positions: the most positions of a sequence.
        key_shape: key heads and their width.
    """

    name = ""

    def __init__(
        self,
        blocks: Sequence[Block[Any]],
        norm: Norm[Any],
        head: Head,
        *,
        n_positions: int,
        key_shape: tuple[int, int],
    ) -> None:
        self.blocks, self.norm, self.head = blocks, norm, head
        self.n_positions, self.key_shape = n_positions, key_shape
        trained = [number for number, block in enumerate(blocks) if block.is_trained]
        # Below the first adapter nothing needs a gradient.
        self.first_trained = trained[0] if trained else len(blocks)

    def floats_per_row(self, *, keeps_activations: bool) -> int:
        """Return how many floats a pass holds for each row, roughly: for planning memory."""
        widest = max(block.kept_floats_per_row for block in self.blocks)
        if keeps_activations:
            return 2 * widest + sum(block.kept_floats_per_row for block in self.blocks[self.first_trained :])
        return 3 * widest + self.head.weight.k * len(self.blocks)

    @abstractmethod
    def embed(self, pack: Pack, noise: Noise) -> F32:
        """Return the first block's input, [T, C]."""

    def sample_losses(self, pack: Pack, noise: Noise) -> list[float]:
        """Return each sample's loss, summed over its targets: float32 values."""
        x = self.embed(pack, noise)
        for block in self.blocks:
            x, _ = block.forward(x, pack, noise)
        normed, _ = self.norm.forward(x[pack.target_rows])
        return _sums(self.head.losses(normed, pack, noise), pack)

    @observation.forward
    def losses_and_gradients(
        self, pack: Pack, noise: Noise, gradients: Gradients, *, keeps_activations: bool
    ) -> list[float]:
        """Return each sample's summed loss, and write the gradient of each into `gradients`.

        Args:
            keeps_activations: hold what every block needs for its backward pass, or only its input, and compute the
                rest again; this reaches no bit.
        """
        x = self.embed(pack, noise)
        inputs: list[tuple[F32, Any]] = []
        for number, block in enumerate(self.blocks):
            y, kept = block.forward(x, pack, noise)
            is_needed = number >= self.first_trained
            inputs.append((x, kept if keeps_activations else None) if is_needed else (None, None))  # type: ignore[arg-type]
            x = y
            del kept
        last = x[pack.target_rows]
        normed, statistics = self.norm.forward(last)
        needs_dx = self.first_trained < len(self.blocks)
        found, d_normed = self.head.losses_and_gradient(normed, pack, noise, gradients, needs_dx=needs_dx)
        dx = np.zeros(x.shape, dtype=np.float32)
        dx[pack.target_rows] = self.norm.backward(d_normed, last, statistics)
        for number in range(len(self.blocks) - 1, self.first_trained - 1, -1):
            block, (x, kept) = self.blocks[number], inputs.pop()
            if kept is None:
                _, kept = block.forward(x, pack, noise)
            needs_dx = number > self.first_trained
            dx = block.backward(dx, x, kept, pack, noise, gradients, needs_dx=needs_dx)
        return _sums(found, pack)

    def next_logits(self, pack: Pack, caches: Sequence[KeyValues]) -> F32:
        """Return the logits after the last row of one sequence's new positions, [V]; the caches take them in."""
        noise = Noise(seed=0)
        x = self.embed(pack, noise)
        for block, cache in zip(self.blocks, caches, strict=True):
            x, _ = block.forward(x, pack, noise, cache)
        normed, _ = self.norm.forward(x[-1:])
        logits: F32 = self.head.logits(normed)[0]
        return logits

    def new_caches(self, n_positions: int) -> list[KeyValues]:
        """Return empty keys and values for one sequence."""
        return [KeyValues(n_positions, self.key_shape) for _ in self.blocks]


def _sums(found: F32, pack: Pack) -> list[float]:
    return [losses.loss_sum(found[segment.rows], pack.target_ids[segment.rows]) for segment in pack.target_segments]
