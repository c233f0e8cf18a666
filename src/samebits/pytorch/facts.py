"""What torch is and what it does on this machine, handed to the fingerprint as data."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch

from samebits.canonical.digests import sha256_bytes
from samebits.pytorch.doctor import library_threads
from samebits.pytorch.mkl import mkl_facts


def torch_facts() -> dict[str, Any]:
    """Return torch's build, libraries, thread counts and dispatch, asked of torch; null for what it does not tell."""
    shown = torch.__config__.show()
    threads = library_threads()
    return {
        "version": torch.__version__,
        "git_version": torch.version.git_version,
        "debug": torch.version.debug,
        "cuda_build": torch.version.cuda,
        "compiler": _found(r"- (GCC .+|clang .+|MSVC .+)", shown),
        "build_settings": _build_settings(shown),
        "blas": _found(r"BLAS_INFO=(\w+)", shown),
        "lapack": _found(r"LAPACK_INFO=(\w+)", shown),
        "mkl": mkl_facts(),
        "onednn_version": _found(r"MKL-DNN v([0-9.]+)", shown),
        "onednn_enabled": bool(torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled),
        "openmp": _found(r"- OpenMP (.+)", shown),
        "cpu_capability": cpu_capability(),
        "n_threads": torch.get_num_threads(),
        "n_interop_threads": torch.get_num_interop_threads(),
        "n_openmp_threads": threads.get("OpenMP"),
        "n_mkl_threads": threads.get("MKL"),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "probes": probes(),
    }


def cpu_capability() -> str:
    """Return the instruction set that torch's own kernels run on in this process: `DEFAULT`, `AVX2`, `AVX512`."""
    return str(torch.backends.cpu.get_cpu_capability())


def probes() -> dict[str, str]:
    """Return digests of a few operations on fixed numbers.

    Where a knob is turned and every probe stays, the knob reached none of these operations on this processor.
    The shapes are those at which stock kernels were seen to change: LoRA's thin product, MKL's square root, a sum
    long enough to be split among threads.
    """
    left, right = _numbers(333, 1024), _numbers(1024, 17)
    wide = _numbers(257, 1023)
    results = {
        "matmul_333x1024x17": left @ right,
        "matmul_257x1023x257": wide @ wide.T,
        "sum_262911": wide.sum(),
        "sqrt": wide.abs().sqrt(),
        "exp": wide.exp(),
        "gelu_tanh": torch.nn.functional.gelu(wide, approximate="tanh"),
        "layer_norm": torch.nn.functional.layer_norm(wide, (1023,)),
        "softmax": wide.softmax(-1),
    }
    return {name: sha256_bytes(value.numpy().tobytes()) for name, value in results.items()}


def _numbers(n_rows: int, n_columns: int) -> torch.Tensor:
    """Return fixed float32 numbers in [-1, 1), made of integers: no generator and no rounding reaches them."""
    index = np.arange(n_rows * n_columns, dtype=np.uint32)
    # Knuth's multiplicative hash; its upper 24 bits are a float32.
    bits = (index * np.uint32(2654435761)) >> np.uint32(8)
    values = (bits.astype(np.int32) - 2**23).astype(np.float32) / np.float32(2**23)
    # MKL may treat memory of another alignment otherwise: a clone lies as every tensor of torch does.
    return torch.from_numpy(values.reshape(n_rows, n_columns)).clone()


def _build_settings(shown: str) -> dict[str, str]:
    line = _found(r"- Build settings: (.+)", shown) or ""
    # The flags of the compiler hold commas and spaces; they stand whole in `git_version`'s own build.
    return dict(re.findall(r"\b(BUILD_TYPE|COMMIT_SHA|(?:USE|PERF)_\w+)=([^,\s]+)", line))


def _found(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match[1].strip() if match else None
