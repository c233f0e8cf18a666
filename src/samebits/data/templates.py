"""Chat templates: Jinja as transformers runs it, in a sandbox, with nothing in it that differs between two days.

Differences from transformers, each a written rule of docs/data.md: a template that asks for the date must be told one;
what draws at random is not there; what would print an address of memory is refused; loops and output are bounded.
"""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from samebits.canonical.digests import sha256_bytes
from samebits.data.schemas import Message
from samebits.data.template_growth import GROWTHS
from samebits.errors import DataError

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
BUILT_IN = {"chatml": CHATML}

MAX_TEMPLATE_BYTES = 2**20
MAX_ROUNDS = 200_000
"""Rounds of all loops and calls of all macros in one rendering."""
MAX_OUTPUT_CHARACTERS = 2**24

_PRINTABLE = (str, int, float, bool, type(None), list, tuple, dict, range, jinja2.Undefined)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


class ChatTemplate:
    """A compiled template.

    Args:
        source: the Jinja text.
        date: the day to tell a template that asks, as YYYY-MM-DD; none refuses such a template.
        special_tokens: what the template sees as `bos_token`, `eos_token` and so on.
        where: the template's name in errors.
    Raises:
        DataError: the text is no template, or the date is no day.
    """

    def __init__(self, source: str, *, date: str | None, special_tokens: Mapping[str, str], where: str) -> None:
        self.sha256 = sha256_bytes(source.encode("utf-8", "surrogatepass"))
        self._where, self._special_tokens = where, dict(special_tokens)
        self._rounds = 0
        environment = _Environment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols], finalize=_refuse_addresses
        )
        for name in ("lipsum", "cycler", "joiner"):
            del environment.globals[name]
        del environment.filters["random"]
        environment.filters["tojson"] = _tojson
        for name, growth in GROWTHS.items():
            if name in environment.filters:
                environment.filters[name] = _bounded(environment.filters[name], growth)
        environment.globals |= {
            "namespace": _Namespace, "dict": _new_dict, "raise_exception": _raise_exception, _ROUND: self._count_round,
            "strftime_now": _Clock(date),
        }  # fmt: skip
        try:
            tree = environment.parse(source)
            for node in tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock)):
                count = nodes.ExprStmt(nodes.Call(nodes.Name(_ROUND, "load"), [], [], None, None))
                node.body.insert(0, count.set_environment(environment))  # type: ignore[attr-defined]
            self._template = environment.from_string(tree)
        except (jinja2.TemplateError, RecursionError) as error:
            line = f", line {error.lineno}" if isinstance(error, jinja2.TemplateSyntaxError) else ""
            raise DataError("the chat template must be Jinja", got=str(error), where=f"{where}{line}") from error

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool, where: str) -> str:
        """Return the text of a conversation.

        Raises:
            DataError: the template refused the conversation, reached out of the sandbox, or did not come to an end.
        """
        values: dict[str, Any] = {
            **self._special_tokens,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "tools": None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
        }
        self._rounds, pieces, n_characters = 0, [], 0
        try:
            for piece in self._template.generate(values):
                pieces.append(piece)
                n_characters += len(piece)
                if n_characters > MAX_OUTPUT_CHARACTERS:
                    raise _Boundless(f"more than {MAX_OUTPUT_CHARACTERS} characters")
            text = "".join(pieces)
            text.encode("utf-8")
        except DataError as error:
            raise DataError(error.must, got=error.got, where=f"{self._where}; {where}", remedy=error.remedy) from error
        # A template is code of somebody else's: whatever it raises is a fault of the template.
        except Exception as error:
            raise DataError(
                "the chat template must render the conversation",
                got=f"{type(error).__name__}: {str(error)[:300]}",
                where=f"{self._where}; {where}",
                remedy="change the conversation, or use another template: `--set chat_template=chatml` or a Jinja file",
            ) from error
        return text

    def _count_round(self) -> None:
        self._rounds += 1
        if self._rounds > MAX_ROUNDS:
            raise _Boundless(f"more than {MAX_ROUNDS} rounds of its loops")


