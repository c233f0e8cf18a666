"""Conversions by hand; tests/oracle holds every kernel against these functions."""

from __future__ import annotations

from samebits.numerics.oracle.conversions import bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16


def test_bfloat16() -> None:
    assert [f32_to_bf16(x) for x in (0x3F808000, 0x3F818000, 0x3FFFFFFF, 1, 0x7F800001)] == [
        *(0x3F80, 0x3F82, 0x4000, 0, 0x7FC0)
    ]
    assert bf16_to_f32(0x807F) == 0x807F0000


def test_binary16() -> None:
    assert [f16_to_f32(x) for x in (0x3C00, 0x8001, 0x7C00, 0x7C01, 0x8000)] == [
        *(0x3F800000, 0xB3800000, 0x7F800000, 0x7FC02000, 0x80000000)
    ]
    assert [f32_to_f16(x) for x in (0x3F801000, 0x33000000, 0x33000001, 0x477FF000, 0xFF800000, 0x7F800001)] == [
        *(0x3C00, 0, 1, 0x7C00, 0xFC00, 0x7E00)
    ]
