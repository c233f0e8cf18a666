"""The one table of operations: clause, C symbol, signature, domain, error bound and the function for NumPy arrays.

Tests, the specification's table and the library's prototypes are read from it.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

SIZE, POINTER, FLOAT, INT = ctypes.c_int64, ctypes.c_void_p, ctypes.c_float, ctypes.c_int32
# What a symbol's argument can be.
Argument = type[ctypes.c_int64] | type[ctypes.c_void_p] | type[ctypes.c_float] | type[ctypes.c_int32]

_STRIDED = (POINTER, SIZE, SIZE)


@dataclass(frozen=True)
class Op:
    """One operation.

    Args:
        name: as aten calls it where aten has it.
        clause: of docs/spec/numerics.md.
        symbol: in the native library.
        arguments: the symbol's; it returns int32 (0, or 1 for want of memory) unless `returns` says otherwise.
        domain: inputs whose results the clause fixes.
        error_ulp: the largest error against true mathematics; None where the clause is a chain of roundings, whose
            error grows with its length.
        function: module and name of what takes NumPy arrays.
    """

    name: str
    clause: str
    symbol: str
    arguments: tuple[Argument, ...]
    domain: str
    error_ulp: float | None
    function: str
    returns: type[ctypes.c_int32] | type[ctypes.c_int64] = INT


_PRODUCT_DOMAIN = "all float32 whose chains stay free of NaN"
_ROUNDED_DOMAIN = "all float32 whose result is not NaN"


def _elementwise(name: str, clause: str, arguments: tuple[Argument, ...], error_ulp: float | None = 0.5) -> Op:
    all_arguments = (SIZE, *arguments, INT)
    return Op(name, clause, f"sb_{name}_f32", all_arguments, _ROUNDED_DOMAIN, error_ulp, f"elementwise.{name}")


def _function(name: str, error_ulp: float, function: str | None = None) -> Op:
    arguments = (SIZE, POINTER, POINTER, INT)
    return Op(name, "N-08", f"sb_{name}_f32", arguments, _ROUNDED_DOMAIN, error_ulp, f"functions.{function or name}")


def _backward(name: str, error_ulp: float | None, function: str | None = None) -> Op:
    arguments = (SIZE, POINTER, POINTER, POINTER, INT)
    return Op(name, "N-08", f"sb_{name}_f32", arguments, _ROUNDED_DOMAIN, error_ulp, f"functions.{function or name}")


def _reduction(name: str, n_operands: int, domain: str) -> Op:
    arguments = (SIZE, SIZE, *(POINTER, SIZE) * n_operands, POINTER, INT)
    return Op(name, "N-07", f"sb_{name}_f32", arguments, domain, None, f"reductions.{name}")


_HEADS = (POINTER, SIZE, SIZE)
_ATTENTION = (SIZE, SIZE, SIZE, SIZE, SIZE, SIZE, SIZE, FLOAT, *_HEADS, *_HEADS, *_HEADS, POINTER, SIZE, FLOAT)

OPS = (
    Op(
        *("mm", "N-04", "sb_mm_f32", (SIZE, SIZE, SIZE, *_STRIDED, *_STRIDED, *_STRIDED, POINTER, INT, INT)),
        *(_PRODUCT_DOMAIN, None, "products.mm"),
    ),
    Op(
        *("linear", "N-04", "sb_mm_packed_f32", (SIZE, SIZE, SIZE, *_STRIDED, POINTER, *_STRIDED, POINTER, INT, INT)),
        *(_PRODUCT_DOMAIN, None, "products.linear"),
    ),
    Op(
        *("linear_backward", "N-04", "sb_mm_packed_transposed_f32"),
        *((SIZE, SIZE, SIZE, *_STRIDED, POINTER, *_STRIDED, INT, INT), _PRODUCT_DOMAIN, None),
        "products.linear_backward",
    ),
    Op("pack", "N-04", "sb_pack_f32", (SIZE, SIZE, *_STRIDED, POINTER, INT), "all float32", 0.0, "products.pack"),
    Op("packed_size", "N-04", "sb_packed_size_f32", (SIZE, SIZE), "sizes", 0.0, "products.pack", returns=SIZE),
    Op(
        *("attention", "N-16", "sb_attention_f32", (*_ATTENTION, *_HEADS, POINTER, INT)),
        *(_PRODUCT_DOMAIN, None, "attention.attention"),
    ),
    Op(
        *("attention_backward", "N-16", "sb_attention_backward_f32"),
        (*_ATTENTION, *_HEADS, POINTER, *_HEADS, *_HEADS, *_HEADS, *_HEADS, INT),
        *(_PRODUCT_DOMAIN, None, "attention.attention_backward"),
    ),
    Op(
        *("rotate", "N-20", "sb_rotary_f32", (SIZE, SIZE, SIZE, *_HEADS, POINTER, POINTER, SIZE, INT, *_HEADS, INT)),
        *(_ROUNDED_DOMAIN, None, "rotary.rotate"),
    ),
    Op(
        *("embedding", "N-20", "sb_embedding_f32", (SIZE, SIZE, POINTER, POINTER, SIZE, POINTER, SIZE, INT)),
        *("all float32", 0.0, "embedding.embedding"),
    ),
    Op(
        *("embedding_backward", "N-20", "sb_embedding_backward_f32"),
        (SIZE, SIZE, POINTER, POINTER, SIZE, POINTER, SIZE, INT),
        *(_PRODUCT_DOMAIN, None, "embedding.embedding_backward"),
    ),
    _reduction("sum", 1, _PRODUCT_DOMAIN),
    _reduction("amax", 1, "all float32 but NaN"),
    _reduction("dot", 2, _PRODUCT_DOMAIN),
    _function("exp", 0.9),
    _function("log", 0.95),
    _function("sin", 1.7),
    _function("cos", 1.85),
    _function("tanh", 2.7),
    _function("erf", 1.9),
    _function("sigmoid", 2.6),
    _function("silu", 2.5),
    _function("gelu", 6.5),
    _function("gelu_tanh", 2.4, "gelu"),
    _function("relu", 0.0),
    _backward("tanh_backward", 1.5),
    _backward("sigmoid_backward", 1.5),
    _backward("silu_backward", None),
    _backward("gelu_backward", None),
    _backward("gelu_tanh_backward", None, "gelu_backward"),
    Op(
        *("threshold_backward", "N-08", "sb_threshold_backward_f32", (SIZE, POINTER, POINTER, FLOAT, POINTER, INT)),
        *("all float32 but NaN", 0.0, "functions.threshold_backward"),
    ),
    Op(
        *("pow", "N-15", "sb_pow_f32", (SIZE, POINTER, POINTER, POINTER, INT), _ROUNDED_DOMAIN, 0.501, "powers.pow"),
    ),
    Op(
        *("pow_scalar", "N-15", "sb_pow_scalar_f32", (SIZE, POINTER, FLOAT, POINTER, INT), _ROUNDED_DOMAIN, 0.501),
        "powers.pow",
    ),
    Op("rsqrt", "N-15", "sb_rsqrt_f32", (SIZE, POINTER, POINTER, INT), _ROUNDED_DOMAIN, 1.5, "powers.rsqrt"),
    Op(
        "reciprocal",
        "N-15",
        "sb_reciprocal_f32",
        (SIZE, POINTER, POINTER, INT),
        *(_ROUNDED_DOMAIN, 0.5),
        "powers.reciprocal",
    ),
    Op(
        *("vector_norm", "N-15", "sb_vector_norm_f32", (SIZE, SIZE, POINTER, SIZE, POINTER, INT), _PRODUCT_DOMAIN),
        *(None, "powers.vector_norm"),
    ),
    _elementwise("add", "N-09", (POINTER, POINTER, POINTER)),
    _elementwise("sub", "N-09", (POINTER, POINTER, POINTER)),
    _elementwise("mul", "N-09", (POINTER, POINTER, POINTER)),
    _elementwise("div", "N-09", (POINTER, POINTER, POINTER)),
    _elementwise("sqrt", "N-09", (POINTER, POINTER)),
    _elementwise("scale", "N-09", (POINTER, FLOAT, POINTER)),
    _elementwise("add_scaled", "N-02", (POINTER, POINTER, FLOAT, POINTER), None),
    _elementwise("fma", "N-02", (POINTER, POINTER, POINTER)),
    Op(
        *("random_words", "N-10", "sb_random_words", (SIZE, POINTER, SIZE, POINTER, INT)),
        *("elements of a stream", 0.0, "random.words"),
    ),
    Op(
        *("dropout", "N-21", "sb_dropout_f32"),
        (SIZE, SIZE, POINTER, SIZE, POINTER, SIZE, SIZE, FLOAT, POINTER, SIZE, INT),
        *(_ROUNDED_DOMAIN, 0.5, "dropout.dropout"),
    ),
    Op(
        *("kaiming_uniform", "N-22", "sb_uniform_f32", (SIZE, POINTER, SIZE, FLOAT, POINTER, INT)),
        *("elements of a stream", None, "initialisation.kaiming_uniform"),
    ),
    Op(
        *("gradient_norm", "N-13", "sb_gradient_norm_f32", (SIZE, POINTER, POINTER, FLOAT, POINTER, POINTER, INT)),
        *(_PRODUCT_DOMAIN, None, "optimizer.gradient_norm"),
    ),
    Op(
        *("adamw", "N-13", "sb_adamw_f32", (SIZE, POINTER, POINTER, POINTER, POINTER, POINTER, INT)),
        *("all float32 whose results are not NaN", None, "optimizer.adamw"),
    ),
)