def read_template(name: str) -> str:
    """Return the text of a template by the recipe's `chat_template`: a built-in name, or a Jinja file.

    Raises:
        DataError: neither a built-in name nor a readable UTF-8 file of a sane size.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    path = Path(name)
    try:
        if not path.is_file() or path.stat().st_size > MAX_TEMPLATE_BYTES:
            raise DataError(
                f"`chat_template` must be `chatml` or a Jinja file of at most {MAX_TEMPLATE_BYTES} bytes", got=name
            )
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("the chat template must be a readable UTF-8 file", got=str(error), where=name) from error


_ROUND = "_samebits_count_round"


def _check_growth(growth: Callable[..., int], *args: Any, **values: Any) -> None:
    try:
        n_characters = growth(*args, **values)
    except (TypeError, ValueError, AttributeError):
        # Arguments that do not fit: the filter itself says so.
        return
    if n_characters > MAX_OUTPUT_CHARACTERS:
        raise _Boundless(f"more than {MAX_OUTPUT_CHARACTERS} characters")


def _bounded(function: Callable[..., Any], growth: Callable[..., int]) -> Callable[..., Any]:
    """Return a filter that is asked how much it would make before it makes it."""
    # Jinja hands such a filter its environment or context first.
    n_own = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def bounded(*args: Any, **values: Any) -> Any:
        _check_growth(growth, *args[n_own:], **values)
        return function(*args, **values)

    return bounded


class _Boundless(jinja2.TemplateRuntimeError):
    """The template went on for too long."""


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, with bounds on the two operators that make much out of little."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and not (abs(left) <= 2**16 and abs(right) <= 64):
            raise _Boundless(f"{left} ** {right}")
        if operator == "*":
            sized, times = (left, right) if hasattr(left, "__len__") else (right, left)
            if hasattr(sized, "__len__") and len(sized) * times > MAX_OUTPUT_CHARACTERS:
                raise _Boundless(f"a value repeated {times} times")
        return super().call_binop(context, operator, left, right)

    def call(self, context: Any, called: Any, /, *args: Any, **values: Any) -> Any:
        """Call what a template calls; the methods of texts are held to the bound."""
        text = getattr(called, "__self__", None)
        growth = GROWTHS.get(getattr(called, "__name__", ""))
        if growth is not None and isinstance(text, str):
            _check_growth(growth, text, *args, **values)
        return super().call(context, called, *args, **values)


class _Generation(Extension):
    """`{% generation %}` marks assistant text for trainers that trust the mark; here it is a plain scope."""

    tags = {"generation"}  # noqa: RUF012 (jinja2 declares it so)

    def parse(self, parser: Parser) -> nodes.Node:
        """Return the block's body in a scope of its own."""
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True)).set_lineno(line)


class _Namespace(jinja2.utils.Namespace):
    """A namespace without underscored names, whose texts stay within the bound."""

    def __setitem__(self, name: str, value: Any) -> None:
        if str(name).startswith("_"):
            raise jinja2.exceptions.SecurityError(f"a namespace must not have the underscored name {name!r}")
        if isinstance(value, (str, list, tuple)) and len(value) > MAX_OUTPUT_CHARACTERS:
            raise _Boundless(f"a text of {len(value)} characters")
        super().__setitem__(name, value)


class _Clock:
    """`strftime_now` at midnight of the recipe's day, in English whatever the locale; without a day, a refusal."""

    def __init__(self, date: str | None) -> None:
        try:
            self._day = datetime.date.fromisoformat(date) if date is not None else None
        except ValueError as error:
            raise DataError("`chat_template_date` must be a day, as YYYY-MM-DD", got=str(date)) from error

    def __call__(self, pattern: str) -> str:
        day = self._day
        if day is None:
            raise DataError(
                "a chat template must not ask for the date: the text would change from day to day",
                got="strftime_now",
                remedy="tell it a day: `--set chat_template_date=YYYY-MM-DD`",
            )
        weekday, month = _DAYS[day.weekday()], _MONTHS[day.month - 1]
        known = {
            "d": f"{day.day:02d}", "-d": str(day.day), "e": f"{day.day:2d}", "m": f"{day.month:02d}",
            "-m": str(day.month), "Y": f"{day.year:04d}", "y": f"{day.year % 100:02d}", "B": month, "b": month[:3],
            "A": weekday, "a": weekday[:3], "F": day.isoformat(), "H": "00", "I": "12", "M": "00", "S": "00",
            "p": "AM", "j": f"{day.timetuple().tm_yday:03d}", "T": "00:00:00", "%": "%",
        }  # fmt: skip
        text, rest = "", pattern
        while rest:
            plain, percent, rest = rest.partition("%")
            code = rest[: 2 if rest.startswith("-") else 1]
            if percent and code not in known:
                raise DataError("a chat template's date must use known codes", got=f"%{code} in {pattern!r}")
            text, rest = text + plain + (known[code] if percent else ""), rest[len(code) :]
        return text


def _refuse_addresses(value: Any) -> Any:
    if not isinstance(value, _PRINTABLE):
        raise jinja2.TemplateRuntimeError(f"a {type(value).__name__} must not be printed: its text is not fixed")
    return value


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _new_dict(*args: Any, **values: Any) -> dict[Any, Any]:
    # The type itself is kept out of the sandbox.
    return dict(*args, **values)


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    # Jinja's own filter escapes for HTML; transformers replaces it by this one.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
