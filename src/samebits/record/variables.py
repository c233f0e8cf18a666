"""Environment variables that can reach the bits of a run, by an allow-list; nothing secret leaves this module."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

ALLOWED_NAMES = frozenset({
    "ATEN_CPU_CAPABILITY", "BLIS_NUM_THREADS", "CUBLAS_WORKSPACE_CONFIG", "CUDA_VISIBLE_DEVICES", "GLIBC_TUNABLES",
    "HF_DATASETS_OFFLINE", "HF_ENDPOINT", "HF_HUB_OFFLINE", "LANG", "LANGUAGE", "LC_ADDRESS", "LC_ALL", "LC_COLLATE",
    "LC_CTYPE", "LC_IDENTIFICATION", "LC_MEASUREMENT", "LC_MESSAGES", "LC_MONETARY", "LC_NAME", "LC_NUMERIC",
    "LC_PAPER", "LC_TELEPHONE", "LC_TIME", "LD_PRELOAD", "NUMEXPR_NUM_THREADS", "NVIDIA_TF32_OVERRIDE",
    "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONIOENCODING",
    "PYTHONMALLOC", "PYTHONOPTIMIZE", "PYTHONUTF8", "SOURCE_DATE_EPOCH", "TOKENIZERS_PARALLELISM",
    "TRANSFORMERS_OFFLINE", "TZ", "VECLIB_MAXIMUM_THREADS",
})  # fmt: skip
ALLOWED_PREFIXES = ("DNNL_", "GOMP_", "KMP_", "MALLOC_", "MKL_", "OMP_", "ONEDNN_", "SAMEBITS_", "TORCH_")
# A prefix is open-ended: a name that speaks of a secret is none of ours, whatever it begins with.
SECRET_WORDS = ("TOKEN", "SECRET", "PASS", "KEY", "CRED", "AUTH", "COOKIE", "LICENSE")
MAX_VALUE_CHARACTERS = 4096
HIDDEN = "***"

# A password typed by hand may hold `/`, `?`, `#` or `@`: everything up to the last `@` goes, a path's own with it.
_USER_INFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,31}://)\S*@")
_QUERY = re.compile(r"(?P<address>[A-Za-z][A-Za-z0-9+.-]{0,31}://[^\s?#]*)[?#]\S*")


def allowed_variables(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables on the allow-list, sorted, credentials inside URLs hidden.

    Args:
        environment: the process's own where left out.
    """
    variables = os.environ if environment is None else environment
    return {name: _text(variables[name])[:MAX_VALUE_CHARACTERS] for name in sorted(variables) if _is_allowed(name)}


def without_secrets(value: Any) -> Any:
    """Return JSON with user names, passwords, queries and fragments taken out of every URL in its texts."""
    if isinstance(value, Mapping):
        return {_text(str(key)): without_secrets(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(child) for child in value]
    return _text(value) if isinstance(value, str) else value


def _is_allowed(name: str) -> bool:
    if name in ALLOWED_NAMES:
        return True
    return name.startswith(ALLOWED_PREFIXES) and not any(word in name.upper() for word in SECRET_WORDS)


def _text(text: str) -> str:
    # Bytes that are no UTF-8 arrive as lone surrogates, which JSON cannot carry.
    plain = text.encode("utf-8", "backslashreplace").decode()
    plain = _USER_INFO.sub(rf"\g<scheme>{HIDDEN}@", plain)
    return _QUERY.sub(rf"\g<address>?{HIDDEN}", plain)
