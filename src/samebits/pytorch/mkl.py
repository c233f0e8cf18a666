"""MKL asked about itself: the code branch it takes and the threads of one real product.

MKL answers in two ways: a line that it prints for each call when told to, and the functions of its reproducibility
interface where the library exports them (Linux builds of torch do). Off Intel's own processors it does not say which
instruction set it uses; that is null here, never guessed.
Source: oneMKL developer guide, "Verbose mode" and "Conditional numerical reproducibility".
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

# mkl_types.h: the branches of MKL_CBWR_Get and MKL_CBWR_Get_Auto_Branch.
BRANCHES = {
    1: "off", 2: "auto", 3: "compatible", 4: "sse2", 6: "ssse3", 7: "sse4_1", 8: "sse4_2", 9: "avx", 10: "avx2",
    11: "avx512_mic", 12: "avx512", 13: "avx512_mic_e1", 14: "avx512_e1",
}  # fmt: skip
_ALL_SETTINGS = -1
_INSTRUCTION_SETS = (
    ("AVX-512", "avx512"), ("Advanced Vector Extensions 2", "avx2"), ("Advanced Vector Extensions", "avx"),
    ("SSE4.2", "sse4_2"), ("SSE4.1", "sse4_1"), ("SSSE3", "ssse3"),
)  # fmt: skip


def mkl_facts() -> dict[str, Any] | None:
    """Return what MKL says of itself; None where torch was built without it, null for what it does not tell."""
    if not torch.backends.mkl.is_available():
        return None
    introduction = _introduction()
    processor = _found(r"architecture (.+?) processors", introduction)
    return {
        "version": _found(r"MKL_VERBOSE (.+?) for ", introduction),
        "processor": processor,
        "instruction_set": next((name for text, name in _INSTRUCTION_SETS if processor and text in processor), None),
        "n_threads_of_a_product": _number(_found(r"NThr:(\d+)", _printed_for_one_product())),
        "reproducibility_branch": _branch("mkl_serv_cbwr_get", _ALL_SETTINGS),
        "auto_branch": _branch("mkl_serv_cbwr_get_auto_branch"),
    }


@functools.cache
def _introduction() -> str:
    """Return what MKL prints of itself, which it does once in a process."""
    return _printed_for_one_product()


def _printed_for_one_product() -> str:
    """Return what MKL prints of one matrix product; empty where file descriptors cannot be turned round."""
    if os.name == "nt":
        return ""
    matrix = torch.ones(64, 64)
    c_library = ctypes.CDLL(None)
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with tempfile.TemporaryFile() as stream:
            os.dup2(stream.fileno(), 1)
            try:
                with torch.backends.mkl.verbose(torch.backends.mkl.VERBOSE_ON):
                    torch.mm(matrix, matrix)
                c_library.fflush(None)
            finally:
                os.dup2(kept, 1)
            stream.seek(0)
            return stream.read().decode(errors="replace")
    finally:
        os.close(kept)


def _branch(function: str, *arguments: int) -> str | None:
    libraries = sorted((Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"))
    try:
        code = int(getattr(ctypes.CDLL(str(libraries[0])), function)(*arguments))
    except (AttributeError, IndexError, OSError):
        return None
    return BRANCHES.get(code)


def _found(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match[1].strip() if match else None


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
