"""Known answers of every clause, run when a library loads: a machine that disagrees is refused."""
