"""A hub that is away, slow, broken or hostile: one sentence in bounded time, and nothing outside the cache."""

from __future__ import annotations

import json
import runpy
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from samebits.models.inputs import find_inputs
from samebits.models.seeded import embedded_folder
from samebits.recipe.settings import Settings

LOOPBACK: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[1] / "unit" / "models" / "loopback_hub.py"))
NAME, COMMIT = LOOPBACK["NAME"], LOOPBACK["COMMIT"]
FILES = {path.name: path.read_bytes() for path in embedded_folder().iterdir()}
IMPATIENT = {"HF_HUB_ETAG_TIMEOUT": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "1"}

Fault = Callable[[Any], bool | None]


@pytest.fixture
def hub() -> Iterator[Any]:
    with LOOPBACK["serving"](FILES) as serving:
        yield serving


@pytest.fixture
def client(hub: Any, tmp_path: Path) -> Any:
    (tmp_path / "deep" / "home").mkdir(parents=True)
    return LOOPBACK["Client"](tmp_path / "deep" / "home", hub.endpoint)


def only(file: str, fault: Fault) -> Fault:
    """The fault, at one file."""
    return lambda handler: fault(handler) if handler.path.endswith(f"/{file}") else True


def cut(handler: Any) -> None:
    """Promise the whole file, send half of it, and hang up; never heed a range."""
    body = handler.server.files[handler.path.rpartition("/")[2]]
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    handler.close_connection = True


def cut_once() -> Fault:
    seen: list[str] = []

    def fault(handler: Any) -> bool:
        if seen:
            return True
        seen.append(handler.path)
        cut(handler)
        return False

    return fault


def whole_file(handler: Any, **headers: str) -> None:
    handler.send_file(handler.path.rpartition("/")[2], **headers)


