"""A second implementation of clauses on bytes, digests, trace and checkpoints, by docs/spec/record.md alone, agrees."""

import hashlib
import json
import shutil
import struct
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

import samebits
from samebits.canonical.json_bytes import dump_json
from samebits.canonical.safetensors_file import tensors_sha256, write_safetensors
from samebits.record.documents import results_document, write_golden
from samebits.record.layout import RunFolder
from samebits.record.trace import FIRST_PREVIOUS_SHA256, read_trace, step_record, trace_bytes

ONE_LINER = "find golden -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"
DTYPES = {"float32": "F32", "float64": "F64", "int64": "I64", "uint8": "U8"}
Arrays = dict[str, np.ndarray[Any, Any]]

ADAPTER_CONFIG = {
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "bias": "none",
    "fan_in_fan_out": False, "init_lora_weights": True, "modules_to_save": None, "target_modules": ["q"],
    "use_dora": False, "use_rslora": False,
}  # fmt: skip
ARRAYS: Arrays = {
    "b.lora_A": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a\u00e9.lora_B": np.array([-0.0, 1e-40], np.float32),
    "B": np.array(1.5, np.float32),
}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _canonical(value: Any) -> str:
    """RFC 8785: no spaces, keys by their UTF-16 units, numbers as ECMAScript prints them, few escapes."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
    return "{" + ",".join(f"{_text(key)}:{_canonical(value[key])}" for key in keys) + "}"


def _text(text: str) -> str:
    short = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
    return '"' + "".join(short.get(ord(c), c if c >= " " else f"\\u{ord(c):04x}") for c in text) + '"'


def _number(number: float) -> str:
    """ECMA-262, Number::toString: shortest digits, exponents from 1e21 and below 1e-6."""
    if isinstance(number, int):
        return str(number)
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    mantissa, _, exponent = f"{abs(number)!r}e0".partition("e")
    whole, _, fraction = mantissa.partition(".")
    # `repr` gives the shortest digits too, in another layout; n is the place of the point behind the first digit.
    digits = (whole + fraction).lstrip("0")
    n = len(whole) + int(exponent.split("e")[0]) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    k = len(digits)
    if k <= n <= 21:
        return sign + digits + "0" * (n - k)
    if 0 < n <= 21:
        return sign + digits[:n] + "." + digits[n:]
    if -6 < n <= 0:
        return sign + "0." + "0" * -n + digits
    point = "." if k > 1 else ""
    return f"{sign}{digits[0]}{point}{digits[1:]}e{n - 1:+d}"


def _tensors(arrays: Arrays) -> Iterator[tuple[str, str, list[int], bytes]]:
    for name in sorted(arrays, key=lambda name: [ord(c) for c in name]):
        array = arrays[name]
        yield name, DTYPES[str(array.dtype)], list(array.shape), array.tobytes()


def _safetensors(arrays: Arrays) -> bytes:
    entries, data = ['"__metadata__":{"format":"pt"}'], b""
    for name, dtype, shape, content in _tensors(arrays):
        sizes = ",".join(map(str, shape))
        offsets = f"{len(data)},{len(data) + len(content)}"
        entries.append(f'{_text(name)}:{{"dtype":"{dtype}","shape":[{sizes}],"data_offsets":[{offsets}]}}')
        data += content
    header = ("{" + ",".join(entries) + "}").encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


def _named_tensors(arrays: Arrays) -> str:
    listing = ""
    for name, dtype, shape, content in _tensors(arrays):
        head = f"{dtype} [{', '.join(map(str, shape))}]"
        listing += f"{_sha256(head.encode() + bytes([10]) + content)}  {name}\n"
    return _sha256(listing.encode())


def _golden_digest(run: Path) -> str:
    paths = [path.relative_to(run).as_posix() for path in (run / "golden").rglob("*") if path.is_file()]
    lines = [f"{_sha256((run / path).read_bytes())}  {path}\n" for path in sorted(paths, key=str.encode)]
    return _sha256("".join(lines).encode())


def _record(step: int, previous_sha256: str, loss: float = 1.5) -> dict[str, Any]:
    digest = _sha256(b"x")
    return step_record(
        step=step, sample_ids=[3, 1], token_sha256=digest, loss=loss, grad_norm=1e-310, learning_rate=0.0,
        gradients_sha256=digest, parameters_sha256=digest, optimizer_sha256=digest, n_target_tokens=7,
        previous_sha256=previous_sha256,
    )  # fmt: skip


@pytest.fixture
def records() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for step in (1, 2, 3):
        found.append(_record(step, found[-1]["sha256"] if found else FIRST_PREVIOUS_SHA256))
    return found


@pytest.fixture
def run(tmp_path: Path, records: list[dict[str, Any]]) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    write_golden(
        run,
        recipe={"record_version": 1, "z": "\u00fc\n", "a": [1e20, 0.1, None, True]},
        training_args={},
        results=results_document(1.5, None, n_steps=3, n_target_tokens=21, trace_root_sha256="0" * 64),
        trace=trace_bytes(records),
        generations=[{"prompt": "a", "text": "b"}, {"prompt": "c", "text": "\U0001f600"}],
        adapter_config=ADAPTER_CONFIG,
        adapter=ARRAYS,
    )
    return run


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(value=JSON)
def test_r08_canonical_json(value: Any) -> None:
    assert dump_json(value) == (_canonical(value) + "\n").encode()


def test_r08_keys_are_sorted_by_utf16_units() -> None:
    """The one place where UTF-16 and code points disagree: above U+FFFF, below U+E000."""
    assert dump_json({"\ufb33": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ufb33":1}\n'.encode()


def test_r09_file_and_digest_of_named_tensors(tmp_path: Path) -> None:
    arrays = {**ARRAYS, "empty": np.zeros((0, 3), np.int64), "u": np.array([1, 2, 255], np.uint8)}
    write_safetensors(tmp_path / "t", arrays)
    assert (tmp_path / "t").read_bytes() == _safetensors(arrays)
    assert tensors_sha256(arrays) == _named_tensors(arrays)


def test_r09_the_second_implementation_sees_one_bit() -> None:
    changed = {**ARRAYS, "B": np.nextafter(ARRAYS["B"], np.float32(2))}
    assert _named_tensors(changed) != _named_tensors(ARRAYS) == tensors_sha256(ARRAYS)
    assert _safetensors(changed) != _safetensors(ARRAYS)


def test_r09_the_adapter_of_a_run(run: RunFolder) -> None:
    assert (run.golden / "adapter_model.safetensors").read_bytes() == _safetensors(ARRAYS)


def test_r08_documents_of_a_run_are_canonical(run: RunFolder) -> None:
    for path in run.golden.glob("*.json*"):
        *lines, rest = path.read_bytes().split(b"\n")
        assert rest == b""
        # Read as the page says: all numbers are binary64.
        assert [_canonical(json.loads(line, parse_int=float)) for line in lines] == [line.decode() for line in lines]


def test_r21_golden_digest(run: RunFolder) -> None:
    recorded = json.loads(run.summary.read_text(encoding="utf-8"))["golden_digest"]
    assert recorded == _golden_digest(run.path)
    (run.golden / "results.json").write_bytes((run.golden / "results.json").read_bytes() + b" ")
    assert recorded != _golden_digest(run.path)


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="this system has no sha256sum")
def test_r21_the_systems_own_tools_print_the_golden_digest(run: RunFolder) -> None:
    page = (Path(__file__).parents[2] / "docs" / "spec" / "record.md").read_text(encoding="utf-8")
    assert f"      {ONE_LINER}\n" in page
    recorded = json.loads(run.summary.read_text(encoding="utf-8"))["golden_digest"]

    def printed() -> str:
        done = subprocess.run(["sh", "-c", ONE_LINER], cwd=run.path, capture_output=True, text=True, check=True)
        return done.stdout.split()[0]

    assert printed() == recorded
    (run.golden / "recipe.json").write_bytes(b"{}\n")
    assert printed() != recorded


def test_r32_and_r33_chain(records: list[dict[str, Any]]) -> None:
    previous_sha256 = "0" * 64
    for line in trace_bytes(records).decode().splitlines():
        record = json.loads(line)
        assert record["previous_sha256"] == previous_sha256
        stated = record.pop("sha256")
        previous_sha256 = _sha256((_canonical(record) + "\n").encode())
        assert stated == previous_sha256


def test_r32_a_line_made_by_the_second_implementation_is_read(records: list[dict[str, Any]]) -> None:
    line = {**records[0], "loss": (2.5).hex()}
    del line["sha256"]
    line["sha256"] = _sha256((_canonical(line) + "\n").encode())
    (read,) = read_trace((_canonical(line) + "\n").encode(), "here")
    assert read == line == _record(1, FIRST_PREVIOUS_SHA256, loss=2.5)


@pytest.fixture(scope="module", params=["portable-f32", "stock"])
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, program: list[str]
) -> tuple[Path, str]:
    """A run of two steps with a checkpoint between them, and its profile."""
    if request.param == "stock":
        pytest.importorskip("torch")
    run = tmp_path_factory.mktemp("trained") / "run"
    pairs = (f"numerics={request.param}", "max_steps=2", "save_steps=1", "generation_max_new_tokens=1", "threads=1")
    command = [*program, "train", *(f"--set={pair}" for pair in pairs), "--out", run]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return run, request.param


def test_r19_tokenizer(trained: tuple[Path, str]) -> None:
    base = json.loads((trained[0] / "golden" / "recipe.json").read_text(encoding="utf-8"))["base"]
    file = Path(samebits.__file__).parent / "models" / "embedded" / "tokenizer.json"
    document = {
        "files": {"tokenizer.json": _sha256(file.read_bytes())},
        "kind": "tokenizer.json",
        "named": [],
        "special_ids": {"bos": 0, "eos": 0, "prefix": []},
    }
    assert base["tokenizer_sha256"] == _sha256((_canonical(document) + "\n").encode())


def test_r30_r47_and_r48_a_checkpoint_holds_the_tensors_of_the_trace(trained: tuple[Path, str]) -> None:
    run, profile = trained
    trace = (run / "golden" / "trace.jsonl").read_bytes().splitlines(keepends=True)
    folder = run / "checkpoints" / "step-00000001"
    held: Arrays = safetensors.numpy.load_file(folder / "tensors.safetensors")
    first, last = (json.loads(line) for line in trace)
    adapter = safetensors.numpy.load_file(run / "golden" / "adapter_model.safetensors")
    assert last["parameters_sha256"] == _named_tensors(adapter)
    parameters = {name: held[f"parameter.{name}"] for name in adapter}
    assert first["parameters_sha256"] == _named_tensors(parameters)
    kinds = ("exp_avg", "exp_avg_sq", *(["step"] if profile == "stock" else []))
    state = {f"{kind}.{name}": held[f"{kind}.{name}"] for kind in kinds for name in adapter}
    assert first["optimizer_sha256"] == _named_tensors(state)
    others = held.keys() - state.keys() - {f"parameter.{name}" for name in adapter}
    assert others == {"trace_bytes", *(["torch_rng_state"] if profile == "stock" else [])}
    assert held["trace_bytes"].tobytes() == trace[0]
    document = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    n_targets, loss = first["n_target_tokens"], float.fromhex(first["loss"])
    if profile != "stock":
        assert document.keys() == {"loss_units", "resumed_from"}
        assert float(Fraction(int(document["loss_units"], 16), 2**149 * n_targets)) == loss
        return
    assert document.keys() == {"deciding", "epoch", "loss_sum", "resumed_from"}
    assert document["deciding"].keys() == {"isa", "libraries", "n_threads", "probes"}
    assert float.fromhex(document["loss_sum"]) / n_targets == loss
