"""The run folder: its layout, documents, trace, checkpoints, and the fingerprint of the machine that made it."""
