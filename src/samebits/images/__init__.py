"""Reproducible container images: built twice, and compared down to the file and the cause."""
