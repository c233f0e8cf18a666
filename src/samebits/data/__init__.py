"""Reading JSONL, schemas, chat templates, tokens and their digests, and the order of the samples."""
