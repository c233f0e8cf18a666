"""N-11 and N-13 on every library against the oracle, bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samebits.numerics import elementwise, library, optimizer
from samebits.numerics.arrays import F32
from samebits.numerics.library import Library
from samebits.numerics.oracle import binary32
from samebits.numerics.oracle import optimizer as oracle
from samebits.numerics.sample_tree import SampleTree

Numbers = Callable[..., F32]
Words = Callable[[F32], list[int]]
KINDS = ("plain", "subnormal", "cancelling", "overflowing", "special", "any bits")
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DECIMAL = st.decimals("0.000001", "0.999999", places=6).map(float)


def exact(number: float) -> Fraction:
    return Fraction(repr(number))


@SETTINGS
@given(
    sizes=st.lists(st.one_of(st.integers(0, 70), st.integers(0, 300)), max_size=6),
    n_targets=st.one_of(st.just(1), st.integers(1, 2**30)),
    offset=st.integers(0, 17),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32),
)
def test_mean_and_norm_equal_the_oracle(
    native: Library, numbers: Numbers, words: Words, sizes: list[int], n_targets: int, offset: int, kind: str, seed: int
) -> None:
    tensors = optimizer.FlatTensors({f"t{i}": (size,) for i, size in enumerate(sizes)})
    room = np.full(offset + tensors.size + 1, np.nan, dtype=np.float32)
    gradient = room[offset:-1]
    gradient[...] = numbers(kind, seed, tensors.size)
    means = [oracle.mean(element, n_targets) for element in words(gradient)]
    norm = optimizer.gradient_norm(gradient, tensors, n_targets=n_targets)
    assert words(gradient) == means
    ends = np.cumsum([0, *sizes])
    assert words(np.float32([norm])) == [oracle.norm([means[a:b] for a, b in pairwise(ends)])]


@SETTINGS
@given(
    n=st.one_of(st.integers(0, 40), st.integers(100, 260)),
    offset=st.integers(0, 17),
    betas=st.tuples(DECIMAL, DECIMAL),
    eps=st.sampled_from((1e-8, 1e-6, 0.0)),
    decay=st.sampled_from((0.0, 0.01, 0.1)),
    rate=st.floats(0, 1),
    step=st.integers(0, 60),
    clip=st.floats(0, 1, width=32),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32),
)
def test_adamw_equals_the_oracle(
    native: Library,
    numbers: Numbers,
    words: Words,
    n: int,
    offset: int,
    betas: tuple[float, float],
    eps: float,
    decay: float,
    rate: float,
    step: int,
    clip: float,
    kind: str,
    seed: int,
) -> None:
    arrays = [numbers(kind, seed + i, n + offset)[offset:] for i in range(4)]
    arrays[3] = np.abs(arrays[3])
    before = [words(array) for array in arrays]
    of_step = optimizer.adamw_scalars(
        optimizer.AdamW(*betas, eps=eps, weight_decay=decay), learning_rate=rate, step=step, clip=clip
    )
    as_rationals = oracle.Settings(exact(betas[0]), exact(betas[1]), exact(eps), exact(decay))
    assert words(of_step) == oracle.scalars(as_rationals, Fraction(rate), step, words(np.float32([clip]))[0])
    optimizer.adamw(*arrays, of_step)
    updated = [oracle.adamw(*elements, words(of_step)) for elements in zip(*before, strict=True)]
    for array, place in ((arrays[0], 0), (arrays[2], 1), (arrays[3], 2)):
        assert words(array) == [elements[place] for elements in updated]
    assert words(arrays[1]) == before[1]


def test_one_kernel_gives_the_bits_of_its_operations(native: Library, numbers: Numbers) -> None:
    p, g, m, v = (numbers("plain", i, 1000) for i in range(4))
    v = np.abs(v)
    clip, b1, a1, b2, a2, q, e, keep, size = optimizer.adamw_scalars(
        optimizer.AdamW(weight_decay=0.01), learning_rate=1e-3, step=4, clip=0.5
    ).tolist()
    h = elementwise.scale(g, clip)
    mean = elementwise.add(elementwise.scale(m, b1), elementwise.scale(h, a1))
    square = elementwise.add(elementwise.scale(v, b2), elementwise.scale(elementwise.mul(h, h), a2))
    root = elementwise.scale(elementwise.sqrt(square), q)
    quotient = elementwise.div(mean, elementwise.add(root, np.full_like(root, e)))
    expected = elementwise.sub(elementwise.scale(p, keep), elementwise.scale(quotient, size))
    optimizer.adamw(p, g, m, v, np.float32([clip, b1, a1, b2, a2, q, e, keep, size]))
    assert (p.tobytes(), m.tobytes(), v.tobytes()) == (expected.tobytes(), mean.tobytes(), square.tobytes())


@SETTINGS
@given(norm=st.floats(0, 2.0**100, width=32), max_norm=st.one_of(st.just(0.0), DECIMAL, st.floats(0, 1e30)))
def test_clipping_equals_the_oracle(words: Words, norm: float, max_norm: float) -> None:
    factor = optimizer.clip_factor(norm, max_norm)
    assert words(np.float32([factor])) == [oracle.clip(words(np.float32([norm]))[0], exact(max_norm))]
    assert float(np.float32(factor)) == factor


@SETTINGS
@given(data=st.data(), n=st.integers(1, 40), kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32))
def test_every_arrival_gives_the_oracles_tree(
    native: Library, numbers: Numbers, words: Words, data: st.DataObject, n: int, kind: str, seed: int
) -> None:
    leaves = numbers(kind, seed, n, 5)
    leaves[leaves == np.inf] = 1.0
    expected = [oracle.tree(column) for column in words(leaves.T)]
    in_order, shuffled, merged = (SampleTree(n, (5,)) for _ in range(3))
    for leaf in leaves:
        in_order.add(leaf.copy())
    for place in data.draw(st.permutations(range(n))):
        shuffled.add(leaves[place].copy(), place=place)
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, n), max_size=4))), n]
    workers = []
    for start, end in pairwise(cuts):
        workers.append(SampleTree(n, (5,)))
        for place in range(start, end):
            workers[-1].add(leaves[place].copy(), place=place)
    for worker in data.draw(st.permutations(workers)):
        for subtree in worker.subtrees():
            merged.add_subtree(*subtree)
    for tree in (in_order, shuffled, merged):
        assert words(tree.total()) == expected


@pytest.mark.parametrize("n_tensors", [1, 9])
def test_threads_do_not_reach_the_bits(native: Library, numbers: Numbers, n_threads: int, n_tensors: int) -> None:
    tensors = optimizer.FlatTensors({f"{i}": (20_011 + i,) for i in range(n_tensors)})
    gradient = numbers("plain", 1, tensors.size)
    p, g, m, v = (numbers("plain", i, tensors.size) for i in range(4))
    v = np.abs(v)
    scalars = optimizer.adamw_scalars(optimizer.AdamW(), learning_rate=1e-3, step=0)
    alone = [array.copy() for array in (p, g, m, v)]
    for at in range(0, tensors.size, 1000):
        optimizer.adamw(*(array[at : at + 1000] for array in alone), scalars)
    optimizer.adamw(p, g, m, v, scalars)
    assert [array.tobytes() for array in (p, g, m, v)] == [array.tobytes() for array in alone]
    one_by_one = gradient.copy()
    norm = optimizer.gradient_norm(gradient, tensors, n_targets=3)
    library.set_threads(1)
    assert norm == optimizer.gradient_norm(one_by_one, tensors, n_targets=3)
    assert gradient.tobytes() == one_by_one.tobytes()
    library.set_threads(n_threads)


def test_an_infinite_factor_is_not_above_one() -> None:
    assert oracle.clip(binary32.ZERO, Fraction(10**38)) == binary32.ONE
