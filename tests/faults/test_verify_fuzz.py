"""Run folders damaged at random: no traceback, no hang, and never "same" over changed golden bytes.

SAMEBITS_FUZZ_INPUTS=100000 makes it the nightly tier. Each input is made from its number alone, which a failure names;
SAMEBITS_FUZZ_FIRST is the first number.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from samebits.canonical.digests import sha256_bytes
from samebits.canonical.json_bytes import dump_json
from samebits.errors import RecordError
from samebits.recipe.reader import settings_from
from samebits.record.layout import GOLDEN_FILES, RunFolder
from samebits.record.manifest import golden_checksums, golden_digest
from samebits.record.progress import Silence
from samebits.record.trace import trace_root
from samebits.report.text import render
from samebits.report.verification import render_verification
from samebits.study.rebuild import Sources, rebuild
from samebits.training.portable import train
from samebits.verify.compare import compare
from samebits.verify.recorded import Recorded
from samebits.verify.verification import Spot, verify

N_INPUTS = int(os.environ.get("SAMEBITS_FUZZ_INPUTS", "2000"))
FIRST = int(os.environ.get("SAMEBITS_FUZZ_FIRST", "0"))
N_REBUILT = max(N_INPUTS // 20, 100)
MAX_S = 10.0
# Each draws the segment before which a checkpoint lies.
SEEDS = {"step-00000002": "1", "step-00000004": "0"}
MANIFEST = "manifest.json"
NOT_MADE_ANEW = {"results.json", "generations.jsonl", "training_args.json", "adapter_config.json"}

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**53, 2**63, 10**20, 10**400, 1e308, -0.0, 5e-324, "", "x" * 5000, "0" * 64, "f" * 64,
    "0x1.8p+1", "0x1p+99999", "nan", "inf", "../../../etc/passwd", "/etc/passwd", "\ud800", "\x00\x1b[2J", [], {},
    [[]], [1, "a", None], {"": 1}, {"a": {"b": 1}}, [0] * 2000, 10**6, 10**7, "stock", "embedded", 0.5,
)  # fmt: skip
TEXTS = (
    b"NaN", b"-Infinity", b"1e999", b"[" * 200_000, b'{"a":' * 70 + b"1" + b"}" * 70, b'{"a":1,"a":1}', b"9" * 5000,
    b"\xff\xfe", b"\xef\xbb\xbf{}", b"", b"\n", b"\r\n", b"\x80\x04\x95\x0a.",
)  # fmt: skip


class Folder:
    """A run folder that one input damages, and that is whole again before the next."""

    def __init__(self, pristine: Path, path: Path) -> None:
        self.pristine, self.path = pristine, shutil.copytree(pristine, path)
        self.content = {
            file.relative_to(pristine).as_posix(): file.read_bytes() for file in sorted(pristine.rglob("*"))
            if file.is_file()
        }  # fmt: skip
        self.names = list(self.content)
        self.touched: set[str] = set()

    def write(self, name: str, data: bytes) -> None:
        self.remove(name)
        (self.path / name).write_bytes(data)

    def remove(self, name: str) -> Path:
        self.touched.add(name)
        path = self.path / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
        return path

    def read(self, name: str) -> bytes:
        path = self.path / name
        if path.is_symlink() or not path.is_file():
            raise OSError("not a plain file")
        return path.read_bytes()

    def mend(self) -> None:
        for name in list(self.touched):
            path = self.remove(name)
            if name in self.content:
                path.write_bytes(self.content[name])
        self.touched.clear()

    def changed_golden(self) -> set[str]:
        """Return the golden files that are not those of the run, by the plainest means."""
        golden = self.path / "golden"
        if not golden.is_dir():
            return set(GOLDEN_FILES)
        found = {path.name for path in golden.iterdir() if path.is_file() and not path.is_symlink()}
        same = {name for name in found if self.content.get(f"golden/{name}") == (golden / name).read_bytes()}
        return ({path.name for path in golden.iterdir()} | set(GOLDEN_FILES)) - same


def damaged_bytes(data: bytes, rng: random.Random) -> bytes:
    changed, at = bytearray(data), rng.randrange(len(data) or 1)
    match rng.randrange(8):
        case 0:
            for _ in range(rng.choice((1, 1, 1, 2, 30))):
                changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        case 1:
            del changed[at:]
        case 2:
            del changed[at : at + rng.choice((1, 8, 1000))]
        case 3:
            changed[at:at] = rng.choice(TEXTS)
        case 4:
            changed += rng.randbytes(rng.choice((1, 100)))
        case 5:
            changed[at : at + 8] = rng.choice((b"\xff" * 8, b"\0" * 8, (1 << 62).to_bytes(8, "little")))
        case 6:
            changed[:8] = rng.choice((len(data), len(data) - 8, 1 << 40, 0, 7)).to_bytes(8, "little")
        case _:
            return rng.choice(TEXTS)
    return bytes(changed)


def damaged_lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(5):
        case 0:
            lines[one], lines[other] = lines[other], lines[one]
        case 1:
            lines.insert(one, lines[other])
        case 2:
            del lines[one]
        case 3:
            lines[one] = damaged_json(lines[one], rng)
        case _:
            lines *= rng.choice((2, 50))
    return b"".join(lines)


def damaged_json(data: bytes, rng: random.Random) -> bytes:
    """Change one place of a document, written as canonically as it can be."""
    document = json.loads(data)
    places = list(_places(document))
    if places:
        parent, key = rng.choice(places)
        match rng.randrange(6):
            case 0:
                del parent[key]
            case 1 if isinstance(parent, dict):
                parent[rng.choice(("more", "../x", "__proto__", "sha256", "record_version"))] = rng.choice(VALUES)
            case 2 if isinstance(parent, list):
                parent.insert(0, rng.choice(VALUES))
            case 3 if isinstance(parent[key], int | float) and not isinstance(parent[key], bool):
                parent[key] += rng.choice((1, -1, 1e-9, 10**9))
            case _:
                parent[key] = rng.choice(VALUES)
    try:
        return dump_json(document)
    except Exception:  # noqa: BLE001 (what has no canonical form is written all the same)
        return json.dumps(document).encode() + b"\n"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    for key, child in items:
        yield value, key
        yield from _places(child)


def damaged_tensors(data: bytes, rng: random.Random) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header = damaged_json(data[8 : 8 + size], rng).rstrip(b"\n")
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


def replace_entry(folder: Folder, name: str, rng: random.Random) -> None:
    """Put something else than a file in a file's place, or the file in another place."""
    path, data = folder.remove(name), folder.content[name]
    match rng.randrange(7):
        case 0:
            path.mkdir()
        case 1 if hasattr(os, "mkfifo"):
            os.mkfifo(path)
        case 2 if os.name != "nt":
            path.symlink_to(rng.choice((str(folder.pristine / name), "/dev/zero", "/etc/passwd", "nowhere", ".")))
        case 3:
            other = rng.choice(("x", "NUL", "a b", ".partial-x", "training_args.bin"))
            other = f"{name.rpartition('/')[0]}/{other}".lstrip("/")
            folder.write(other, data)
        case 4:
            other = rng.choice(folder.names)
            folder.write(name, folder.content[other])
            folder.write(other, data)
        case 5:
            folder.write(f"{name}.pkl", pickle.dumps({"a": 1}))
            folder.write(name, data)
        case _:
            pass


