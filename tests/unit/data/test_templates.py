from __future__ import annotations

import locale
from pathlib import Path

import jinja2
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from samebits.data import templates
from samebits.data.schemas import Message
from samebits.data.templates import ChatTemplate, read_template
from samebits.errors import DataError

HI = [Message("user", "hi"), Message("assistant", "yes")]
DATED = "{{ strftime_now('%d %B %Y') }}"


def rendered(source: str, messages: list[Message] = HI, *, date: str | None = None, prompt: bool = False) -> str:
    template = ChatTemplate(source, date=date, special_tokens={"eos_token": "</s>"}, where="t.jinja")
    return template.render(messages, add_generation_prompt=prompt, where="f, line 3")


def refused(source: str, match: str, *, date: str | None = None) -> None:
    with pytest.raises(DataError, match=match) as caught:
        rendered(source, date=date)
    assert "t.jinja" in str(caught.value)


def test_d21_chatml() -> None:
    text = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n"
    assert rendered(read_template("chatml")) == text
    assert rendered(templates.CHATML, prompt=True) == f"{text}<|im_start|>assistant\n"


def test_d21_a_file(tmp_path: Path) -> None:
    path = tmp_path / "t.jinja"
    path.write_bytes("\ufeff{{ messages[0]['content'] }} \u00e9".encode())
    assert rendered(read_template(str(path))) == "hi \u00e9"
    path.write_bytes(b"\xff")
    with pytest.raises(DataError, match="UTF-8"):
        read_template(str(path))
    for other in ("no-such-template", str(tmp_path)):
        with pytest.raises(DataError, match="`chatml` or a Jinja file"):
            read_template(other)


def test_d23_as_in_transformers() -> None:
    assert rendered("{% for m in messages %}\n  {% if m.role == 'user' %}{% continue %}{% endif %}\n{{ m.content }}\n"
                    "{% break %}{% endfor %}") == "yes\n"  # fmt: skip
    assert rendered(
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}"
    ) == ("2")
    assert rendered("{{ {'b': '<\u00e9>', 'a': 1} | tojson }}") == '{"b": "<\u00e9>", "a": 1}'
    assert rendered("{{ messages | tojson(indent=1) }}")[:7] == "[\n {\n  "
    assert rendered("{{ eos_token }}{{ bos_token }}{{ tools is none }}{{ documents is none }}") == "</s>TrueTrue"
    assert rendered("{% generation %}{% set x = 1 %}a{% endgeneration %}{{ x }}") == "a"
    assert rendered("{{ dict(a=1).a }}{{ messages | map(attribute='role') | join(',') }}") == "1user,assistant"


@pytest.mark.parametrize(
    "source", ["{{ messages | random }}", "{{ lipsum() }}", "{{ cycler('a') }}", "{{ joiner(',') }}"]
)
def test_d23_nothing_draws_or_remembers(source: str) -> None:
    refused(source, "Jinja|UndefinedError")


@pytest.mark.parametrize(
    "source", ["{{ range }}", "{{ messages | map('upper') }}", "{{ raise_exception }}", "{{ namespace() }}"]
)
def test_d23_what_has_no_fixed_text_is_not_printed(source: str) -> None:
    refused(source, "must not be printed")


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ (''|attr('__class__')).__mro__ }}",
        "{{ messages.__class__.__base__ }}",
        "{{ raise_exception.__globals__['__builtins__'] }}",
        "{{ strftime_now.__init__.__globals__ }}",
        "{{ dict.__globals__.json }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ '%s'.__class__.__init__.__globals__ }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update(role='x') }}",
        "{{ messages[0].clear() }}",
        "{{ '{0.__class__.__mro__}'.format(messages)['x'] }}",
        "{{ ('{0.__class__}'|attr('format'))(messages).x() }}",
        "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}{{ os }}",
        "{% do 1 %}",
    ],
)
def test_d23_the_sandbox_holds(source: str) -> None:
    refused(source, "SecurityError|UndefinedError|TypeError|must be Jinja|no loader")


def test_d23_a_format_string_reads_no_attributes() -> None:
    assert rendered("{{ '{0.__class__}|'.format(messages) }}") == "|"


def test_d24_a_date_is_refused() -> None:
    refused(DATED, "strftime_now.*t.jinja; f, line 3.*--set chat_template_date")
    # A template that would not ask in this conversation is not refused.
    assert rendered("{% if tools %}{{ strftime_now('%Y') }}{% endif %}a") == "a"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("%d %B %Y", "05 February 2024"), ("%-d %b %y", "5 Feb 24"), ("%A %a %e", "Monday Mon  5"),
        ("%F %T", "2024-02-05 00:00:00"),
        ("%H:%M:%S %I %p", "00:00:00 12 AM"), ("%j %m %-m", "036 02 2"), ("100%%", "100%"), ("", ""), ("a", "a"),
    ],
)  # fmt: skip
def test_d24_a_frozen_date(pattern: str, text: str) -> None:
    assert rendered(f"{{{{ strftime_now('{pattern}') }}}}", date="2024-02-05") == text


def test_d24_whatever_the_locale() -> None:
    before = locale.setlocale(locale.LC_TIME)
    others = ["de_DE.UTF-8", "fr_FR.UTF-8", "ja_JP.UTF-8", "C.UTF-8", "C"]
    try:
        for name in others:
            try:
                locale.setlocale(locale.LC_TIME, name)
            except locale.Error:
                continue
            assert rendered(DATED, date="2024-03-01") == "01 March 2024"
    finally:
        locale.setlocale(locale.LC_TIME, before)


