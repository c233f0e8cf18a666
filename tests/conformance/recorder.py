"""A pytest plugin that writes kernel calls of passing tests, with what they read and wrote, for a replay elsewhere.

    python -m pytest -p recorder --record-calls FILE --record-isa ISA tests/oracle tests/spec

with this folder in PYTHONPATH. It stands before each library's functions and needs to know no kernel: the types of
arguments are those of ops.py, and an address belongs to the array that the calling functions hold at it. Memory that
`sb_pack_*` fills has a layout of its library's own, so it is not written down: the replayer packs again and hands on
what it packed.

The file, all little-endian: see `write`, which replayer.cpp reads.
"""

from __future__ import annotations

import ctypes
import functools
import random
import struct
import sys
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import hypothesis
import numpy as np
import pytest

from samebits.numerics import library
from samebits.numerics.canaries import check
from samebits.numerics.ops import OPS, POINTER, Op

MAGIC = b"SBCALLS1"
PACKS, SIZES = "sb_pack_", "sb_packed_size_"

MOST_EXAMPLES = 120  # of a hypothesis test: a replay wants variety, and an emulator is slow
MOST_CALLS = 200  # of a symbol
# Of a symbol, by a test, whose arrays have up to so many bytes: large calls reach blocks and threads, and take long.
MOST_BY_BYTES = {1 << 14: 200, 1 << 17: 4, 1 << 19: 1}
MOST_BYTES = max(MOST_BY_BYTES)
DEPTH = 3  # of what a function's variables hold, in which arrays are looked for
LINE = 64


@dataclass(eq=False)
class Place:
    """An array, the addresses that its elements span, and what owns its memory."""

    array: np.ndarray[Any, Any]
    low: int
    high: int
    owner: Any

    @classmethod
    def of(cls, array: np.ndarray[Any, Any]) -> Place:
        owner = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        address = address_of(array)
        return cls(array, *(np.lib.array_utils.byte_bounds(array) if array.size else (address, address)), owner)


@dataclass(eq=False)
class Packed:
    """Memory in a library's own layout: the call that filled it, and the call that said how many items it takes."""

    fill: Call | None
    size_symbol: str
    size_arguments: tuple[int, ...]
    item_bytes: int


@dataclass(eq=False)
class Region:
    """A stretch of memory that a call could reach.

    Args:
        low: its address.
        item_bytes: the size of its elements.
        is_float: whether two NaNs are the same (N-03).
        before, after: its bytes; `after` is None where nothing changed.
        packed: stands in place of bytes.
    """

    low: int
    item_bytes: int
    is_float: bool
    before: bytes = b""
    after: bytes | None = None
    packed: Packed | None = None


@dataclass(eq=False)
class Call:
    """One call: plain numbers as they are, addresses as (region, offset), None for null."""

    op: Op
    test: str
    arguments: list[float | tuple[int, int] | None]
    regions: list[Region]


class UnknownCallError(Exception):
    """A kernel was called in a way that this recorder does not understand."""


