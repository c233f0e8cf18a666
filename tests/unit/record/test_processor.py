"""Facts of the processor and its control group, read from planted folders."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from samebits.record import processor
from samebits.record.processor import cgroup_limits, processor_facts, read_text

CPUINFO_X86 = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 85
model name\t: Intel(R) Xeon(R)
stepping\t: 7
microcode\t: 0x5003
physical id\t: 0
core id\t\t: 0
flags\t\t: sse avx2 avx512f avx2

processor\t: 1
physical id\t: 0
core id\t\t: 0

processor\t: 2
physical id\t: 1
core id\t\t: 0
"""
CPUINFO_ARM = "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd0c\n"
FACTS = {
    "architecture", "vendor", "name", "family", "model", "stepping", "microcode", "flags", "caches", "n_cores_physical",
    "n_cores_seen", "n_cores_allowed", "cores_allowed",
}  # fmt: skip

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Linux tells its processor by files")


def _plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@linux_only
def test_x86(tmp_path: Path) -> None:
    cache = "sys/devices/system/cpu/cpu0/cache/index"
    files = {
        "proc/cpuinfo": CPUINFO_X86,
        f"{cache}0/level": "1\n", f"{cache}0/type": "Data\n", f"{cache}0/size": "48K\n",
        f"{cache}0/coherency_line_size": "64\n", f"{cache}0/ways_of_associativity": "12\n",
        f"{cache}1/level": "3\n", f"{cache}1/size": "a lot\n",
    }  # fmt: skip
    facts = processor_facts(_plant(tmp_path, files))
    assert facts.keys() == FACTS
    assert (facts["vendor"], facts["name"], facts["family"]) == ("GenuineIntel", "Intel(R) Xeon(R)", "6")
    assert (facts["model"], facts["stepping"], facts["microcode"]) == ("85", "7", "0x5003")
    assert facts["flags"] == ["avx2", "avx512f", "sse"]
    assert facts["n_cores_physical"] == 2
    assert facts["caches"] == [
        {"level": 1, "type": "Data", "size_bytes": 49152, "line_bytes": 64, "n_ways": 12},
        {"level": 3, "type": None, "size_bytes": None, "line_bytes": None, "n_ways": None},
    ]


@linux_only
def test_arm(tmp_path: Path) -> None:
    facts = processor_facts(_plant(tmp_path, {"proc/cpuinfo": CPUINFO_ARM}))
    assert (facts["vendor"], facts["model"], facts["flags"]) == ("0x41", "0xd0c", ["asimd", "fp"])
    assert facts["n_cores_physical"] is None


@linux_only
@pytest.mark.parametrize("cpuinfo", [None, "", "\n\n", ":::\nno colon", "\0\xff"])
def test_facts_that_nobody_tells_are_none(tmp_path: Path, cpuinfo: str | None) -> None:
    facts = processor_facts(_plant(tmp_path, {} if cpuinfo is None else {"proc/cpuinfo": cpuinfo}))
    assert facts.keys() == FACTS
    assert {facts[name] for name in ("vendor", "family", "model", "microcode", "flags", "caches")} == {None}


def _described(monkeypatch: pytest.MonkeyPatch, platform: str) -> dict[str, Any]:
    monkeypatch.setattr(processor.sys, "platform", platform)
    facts = processor_facts(Path("absent"))
    assert facts.keys() == FACTS
    return facts


def test_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = "machdep.cpu.brand_string: Apple M1\nhw.optional.neon: 1\nhw.optional.sme: 0\n"
    answer += "hw.l1dcachesize: 65536\nhw.physicalcpu: 8\n"
    asked: list[Any] = []

    def run(command: list[str], **_: Any) -> Any:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, stdout=answer)

    monkeypatch.setattr(subprocess, "run", run)
    facts = _described(monkeypatch, "darwin")
    assert asked == [["/usr/sbin/sysctl", "machdep.cpu", "hw"]]
    assert (facts["name"], facts["flags"], facts["n_cores_physical"]) == ("Apple M1", ["neon"], 8)
    assert [cache["size_bytes"] for cache in facts["caches"]] == [65536]


@pytest.mark.parametrize("error", [FileNotFoundError(), subprocess.TimeoutExpired("sysctl", 5)])
def test_macos_without_an_answer(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def run(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(subprocess, "run", run)
    facts = _described(monkeypatch, "darwin")
    assert {facts[name] for name in ("vendor", "name", "flags", "caches", "n_cores_physical")} == {None}


V2 = {"quota_us": 150000, "period_us": 100000, "memory_bytes": 4096}
NOTHING = {"quota_us": None, "period_us": None, "memory_bytes": None}


@pytest.mark.parametrize(
    ("files", "limits"),
    [
        ({}, NOTHING),
        ({"proc/self/cgroup": "rubbish\n:::\n0::\n"}, NOTHING),
        # v2 in a container: its own group is the root of what it sees.
        (
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/cpu.max": "150000 100000\n",
                "sys/fs/cgroup/memory.max": "4096\n",
            },
            V2,
        ),
        (
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/cpu.max": "max 100000\n",
                "sys/fs/cgroup/memory.max": "max\n",
            },
            NOTHING,
        ),
        # v2, the tightest is an ancestor's.
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "150000 100000",
                "sys/fs/cgroup/a/b/cpu.max": "400000 200000",
                "sys/fs/cgroup/a/memory.max": "8192",
                "sys/fs/cgroup/a/b/memory.max": "4096",
            },
            V2,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 0\n"}, NOTHING),
        (
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/cpu.max": "\u00b2 100000\n",
                "sys/fs/cgroup/memory.max": "\u00b2",
            },
            NOTHING,
        ),
        # v1, joint controllers, mounted under the joint name.
        (
            {
                "proc/self/cgroup": "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us": "150000",
                "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "4096",
            },
            V2,
        ),
        # v1 under the single name, without limits.
        (
            {
                "proc/self/cgroup": "4:memory:/\n3:cpu,cpuacct:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
            },
            NOTHING,
        ),
        # Both: v2 under `unified`.
        (
            {
                "proc/self/cgroup": "3:cpu:/\n0::/a\n",
                "sys/fs/cgroup/unified/a/memory.max": "4096",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            V2,
        ),
        # A path that climbs leads nowhere else.
        ({"proc/self/cgroup": "0::/../../..\n", "memory.max": "4096"}, NOTHING),
    ],
)
def test_control_groups(tmp_path: Path, files: dict[str, str], limits: dict[str, Any]) -> None:
    (tmp_path / "x" / "y").mkdir(parents=True)
    assert cgroup_limits(_plant(tmp_path, files)) == limits


def test_text_of_a_file_that_is_none(tmp_path: Path) -> None:
    assert read_text(tmp_path / "absent") is None
    assert read_text(tmp_path) is None
    (tmp_path / "f").write_bytes(b" \xff x\n")
    assert read_text(tmp_path / "f") == "\ufffd x"
