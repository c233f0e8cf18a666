"""The sentence an error makes, and the exit code it carries."""

import pytest

from samebits import errors
from samebits.errors import SamebitsError, printable


def test_sentence_says_what_must_hold_what_was_got_where_and_what_next() -> None:
    error = SamebitsError("`lora_r` must be 1 or more", got="0", where="recipe.yaml", remedy="set a positive rank")
    assert str(error) == "`lora_r` must be 1 or more, got 0 (recipe.yaml); set a positive rank"


def test_parts_that_are_left_out_leave_no_punctuation() -> None:
    assert str(SamebitsError("a run must be complete")) == "a run must be complete"


def test_control_characters_of_strangers_do_not_reach_the_terminal() -> None:
    assert printable("a\x1b[2Jb\n") == "a\\x1b[2Jb\\n"
    assert "\x1b" not in str(SamebitsError("x", where="\x1b]0;title\x07"))


@pytest.mark.parametrize(
    "kind", [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
)
def test_every_error_exits_2(kind: type[SamebitsError]) -> None:
    assert issubclass(kind, SamebitsError)
    assert kind.exit_code == 2


def test_the_tree_in_the_docstring_names_every_class() -> None:
    assert errors.__doc__ is not None
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert name in errors.__doc__
