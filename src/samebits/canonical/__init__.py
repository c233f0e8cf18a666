"""One byte sequence for one value: JSON, tensors, digests, and files written whole or not at all."""
