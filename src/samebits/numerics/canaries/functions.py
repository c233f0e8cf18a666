"""Canaries of functions: arguments where they are curved, over the whole range, and the ends of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from samebits.numerics import functions
from samebits.numerics.arrays import F32
from samebits.numerics.canaries.canary import Canary, each, pattern
from samebits.numerics.oracle import activations, trigonometric
from samebits.numerics.oracle import functions as oracle

ROW = 3 * 64 + 37
FINITE_BITS = (0, 0x80000000, 1, 0x80000001, 0x00800000, 0x80800000, 0x7F7FFFFF, 0xFF7FFFFF)
INFINITE_BITS = (0x7F800000, 0xFF800000)
Operands = Callable[[], tuple[F32, ...]]


def finite(seed: int) -> F32:
    """Return numbers from 2^-27 to 2^8, numbers of every size, and the least and greatest."""
    ends = np.array(FINITE_BITS, dtype=np.uint32).view(np.float32)
    return np.concatenate([pattern(seed, ROW, low=100, high=135), pattern(seed + 1, 64, low=0, high=255), ends])


def with_infinities(seed: int) -> F32:
    """Return the same and both infinities."""
    return np.concatenate([finite(seed), np.array(INFINITE_BITS, dtype=np.uint32).view(np.float32)])


def not_negative(seed: int) -> F32:
    """Return the same without signs: where a logarithm or a root is a number."""
    return np.abs(with_infinities(seed))


def _of_x(name: str, make: Callable[[int], F32], seed: int, answer: Callable[[int], int], sha256: str) -> Canary:
    run = getattr(functions, name, None) or partial(functions.gelu, approximate="tanh")
    return Canary("N-08", name, lambda: (make(seed),), run, each(answer), sha256)


def _gradient(name: str, make: Callable[[int], F32], seed: int, answer: Callable[..., int], sha256: str) -> Canary:
    def operands() -> tuple[F32, F32]:
        x = make(seed)
        return pattern(seed + 2, x.size, low=110, high=130), x

    run = getattr(functions, name, None) or partial(functions.gelu_backward, approximate="tanh")
    return Canary("N-08", name, operands, run, each(answer), sha256)


def _threshold_operands() -> tuple[F32, F32, float]:
    x = with_infinities(61)
    return pattern(63, x.size, low=110, high=130), x, 0.5


CANARIES = (
    _of_x("exp", with_infinities, 18, oracle.exp, "7bf5a272590fff23df260f9b7684b8879158c630817b663a87fb83ec172ef771"),
    _of_x("log", not_negative, 20, oracle.log, "552187533fc29adbaf606bec9779cf9d757d7aea1f893a7506a0438b0dbbcede"),
    _of_x("sin", finite, 22, trigonometric.sin, "d65ae574af5b0ad9614642385dde94354c77c561f25383b1330c512a72ec55d5"),
    _of_x("cos", finite, 24, trigonometric.cos, "ee46344bf6318af5176eafa2c6dbfc93a14696b0660f6f1971359374c50635b7"),
    _of_x(
        "tanh",
        with_infinities,
        26,
        activations.tanh,
        "4aa7138b605280cb7f7155cef444b1191effd771d3ee3aac34be48044b52e0a2",
    ),
    _of_x(
        "erf", with_infinities, 28, activations.erf, "ae0a20a8be3d8334832f76fbde9a65d59eb87b0c6d7125b66885b04e0c211857"
    ),
    _of_x(
        "sigmoid",
        with_infinities,
        30,
        activations.sigmoid,
        "0859cb0c2ce5f10be2475bb0adc983b99007ed7282fd9ec73d99549d65bc9aa3",
    ),
    _of_x(
        "silu",
        with_infinities,
        32,
        activations.silu,
        "72bc392cad890e2305157325caf5b7c5b74305bf231fad2948dba6483be4a704",
    ),
    _of_x(
        "gelu",
        with_infinities,
        34,
        activations.gelu,
        "1270ceae9a2b0b5f0904d72d8b80576523cba0e77fda2a5713e18a8da3c23d58",
    ),
    _of_x(
        "gelu_tanh",
        with_infinities,
        36,
        activations.gelu_tanh,
        "17a5b21bfd187249a4b485b32f2e22c0c70f574bfcef664aa8f93cbdcea7f1fd",
    ),
    _of_x(
        "relu",
        with_infinities,
        38,
        activations.relu,
        "08526b8d808da29d21e7e4aa2eac8986f2a6efbb7433253ff95afcde365c10e1",
    ),
    _gradient(
        "tanh_backward",
        finite,
        41,
        activations.tanh_backward,
        "8348b6d92e390819e408b7ef0be26eef344cfca160958e601e1ee380e74da6c7",
    ),
    _gradient(
        "sigmoid_backward",
        finite,
        45,
        activations.sigmoid_backward,
        "0eb72cb8186fcf6dce76a8ae2820938eb01b44d1301392f07f61d7f70d3058f8",
    ),
    _gradient(
        "silu_backward",
        with_infinities,
        49,
        activations.silu_backward,
        "6ead4a0ebdc409f7a801925a413a8804d109ad7a9c463c0035c90e7e665f629e",
    ),
    _gradient(
        "gelu_backward",
        with_infinities,
        53,
        activations.gelu_backward,
        "941b7192e4e947bfd89bfdbadda39d40d6b3c93f5596cd13186ede2d17f96da9",
    ),
    _gradient(
        "gelu_tanh_backward",
        with_infinities,
        57,
        activations.gelu_tanh_backward,
        "d1f131a18335b2afe054ea13357e1ab2cbb8162825583e94838d573e8ca92880",
    ),
    Canary(
        *("N-08", "threshold_backward", _threshold_operands, functions.threshold_backward),
        *(each(activations.threshold_backward), "70cefef6d1eb38a8311cc010b07ef3c69bd88b4c5321a1dad1b7a12e876ca51a"),
    ),
)
