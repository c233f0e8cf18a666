"""The kernel calls of the tests, repeated on every other architecture that this machine can emulate: the same bits."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import shutil
import struct
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from samebits.numerics import build, library
from samebits.numerics.build import host_platform
from samebits.numerics.ops import OPS

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


check = _module(ROOT / "tools" / "check_architectures.py")
recorder = _module(HERE / "recorder.py")

if host_platform() not in build.PLATFORMS:
    pytest.skip(f"there are no kernels for {host_platform()}", allow_module_level=True)

pytestmark = pytest.mark.slow
NATIVE = next(name for name in check.TARGETS if name.startswith("native-"))
# Windows' other libraries are left to tools/check_architectures.py: each takes the compiler a while.
REPLAYED = [name for name in check.TARGETS if not name.startswith("wine-") or name == "wine-avx2"]
LINKED = [name for name, target in check.TARGETS.items() if target.linked]


@pytest.fixture(scope="session")
def recording(native_libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "calls.bin"
    check.record(path, library.runnable_isas()[-1])
    return path


@pytest.fixture(scope="session")
def replayer(native_libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The replayer of this very processor, and a library for it: what it says of damaged recordings."""
    target = check.TARGETS[NATIVE]
    shipped = build.library_path(target.isa, platform=target.platform, folder=native_libraries)
    return [str(check.compile_replayer(target, tmp_path_factory.mktemp("replayer"))), str(shipped)]


@pytest.fixture(scope="session")
def replayed(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], check.Outcome]:
    """`replayed(name)`: what a replay on a target said; the test is skipped where the target cannot run."""

    @cache
    def outcome(name: str) -> check.Outcome:
        return check.replay(check.TARGETS[name], recording, tmp_path_factory.mktemp(name))

    def outcome_or_skip(name: str) -> check.Outcome:
        if reason := check.why_not(check.TARGETS[name]):
            pytest.skip(f"{name}: {reason}")
        return outcome(name)

    return outcome_or_skip


@pytest.mark.parametrize("name", REPLAYED)
def test_the_same_bits(replayed: Callable[[str], check.Outcome], name: str) -> None:
    outcome = replayed(name)
    assert (outcome.differences, outcome.error, outcome.rare, outcome.code) == ([], "", {}, check.SAME)
    assert outcome.isa == check.TARGETS[name].isa
    assert set(outcome.kernels) == {op.symbol for op in OPS}
    assert not outcome.flushes_early or "qemu" in str(check.TARGETS[name].runner)


@pytest.mark.parametrize("name", [name for name, target in check.TARGETS.items() if "-cpu" in target.runner])
def test_every_kernel_could_be_judged(replayed: Callable[[str], check.Outcome], name: str) -> None:
    if left := replayed(name).not_judged:
        pytest.skip(f"{name}: {check.FLUSHES_EARLY}; not judged: {', '.join(left)}")


def test_a_library_for_macos_links_and_holds_every_kernel(tmp_path: Path) -> None:
    made = build.build("macos-arm64", folder=tmp_path, compiler="")["neon"]
    assert check.missing_symbols(made) == []
    made.write_bytes(made.read_bytes().replace(b"\0_sb_add_f32\0", b"\0_sb_sum_f32\0"))
    assert check.missing_symbols(made) == ["sb_add_f32"]


# --- faults in kernels, compiled for an emulated processor ---


@pytest.fixture(scope="session")
def emulated() -> str:
    for name in LINKED:
        if not check.why_not(check.TARGETS[name]):
            return name
    pytest.skip("no emulator is here: " + "; ".join(check.why_not(check.TARGETS[name]) for name in LINKED))


@pytest.fixture(scope="session")
def edited_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    native = tmp_path_factory.mktemp("edited") / "native"
    shutil.copytree(build.NATIVE, native, ignore=shutil.ignore_patterns("lib"))
    return native


@pytest.fixture
def replayed_with(edited_sources: Path, emulated: str, recording: Path, tmp_path: Path) -> Callable[..., check.Outcome]:
    """`replayed_with(*edits)`: what a replay on edited kernels says; each edit must change its file."""

    def edited(*edits: tuple[str, str, str]) -> check.Outcome:
        originals = {name: (edited_sources / name).read_text(encoding="utf-8") for name, _, _ in edits}
        try:
            for name, before, after in edits:
                text = (edited_sources / name).read_text(encoding="utf-8")
                assert text.count(before) == 1, f"{name} must hold once: {before}"
                (edited_sources / name).write_text(text.replace(before, after), encoding="utf-8")
            return check.replay(check.TARGETS[emulated], recording, tmp_path, native=edited_sources)
        finally:
            for name, text in originals.items():
                (edited_sources / name).write_text(text, encoding="utf-8")

    return edited


