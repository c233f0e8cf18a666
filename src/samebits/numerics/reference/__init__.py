"""The reference engine: every operation of ops.py behind the kernels' own C ABI, computed by the oracle."""
