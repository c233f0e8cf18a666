"""The arithmetic that has one answer everywhere: counter-based random numbers, in integers."""
