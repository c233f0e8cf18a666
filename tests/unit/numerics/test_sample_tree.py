"""Samples that come twice, not at all or from elsewhere are refused; tests/spec/test_n11.py holds the tree."""

from __future__ import annotations

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics.sample_tree import SampleTree


def leaf(number: float = 1.0) -> np.ndarray:
    return np.full(2, number, dtype=np.float32)


def test_a_sample_counts_once() -> None:
    tree = SampleTree(5, (2,))
    tree.add(leaf())
    tree.add(leaf())
    for again, n_leaves in ((0, 1), (1, 1), (0, 2), (0, 4)):
        with pytest.raises(NumericsError, match=f"a sample must be added once, got {n_leaves} from {again} again"):
            tree.add_subtree(leaf(), again, n_leaves)


def test_only_whole_subtrees_of_the_batch_fit() -> None:
    tree = SampleTree(6, (2,))
    for first, n_leaves in ((4, 4), (1, 2), (0, 3), (-1, 1), (6, 1), (0, 0), (0, 8)):
        with pytest.raises(NumericsError, match=f"a subtree must be a whole one of 6 samples, got {n_leaves} from"):
            tree.add_subtree(leaf(), first, n_leaves)


def test_a_missing_sample_is_named_by_count() -> None:
    tree = SampleTree(3, (2,))
    tree.add(leaf(), place=2)
    with pytest.raises(NumericsError, match="every sample of a batch must be added, got 1 of 3"):
        tree.total()
    tree.add(leaf(2), place=0)
    tree.add(leaf(4))
    assert tree.total().tolist() == [7, 7]


def test_a_tree_serves_again_with_its_own_buffers() -> None:
    tree = SampleTree(2, (2,))
    for _ in range(2):
        for number in (1, 2):
            buffer = tree.buffer()
            buffer[...] = number
            tree.add(buffer)
        assert tree.total().tolist() == [3, 3]


def test_leaves_and_batches_that_do_not_fit() -> None:
    with pytest.raises(NumericsError, match="a batch must have a sample, got 0"):
        SampleTree(0, (2,))
    with pytest.raises(NumericsError, match=r"`leaf` must be \[3\], got \[2\]"):
        SampleTree(1, (3,)).add(leaf())
    with pytest.raises(NumericsError, match="`leaf` must be C-contiguous"):
        SampleTree(1, (2,)).add(np.ones(4, dtype=np.float32)[::2])
    frozen = leaf()
    frozen.flags.writeable = False
    with pytest.raises(NumericsError, match="`leaf` must be writable"):
        SampleTree(1, (2,)).add(frozen)
