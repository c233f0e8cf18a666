from __future__ import annotations

import itertools
from typing import Any

import pytest

from samebits.data import schemas
from samebits.data.schemas import Completion, Conversation, Instruction, Message, Text, detect, parse
from samebits.errors import DataError

USER, ASSISTANT = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}
HI_YES = (Message("user", "hi"), Message("assistant", "yes"))

EXAMPLES: dict[str, dict[str, Any]] = {
    "messages": {"messages": [USER, ASSISTANT]},
    "prompt-completion": {"prompt": "p", "completion": "c"},
    "text": {"text": "t"},
    "alpaca": {"instruction": "i", "input": "n", "output": "o"},
    "sharegpt": {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yes"}]},
    "input-output": {"input": "i", "output": "o"},
    "instructlab": {"system": "s", "user": "hi", "assistant": "yes"},
}
CONTENTS: dict[str, schemas.Content] = {
    "messages": Conversation(HI_YES),
    "prompt-completion": Completion("p", "c"),
    "text": Text("t"),
    "alpaca": Instruction("i", "n", "o"),
    "sharegpt": Conversation(HI_YES),
    "input-output": Instruction("i", "", "o"),
    "instructlab": Conversation((Message("system", "s"), *HI_YES)),
}


def refused(schema: str, sample: dict[str, Any], match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        parse(schema, sample, "f, line 9")
    assert "f, line 9" in str(caught.value)


@pytest.mark.parametrize("schema", EXAMPLES)
def test_d12_each_schema_is_found_and_read(schema: str) -> None:
    sample = EXAMPLES[schema]
    assert detect([("f, line 1", sample), ("f, line 2", sample)]) == schema
    assert parse(schema, sample, "f, line 1") == CONTENTS[schema]


def test_every_schema_of_the_settings_has_an_example() -> None:
    assert set(EXAMPLES) == set(schemas.REQUIRED)


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(EXAMPLES, 2)))
def test_d12_a_change_within_the_file_is_refused(one: str, other: str) -> None:
    with pytest.raises(DataError) as caught:
        detect([("f, line 1", EXAMPLES[one]), ("f, line 4", EXAMPLES[other])])
    message = str(caught.value)
    assert f"got {one} (f, line 1) and {other} (f, line 4); split the file" in message


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(EXAMPLES, 2)))
def test_d12_two_at_once_are_refused(one: str, other: str) -> None:
    if {one, other} == {"alpaca", "input-output"}:
        return  # alpaca's own keys hold those of input-output; see test_d12_each_schema_is_found_and_read
    with pytest.raises(DataError, match="fit one schema") as caught:
        detect([("f, line 1", EXAMPLES[one] | EXAMPLES[other])])
    assert f"--set dataset_schema={one}" in str(caught.value)


def test_d12_no_schema() -> None:
    with pytest.raises(DataError, match="known schema, got `answer`, `question`") as caught:
        detect([("f, line 1", {"question": "q", "answer": "a"})])
    assert "f, line 1" in str(caught.value)


def test_d12_stated_schema_needs_its_keys() -> None:
    refused("alpaca", {"instruction": "i"}, "must have `output`, got `instruction`")


@pytest.mark.parametrize("key", sorted(schemas.MEANINGFUL))
def test_d13_keys_that_change_the_text_are_refused(key: str) -> None:
    refused("text", {"text": "t", key: ["x"]}, f"got `{key}`")
    for empty in (None, [], "", {}):
        assert parse("text", {"text": "t", key: empty}, "f, line 9") == Text("t")


@pytest.mark.parametrize(
    ("schema", "sample", "match"),
    [
        ("text", {"text": 3}, "`text` must be a string, got a number"),
        ("text", {"text": None}, "got null"),
        ("text", {"text": True}, "got true or false"),
        ("text", {"text": ["a"]}, "got a list"),
        ("text", {"text": ""}, "`text` must not be empty"),
        ("prompt-completion", {"prompt": 1, "completion": "c"}, "`prompt` must be a string"),
        ("prompt-completion", {"prompt": "p", "completion": [ASSISTANT]}, "`completion` must be a string, got a list"),
        ("prompt-completion", {"prompt": [USER], "completion": "c"}, "`completion` must be a list of turns"),
        ("prompt-completion", {"prompt": "p", "completion": ""}, "`completion` must not be empty"),
        ("alpaca", {"instruction": "i", "output": ""}, "`output` must not be empty"),
        ("alpaca", {"instruction": "", "output": "o"}, "`instruction` must not be empty"),
        ("alpaca", {"instruction": "i", "input": 4, "output": "o"}, "`input` must be a string"),
        ("alpaca", {"instruction": "i", "output": None}, "`output` must be a string, got null"),
        ("input-output", {"input": "", "output": "o"}, "`input` must not be empty"),
        ("input-output", {"input": "i", "output": ""}, "`output` must not be empty"),
        ("instructlab", {"user": "u", "assistant": ""}, "must not be empty"),
        ("instructlab", {"user": "u", "assistant": "a", "system": 3}, "`system` must be a string"),
    ],
)
def test_d14_types_and_empty_values(schema: str, sample: dict[str, Any], match: str) -> None:
    refused(schema, sample, match)