class Recorder:
    """Everything seen in one session."""

    def __init__(self, isa: str) -> None:
        self.isa = isa
        self.test = ""
        self.calls: dict[tuple[str, str, int], list[Call]] = defaultdict(list)  # by symbol, test and size
        self.seen: dict[tuple[str, str, int], int] = defaultdict(int)
        self.unknown: dict[str, str] = {}
        self._packed: dict[int, tuple[weakref.ref[Any], Packed]] = {}  # by id of what owns the memory
        self._sizes: dict[tuple[str, int], tuple[int, ...]] = {}
        self._random = random.Random(0)
        self._lock = threading.Lock()

    def call(self, op: Op, function: Callable[..., int], arguments: tuple[Any, ...]) -> int:
        """Call the kernel and keep what it did."""
        if op.symbol.startswith(SIZES):
            result = function(*arguments)
            self._sizes[op.symbol, result] = arguments
            return result
        try:
            call = self._before(op, arguments)
        except UnknownCallError as unknown:
            self.unknown[op.symbol] = f"{unknown} (in {self.test})"
            return function(*arguments)
        result = function(*arguments)
        if call is not None and result == 0:
            with self._lock:
                self._keep(call)
        return result

    def _before(self, op: Op, arguments: tuple[Any, ...]) -> Call | None:
        addresses = [
            value for value, kind in zip(arguments, op.arguments, strict=True) if kind is POINTER and value is not None
        ]
        spans = _spans(_places(op.symbol, addresses))
        regions = [self._region(op, *span) for span in spans]
        if sum(len(region.before) for region in regions) > MOST_BYTES and not op.symbol.startswith(PACKS):
            return None
        values: list[float | tuple[int, int] | None] = []
        for value, kind in zip(arguments, op.arguments, strict=True):
            if kind is not POINTER or value is None:
                values.append(value)
                continue
            # Spans are in order and apart, so that the last that starts no later holds it.
            index = max(i for i, span in enumerate(spans) if span[0] <= value)
            if regions[index].packed is not None and value != spans[index][0]:
                raise UnknownCallError(f"{op.symbol} was given an address inside packed memory")
            values.append((index, value - spans[index][0]))
        call = Call(op, self.test, values, regions)
        if op.symbol.startswith(PACKS):
            self._bind(call, spans)
        return call

    def _region(self, op: Op, low: int, high: int, places: list[Place]) -> Region:
        kinds = {(place.array.dtype.itemsize, place.array.dtype.kind == "f") for place in places}
        if len(kinds) > 1:
            raise UnknownCallError(f"{op.symbol} was given overlapping arrays of several types")
        ((item_bytes, is_float),) = kinds
        region = Region(low, item_bytes, is_float)
        owner, packed = self._packed.get(id(places[0].owner), (None, None))
        if owner is not None and owner() is places[0].owner and not op.symbol.startswith(PACKS):
            region.packed = packed
        elif high > low:
            region.before = ctypes.string_at(low, high - low)
        return region

    def _bind(self, call: Call, spans: list[tuple[int, int, list[Place]]]) -> None:
        """The last address of a packing call is where it packs to."""
        index, _ = [value for value in call.arguments if isinstance(value, tuple)][-1]
        region, place = call.regions[index], spans[index][2][0]
        name = SIZES + call.op.symbol.removeprefix(PACKS)
        size = self._sizes.get((name, place.array.size))
        if size is None:
            raise UnknownCallError(f"{call.op.symbol} packs into memory whose size {name} did not say")
        region.packed, region.before = Packed(call, name, size, region.item_bytes), b""
        self._packed[id(place.owner)] = (weakref.ref(place.owner), region.packed)
        if sum(len(other.before) for other in call.regions) > MOST_BYTES:
            region.packed.fill = None  # too large: nor are the calls that read it kept

    def _keep(self, call: Call) -> None:
        for region in call.regions:
            if region.packed is not None:
                if region.packed.fill is None:
                    return
                continue
            after = ctypes.string_at(region.low, len(region.before)) if region.before else b""
            region.after = None if after == region.before else after
        # Each of a test's calls has the same chance to be among the kept.
        n_bytes = sum(len(region.before) for region in call.regions)
        size = min(limit for limit in MOST_BY_BYTES if n_bytes <= limit)
        key = call.op.symbol, call.test, size
        self.seen[key] += 1
        kept, most = self.calls[key], MOST_BY_BYTES[size]
        if len(kept) < most:
            kept.append(call)
        elif (at := self._random.randrange(self.seen[key])) < most:
            kept[at] = call

    def chosen(self) -> list[Call]:
        """Up to MOST_CALLS of each symbol, its tests in turn; what packs stands before what reads it."""
        calls: dict[Call, None] = {}
        for symbol in dict.fromkeys(symbol for symbol, _, _ in self.calls):
            tests = [kept for (name, _, _), kept in self.calls.items() if name == symbol]
            in_turn = (kept[i] for i in range(max(map(len, tests))) for kept in tests if i < len(kept))
            for call, _ in zip(in_turn, range(MOST_CALLS), strict=False):
                for region in call.regions:
                    if region.packed is not None and region.packed.fill is not None:
                        calls.setdefault(region.packed.fill)
                calls.setdefault(call)
        return list(calls)


