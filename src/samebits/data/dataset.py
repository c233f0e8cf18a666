"""From a dataset's name to token ids: what every engine trains on, and its part of `recipe.json`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samebits.canonical.digests import sha256_bytes
from samebits.data.order import held_out, sample_seed
from samebits.data.reader import RawDataset, find_files, read_samples
from samebits.data.render import RenderedSample, render, rendered_sha256
from samebits.data.schemas import Conversation
from samebits.data.templates import ChatTemplate, read_template
from samebits.data.tokenizer import Piece, Tokenizer
from samebits.errors import DataError
from samebits.recipe.settings import Settings


@dataclass(frozen=True)
class TokenSample:
    """A sample as tokens.

    `index` is its place among the samples of its file, from 0. `is_target[i]` says that the loss predicts token i
    from the tokens before it; token 0 never is one.
    """

    index: int
    line: int
    origin: str
    input_ids: tuple[int, ...]
    is_target: tuple[bool, ...]

    @property
    def n_target_tokens(self) -> int:
        """Number of tokens that the loss predicts."""
        return sum(self.is_target)


def n_target_tokens(samples: Iterable[TokenSample]) -> int:
    """Return the number of tokens that the loss predicts."""
    return sum(sample.n_target_tokens for sample in samples)


@dataclass(frozen=True)
class TokenizedDataset:
    """Samples in the order of their file; steps of training name them by their place here."""

    samples: tuple[TokenSample, ...]


@dataclass(frozen=True)
class PreparedData:
    """What to train on and to evaluate on, the data part of `recipe.json`, and what was noticed on the way."""

    train: TokenizedDataset
    evaluation: TokenizedDataset | None
    document: dict[str, Any]
    notes: list[str]


@dataclass(frozen=True)
class _Split:
    name: str
    raw: RawDataset
    rendered: tuple[RenderedSample, ...]
    tokens: tuple[TokenSample, ...]
    template_sha256: str | None
    notes: tuple[str, ...]

    def part(self, name: str, indices: Sequence[int]) -> _Split:
        """Return some of the samples as a split of their own."""
        return _Split(
            name,
            self.raw,
            tuple(self.rendered[i] for i in indices),
            tuple(self.tokens[i] for i in indices),
            self.template_sha256,
            self.notes,
        )


def prepare(settings: Settings, tokenizer: Tokenizer) -> PreparedData:
    """Read, render and tokenise the recipe's data, and split it where the recipe says so.

    Raises:
        DataError: a rule of docs/data.md is broken; file, line and reason are named.
    """
    train_path, folder_evaluation_path = find_files(settings.dataset_name)
    evaluation_path = folder_evaluation_path
    if settings.eval_dataset_name is not None:
        evaluation_path = _evaluation_file(settings.eval_dataset_name)
    train, evaluation = _split("train", train_path, settings, tokenizer), None
    notes = list(train.notes)
    if evaluation_path is not None:
        evaluation = _split("evaluation", evaluation_path, settings, tokenizer)
        notes += evaluation.notes
    elif settings.val_size:
        kept, chosen = held_out(len(train.tokens), settings.val_size, sample_seed(settings))
        train, evaluation = train.part("train", kept), train.part("evaluation", chosen)
    return PreparedData(
        TokenizedDataset(train.tokens),
        TokenizedDataset(evaluation.tokens) if evaluation else None,
        {"train": _document(train), "evaluation": _document(evaluation) if evaluation else None},
        notes,
    )


def token_ids_sha256(samples: Sequence[TokenSample]) -> str:
    """Return the digest of tokenised samples: a line of canonical JSON for each, in order."""
    lines = ({"input_ids": sample.input_ids, "is_target": sample.is_target} for sample in samples)
    # Of whole numbers and booleans, json writes what RFC 8785 says, and many times faster than a writer of everything.
    return sha256_bytes("".join(f"{json.dumps(line, separators=(',', ':'))}\n" for line in lines).encode())


def _evaluation_file(name: str) -> Path:
    path, beside = find_files(name)
    if beside is not None or Path(name).is_dir():
        raise DataError("`eval_dataset_name` must be a file", got="a folder", where=name)
    return path


def _split(name: str, path: Path, settings: Settings, tokenizer: Tokenizer) -> _Split:
    raw = read_samples(path, settings.dataset_schema)
    template = None
    if any(isinstance(sample.content, Conversation) for sample in raw.samples):
        template = _template(settings, tokenizer)
    rendered = render(raw, template=template, completion_only_loss=settings.completion_only_loss)
    tally: Counter[str] = Counter()
    tokens = tuple(_tokenised(sample, tokenizer, settings.max_length, path, tally) for sample in rendered)
    tally["samples that repeat an earlier one, kept"] = len(rendered) - len({sample.segments for sample in rendered})
    counted = (f"{what}: {count}" for what, count in tally.items() if count)
    notes = tuple(f"{name}: {note}" for note in (*raw.notes, *counted))
    return _Split(name, raw, rendered, tokens, template.sha256 if template else None, notes)


def _template(settings: Settings, tokenizer: Tokenizer) -> ChatTemplate | None:
    source, where = tokenizer.chat_template, "the tokenizer's chat template"
    if settings.chat_template is not None:
        source, where = read_template(settings.chat_template), f"chat template {settings.chat_template}"
    if source is None:
        return None
    return ChatTemplate(source, date=settings.chat_template_date, special_tokens=tokenizer.special_tokens, where=where)


def _tokenised(
    sample: RenderedSample, tokenizer: Tokenizer, max_length: int, path: Path, tally: Counter[str]
) -> TokenSample:
    pieces = tokenizer.pieces(sample.text)
    ids, targets = [piece.token_id for piece in pieces], _targets(sample, pieces, tally)
    prefix = tokenizer.prefix_ids
    if sample.has_prefix and tuple(ids[: len(prefix)]) != prefix:
        ids, targets = [*prefix, *ids], [*(False for _ in prefix), *targets]
    eos = tokenizer.eos_token_id
    if sample.is_closed and eos is not None and not _ends_with(eos, pieces, sample.text):
        ids, targets = [*ids, eos], [*targets, True]
    tally["samples cut at `max_length`"] += len(ids) > max_length
    ids, targets = ids[:max_length], [False, *targets[1:max_length]]
    if not any(targets):
        raise DataError(
            "a sample must have a token to learn among its first `max_length` tokens, not counting the first",
            got=f"none in {len(ids)}",
            where=f"{path}, line {sample.line}",
            remedy="raise `max_length`, or shorten or remove the sample",
        )
    return TokenSample(sample.index, sample.line, sample.origin, tuple(ids), tuple(targets))


def _targets(sample: RenderedSample, pieces: Sequence[Piece], tally: Counter[str]) -> list[bool]:
    """Say of each token whether the character that it starts with is learnt."""
    by_character = [segment.is_target for segment in sample.segments for _ in segment.text]
    last = len(by_character) - 1
    # A token may stand for no character; at the very end it belongs to the last one.
    targets = [by_character[min(piece.start, last)] for piece in pieces]
    spans = (by_character[piece.start : piece.stop] for piece in pieces)
    tally["samples with a token that spans a prompt's end, not learnt"] += any(
        not span[0] and any(span) for span in spans if span
    )
    return targets


def _ends_with(eos: int, pieces: Sequence[Piece], text: str) -> bool:
    """Say whether the last token that is not blank is the end of the sequence."""
    solid = (piece.token_id for piece in reversed(pieces) if piece.token_id == eos or not _is_blank(piece, text))
    return next(solid, None) == eos


def _is_blank(piece: Piece, text: str) -> bool:
    return not text[piece.start : piece.stop].strip()


def _document(split: _Split) -> dict[str, Any]:
    return {
        "schema": split.raw.schema,
        "raw_sha256": split.raw.raw_sha256,
        "chat_template_sha256": split.template_sha256,
        "rendered_sha256": rendered_sha256(split.rendered),
        "token_ids_sha256": token_ids_sha256(split.tokens),
        "n_samples": len(split.tokens),
        "n_tokens": sum(len(sample.input_ids) for sample in split.tokens),
        "n_target_tokens": n_target_tokens(split.tokens),
        "origins": dict(sorted(Counter(sample.origin for sample in split.tokens).items())),
    }