def damage(folder: Folder, rng: random.Random) -> str:
    """Damage one file or more; return the first one's name."""
    names = [rng.choice(folder.names) for _ in range(rng.choice((1, 1, 1, 2)))]
    for name in names:
        data = folder.content[name]
        kind = rng.randrange(10)
        if kind == 0:
            replace_entry(folder, name, rng)
        elif kind < 4 or not data:
            folder.write(name, damaged_bytes(data, rng) if data else b"x")
        elif name.endswith(".jsonl"):
            folder.write(name, damaged_lines(data, rng))
        elif name.endswith(".json"):
            folder.write(name, damaged_json(data, rng))
        else:
            folder.write(name, damaged_tensors(data, rng))
    return names[0]


def reseal(folder: Folder, rng: random.Random) -> None:
    """Make the summary and the manifests anew over the damage, and sometimes the chain, as a forger would."""
    if rng.random() < 0.5:
        forge_chain(folder)
    try:
        checksums = golden_checksums(RunFolder(folder.path))
    except RecordError:
        checksums = {}
    if checksums:
        summary = {"artifact_checksums": checksums, "golden_digest": golden_digest(checksums)}
        folder.write("artifact_summary.json", dump_json(summary))
    for name in SEEDS:
        at = f"checkpoints/{name}"
        try:
            manifest = json.loads(folder.read(f"{at}/{MANIFEST}"))
            for file in manifest["files"]:
                data = folder.read(f"{at}/{file}")
                manifest["files"][file] = {"sha256": sha256_bytes(data), "bytes": len(data)}
            manifest["recipe_sha256"] = checksums["golden/recipe.json"]["sha256"]
            folder.write(f"{at}/{MANIFEST}", dump_json(manifest))
        except Exception:  # noqa: BLE001 (a manifest that was damaged itself stays as it is)
            continue


