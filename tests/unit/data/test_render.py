from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from samebits.data.reader import RawDataset, RawSample
from samebits.data.render import RenderedSample, Segment, instruction_prompt, render, rendered_sha256
from samebits.data.schemas import Completion, Content, Conversation, Instruction, Message, Text
from samebits.data.templates import CHATML, ChatTemplate
from samebits.errors import DataError

# The shape of Llama 3's own template, in other words: a dated system header first, then headed turns.
LLAMA_LIKE = """\
{{- bos_token }}
{%- set day = strftime_now("%d %b %Y") %}
{%- if messages[0]['role'] == 'system' %}
    {%- set persona = messages[0]['content'] | trim %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set persona = "" %}
    {%- set turns = messages %}
{%- endif %}
{{- "<|start|>system<|end|>\\n\\n" }}
{{- "Day: " + day + "\\n\\n" + persona + "<|eot|>" }}
{%- for turn in turns %}
    {%- if (turn['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception("turns of user and assistant must alternate") }}
    {%- endif %}
    {{- "<|start|>" + turn['role'] + "<|end|>\\n\\n" + turn['content'] | trim + "<|eot|>" }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- "<|start|>assistant<|end|>\\n\\n" }}
{%- endif %}
"""
SYSTEM, ASK, YES = Message("system", "Be brief."), Message("user", "hi"), Message("assistant", "yes")
MORE, NO = Message("user", "sure?"), Message("assistant", "no")


def template(source: str, date: str | None = "2024-07-26") -> ChatTemplate:
    return ChatTemplate(source, date=date, special_tokens={"bos_token": "<|begin|>"}, where="t.jinja")


def one(content: Content, source: str | None = CHATML, *, completion_only_loss: bool = True) -> RenderedSample:
    raw = RawDataset(Path("f.jsonl"), (RawSample(0, 4, "unmarked", content),), "any", "", 0, ())
    chat = None if source is None else template(source)
    (sample,) = render(raw, template=chat, completion_only_loss=completion_only_loss)
    return sample


def targets(sample: RenderedSample) -> list[str]:
    return [segment.text for segment in sample.segments if segment.is_target]


def test_d20_the_plain_template() -> None:
    prompt = "### Instruction:\ni\n\n### Input:\nn\n\n### Response:\n"
    assert one(Instruction("i", "n", "o")).segments == (Segment(prompt, False), Segment("o", True))
    assert instruction_prompt("i", "") == "### Instruction:\ni\n\n### Response:\n"
    assert (
        instruction_prompt("{input}%s", " n\n") == "### Instruction:\n{input}%s\n\n### Input:\n n\n\n\n### Response:\n"
    )


def test_d20_verbatim() -> None:
    assert one(Completion(" p ", "\tc\n")).segments == (Segment(" p ", False), Segment("\tc\n", True))
    assert one(Completion("", "c")).segments == (Segment("c", True),)
    assert one(Text(" t\n")).segments == (Segment(" t\n", True),)


def test_d21_no_template() -> None:
    with pytest.raises(DataError, match=r"f.jsonl, line 4.*--set chat_template=chatml"):
        one(Conversation((ASK, YES)), None)


def test_d22_every_assistant_turn_is_learnt() -> None:
    sample = one(Conversation((SYSTEM, ASK, YES, MORE, NO)))
    assert targets(sample) == ["yes<|im_end|>\n", "no<|im_end|>\n"]
    assert sample.text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
        "<|im_start|>assistant\nyes<|im_end|>\n<|im_start|>user\nsure?<|im_end|>\n<|im_start|>assistant\nno<|im_end|>\n"
    )


def test_d22_only_the_completion_is_learnt() -> None:
    sample = one(Conversation((ASK, YES, MORE, NO), n_prompt_messages=3))
    assert targets(sample) == ["no<|im_end|>\n"]
    assert sample.segments[-1] == Segment("no<|im_end|>\n", True)


def test_d22_without_completion_only_loss() -> None:
    for content in (Conversation((ASK, YES)), Completion("p", "c"), Instruction("i", "", "o"), Text("t")):
        whole = one(content, completion_only_loss=False)
        assert all(segment.is_target for segment in whole.segments)
        assert whole.text == one(content).text


def test_d22_a_turn_after_the_last_answer_is_not_learnt() -> None:
    sample = one(Conversation((ASK, YES, MORE)))
    assert targets(sample) == ["yes<|im_end|>\n"]
    assert not sample.segments[-1].is_target
    assert not sample.is_closed


@pytest.mark.parametrize(
    "source",
    [
        # Earlier answers are shortened, as templates do that drop a model's thoughts.
        "{% for m in messages %}{{ m.content if loop.last else m.content[:1] }};{% endfor %}",
        # The same for answers alone, so that only the turn after one tells.
        "{% for m in messages %}{{ m.content[: 1 if m.role == 'assistant' and not loop.last else 99] }};{% endfor %}",
        # The number of turns stands in front.
        "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}",
        # The end stands after the last turn only.
        "{% for m in messages %}{{ m.content }}{% endfor %}END",
        # The request for an answer is not how the answer begins.
        "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}?{% endif %}",
        # Answers are left out.
        "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}",
    ],
)
def test_d22_a_template_that_rewrites_turns_is_refused(source: str) -> None:
    conversation = Conversation((ASK, YES, MORE, NO))
    with pytest.raises(DataError, match=r"alike whatever follows.*f.jsonl, line 4.*completion_only_loss=false"):
        one(conversation, source)
    assert one(conversation, source, completion_only_loss=False).segments


def test_d22_an_empty_rendering_is_refused() -> None:
    with pytest.raises(DataError, match="some text"):
        one(Conversation((ASK, YES)), "{# nothing #}")


def test_d24_a_dated_template_of_llamas_shape() -> None:
    sample = one(Conversation((SYSTEM, ASK, YES)), LLAMA_LIKE)
    assert sample.text == (
        "<|begin|><|start|>system<|end|>\n\nDay: 26 Jul 2024\n\nBe brief.<|eot|><|start|>user<|end|>\n\nhi<|eot|>"
        "<|start|>assistant<|end|>\n\nyes<|eot|>"
    )
    assert targets(sample) == ["yes<|eot|>"]
    with pytest.raises(DataError, match="must alternate"):
        one(Conversation((ASK, MORE, YES)), LLAMA_LIKE)


def test_d24_refused_without_a_day() -> None:
    raw = RawDataset(Path("f.jsonl"), (RawSample(0, 4, "x", Conversation((ASK, YES))),), "any", "", 0, ())
    with pytest.raises(DataError, match=r"must not ask for the date.*line 4.*chat_template_date"):
        render(raw, template=template(LLAMA_LIKE, date=None), completion_only_loss=True)


def test_d50_rendered_digest() -> None:
    samples = (one(Completion("p\u00e9", "c")), one(Conversation((ASK, YES))))
    lines: list[dict[str, Any]] = [
        {"has_prefix": True, "is_closed": True, "segments": [["p\u00e9", False], ["c", True]]},
        {
            "has_prefix": False,
            "is_closed": True,
            "segments": [
                ["<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n", False],
                ["yes<|im_end|>\n", True],
            ],
        },
    ]
    expected = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    assert rendered_sha256(samples) == hashlib.sha256(expected.encode()).hexdigest()
    assert rendered_sha256(samples[::-1]) != rendered_sha256(samples)