def address_of(array: np.ndarray[Any, Any]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _places(symbol: str, addresses: list[int]) -> list[Place]:
    """Return the array at each address: of those that the nearest calling function holds there, the widest."""
    found: dict[int, Place] = {}
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and len(found) < len(set(addresses)):
        if frame.f_code.co_filename != __file__:
            places = [Place.of(array) for array in _arrays(tuple(frame.f_locals.values()), DEPTH)]
            places.sort(key=lambda place: place.low - place.high)
            for address in set(addresses) - set(found):
                starting = [place for place in places if address_of(place.array) == address]
                holding = [place for place in places if place.low <= address < place.high]
                if starting or holding:
                    found[address] = (starting or holding)[0]
        frame = frame.f_back
    if missing := set(addresses) - set(found):
        raise UnknownCallError(f"no function that called {symbol} holds the array at {len(missing)} of its addresses")
    return [found[address] for address in addresses]


def _arrays(thing: Any, depth: int) -> Iterator[np.ndarray[Any, Any]]:
    if isinstance(thing, np.ndarray):
        yield thing
    elif depth:
        within: tuple[Any, ...] = ()
        if isinstance(thing, tuple | list):
            within = tuple(thing)
        elif isinstance(thing, dict):
            within = tuple(thing.values())
        elif type(thing).__module__.startswith("samebits."):
            within = tuple(getattr(thing, "__dict__", {}).values())
            within += tuple(getattr(thing, name, None) for name in getattr(type(thing), "__slots__", ()))
        for inner in within:
            yield from _arrays(inner, depth - 1)


def _spans(places: list[Place]) -> list[tuple[int, int, list[Place]]]:
    """Join arrays that share memory, such as the queries, keys and values of one buffer; ascending."""
    spans: list[tuple[int, int, list[Place]]] = []
    for place in sorted(places, key=lambda place: (place.low, place.high)):
        if spans and (place.low < spans[-1][1] or place.low == spans[-1][0]):
            low, high, joined = spans[-1]
            spans[-1] = low, max(high, place.high), [*joined, place]
        else:
            spans.append((place.low, place.high, [place]))
    return spans


class Functions:
    """A library's functions, of which the kernels pass through the recorder."""

    def __init__(self, functions: ctypes.CDLL, recorder: Recorder) -> None:
        self._functions = functions
        for op in OPS:
            function = getattr(functions, op.symbol)
            setattr(self, op.symbol, functools.partial(_passed, recorder, op, function))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._functions, name)


def _passed(recorder: Recorder, op: Op, function: Callable[..., int], *arguments: Any) -> int:
    return recorder.call(op, function, arguments)


@dataclass
class Table:
    """Numbers things in the order in which they are asked for."""

    numbers: dict[Any, int] = field(default_factory=dict)

    def __getitem__(self, thing: Any) -> int:
        return self.numbers.setdefault(thing, len(self.numbers))


def write(path: Path, calls: list[Call]) -> None:
    """Write the recording: texts (symbols and tests), blobs, calls; counts and numbers are u32 unless said so.

    A blob is its element's size, its length (u64) and its bytes. A call is symbol, test, regions, arguments. A region
    is its kind (0 integers, 1 floats, 2 packed by this call, 3 packed by an earlier one) and the size of its elements.
    Of kinds 0 and 1 its address modulo 64 follows, and the blobs before and after; of 2 and 3 a number of its own; and
    of 2 the symbol that says how many items it takes, with its arguments (i64). An argument is its type (0 an integer
    as i64, 1 a float's bits as i64, 2 null, 3 a region's number and an offset as i64).
    """
    texts, blobs, handles = Table(), Table(), Table()
    body = b"".join(_call_bytes(call, texts, blobs, handles) for call in calls)
    with path.open("wb") as stream:
        stream.write(MAGIC + struct.pack("<I", len(texts.numbers)))
        for text in texts.numbers:
            data = text.encode()
            stream.write(struct.pack("<I", len(data)) + data)
        stream.write(struct.pack("<I", len(blobs.numbers)))
        for item_bytes, data in blobs.numbers:
            stream.write(struct.pack("<IQ", item_bytes, len(data)) + data)
        stream.write(struct.pack("<I", len(calls)) + body)


