"""Sums over the samples of a batch in one fixed binary tree (N-11), however the samples arrive."""

from __future__ import annotations

import numpy as np

from samebits.errors import NumericsError
from samebits.numerics import elementwise
from samebits.numerics.arrays import F32, check_contiguous, check_f32, check_shape, check_writable, empty_by_lines


class SampleTree:
    """The sum of one array per sample of a batch of `n_samples`.

    Leaves that arrive in the batch's order need about log2(n_samples) buffers; in another order, or as sums of workers,
    the tree and its bits are the same.

    Args:
        n_samples: 1 or more.
        shape: of a leaf.
    Bits: N-11.
    """

    def __init__(self, n_samples: int, shape: tuple[int, ...]) -> None:
        if n_samples < 1:
            raise NumericsError("a batch must have a sample", got=str(n_samples), where="N-11")
        self.n_samples, self.shape = n_samples, shape
        self._next = 0
        # By first leaf and number of leaves: only nodes whose sibling is not there yet.
        self._nodes: dict[tuple[int, int], F32] = {}
        self._spare: list[F32] = []

    def buffer(self) -> F32:
        """Return a buffer for a leaf, with any content: one that the tree needs no more, or a new one."""
        if self._spare:
            return self._spare.pop()
        return empty_by_lines(int(np.prod(self.shape, dtype=np.int64))).reshape(self.shape)

    def add(self, leaf: F32, *, place: int | None = None) -> None:
        """Take in one sample's array; the tree owns it from now on.

        Args:
            place: the sample's place in the batch; by default the next after the last one added.
        Raises:
            NumericsError: the place is taken or outside the batch, or the array does not fit.
        """
        place = self._next if place is None else place
        self.add_subtree(leaf, place, 1)
        self._next = place + 1

    def add_subtree(self, node: F32, first: int, n_leaves: int) -> None:
        """Take in the sum of `n_leaves` samples from place `first` on, as `subtrees` of another tree gives it.

        Raises:
            NumericsError: it is no node of this batch's tree, or some of it is here already, or it does not fit.
        """
        where = "SampleTree, N-11"
        check_f32("leaf", node, n_dims=None, where=where)
        check_shape("leaf", node, self.shape, where=where)
        check_contiguous("leaf", node, where=where)
        check_writable("leaf", node, where=where)
        whole = n_leaves > 0 and n_leaves & (n_leaves - 1) == 0 and first % n_leaves == 0
        if not whole or first < 0 or first + n_leaves > self.n_samples:
            got = f"{n_leaves} from {first}"
            raise NumericsError(f"a subtree must be a whole one of {self.n_samples} samples", got=got, where=where)
        if any(a < first + n_leaves and first < a + n for a, n in self._nodes):
            raise NumericsError("a sample must be added once", got=f"{n_leaves} from {first} again", where=where)
        while (sibling := self._nodes.pop((first ^ n_leaves, n_leaves), None)) is not None:
            node = self._sum(sibling, node) if first & n_leaves else self._sum(node, sibling)
            first &= ~n_leaves
            n_leaves *= 2
        self._nodes[first, n_leaves] = node

    def subtrees(self) -> list[tuple[F32, int, int]]:
        """Return the sums so far by ascending place, for `add_subtree` of the tree that merges them."""
        return [(self._nodes[key], *key) for key in sorted(self._nodes)]

    def total(self) -> F32:
        """Return the batch's sum and leave the tree empty.

        Raises:
            NumericsError: a sample is missing.
        """
        nodes = self.subtrees()
        n_here = sum(n_leaves for _, _, n_leaves in nodes)
        if n_here != self.n_samples:
            got = f"{n_here} of {self.n_samples}"
            raise NumericsError("every sample of a batch must be added", got=got, where="SampleTree, N-11")
        self._nodes, self._next = {}, 0
        total, _, _ = nodes.pop()
        while nodes:
            total = self._sum(nodes.pop()[0], total)
        return total

    def _sum(self, left: F32, right: F32) -> F32:
        elementwise.add(left, right, out=left)
        self._spare.append(right)
        return left