@pytest.mark.parametrize("pattern", ["%s", "%c", "%x", "%Z", "%", "%-", "%-H", "%\u00e9"])
def test_d24_other_codes_are_refused(pattern: str) -> None:
    refused(f"{{{{ strftime_now('{pattern}') }}}}", "known codes", date="2024-02-05")


@pytest.mark.parametrize("date", ["2024-02-30", "2024-13-01", "0000-01-01"])
def test_d24_no_such_day(date: str) -> None:
    with pytest.raises(DataError, match="must be a day"):
        rendered("a", date=date)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}", "200000 rounds"),
        ("{% macro f(n) %}{% for i in range(99) %}{{ f(n) }}{% endfor %}{% endmacro %}{{ f(1) }}", "Recursion|rounds"),
        ("{% for i in range(99999999) %}{% endfor %}", "OverflowError"),
        ("{{ 'a' * 10 ** 12 }}", "repeated"),
        ("{{ 10 ** 12 * [1] }}", "repeated"),
        ("{{ 9 ** 9 ** 9 }}", r"\*\*"),
        ("{% set x = 'a' * 9999999 %}{% for i in range(9) %}{{ x }}{% endfor %}", "characters"),
        ("{% set ns = namespace(x='aaaa') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
         "characters"),
    ],
)  # fmt: skip
def test_d25_what_does_not_end_is_refused(source: str, reason: str) -> None:
    refused(source, reason)


@pytest.mark.parametrize(
    "expression",
    [
        r"('a\n' * 1000) | indent(9999999)", r"('a\n' * 1000) | indent(width=9999999)",
        r"('a\n' * 9999) | indent('b' * 9999)", "'a' | center(10 ** 12)", "'a'.center(10 ** 12)",
        "'a'.ljust(10 ** 12)", "'a'.rjust(10 ** 12)", "'1'.zfill(10 ** 12)", r"('\t' * 1000).expandtabs(9999999)",
        "('a' * 99999) | wordwrap(1, wrapstring='b' * 99999, break_on_hyphens=false)",
        "('a' * 99999) | replace('a', 'b' * 99999)",
        "('a' * 99999).replace('a', 'b' * 99999)", "('a' * 99999) | join('b' * 99999)",
        "('b' * 99999).join('a' * 99999)", "(['a' * 99999] * 99999) | join",
        "range(99999) | map('string') | join('b' * 99999)", "[1] | batch(10 ** 12, 0) | list",
        "[1] | slice(10 ** 12) | list", "['a', 'b'] | map('center', 10 ** 12) | list",
        "([1] * 9999) | tojson(indent=999999)",
    ],
)  # fmt: skip
def test_d25_much_out_of_little_is_refused_before_it_is_made(expression: str) -> None:
    refused(f"{{{{ {expression} }}}}", "_Boundless: more than 16777216 characters")


def test_d25_filters_of_ordinary_size_are_those_of_jinja() -> None:
    for expression in (
        r"'a\nb' | indent(2, true)", "'a b c' | wordwrap(1)", "'a' | center(9)", "'a'.ljust(3) ~ 'b'.rjust(3)",
        "'7'.zfill(3)", "'aba' | replace('a', 'c')", "['a', 'b'] | join(', ')", "', '.join(['a', 'b'])",
        "[1, 2, 3] | batch(2, 0) | list", "[1, 2, 3] | slice(2) | list", "'ab' | join('-')",
        "[{'a': 1}] | map(attribute='a') | join('-')",
    ):  # fmt: skip
        assert (
            rendered(f"{{{{ {expression} }}}}") == jinja2.Environment().from_string(f"{{{{ {expression} }}}}").render()
        )
    refused("{{ 'a' | center('b') }}", "TypeError")


def test_d25_bounds_leave_ordinary_work_alone() -> None:
    assert rendered("{{ '-' * 20 }}{{ 2 ** 10 }}{{ 3 * 4 }}{{ 0.5 * 2 }}") == "-" * 20 + "1024121.0"


def test_d25_the_rounds_of_one_rendering_count_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "MAX_ROUNDS", 3)
    template = ChatTemplate(
        "{% for m in messages %}{{ m.role }}{% endfor %}", date=None, special_tokens={}, where="t.jinja"
    )
    for _ in range(3):
        assert template.render(HI, add_generation_prompt=False, where="") == "userassistant"
    with pytest.raises(DataError, match="3 rounds"):
        template.render(HI * 2, add_generation_prompt=False, where="")


def test_d25_what_a_template_raises_is_told() -> None:
    refused("{{ raise_exception('roles must alternate') }}", "TemplateError: roles must alternate.*f, line 3.*chatml")
    refused("{{ messages[7].content }}", "UndefinedError")
    refused("{{ 1 / 0 }}", "ZeroDivisionError")
    refused("{{ '\\ud83d' }}", "surrogates")


def test_not_jinja() -> None:
    refused("{% for", "must be Jinja.*line 1")
    refused("a\n{{ x | nothing }}", "nothing.*line 2")


def test_digest_is_of_the_source() -> None:
    def digest(source: str) -> str:
        return ChatTemplate(source, date=None, special_tokens={}, where="").sha256

    assert digest("a") == digest("a") == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    assert digest("a") != digest("a ")


def test_the_sandbox_is_what_holds() -> None:
    # The probes above are real ones: a plain environment gives in to the first of them.
    assert issubclass(templates._Environment, ImmutableSandboxedEnvironment)
    assert "class" in jinja2.Environment().from_string("{{ ''.__class__.__mro__[1].__subclasses__() }}").render()