def test_faulty_kernels_are_named_and_no_other(replayed_with: Callable[..., check.Outcome]) -> None:
    """A contraction, a vector stored past the end, a return code: one kernel each."""
    outcome = replayed_with(
        ("elementwise.cpp", "return x + scalar * y;", "return fma(scalar, y, x);"),
        (
            "elementwise.cpp",
            "last.store(job.out, fma(last.load(job.x), last.load(job.y), last.load(z)));",
            "store(job.out + i, fma(last.load(job.x), last.load(job.y), last.load(z)));",
        ),
        (
            "elementwise.cpp",
            "x, x, scalar, out}, n_threads, sb::LEAST_SHARE);",
            "x, x, scalar, out}, n_threads, sb::LEAST_SHARE) + 1;",
        ),
    )
    assert outcome.code == check.DIFFERENT
    said = {line.split()[0]: line for line in outcome.differences}
    assert set(said) == {"sb_add_scaled_f32", "sb_fma_f32", "sb_scale_f32"}
    element = r"call \d+ of [^,]+: argument 4, element \d+ of \d+: expected 0x\w{8}, got 0x\w{8}"
    assert re.search(element, said["sb_add_scaled_f32"])
    assert re.search(r"argument \d was written outside, at byte \d+ of \d+", said["sb_fma_f32"])
    assert said["sb_scale_f32"].endswith("returned 1")
    different = {symbol for symbol, (_, _, n_different) in outcome.kernels.items() if n_different}
    assert different == set(said)


def test_a_state_that_is_not_given_back_is_named(replayed_with: Callable[..., check.Outcome]) -> None:
    outcome = replayed_with(("state.hpp", "~FloatState() { write(saved_); }", "~FloatState() {}"))
    assert outcome.code == check.DIFFERENT
    assert re.search(r"sb_add_f32 .*left the floating-point state 0x\w+ as 0x\w+", "\n".join(outcome.differences))


def test_a_state_that_is_taken_as_found_is_seen_in_the_bits(replayed_with: Callable[..., check.Outcome]) -> None:
    outcome = replayed_with(("state.hpp", "saved_(read()) { write(WANTED); }", "saved_(read()) {}"))
    assert outcome.code == check.DIFFERENT
    assert re.search(r"sb_mul_f32 .*element \d+ of \d+: expected 0x\w{8}, got", "\n".join(outcome.differences))


# --- damaged recordings, and replays that tell nothing ---


def _said(replayer: list[str], path: Path) -> check.Outcome:
    import subprocess

    done = subprocess.run([replayer[0], path, *replayer[1:]], capture_output=True, text=True)
    return check.outcome(done.stdout, done.returncode, done.stderr)


def test_one_bit_of_an_expected_result_is_seen(recording: Path, replayer: list[str], tmp_path: Path) -> None:
    assert _said(replayer, recording).code == check.SAME
    data = bytearray(recording.read_bytes())
    (n_texts,) = struct.unpack_from("<I", data, 8)
    at = 12
    for _ in range(n_texts):
        at += 4 + struct.unpack_from("<I", data, at)[0]
    at += 4
    # The last float of each blob: among them are results, and operands whose results move with them.
    flipped = 0
    while flipped < 1000:
        item_bytes, n_bytes = struct.unpack_from("<IQ", data, at)
        at += 12 + n_bytes
        if item_bytes == 4 and n_bytes:
            data[at - 4] ^= 1
            flipped += 1
    (tmp_path / "flipped.bin").write_bytes(data)
    outcome = _said(replayer, tmp_path / "flipped.bin")
    assert outcome.code == check.DIFFERENT
    assert re.search(r"expected 0x(\w{7})(\w), got 0x\1(?!\2)\w", "\n".join(outcome.differences))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda data: data[:-1], "the recording must be whole"),
        (lambda data: data + b"\0", "the recording must end where its last call does"),
        (lambda data: b"SBCALLS0" + data[8:], "the file must be a recording"),
        (lambda data: data.replace(b"sb_add_f32", b"sb_odd_f32"), "calls.inc must name sb_odd_f32"),
    ],
)
def test_a_damaged_recording_tells_nothing(
    recording: Path, replayer: list[str], tmp_path: Path, damage: Callable[[bytes], bytes], sentence: str
) -> None:
    (tmp_path / "damaged.bin").write_bytes(damage(recording.read_bytes()))
    outcome = _said(replayer, tmp_path / "damaged.bin")
    assert (outcome.code, outcome.error) == (check.UNDECIDED, sentence)


def test_a_replayer_that_stops_early_tells_nothing() -> None:
    row = "isa\tneon\nkernel\tsb_add_f32\t100\t1\t0\n"
    assert check.outcome(row + "end\n", 0).code == check.SAME
    assert check.outcome(row, 0).code == check.UNDECIDED
    assert "exit code -11: lost" in check.outcome("isa\tneon\n", -11, "lost").error
    assert check.outcome(row.replace("1\t0", "1\t1"), 1).code == check.DIFFERENT


