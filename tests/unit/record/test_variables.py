"""No secret leaves (R-53)."""

import os
import time

import pytest

from samebits.record.variables import ALLOWED_NAMES, MAX_VALUE_CHARACTERS, allowed_variables, without_secrets

SECRET = "hunter2"


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "GITHUB_TOKEN",
        "HTTP_PROXY", "https_proxy", "PATH", "HOME", "USER", "SSH_AUTH_SOCK", "TORCH_HUB_TOKEN", "SAMEBITS_PASSWORD",
        "MKL_LICENSE_FILE", "OMP_API_KEY", "TORCH_secret", "DNNL_CREDENTIALS", "hf_token",
    ],
)  # fmt: skip
def test_a_variable_outside_the_list_is_not_written(name: str) -> None:
    assert allowed_variables({name: SECRET, "TZ": "UTC"}) == {"TZ": "UTC"}


@pytest.mark.parametrize(
    "name", [*sorted(ALLOWED_NAMES), "OMP_NUM_THREADS", "MKL_CBWR", "ONEDNN_MAX_CPU_ISA", "SAMEBITS_X"]
)
def test_a_variable_on_the_list_is_written(name: str) -> None:
    assert allowed_variables({name: "1"}) == {name: "1"}


def test_they_are_those_of_this_process_and_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    monkeypatch.setenv("HF_TOKEN", SECRET)
    found = allowed_variables()
    assert (found["TZ"], found["MKL_CBWR"]) == ("Asia/Kathmandu", "COMPATIBLE")
    assert list(found) == sorted(found)
    assert SECRET not in str(found)
    assert "PATH" in os.environ
    assert "PATH" not in found


URLS = [
    ("https://huggingface.co/api", "https://huggingface.co/api"),
    ("ftp://ann:hunter2@hub:8080/x", "ftp://***@hub:8080/x"),
    ("ftp://hunter2@hub", "ftp://***@hub"),
    ("ftp://ann:hun/ter2@hub/x", "ftp://***@hub/x"),
    ("ftp://ann:hun#ter2@hub/x", "ftp://***@hub/x"),
    ("ftp://ann:hun?ter2@hub/x", "ftp://***@hub/x"),
    ("ftp://ann:hun@ter2@hub/x", "ftp://***@hub/x"),
    ("https://example.com/x?token=hunter2", "https://example.com/x?***"),
    ("https://example.com/x#hunter2", "https://example.com/x?***"),
    ("ftp://ann:hunter2@hub/x?y=hunter2", "ftp://***@hub/x?***"),
    ("git+ssh://hunter2@hub/x one ftp://b:hunter2@c two", "git+ssh://***@hub/x one ftp://***@c two"),
    ("HTTP://ANN:hunter2@HUB", "HTTP://***@HUB"),
    ("ann@example, no URL: 3 // 4 ? #", "ann@example, no URL: 3 // 4 ? #"),
]


@pytest.mark.parametrize(("text", "plain"), URLS)
def test_credentials_in_urls_are_hidden(text: str, plain: str) -> None:
    assert without_secrets({"a": [text, {text: 1}], "b": (text, 2, None, 1.5, True)}) == {
        "a": [plain, {plain: 1}],
        "b": [plain, 2, None, 1.5, True],
    }
    assert allowed_variables({"HF_ENDPOINT": text}) == {"HF_ENDPOINT": plain}


def test_a_long_value_is_cut_behind_what_is_hidden() -> None:
    (value,) = allowed_variables({"HF_ENDPOINT": "ftp://" + "x" * MAX_VALUE_CHARACTERS + SECRET + "@hub"}).values()
    assert value == "ftp://***@hub"
    (value,) = allowed_variables({"TORCH_X": "x" * 10_000}).values()
    assert len(value) == MAX_VALUE_CHARACTERS


def test_a_hostile_value_takes_no_time() -> None:
    started_s = time.perf_counter()
    allowed_variables({"TORCH_X": "a" * 128_000})
    assert time.perf_counter() - started_s < 1


def test_bytes_that_are_no_text_can_be_written_as_json() -> None:
    assert allowed_variables({"TORCH_X": "a\udcff"}) == {"TORCH_X": "a\\udcff"}
