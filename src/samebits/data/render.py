"""Samples to text: what the model reads, and which parts of it are learnt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from samebits.canonical.digests import sha256_bytes
from samebits.canonical.json_bytes import dump_json
from samebits.data.reader import RawDataset, RawSample
from samebits.data.schemas import Completion, Content, Conversation, Instruction, Text
from samebits.data.templates import ChatTemplate
from samebits.errors import DataError


class Segment(NamedTuple):
    """A stretch of text, and whether it is learnt."""

    text: str
    is_target: bool


@dataclass(frozen=True)
class RenderedSample:
    """A sample as text.

    `has_prefix` says whether the tokenizer's own prefix (a beginning-of-sequence token, for families that have one)
    comes before it; a chat template writes its own. `is_closed` says whether an end-of-sequence token must end it.
    """

    index: int
    line: int
    origin: str
    segments: tuple[Segment, ...]
    has_prefix: bool
    is_closed: bool

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(segment.text for segment in self.segments)


def render(raw: RawDataset, *, template: ChatTemplate | None, completion_only_loss: bool) -> tuple[RenderedSample, ...]:
    """Render every sample of a dataset.

    Args:
        template: for conversations; may be none where there are none.
    Raises:
        DataError: a conversation without a template, or a template that refuses it or rewrites earlier turns.
    """
    return tuple(_rendered(raw, sample, template, completion_only_loss) for sample in raw.samples)


def rendered_sha256(samples: tuple[RenderedSample, ...]) -> str:
    """Return the digest of rendered samples: a line of canonical JSON for each, in order."""
    return sha256_bytes(
        b"".join(
            dump_json(
                {
                    "has_prefix": sample.has_prefix,
                    "is_closed": sample.is_closed,
                    "segments": [[segment.text, segment.is_target] for segment in sample.segments],
                }
            )
            for sample in samples
        )
    )


def instruction_prompt(instruction: str, given: str) -> str:
    """Return the fixed prompt of the instruction schemas."""
    middle = f"### Input:\n{given}\n\n" if given else ""
    return f"### Instruction:\n{instruction}\n\n{middle}### Response:\n"


def _rendered(
    raw: RawDataset, sample: RawSample, template: ChatTemplate | None, completion_only_loss: bool
) -> RenderedSample:
    is_closed = True
    content = sample.content
    if isinstance(content, Conversation):
        where = f"{raw.path}, line {sample.line}"
        segments = _conversation(content, _demanded(template, where), completion_only_loss, where)
        is_closed = content.messages[-1].role == "assistant"
    else:
        prompt, completion = _prompt_and_completion(content)
        segments = [Segment(prompt, not completion_only_loss), Segment(completion, True)]
    return RenderedSample(
        sample.index,
        sample.line,
        sample.origin,
        tuple(segment for segment in segments if segment.text),
        has_prefix=not isinstance(content, Conversation),
        is_closed=is_closed,
    )


def _prompt_and_completion(content: Content) -> tuple[str, str]:
    match content:
        case Text(text):
            return "", text
        case Completion(prompt, completion):
            return prompt, completion
        case Instruction(instruction, given, output):
            return instruction_prompt(instruction, given), output
        case Conversation():
            raise TypeError("a conversation is rendered by a template")


def _conversation(
    content: Conversation, template: ChatTemplate, completion_only_loss: bool, where: str
) -> list[Segment]:
    text = template.render(content.messages, add_generation_prompt=False, where=where)
    if not text:
        raise DataError("a chat template must render some text", where=where)
    if not completion_only_loss:
        return [Segment(text, True)]
    segments, position = [], 0
    for start, stop in _assistant_spans(content, template, text, where):
        segments += [Segment(text[position:start], False), Segment(text[start:stop], True)]
        position = stop
    return [*segments, Segment(text[position:], False)]


def _assistant_spans(content: Conversation, template: ChatTemplate, text: str, where: str) -> Iterator[tuple[int, int]]:
    """Yield where each learnt turn begins and ends: after the text that asks for it, and before the next turn."""
    for index, message in enumerate(content.messages):
        if message.role != "assistant" or index < content.n_prompt_messages:
            continue
        before = template.render(content.messages[:index], add_generation_prompt=True, where=where)
        after = template.render(content.messages[: index + 1], add_generation_prompt=False, where=where)
        if not (text.startswith(after) and after.startswith(before) and len(before) < len(after)):
            raise DataError(
                "a chat template must render a turn alike whatever follows it, so that the learnt part is known",
                got=f"another text for turn {index + 1} of {len(content.messages)}",
                where=where,
                remedy="use another template, or `--set completion_only_loss=false`",
            )
        yield len(before), len(after)


def _demanded(template: ChatTemplate | None, where: str) -> ChatTemplate:
    if template is None:
        raise DataError(
            "a conversation must have a chat template, and the tokenizer has none",
            where=where,
            remedy="use `--set chat_template=chatml`, or give a Jinja file",
        )
    return template