def forge_chain(folder: Folder) -> None:
    """Give the trace's lines digests that hold, and results.json their root."""
    try:
        records = [json.loads(line) for line in folder.read("golden/trace.jsonl").splitlines()]
        previous_sha256 = "0" * 64
        for number, record in enumerate(records, start=1):
            record |= {"step": number, "previous_sha256": previous_sha256}
            record.pop("sha256", None)
            previous_sha256 = record["sha256"] = sha256_bytes(dump_json(record))
        results = json.loads(folder.read("golden/results.json"))
        results["trace_root_sha256"] = trace_root(records)
        folder.write("golden/trace.jsonl", b"".join(map(dump_json, records)))
        folder.write("golden/results.json", dump_json(results))
    except Exception:  # noqa: BLE001 (what is no trace any more has no chain to forge)
        return


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as small as one can be that has two checkpoints between its steps: of time there is only so much."""
    out = tmp_path_factory.mktemp("fuzz") / "run"
    values = {"max_steps": 6, "save_steps": 2, "lora_r": 2, "generation_max_new_tokens": 1, "generation_prompts": ["a"]}
    one = {**values, "per_device_train_batch_size": 1, "lora_target_modules": "c_attn"}
    train(settings_from(one, where="here"), out, resume=False, progress=Silence())
    return out


@pytest.fixture
def folder(trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    # What is rebuilt here is thrown away at once: it need not be durable.
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return Folder(trained_run, tmp_path / "run")


class Restoring:
    """Hands out a recorded run again; a checkpoint is restored by the real engine as well."""

    def __init__(self, replay: Any, engine: Any) -> None:
        self._replay, self._engine, self._step = replay, engine, 0
        self.recipe, self.deciding, self.n_steps = replay.recipe, replay.deciding, replay.n_steps
        self.golden_documents = replay.golden_documents

    @property
    def step(self) -> int:
        return self._step

    def restore(self, checkpoint: Any, where: str) -> None:
        self._engine.restore(checkpoint, where)
        self._step = checkpoint.step

    def take_step(self) -> Any:
        self._step += 1
        return self._replay.trace[self._step - 1]


def judged(folder: Folder, name: str, make: Callable[[Recorded], Any]) -> dict[str, str]:
    """Return the verdicts of everything that reads a run folder, after drawing them as text and as JSON."""
    comparison = compare(folder.pristine, folder.path, show_environment=name.startswith("observed"))
    text = render([comparison])
    json.dumps(comparison.as_document(), allow_nan=False)
    verdicts = {"compare": comparison.verdict}
    checkpoint = name.split("/")[1] if name.startswith("checkpoints/") else None
    # A whole rebuild reads no checkpoint.
    for spot in [Spot(1, SEEDS[checkpoint])] if checkpoint else [None]:
        found = verify(folder.path, make, spot=spot)
        text += render_verification(found, engine="nobody")
        json.dumps(found.as_document(), allow_nan=False)
        verdicts["spot" if spot else "verify"] = found.verdict
    assert all(line.isprintable() for line in text.split("\n"))
    return verdicts


@pytest.mark.timeout(600 + N_INPUTS // 10)
def test_no_damage_is_called_the_same(folder: Folder, replay: Any) -> None:
    engine = rebuild(replay.recipe, Sources())
    counts: Counter[str] = Counter()
    slowest_s = 0.0

    def make(recorded: Recorded) -> Any:
        if recorded.recipe != replay.recipe:
            raise RecordError("another recipe is another test's")
        return Restoring(replay, engine)

    for number in range(FIRST, FIRST + N_INPUTS):
        rng = random.Random(number)
        name = damage(folder, rng)
        if rng.random() < 0.6:
            reseal(folder, rng)
        changed, started_s = folder.changed_golden(), time.perf_counter()
        # A spot whose segment is not the last makes no more files anew than the trace, and says so.
        allowed = {"compare", "verify", "spot"} if not changed else {"spot"} if changed <= NOT_MADE_ANEW else set()
        try:
            verdicts = judged(folder, name, make)
        except Exception as error:
            raise AssertionError(f"input {number}, {name}: {error!r}") from error
        taken_s = time.perf_counter() - started_s
        assert taken_s < MAX_S, f"input {number}, {name}: {taken_s} s"
        same = {reader for reader, verdict in verdicts.items() if verdict == "same"}
        assert same <= allowed, f"input {number}, {name}: {verdicts}"
        counts.update(verdicts.values())
        slowest_s = max(slowest_s, taken_s)
        folder.mend()
    print(f"{N_INPUTS} inputs, verdicts {dict(counts)}, slowest {slowest_s:.2f} s")
    # All three are met, or nothing was tried: what is not golden leaves a run the same.
    assert min(counts[verdict] for verdict in ("same", "different", "undecided")) > N_INPUTS // 20


@pytest.mark.timeout(600 + N_INPUTS // 10)
def test_no_recipe_of_a_stranger_ends_in_a_traceback(folder: Folder) -> None:
    """Recipes edited at random, with everything made anew over them, as far as the real engine takes them."""
    counts: Counter[str] = Counter()
    for number in range(FIRST, FIRST + N_REBUILT):
        rng = random.Random(number)
        edited = damaged_json(folder.content["golden/recipe.json"], rng)
        folder.write("golden/recipe.json", edited)
        forge_arguments(folder)
        reseal(folder, rng)
        started_s = time.perf_counter()
        try:
            found = verify(folder.path, lambda recorded: rebuild(recorded.recipe, Sources()))
            counts[found.verdict] += 1
            # An edited recipe may have the same steps: then all its files were made anew, and have these very bytes.
            told = found.comparison.candidate_digest if found.comparison else None
            assert found.verdict != "same" or told == golden_digest(golden_checksums(RunFolder(folder.path)))
        except Exception as error:
            raise AssertionError(f"input {number}: {error!r}, {edited!r}") from error
        assert time.perf_counter() - started_s < 6 * MAX_S, f"input {number}: {edited!r}"
        folder.mend()
    print(f"{N_REBUILT} recipes, verdicts {dict(counts)}")
    assert counts["different"] > N_REBUILT // 20
    assert counts["undecided"] > N_REBUILT // 20


def forge_arguments(folder: Folder) -> None:
    """Let the other documents say what the edited recipe says, so that only a rebuild tells."""
    try:
        settings = json.loads(folder.read("golden/recipe.json"))["settings"]
        told = json.loads(folder.read("golden/training_args.json"))
        config = json.loads(folder.read("golden/adapter_config.json"))
        folder.write("golden/training_args.json", dump_json({**told, **settings}))
        config |= {"lora_alpha": settings["lora_alpha"], "r": settings["lora_r"]}
        folder.write("golden/adapter_config.json", dump_json(config))
    except Exception:  # noqa: BLE001 (a recipe that lacks them has none to be told)
        return


_WATCHED = """
import json, sys
opened, forbidden = [], []
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        opened.append(str(arguments[0]))
    if event in ("pickle.find_class", "os.system", "subprocess.Popen", "socket.connect", "marshal.loads.run"):
        forbidden.append(event)