def _call_bytes(call: Call, texts: Table, blobs: Table, handles: Table) -> bytes:
    parts = [struct.pack("<III", texts[call.op.symbol], texts[call.test], len(call.regions))]
    for region in call.regions:
        if region.packed is not None:
            fills = region.packed.fill is call
            parts.append(struct.pack("<III", 2 if fills else 3, region.item_bytes, handles[region.packed]))
            if fills:
                arguments = region.packed.size_arguments
                named = texts[region.packed.size_symbol]
                parts.append(struct.pack(f"<II{len(arguments)}q", named, len(arguments), *arguments))
            continue
        before = blobs[region.item_bytes, region.before]
        after = before if region.after is None else blobs[region.item_bytes, region.after]
        parts.append(struct.pack("<IIIII", region.is_float, region.item_bytes, region.low % LINE, before, after))
    parts.append(struct.pack("<I", len(call.arguments)))
    for value, kind in zip(call.arguments, call.op.arguments, strict=True):
        if isinstance(value, tuple):
            parts.append(struct.pack("<IIq", 3, *value))
        elif value is None:
            parts.append(struct.pack("<I", 2))
        elif kind is ctypes.c_float:
            parts.append(struct.pack("<IfI", 1, value, 0))
        elif kind is ctypes.c_double:
            parts.append(struct.pack("<Id", 1, value))
        else:
            parts.append(struct.pack("<Iq", 0, int(value)))
    return b"".join(parts)


def _patch(recorder: Recorder) -> None:
    start = library.Library.__init__

    def started(self: library.Library, *arguments: Any, **named: Any) -> None:
        start(self, *arguments, **named)
        if self.isa == recorder.isa:
            self.functions = Functions(self.functions, recorder)  # type: ignore[assignment]

    setattr(library.Library, "__init__", started)  # noqa: B010 - a method of another's class
    run = check.check_canaries

    def canaries() -> None:
        # Every test opens its library and so runs them all: they count as one test among the others.
        before, recorder.test = recorder.test, "the canaries"
        try:
            run()
        finally:
            recorder.test = before

    setattr(check, "check_canaries", canaries)  # noqa: B010 - a module's function


def _cap_examples() -> None:
    start = hypothesis.settings.__init__

    @functools.wraps(start)
    def capped(self: hypothesis.settings, *arguments: Any, **named: Any) -> None:
        if isinstance(named.get("max_examples"), int):
            named["max_examples"] = min(named["max_examples"], MOST_EXAMPLES)
        start(self, *arguments, **named)

    setattr(hypothesis.settings, "__init__", capped)  # noqa: B010 - a method of another's class
    hypothesis.settings.register_profile("recording", derandomize=True, database=None, max_examples=MOST_EXAMPLES)
    hypothesis.settings.load_profile("recording")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-calls", metavar="FILE", help="write the kernel calls of the tests that run to FILE")
    parser.addoption("--record-isa", metavar="ISA", help="of the libraries, the one that is recorded")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--record-calls"):
        if sys.byteorder != "little":
            raise pytest.UsageError("recording needs a little-endian machine: the file's bytes are those of memory")
        _cap_examples()
        config.pluginmanager.register(Session(config), "recording")


class Session:
    """The hooks of a session that records."""

    def __init__(self, config: pytest.Config) -> None:
        self.path = Path(config.getoption("--record-calls"))
        self.recorder = Recorder(config.getoption("--record-isa"))
        _patch(self.recorder)

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep the tests that run on the library that is recorded."""
        kept = [item for item in items if self._runs_on_it(item)]
        config.hook.pytest_deselected(items=[item for item in items if not self._runs_on_it(item)])
        items[:] = kept

    def _runs_on_it(self, item: pytest.Item) -> bool:
        return hasattr(item, "callspec") and item.callspec.params.get("native") == self.recorder.isa

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.recorder.test = item.nodeid.partition("[")[0].rpartition("/")[2]
        return (yield)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what was kept; a kernel that could not be recorded fails the session."""
        calls = self.recorder.chosen()
        write(self.path, calls)
        for symbol, why in self.recorder.unknown.items():
            print(f"NOT RECORDED {symbol}: {why}")
        if self.recorder.unknown and not session.exitstatus:
            session.exitstatus = 1
