"""Orders differ by seed, epoch and purpose; tests/spec/test_n23.py holds them."""

from __future__ import annotations

from samebits.numerics.order import epoch_order, permutation
from samebits.numerics.random import Purpose, Stream


def test_orders_are_permutations_and_differ() -> None:
    orders = [epoch_order(50, 1, 0), epoch_order(50, 1, 1), epoch_order(50, 2, 0)]
    orders.append(permutation(50, Stream(1, Purpose.HELD_OUT)))
    assert all(sorted(order.tolist()) == list(range(50)) for order in orders)
    assert len({order.tobytes() for order in orders}) == 4