def test_a_hub_that_is_down(hub: Any, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = LOOPBACK["Client"](tmp_path, f"http://127.0.0.1:{unused.getsockname()[1]}")
        sentence = client.refused()
        assert "the hub must answer and give the commit whole, got " in sentence
        assert "refused" in sentence
        assert sentence.endswith(f"({NAME}@{COMMIT} at {client.endpoint}); try again, or name a local folder")
        assert client.elapsed_s < 15
        pinned = client.refused(revision="main")
        assert "; the hub did not answer (" in pinned
        assert pinned.endswith(
            f"pin it with --set model_revision=$(git ls-remote {client.endpoint}/{NAME} main | cut -f1)"
        )
        assert client.elapsed_s < 15


def test_off_line_with_an_empty_cache(hub: Any, client: Any) -> None:
    sentence = client.refused(HF_HUB_OFFLINE="1")
    assert "must be whole in the cache where HF_HUB_OFFLINE is set" in sentence
    assert hub.log == []
    pinned = client.refused(revision="main", HF_HUB_OFFLINE="1")
    assert "; the hub was not asked (HF_HUB_OFFLINE is set): pin it with " in pinned
    assert "git ls-remote" in pinned


def test_off_line_after_a_download_that_was_cut(hub: Any, client: Any) -> None:
    hub.faults["GET"] = only("model.safetensors", lambda handler: handler.send(403))
    client.refused()
    hub.faults.clear()
    assert "must be whole in the cache" in client.refused(HF_HUB_OFFLINE="1")
    assert client.find()["recipe"] == find_inputs(Settings()).recipe


@pytest.mark.slow
@pytest.mark.parametrize("place", ["info", "tree", "HEAD", "GET"])
def test_a_hub_that_never_answers(hub: Any, client: Any, place: str) -> None:
    hub.faults[place] = hub.hang
    sentence = client.refused(**IMPATIENT)
    assert "the hub must answer and give the commit whole, got " in sentence
    # At one second each: three asks at most, and the client's own pauses in between.
    assert client.elapsed_s < 30
    hub.faults.clear()
    assert client.find()["recipe"] == find_inputs(Settings()).recipe


def test_a_branch_of_a_hub_that_never_answers(hub: Any, client: Any) -> None:
    hub.faults["info"] = hub.hang
    sentence = client.refused(revision="main")
    assert "; the hub did not answer (" in sentence
    assert "git ls-remote" in sentence
    # Five seconds, and the start of Python on a busy machine.
    assert client.elapsed_s < 15
    assert hub.asked("GET", "/revision/") == 1


def test_a_branch_of_a_hub_that_answers_otherwise(hub: Any, client: Any) -> None:
    hub.faults["info"] = lambda handler: handler.send(503)
    assert "; the hub answered HTTP 503: pin it with " in client.refused(revision="main")
    assert hub.asked("GET", "/revision/") == 1


@pytest.mark.parametrize(
    ("place", "status"),
    [
        ("info", 403),
        ("info", 404),
        ("info", 503),
        ("tree", 404),
        ("tree", 503),
        ("HEAD", 404),
        ("HEAD", 500),
        ("GET", 403),
    ],
)
def test_a_hub_that_fails(hub: Any, client: Any, place: str, status: int) -> None:
    hub.faults[place] = lambda handler: handler.send(status)
    assert "the hub must answer and give the commit whole, got " in client.refused()
    assert client.elapsed_s < 30


@pytest.mark.parametrize("place", ["info", "tree", "GET"])
def test_a_hub_that_asks_to_wait_for_an_hour(hub: Any, client: Any, place: str) -> None:
    hub.faults[place] = lambda handler: handler.send(429, Retry_After="3600")
    assert "the hub must answer and give the commit whole, got HTTP 429, which asks to wait (" in client.refused()
    assert client.elapsed_s < 15


def test_a_model_and_a_commit_that_are_not_there(hub: Any, client: Any) -> None:
    assert "the hub must have the model, got no such model, or none" in client.refused(name="ann/other")
    assert "the hub must have the commit, got no such commit of that model" in client.refused(revision="1" * 40)
    hub.faults["info"] = lambda handler: handler.send(403, X_Error_Code="GatedRepo")
    assert "must let this token have the model, got a gated one" in client.refused()
    assert hub.asked("GET", "/resolve/") == 0


@pytest.mark.parametrize(
    ("place", "body"),
    [
        ("info", b"<html>Welcome to the hotel</html>"),
        ("info", b"[]"),
        ("info", b"{}"),
        ("info", b"null"),
        ("info", b'{"id": "x", "siblings": [1]}'),
        ("tree", b"<html>Welcome to the hotel</html>"),
        ("tree", b'{"id": "x"}'),
        ("tree", b"[{}]"),
    ],
)
def test_an_endpoint_that_is_no_hub(hub: Any, client: Any, place: str, body: bytes) -> None:
    hub.faults[place] = lambda handler: handler.send(200, body)
    assert client.refused().startswith("error: the hub must ")


def test_a_hub_that_names_another_commit(hub: Any, client: Any) -> None:
    other = "b" * 40
    answer = {"id": NAME, "sha": other, "siblings": [{"rfilename": name} for name in FILES]}
    hub.faults["info"] = lambda handler: handler.send(200, json.dumps(answer).encode())
    assert f"got the commit {other} for the one that was asked for" in client.refused()


def test_files_that_are_said_to_be_of_another_commit(hub: Any, client: Any) -> None:
    hub.faults["HEAD"] = lambda handler: whole_file(handler, **{"X-Repo-Commit": "b" * 40})
    assert "the hub must give the commit whole, got no config.json" in client.refused()


@pytest.mark.slow
@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_file_that_is_always_cut(hub: Any, client: Any, file: str) -> None:
    hub.faults["GET"] = only(file, cut)
    sentence = client.refused()
    assert "the hub must answer and give the commit whole, got no whole answer to 3 requests" in sentence
    assert file in sentence
    assert client.elapsed_s < 30
    assert not [path for path in client.files() if path.endswith((f"/{file}", ".incomplete"))]
    hub.faults.clear()
    assert client.find()["recipe"] == find_inputs(Settings()).recipe


def test_a_file_that_is_cut_once_is_asked_for_again(hub: Any, client: Any) -> None:
    hub.faults["GET"] = only("model.safetensors", cut_once())
    assert client.find()["recipe"] == find_inputs(Settings()).recipe
    assert sum(method == "GET" and path.endswith("/model.safetensors") for method, path, _ in hub.log) == 2


@pytest.mark.parametrize("change", [-1, 1, 1000])
def test_a_size_that_is_not_the_files(hub: Any, client: Any, change: int) -> None:
    size = str(len(FILES["tokenizer.json"]) + change)
    hub.faults["HEAD"] = only("tokenizer.json", lambda handler: whole_file(handler, X_Linked_Size=size))
    assert "the hub must answer and give the commit whole, got " in client.refused()
    assert not [path for path in client.files() if path.endswith(("/tokenizer.json", ".incomplete"))]


EVIL = (
    "../evil", "../../../../evil.json", "/tmp/samebits-evil.json", "model-../../../../evil.safetensors",
    "model-/../../../../evil.safetensors", "model-x/evil.safetensors", "..\\evil.safetensors",
    "model-\\..\\evil.safetensors", "sub/config.json", "./config.json", "model-[a].safetensors",
    "model-*.safetensors", "", ".", "..", "a//b", "modeling_x.py",
)  # fmt: skip


@pytest.mark.parametrize("place", ["info", "tree", "both"])
def test_names_that_leave_the_cache_are_never_asked_for(hub: Any, client: Any, place: str) -> None:
    names = [*FILES, *EVIL]
    hub.files |= dict.fromkeys(EVIL, b"evil")
    if place != "tree":
        hub.siblings = names
    if place != "info":
        hub.listed = names
    found = client.find()
    assert found["recipe"] == find_inputs(Settings()).recipe
    assert {path.rpartition(f"/{COMMIT}/")[2] for _, path, _ in hub.log if "/resolve/" in path} == set(FILES)
    snapshot = Path(found["folder"])
    assert {path.name for path in snapshot.rglob("*")} == set(FILES)
    assert_nothing_outside(client)


@pytest.mark.parametrize("header", ["ETag", "X-Linked-Etag", "X-Repo-Commit"])
@pytest.mark.parametrize("value", ['"../../../../../../evil"', "ABSOLUTE", "..", '"a\\b"'])
def test_headers_that_leave_the_cache_are_refused(hub: Any, client: Any, header: str, value: str) -> None:
    value = value.replace("ABSOLUTE", f'"{client.home.parent / "evil"}"')
    hub.faults["HEAD"] = lambda handler: whole_file(handler, **{header: value})
    assert f"got the hub's {header} is a path" in client.refused()
    assert_nothing_outside(client)


def assert_nothing_outside(client: Any) -> None:
    outside = client.home.parents[1]
    left = {
        path for path in outside.rglob("*") if path.is_file() and not path.is_relative_to(client.home / "hf" / "hub")
    }
    assert {path.name for path in left} <= {"CACHEDIR.TAG"}
    assert not Path("/tmp/samebits-evil.json").exists()
    assert not [path for path in client.files() if "evil" in path]


def test_a_redirect_that_goes_round(hub: Any, client: Any) -> None:
    for place in ("info", "HEAD"):
        hub.faults = {place: lambda handler: handler.send(302, Location=handler.path)}
        assert client.refused().startswith("error: the hub must ")
        assert client.elapsed_s < 30


def test_a_listing_that_forgets_the_weights(hub: Any, client: Any) -> None:
    hub.listed.remove("model.safetensors")
    assert "the hub must give the commit whole, got no model.safetensors" in client.refused()
    hub.siblings.remove("model.safetensors")
    assert "weights must be safetensors, got none" in client.refused()


def test_a_base_with_code_of_its_own_is_refused_and_the_code_stays_there(hub: Any, client: Any) -> None:
    hub.files["modeling_x.py"] = b"raise SystemExit('run')"
    hub.files["config.json"] = json.dumps(
        json.loads(FILES["config.json"]) | {"auto_map": {"AutoModelForCausalLM": "modeling_x.X"}}
    ).encode()
    hub.siblings = hub.listed = list(hub.files)
    assert "a base must need no code of its own, got `auto_map`" in client.refused()
    assert hub.asked("GET", "modeling_x.py") == 0


def test_a_bit_that_changed_on_the_way_is_another_recipe(hub: Any, client: Any) -> None:
    weights = bytearray(FILES["model.safetensors"])
    weights[-1] ^= 1
    hub.files["model.safetensors"] = bytes(weights)
    recipe, expected = client.find()["recipe"], find_inputs(Settings()).recipe
    assert recipe["base"]["weights_sha256"] != expected["base"]["weights_sha256"]


def test_a_cache_that_cannot_be_written(hub: Any, client: Any) -> None:
    (client.home / "hf").write_text("a file")
    assert "the hub must answer and give the commit whole, got " in client.refused()
