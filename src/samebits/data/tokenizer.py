"""Text to token ids by the files of a model folder; no code of the folder is ever run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from samebits.canonical.digests import sha256_bytes
from samebits.canonical.json_bytes import dump_json, load_json
from samebits.errors import ModelError, RecordError

MAX_FILE_BYTES = 2**28
GPT2_CLASSES = ("GPT2Tokenizer", "GPT2TokenizerFast")
GPT2_SPECIAL = "<|endoftext|>"
TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")

_PROBE = "a"
_ADDED_TOKEN_KEYS = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")


@dataclass(frozen=True)
class Piece:
    """One token of a text: its id, and the characters that it stands for, from `start` up to `stop`."""

    token_id: int
    start: int
    stop: int


class Tokenizer:
    """A tokenizer of the `tokenizers` library with the special tokens that were chosen for it.

    Args:
        backend: changed here: padding and truncation off; its post-processor taken over as `prefix_ids`.
        special_tokens: texts by name (`eos_token`, ...), for chat templates.
        sha256: of everything that decides the ids.
    Raises:
        ModelError: the post-processor appends another token than the end-of-sequence token.
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        *,
        special_tokens: Mapping[str, str],
        eos_token_id: int | None,
        bos_token_id: int | None,
        chat_template: str | None,
        identity: Mapping[str, Any],
        where: str,
    ) -> None:
        backend.no_padding()
        backend.no_truncation()
        self.eos_token_id, self.bos_token_id = eos_token_id, bos_token_id
        self.special_tokens, self.chat_template = dict(special_tokens), chat_template
        self.prefix_ids = _prefix_ids(backend, eos_token_id, where)
        # It would trim the offsets of blanks, and never changes the ids of a text.
        backend.post_processor = None
        self._backend = backend
        self.vocab_size = max(backend.get_vocab(with_added_tokens=True).values(), default=-1) + 1
        """One more than the greatest id, added tokens included."""
        special = {"eos": eos_token_id, "bos": bos_token_id, "prefix": list(self.prefix_ids)}
        self.sha256 = sha256_bytes(dump_json({**identity, "special_ids": special}))

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without what a post-processor would add."""
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids

    def pieces(self, text: str) -> list[Piece]:
        """Return the tokens of a text with the characters that each stands for."""
        encoding = self._backend.encode(text, add_special_tokens=False)
        return [Piece(*piece) for piece in _with_offsets(encoding)]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens included."""
        text: str = self._backend.decode(list(ids), skip_special_tokens=False)
        return text


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load tokenizer.json, or vocab.json with merges.txt (GPT-2's byte-level BPE).

    Raises:
        ModelError: neither is there, a file is not what it claims to be, or a special token has no id.
    """
    config = _json_file(folder / "tokenizer_config.json")
    named = _json_file(folder / "special_tokens_map.json")
    names = {name: text for name in TOKEN_NAMES if (text := _token_text(config, name) or _token_text(named, name))}
    if (folder / "tokenizer.json").is_file():
        backend, identity = _from_tokenizer_json(folder)
    elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        names = {"bos_token": GPT2_SPECIAL, "eos_token": GPT2_SPECIAL, "unk_token": GPT2_SPECIAL, **names}
        backend, identity = _from_vocab_and_merges(folder, config, names)
    else:
        raise _no_tokenizer(folder)
    added = _add_named(backend, names)
    ids = {name: _special_id(folder, backend, name, names) for name in ("eos_token", "bos_token")}
    for name, token_id in ids.items():
        if token_id is not None:
            names.setdefault(name, str(backend.id_to_token(token_id)))
    return Tokenizer(
        backend,
        special_tokens=names,
        eos_token_id=ids["eos_token"],
        bos_token_id=ids["bos_token"],
        chat_template=_chat_template(folder, config),
        identity={**identity, "named": added},
        where=str(folder),
    )


def _from_tokenizer_json(folder: Path) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    path = folder / "tokenizer.json"
    data = _bytes(path)
    try:
        backend = tokenizers.Tokenizer.from_str(data.decode("utf-8"))
    # The library raises bare Exception for whatever it does not understand.
    except Exception as error:
        raise ModelError("tokenizer.json must be one that `tokenizers` reads", got=str(error), where=str(path)) from (
            error
        )
    if getattr(backend.model, "dropout", None):
        raise ModelError(
            "a tokenizer must cut a text alike each time, without dropout",
            got=str(backend.model.dropout),
            where=str(path),
            remedy="set `dropout` to null in the file",
        )
    return backend, {"kind": "tokenizer.json", "files": {"tokenizer.json": sha256_bytes(data)}}


def _from_vocab_and_merges(
    folder: Path, config: Mapping[str, Any], names: Mapping[str, str]
) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    _check_gpt2(folder, config)
    data = {name: _bytes(folder / name) for name in ("vocab.json", "merges.txt")}
    add_prefix_space = bool(config.get("add_prefix_space", False))
    try:
        vocab = json.loads(data["vocab.json"].decode("utf-8"))
        lines = data["merges.txt"].decode("utf-8").removeprefix("\ufeff").split("\n")
        merges = [_merge(line.rstrip("\r")) for line in lines if line.strip() and not line.startswith("#version")]
        bpe = models.BPE(
            vocab=vocab, merges=merges, dropout=None, continuing_subword_prefix="", end_of_word_suffix="",
            fuse_unk=False,
        )  # fmt: skip
    # As above: the library raises bare Exception, for a merge out of the vocabulary for instance.
    except Exception as error:
        raise ModelError(
            "vocab.json and merges.txt must be a byte-level BPE", got=str(error), where=str(folder)
        ) from error
    backend = tokenizers.Tokenizer(bpe)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    backend.decoder = decoders.ByteLevel()
    added = _add_listed(folder, config, backend)
    for text in names.values():
        backend.add_special_tokens([text])
    identity = {
        "kind": "gpt2",
        "files": {name: sha256_bytes(content) for name, content in data.items()},
        "add_prefix_space": add_prefix_space,
        "added_tokens": added,
    }
    if config.get("add_bos_token"):
        bos = names["bos_token"]
        backend.post_processor = tokenizers.processors.TemplateProcessing(
            single=f"{bos}:0 $A:0", special_tokens=[(bos, backend.token_to_id(bos))]
        )
    return backend, identity


def _check_gpt2(folder: Path, config: Mapping[str, Any]) -> None:
    name = config.get("tokenizer_class")
    family = _json_file(folder / "config.json").get("model_type", "gpt2")
    if name not in (None, *GPT2_CLASSES) or (name is None and family != "gpt2"):
        raise ModelError(
            "vocab.json and merges.txt alone must be GPT-2's tokenizer: other families cut words otherwise",
            got=str(name or family),
            where=str(folder),
            remedy="add the model's tokenizer.json to the folder",
        )


def _add_listed(folder: Path, config: Mapping[str, Any], backend: tokenizers.Tokenizer) -> dict[str, Any]:
    """Add the tokens that a folder lists beside its vocabulary, and return the list by id."""
    listed: dict[int, Any] = {}
    try:
        for text, token_id in _json_file(folder / "added_tokens.json").items():
            listed[int(token_id)] = {"content": text}
        for token_id, token in (config.get("added_tokens_decoder") or {}).items():
            listed[int(token_id)] = {name: token[name] for name in _ADDED_TOKEN_KEYS if name in token}
        for token_id in sorted(listed):
            _add_token(backend, token_id, **listed[token_id])
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelError("added tokens must be a table of ids and texts", got=str(error), where=str(folder)) from error
    return {str(token_id): listed[token_id] for token_id in sorted(listed)}


def _add_token(backend: tokenizers.Tokenizer, token_id: int, *, content: str, **flags: bool) -> None:
    backend.add_tokens([tokenizers.AddedToken(content, **flags)])
    if backend.token_to_id(content) != token_id:
        raise ValueError(f"{content!r} with the id {token_id}, where {backend.token_to_id(content)} is next")


def _add_named(backend: tokenizers.Tokenizer, names: Mapping[str, str]) -> list[str]:
    """Make every named special token one token wherever its text stands, and return those that were not."""
    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    added = [
        text for text in dict.fromkeys(names.values()) if text not in known and backend.token_to_id(text) is not None
    ]
    backend.add_special_tokens(list(added))
    return added


def _merge(line: str) -> tuple[str, str]:
    left, _, right = line.partition(" ")
    return left, right


def _special_id(folder: Path, backend: tokenizers.Tokenizer, name: str, names: Mapping[str, str]) -> int | None:
    if name in names:
        found: int | None = backend.token_to_id(names[name])
        if found is None:
            raise ModelError(
                f"`{name}` must be in the vocabulary",
                got=repr(names[name]),
                where=str(folder / "tokenizer_config.json"),
            )
        return found
    for file in ("generation_config.json", "config.json"):
        value = _json_file(folder / file).get(f"{name}_id")
        value = value[0] if isinstance(value, list) and value else value
        if value is None:
            continue
        # `type`, because true is an int too; the library holds ids in 32 bits.
        if type(value) is not int or not 0 <= value < 2**32 or backend.id_to_token(value) is None:
            raise ModelError(f"`{name}_id` must be an id of the vocabulary", got=repr(value), where=str(folder / file))
        return value
    return None


def _prefix_ids(backend: tokenizers.Tokenizer, eos_token_id: int | None, where: str) -> tuple[int, ...]:
    bare = backend.encode(_PROBE, add_special_tokens=False).ids
    full = backend.encode(_PROBE, add_special_tokens=True).ids
    starts = [at for at in range(len(full) - len(bare) + 1) if full[at : at + len(bare)] == bare]
    suffix = full[starts[0] + len(bare) :] if starts else full
    if suffix not in ([], [eos_token_id]):
        raise ModelError(
            "a tokenizer must append nothing but the end-of-sequence token to a text", got=str(suffix), where=where
        )
    return tuple(full[: starts[0]])


def _with_offsets(encoding: tokenizers.Encoding) -> list[tuple[int, int, int]]:
    return [(token_id, start, stop) for token_id, (start, stop) in zip(encoding.ids, encoding.offsets, strict=True)]


def _chat_template(folder: Path, config: Mapping[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        try:
            return _bytes(path).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ModelError("the chat template must be UTF-8", got=str(error), where=str(path)) from error
    template = config.get("chat_template")
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        template = named.get("default")
    if template is not None and not isinstance(template, str):
        raise ModelError("`chat_template` must be a string", where=str(folder / "tokenizer_config.json"))
    return template


def _token_text(mapping: Mapping[str, Any], name: str) -> str | None:
    value = mapping.get(name)
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) and text else None


def _json_file(path: Path) -> dict[str, Any]:
    """Return a file's object; an empty one where there is no file."""
    if not path.is_file():
        return {}
    try:
        value = load_json(_bytes(path), where=str(path))
    except RecordError as error:
        raise ModelError(error.must, got=error.got, where=error.where) from error
    if not isinstance(value, dict):
        raise ModelError("the file must hold one JSON object", where=str(path))
    return value


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelError(f"a tokenizer's file must have at most {MAX_FILE_BYTES} bytes", where=str(path))
        return path.read_bytes()
    except OSError as error:
        raise ModelError("a tokenizer's file must be readable", got=str(error.strerror), where=str(path)) from error


def _no_tokenizer(folder: Path) -> ModelError:
    others = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.txt", "tokenizer.pkl")
    found = [name for name in others if (folder / name).is_file()]
    return ModelError(
        "a model folder must hold tokenizer.json, or vocab.json with merges.txt",
        got=", ".join(found) or "neither",
        where=str(folder),
        remedy="save it once with transformers as a fast tokenizer, which writes tokenizer.json",
    )
