from __future__ import annotations

import datetime as clock
import re
from pathlib import Path
from typing import Any

import pytest

from samebits.errors import UsageError
from samebits.record import environment
from samebits.record.environment import VARIABLE, environment_name, new_run_folder

NATIVE: dict[str, Any] = {"detected": False, "evidence": []}
DOCKER: dict[str, Any] = {"detected": True, "evidence": ["/.dockerenv"]}
PODMAN: dict[str, Any] = {"detected": True, "evidence": ["/run/.containerenv"]}
UNKNOWN: dict[str, Any] = {"detected": None, "evidence": []}


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.mark.parametrize(
    ("container", "name"), [(NATIVE, "native"), (DOCKER, "docker"), (PODMAN, "container"), (UNKNOWN, "native")]
)
def test_what_the_fingerprint_saw_names_it(container: dict[str, Any], name: str) -> None:
    assert environment_name(None, container) == name


def test_the_variable_goes_before_what_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "ci")
    assert environment_name(None, DOCKER) == "ci"


def test_the_setting_goes_before_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "ci")
    assert environment_name("laptop", NATIVE) == "laptop"


@pytest.mark.parametrize("name", ["../up", "a b", "x" * 65])
def test_a_name_that_is_no_folder_name_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(VARIABLE, name)
    with pytest.raises(UsageError, match=VARIABLE):
        environment_name(None, NATIVE)


def test_a_new_run_folder_is_none_that_exists(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Stopped(clock.datetime):
        @classmethod
        def now(cls, tz: clock.tzinfo | None = None) -> Stopped:
            return cls(2024, 2, 5, 6, 7, 8, tzinfo=tz)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "ci")
    monkeypatch.setattr(environment, "datetime", Stopped)
    names = []
    for _ in range(3):
        folder = new_run_folder(None)
        folder.mkdir(parents=True)
        names.append(folder.as_posix())
    name = "artifacts/golden_run_20240205_060708_ci"
    assert names == [name, f"{name}_2", f"{name}_3"]


def test_a_new_run_folder_is_named_after_what_is_seen() -> None:
    assert re.fullmatch(r"golden_run_\d{8}_\d{6}_(native|docker|container)", new_run_folder(None).name)
