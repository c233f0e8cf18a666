"""The table, its symbols, its functions and the clauses belong together."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from samebits.numerics import library, ops

SPECIFICATION = Path(__file__).resolve().parents[3] / "docs" / "spec" / "numerics.md"


def test_every_op_has_its_function_symbol_and_clause() -> None:
    text = SPECIFICATION.read_text(encoding="utf-8")
    for op in ops.OPS:
        module, _, function = op.function.partition(".")
        assert callable(getattr(importlib.import_module(f"samebits.numerics.{module}"), function))
        assert getattr(library.loaded().functions, op.symbol).argtypes == op.arguments
        assert re.search(rf"^## {op.clause}\b", text, re.MULTILINE)