sys.addaudithook(watch)
from samebits.cli.main import run
code = run(["verify", sys.argv[1], "--spot", "3"])
print(json.dumps({"code": code, "opened": opened, "forbidden": forbidden}))
"""


class Marker:
    """A pickle that, when it is loaded, leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return (open, (self.path, "w"))


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_nothing_is_run_and_nothing_outside_is_opened(trained_run: Path, tmp_path: Path) -> None:
    run, secret, marker = shutil.copytree(trained_run, tmp_path / "run"), tmp_path / "secret", tmp_path / "marker"
    secret.mkdir()
    (secret / "state.json").write_text("{}")
    code = pickle.dumps(Marker(marker))
    for name in (
        "training_args.bin",
        "observed/optimizer.pt",
        "checkpoints/step-00000002/rng_state.pth",
        "conftest.py",
    ):
        (run / name).write_bytes(code)
    (run / "checkpoints" / "step-00000003").symlink_to(secret)
    (run / "observed" / "env.json").unlink()
    (run / "observed" / "env.json").symlink_to(secret / "state.json")
    recipe = json.loads((run / "golden" / "recipe.json").read_bytes())
    done = subprocess.run([sys.executable, "-c", _WATCHED, str(run)], capture_output=True, text=True, cwd=secret)
    told = json.loads(done.stdout.splitlines()[-1])
    assert "Traceback" not in done.stderr
    # An extra file makes the checkpoint damaged, and the link makes another one no checkpoint at all.
    assert told["code"] in (0, 2), done.stdout
    assert told["forbidden"] == []
    assert not [path for path in told["opened"] if str(secret) in path or path.endswith((".bin", ".pt", ".pth"))]
    assert not marker.exists()
    # A recipe that names a place is refused: it has none.
    recipe["settings"]["model_name_or_path"] = str(secret)
    (run / "golden" / "recipe.json").write_bytes(dump_json(recipe))
    told = json.loads((run / "golden" / "training_args.json").read_bytes())
    (run / "golden" / "training_args.json").write_bytes(dump_json({**told, "model_name_or_path": str(secret)}))
    checksums = golden_checksums(RunFolder(run))
    summary = {"artifact_checksums": checksums, "golden_digest": golden_digest(checksums)}
    (run / "artifact_summary.json").write_bytes(dump_json(summary))
    found = verify(run, lambda recorded: rebuild(recorded.recipe, Sources()))
    assert found.verdict == "undecided"
    assert found.fault is not None
    assert "model_name_or_path" in found.fault.note