def test_a_kernel_that_was_hardly_called_tells_nothing() -> None:
    outcome = check.outcome("isa\tneon\nkernel\tsb_add_f32\t49\t1\t0\nend\n", 0)
    assert (outcome.code, outcome.rare) == (check.UNDECIDED, {"sb_add_f32": 49})


def test_flushing_kernels_are_not_judged_where_the_emulator_flushes_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "FLUSHING", {"sb_x_bf16"})
    rows = "difference\tsb_x_bf16\tcall 1\nkernel\tsb_x_bf16\t100\t1\t3\nend\n"
    outcome = check.outcome("isa\tavx2\nflushes early\n" + rows, 1)
    assert (outcome.code, outcome.differences, outcome.not_judged) == (check.SAME, [], {"sb_x_bf16": 3})
    assert check.outcome("isa\tavx2\n" + rows, 1).code == check.DIFFERENT
    others = rows.replace("x_bf16", "y_f32")
    assert check.outcome("isa\tavx2\nflushes early\n" + others, 1).differences == ["sb_y_f32 call 1"]


def test_a_target_without_its_emulator_is_named_and_counted(
    recording: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check.shutil, "which", lambda name: None)
    assert check.main(["aarch64", NATIVE, "--recording", str(recording)]) == check.SAME
    printed = capsys.readouterr().out
    assert "aarch64          SKIPPED    there is no qemu-aarch64-static" in printed
    assert "1 of 2 targets ran, 1 with the same bits" in printed
    assert check.main(["aarch64", "--recording", str(recording)]) == check.UNDECIDED


def test_an_unknown_target_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        check.main(["vax"])
    assert refused.value.code == check.UNDECIDED
    assert "got vax" in capsys.readouterr().err


# --- the recorder ---

ADD = next(op for op in OPS if op.symbol == "sb_add_f32")


def _add(seen: object, x: object, y: object, out: object, addresses: tuple[int, int, int]) -> int:
    return seen.call(ADD, lambda *_: 0, (4, *addresses, 1))  # type: ignore[attr-defined]


def test_views_of_one_buffer_are_one_region_and_neighbours_are_two() -> None:
    buffer = np.arange(16, dtype=np.float32)
    seen = recorder.Recorder("any")
    x, y, out = buffer[0:8:2], buffer[1:9:2], buffer[9:13]
    _add(seen, x, y, out, tuple(map(recorder.address_of, (x, y, out))))
    (call,) = seen.chosen()
    assert call.arguments == [4, (0, 0), (0, 4), (1, 0), 1]
    assert [len(region.before) for region in call.regions] == [32, 16]


def test_an_address_that_nobody_holds_fails_the_recording() -> None:
    memory = ctypes.create_string_buffer(64)
    x = np.zeros(4, dtype=np.float32)
    seen = recorder.Recorder("any")
    _add(seen, x, x, None, (recorder.address_of(x), recorder.address_of(x), ctypes.addressof(memory)))
    assert seen.chosen() == []
    assert "no function that called sb_add_f32 holds the array at 1 of its addresses" in seen.unknown["sb_add_f32"]


def test_what_a_kernel_wrote_is_what_is_expected() -> None:
    x, out = np.ones(4, dtype=np.float32), np.zeros(4, dtype=np.float32)
    seen = recorder.Recorder("any")
    seen.call(ADD, lambda *_: out.fill(2) or 0, (4, *map(recorder.address_of, (x, x, out)), 1))
    (call,) = seen.chosen()
    assert {(region.before, region.after) for region in call.regions} == {
        (np.ones(4, "<f4").tobytes(), None),
        (bytes(16), np.full(4, 2, "<f4").tobytes()),
    }


def test_a_call_that_packs_stands_before_those_that_read_it() -> None:
    pack, linear = (next(op for op in OPS if op.symbol == name) for name in ("sb_pack_f32", "sb_mm_packed_f32"))
    size = next(op for op in OPS if op.symbol == "sb_packed_size_f32")
    weight, packed, x, out = (np.ones((4, 4), dtype=np.float32) for _ in range(4))
    panels = packed.reshape(-1)
    seen = recorder.Recorder("any")
    at = recorder.address_of
    seen.call(size, lambda *_: 16, (4, 4))
    seen.call(pack, lambda *_: 0, (4, 4, at(weight), 4, 1, at(panels), 1))
    seen.call(linear, lambda *_: 0, (4, 4, 4, at(x), 4, 1, at(panels), at(out), 4, 1, None, 0, 1))
    seen.calls = {key: calls for key, calls in seen.calls.items() if key[0] == "sb_mm_packed_f32"}
    first, second = seen.chosen()
    assert (first.op, second.op) == (pack, linear)
    assert [region.packed.size_arguments for region in second.regions if region.packed] == [(4, 4)]
