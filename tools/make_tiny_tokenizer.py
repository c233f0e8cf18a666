"""Train the bundled byte-level BPE tokenizer on the text of the embedded dataset and write its tokenizer.json.

    python tools/make_tiny_tokenizer.py [OUT]

The result is committed; a test trains it again and compares the bytes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from samebits.canonical.json_bytes import dump_json

SOURCE = Path(__file__).parents[1] / "src/samebits/data/embedded/train.jsonl"
TARGET = Path(__file__).parents[1] / "src/samebits/models/embedded/tokenizer.json"
VOCABULARY = 512
END_OF_TEXT = "<|endoftext|>"


def sample_texts(source: Path) -> list[str]:
    """Return every field of every sample that is text to read."""
    samples = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    return [sample[field] for sample in samples for field in ("instruction", "input", "output") if sample[field]]


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """Train a byte-level BPE: every byte is in the vocabulary, so every text has tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    return tokenizer


def tokenizer_bytes(source: Path = SOURCE) -> bytes:
    """Return the trained tokenizer as canonical JSON."""
    return dump_json(json.loads(train_tokenizer(sample_texts(source)).to_str()))


if __name__ == "__main__":
    (Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET).write_bytes(tokenizer_bytes())
