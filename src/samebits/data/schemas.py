"""The shapes that one line of a dataset may have, how a shape is recognised, and what it holds.

The rules in words are in docs/data.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from samebits.errors import DataError

MAX_MESSAGES = 4096
ROLES = ("system", "user", "assistant")
SHAREGPT_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}

# The keys that a sample of a schema must have; one more may be there.
REQUIRED: dict[str, frozenset[str]] = {
    "messages": frozenset({"messages"}),
    "prompt-completion": frozenset({"prompt", "completion"}),
    "text": frozenset({"text"}),
    "alpaca": frozenset({"instruction", "output"}),
    "sharegpt": frozenset({"conversations"}),
    "input-output": frozenset({"input", "output"}),
    "instructlab": frozenset({"user", "assistant"}),
}
OPTIONAL: dict[str, frozenset[str]] = {"alpaca": frozenset({"input"}), "instructlab": frozenset({"system"})}

# Keys that describe a sample and never reach its text.
DESCRIPTIVE = frozenset({"id", "origin", "metadata"})
# Keys that other trainers feed to the model: leaving them out would train on another text than the file means.
MEANINGFUL = frozenset(
    {"tools", "functions", "documents", "history", "system", "images", "videos", "audios", "chat_template_kwargs"}
)


@dataclass(frozen=True)
class Text:
    """A text without a prompt."""

    text: str


@dataclass(frozen=True)
class Completion:
    """A prompt and what follows it, both verbatim."""

    prompt: str
    completion: str


@dataclass(frozen=True)
class Instruction:
    """An instruction, what it is about (may be empty), and the answer."""

    instruction: str
    given: str
    output: str


@dataclass(frozen=True)
class Message:
    """One turn of a conversation; `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Conversation:
    """Turns in order; assistant turns from `n_prompt_messages` on are what is learnt."""

    messages: tuple[Message, ...]
    n_prompt_messages: int = 0


Content = Text | Completion | Instruction | Conversation


def candidates(keys: Iterable[str]) -> list[str]:
    """Return the schemas whose keys a sample has, in the table's order."""
    present = frozenset(keys)
    found = [schema for schema, required in REQUIRED.items() if required <= present]
    if "alpaca" in found and "input-output" in found:
        found.remove("input-output")
    return found


def detect(samples: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """Return the one schema that every sample has.

    Args:
        samples: where each one stands, and its keys and values; at least one.
    Raises:
        DataError: a sample has no schema, or more than one, or another than the samples before it.
    """
    first: tuple[str, str] | None = None
    for where, sample in samples:
        found = candidates(sample)
        if not found:
            raise DataError(
                "a sample must have the keys of a known schema",
                got=_quoted(sample),
                where=where,
                remedy="the schemas and their keys are in docs/data.md",
            )
        if len(found) > 1:
            raise DataError(
                "a sample's keys must fit one schema", got=" and ".join(found), where=where, remedy=_state(found)
            )
        if first is None:
            first = where, found[0]
        elif found[0] != first[1]:
            raise DataError(
                "all samples of a file must have one schema",
                got=f"{first[1]} ({first[0]}) and {found[0]}",
                where=where,
                remedy="split the file by schema",
            )
    assert first is not None
    return first[1]


def stated(schema: str, sample: Mapping[str, Any]) -> str:
    """Return the schema to read by where the recipe states one; `sample` is the first of the file.

    `instructlab` stands for both kinds of file that InstructLab generates; the other kind is `messages`.
    """
    return "messages" if schema == "instructlab" and "messages" in sample else schema


def parse(schema: str, sample: Mapping[str, Any], where: str) -> Content:
    """Return what a sample says, by its schema.

    Raises:
        DataError: a missing key, a wrong type, an empty completion, or a key that would change the text.
    """
    missing = REQUIRED[schema] - set(sample)
    if missing:
        raise DataError(f"a sample of schema {schema} must have {_quoted(missing)}", got=_quoted(sample), where=where)
    unheeded = {key for key in MEANINGFUL & set(sample) if sample[key]} - OPTIONAL.get(schema, frozenset())
    if unheeded:
        raise DataError(
            f"a sample of schema {schema} must not have keys that would change its text",
            got=_quoted(unheeded),
            where=where,
            remedy="write them into the messages, or remove them",
        )
    if schema == "text":
        return Text(_string(sample, "text", where, filled=True))
    if schema == "prompt-completion":
        return _completion(sample, where)
    if schema == "alpaca":
        given = "" if sample.get("input") is None else _string(sample, "input", where)
        return Instruction(
            _string(sample, "instruction", where, filled=True), given, _string(sample, "output", where, filled=True)
        )
    if schema == "input-output":
        return Instruction(
            _string(sample, "input", where, filled=True), "", _string(sample, "output", where, filled=True)
        )
    if schema == "instructlab":
        return _instructlab(sample, where)
    if schema == "sharegpt":
        return _conversation(_turns(sample, "conversations", ("from", "value"), SHAREGPT_ROLES, where), where)
    return _conversation(_messages(sample, "messages", where), where)


def ignored_keys(schema: str, sample: Mapping[str, Any]) -> set[str]:
    """Return the keys of a sample that neither make its text nor describe it."""
    return set(sample) - REQUIRED[schema] - OPTIONAL.get(schema, frozenset()) - DESCRIPTIVE


def _completion(sample: Mapping[str, Any], where: str) -> Content:
    if not isinstance(sample["prompt"], list):
        return Completion(_string(sample, "prompt", where), _string(sample, "completion", where, filled=True))
    prompt = _messages(sample, "prompt", where)
    if not prompt or prompt[-1].role == "assistant":
        raise DataError("a prompt of messages must end with a turn that is not the assistant's", where=where)
    completion = _messages(sample, "completion", where)
    if not any(message.role == "assistant" for message in completion):
        raise DataError("a completion of messages must have an assistant's turn", where=where)
    return _conversation(prompt + completion, where, n_prompt_messages=len(prompt))


def _instructlab(sample: Mapping[str, Any], where: str) -> Conversation:
    turns = [Message("user", _string(sample, "user", where)), Message("assistant", _string(sample, "assistant", where))]
    if sample.get("system"):
        turns.insert(0, Message("system", _string(sample, "system", where)))
    return _conversation(turns, where)


def _conversation(messages: list[Message], where: str, n_prompt_messages: int = 0) -> Conversation:
    if len(messages) > MAX_MESSAGES:
        raise DataError(f"a conversation must have at most {MAX_MESSAGES} turns", got=str(len(messages)), where=where)
    learnt = [message for message in messages[n_prompt_messages:] if message.role == "assistant"]
    if not learnt:
        raise DataError("a conversation must have an assistant's turn: there is nothing to learn", where=where)
    if not all(message.content for message in learnt):
        raise DataError(
            "an assistant's turn must not be empty: there is nothing to learn", where=where, remedy="remove the sample"
        )
    return Conversation(tuple(messages), n_prompt_messages)


def _messages(sample: Mapping[str, Any], key: str, where: str) -> list[Message]:
    return _turns(sample, key, ("role", "content"), {role: role for role in ROLES}, where)


def _turns(
    sample: Mapping[str, Any], key: str, names: tuple[str, str], roles: Mapping[str, str], where: str
) -> list[Message]:
    turns = sample[key]
    if not isinstance(turns, list):
        raise _wrong_type(key, "a list of turns", turns, where)
    return [_turn(turn, f"{where}, `{key}`[{index}]", names, roles) for index, turn in enumerate(turns)]


def _turn(turn: Any, where: str, names: tuple[str, str], roles: Mapping[str, str]) -> Message:
    if not isinstance(turn, dict):
        raise _wrong_type("turn", "an object", turn, where)
    # Table-shaped tools write null into the keys that only other turns have.
    others = {name for name, value in turn.items() if value is not None} - set(names)
    if others:
        raise DataError(
            f"a turn must have the keys {_quoted(names)} only: another may change the text or the loss",
            got=_quoted(others),
            where=where,
            remedy="remove it",
        )
    role, content = (_string(turn, name, where) for name in names)
    if role not in roles:
        raise DataError(f"`{names[0]}` must be one of {', '.join(roles)}", got=repr(role), where=where)
    return Message(roles[role], content)


def _string(mapping: Mapping[str, Any], key: str, where: str, *, filled: bool = False) -> str:
    value = mapping.get(key)
    if not isinstance(value, str):
        raise _wrong_type(key, "a string", value, where)
    if filled and not value:
        raise DataError(f"`{key}` must not be empty: there is nothing to learn", where=where, remedy="remove the line")
    return value


def _wrong_type(key: str, expected: str, value: Any, where: str) -> DataError:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return DataError(f"`{key}` must be {expected}", got=names.get(type(value), "a number"), where=where)


def _quoted(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(f"`{name}`" for name in ordered[:8]) + (" and more" if len(ordered) > 8 else "") or "none"


def _state(found: list[str]) -> str:
    return "state it: " + " or ".join(f"`--set dataset_schema={schema}`" for schema in found)
