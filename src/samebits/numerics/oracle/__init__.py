"""The clauses in plain Python integers: slow, independent of every kernel, one rounding at a time."""