def test_d14_what_may_be_empty() -> None:
    assert parse("prompt-completion", {"prompt": "", "completion": "c"}, "f") == Completion("", "c")
    for absent in ({}, {"input": None}, {"input": ""}):
        assert parse("alpaca", {"instruction": "i", "output": "o", **absent}, "f") == Instruction("i", "", "o")
    turns = [{"role": "user", "content": ""}, ASSISTANT]
    assert isinstance(parse("messages", {"messages": turns}, "f"), Conversation)


@pytest.mark.parametrize(
    ("turns", "match"),
    [
        ("hi", "`messages` must be a list of turns, got a string"),
        ([], "must have an assistant's turn"),
        ([USER], "must have an assistant's turn"),
        ([USER, {"role": "assistant", "content": ""}], "must not be empty"),
        ([USER, {"role": "assistant", "content": None}], r"`messages`\[1\].*|`content` must be a string, got null"),
        ([USER, {"role": "assistant"}], "`content` must be a string"),
        ([USER, {"role": "assistant", "content": [{"type": "text", "text": "a"}]}], "got a list"),
        ([USER, {"role": "tool", "content": "a"}, ASSISTANT], "one of system, user, assistant, got 'tool'"),
        ([{"role": "pretraining", "content": "a"}, ASSISTANT], "'pretraining'"),
        ([USER, ASSISTANT | {"weight": 0}], "`weight`"),
        ([USER, ASSISTANT | {"tool_calls": [{}]}], "`tool_calls`"),
        ([USER, "yes"], "`turn` must be an object, got a string"),
        ([USER, ASSISTANT] * 2049, "at most 4096 turns, got 4098"),
    ],
)
def test_d15_conversations(turns: Any, match: str) -> None:
    refused("messages", {"messages": turns}, match)


def test_d15_the_turn_is_named() -> None:
    refused("messages", {"messages": [USER, ASSISTANT, {"role": "bot", "content": "x"}]}, r"`messages`\[2\]")


def test_d15_null_keys_of_a_turn_are_nothing() -> None:
    turns = [USER | {"tool_calls": None}, ASSISTANT | {"name": None}]
    assert parse("messages", {"messages": turns}, "f") == Conversation(HI_YES)


def test_d15_sharegpt_roles() -> None:
    turns = [
        {"from": "system", "value": "s"},
        {"from": "user", "value": "hi"},
        {"from": "assistant", "value": "yes"},
    ]
    assert parse("sharegpt", {"conversations": turns}, "f") == Conversation((Message("system", "s"), *HI_YES))
    refused("sharegpt", {"conversations": [{"from": "observation", "value": "x"}]}, "'observation'")


def test_d15_prompt_and_completion_of_turns() -> None:
    earlier = [USER, ASSISTANT]
    sample = {"prompt": [*earlier, USER], "completion": [ASSISTANT]}
    assert parse("prompt-completion", sample, "f") == Conversation(HI_YES * 2, n_prompt_messages=3)
    silent = {"role": "assistant", "content": ""}
    assert parse("prompt-completion", {"prompt": [USER, silent, USER], "completion": [ASSISTANT]}, "f")
    refused("prompt-completion", {"prompt": [USER], "completion": [silent]}, "must not be empty")
    refused("prompt-completion", {"prompt": earlier, "completion": [ASSISTANT]}, "must end with a turn that is not")
    refused("prompt-completion", {"prompt": [], "completion": [ASSISTANT]}, "must end with a turn that is not")
    refused("prompt-completion", {"prompt": [USER], "completion": [USER]}, "must have an assistant's turn")


def test_d16_instructlab_files() -> None:
    generated = {"user": "hi", "assistant": "yes", "system": ""}
    assert detect([("f", generated)]) == "instructlab"
    assert parse("instructlab", generated, "f") == Conversation(HI_YES)
    mixed = {"messages": [USER, ASSISTANT], "metadata": '{"system_prompt": "s"}', "id": "x"}
    assert detect([("f", mixed)]) == "messages"
    assert schemas.stated("instructlab", mixed) == "messages"
    assert schemas.stated("instructlab", generated) == "instructlab"
    assert schemas.ignored_keys("messages", mixed) == set()
