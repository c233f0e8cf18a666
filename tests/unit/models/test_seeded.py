from __future__ import annotations

import json
import math
import runpy
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from samebits.canonical.safetensors_file import TensorFile, write_safetensors
from samebits.data.tokenizer import load_tokenizer
from samebits.errors import StorageError, UsageError
from samebits.models import seeded
from samebits.models.seeded import (
    EMBEDDED_SEED,
    EMBEDDED_SHAPE,
    PURPOSE,
    STREAM_VERSION,
    drawn_elements,
    dyadic_scale,
    embedded_folder,
    make_empty,
    write_base,
)
from samebits.models.shapes import END_OF_TEXT_ID, SHAPES, tensors_of

ROOT = Path(__file__).parents[3]
TINY = [name for name in SHAPES if name.endswith("-tiny")]


@pytest.fixture(scope="session", params=TINY)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("bases") / request.param
    write_base(request.param, 7, folder)
    return request.param, folder


def test_who_listens_is_told_each_byte_of_the_weights(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    write_base("gpt2-tiny", 7, tmp_path / "base", on_bytes=lambda done, total: told.append((done, total)))
    n_bytes = 4 * sum(math.prod(tensor.shape) for tensor in tensors_of(SHAPES["gpt2-tiny"][1]).values())
    assert told[-1] == (n_bytes, n_bytes)
    assert told == sorted(told)


def philox_in_integers(counter: list[int], key: list[int]) -> list[int]:
    c, k = list(counter), list(key)
    for _ in range(10):
        left, right = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(right >> 32) ^ c[1] ^ k[0], right % 2**32, (left >> 32) ^ c[3] ^ k[1], left % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def nearest_scale(variance: Fraction) -> Fraction:
    """The definition by search: the m / 2**k with 64 <= m <= 128 nearest to sqrt(variance / ((2**32 - 1) / 3))."""
    wanted = variance / Fraction(2**32 - 1, 3)
    k = next(k for k in range(200) if wanted * 4**k >= 64**2)
    # m is nearest to the root where the root lies between m - 1/2 and m + 1/2: compared by squares.
    m = next(m for m in range(64, 129) if Fraction(2 * m + 1, 2) ** 2 > wanted * 4**k)
    return Fraction(m, 2**k)


def element(seed: int, tensor_index: int, i: int, variance: Fraction) -> Fraction:
    """One element by the words of the module's docstring, slowly."""
    block = i // 2
    words = philox_in_integers([block % 2**32, block // 2**32, tensor_index, STREAM_VERSION], [seed, PURPOSE])
    two = words[:2] if i % 2 == 0 else words[2:]
    s = sum(word % 2**16 + word // 2**16 for word in two) - 131070
    return s * nearest_scale(variance)


def test_the_bundled_model_is_what_make_base_writes(tmp_path: Path) -> None:
    write_base(EMBEDDED_SHAPE, EMBEDDED_SEED, tmp_path / "out")
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert written == {path.name: path.read_bytes() for path in embedded_folder().iterdir()}


def test_the_header_is_that_of_the_canonical_writer(tmp_path: Path) -> None:
    file = TensorFile(embedded_folder() / "model.safetensors")
    write_safetensors(tmp_path / "again.safetensors", {name: file.array(name) for name in file.tensors})
    assert (tmp_path / "again.safetensors").read_bytes() == (embedded_folder() / "model.safetensors").read_bytes()


def test_elements_are_recomputed_alone(base: tuple[str, Path]) -> None:
    name, folder = base
    file = TensorFile(folder / "model.safetensors")
    generator = np.random.default_rng(1)
    for index, (key, tensor) in enumerate(tensors_of(SHAPES[name][1]).items()):
        elements = file.array(key).reshape(-1)
        if tensor.variance is None:
            assert (elements == tensor.value).all()
            continue
        for i in {0, 1, len(elements) - 1, *map(int, generator.integers(0, len(elements), 20))}:
            assert Fraction(float(elements[i])) == element(7, index, i, tensor.variance)


def test_elements_beyond_2_to_the_33_use_the_second_word() -> None:
    start = 2**33 + 6
    variance = Fraction(1, 2500)
    actual = drawn_elements(3, 4, start, start + 5, dyadic_scale(variance))
    assert [Fraction(float(x)) for x in actual] == [element(3, 4, start + i, variance) for i in range(5)]


def test_pieces_and_chunks_do_not_reach_the_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeded, "PIECE_ELEMENTS", 1000)
    monkeypatch.setattr(seeded, "CHUNK_BLOCKS", 77)
    write_base(EMBEDDED_SHAPE, EMBEDDED_SEED, tmp_path / "out")
    data = (tmp_path / "out" / "model.safetensors").read_bytes()
    assert data == (embedded_folder() / "model.safetensors").read_bytes()


@given(
    st.fractions(min_value=Fraction(1, 10**8), max_value=4, max_denominator=10**9).filter(bool),
)
def test_the_scale_is_the_nearest_and_every_product_fits_a_float32(variance: Fraction) -> None:
    m, k = dyadic_scale(variance)
    assert 64 <= m <= 128
    assert Fraction(m, 2**k) == nearest_scale(variance)
    # The largest |s| times the largest m has 24 bits, so that s * m / 2**k is a float32.
    assert 131070 * m < 2**24
    assert math.ldexp(1, -k) >= 2**-126


def test_every_element_is_a_multiple_of_the_scale() -> None:
    m, k = dyadic_scale(Fraction(1, 2500))
    elements = drawn_elements(9, 0, 0, 20_000, (m, k)).astype(np.float64)
    sums = elements * 2.0**k / m
    assert (sums == np.rint(sums)).all()
    assert np.abs(sums).max() <= 131070
    # Exact in float64, and float32 gave the same: nothing was rounded.
    assert (np.rint(sums) * m * 2.0**-k == elements).all()


def test_the_largest_sum_is_not_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for word, s in ((0xFFFFFFFF, 131070), (0, -131070)):
        monkeypatch.setattr(seeded, "philox4x32_range", lambda *_, word=word: np.full((1, 4), word, dtype=np.uint32))
        for scale in ((127, 20), (128, 30), (64, 3)):
            assert Fraction(float(drawn_elements(0, 0, 0, 1, scale)[0])) == Fraction(s * scale[0], 2 ** scale[1])


def test_the_moments_are_near_those_of_the_family() -> None:
    n, variance = 1 << 20, Fraction(1, 2500)
    elements = drawn_elements(11, 3, 0, n, dyadic_scale(variance)).astype(np.float64)
    spread = math.sqrt(variance)
    # Four standard errors of the mean, of the variance and of the fourth moment; the scale itself is within 0.8 %.
    assert abs(elements.mean()) < 4 * spread / math.sqrt(n)
    assert abs(elements.var() / float(variance) - 1) < 0.016 + 4 * math.sqrt(1.7 / n)
    # A sum of four uniforms has the kurtosis 3 - 6 / (5 * 4) = 2.7.
    assert abs((elements**4).mean() / elements.var() ** 2 - 2.7) < 0.02
    # Neighbours in the stream, and places a row apart, do not hang together.
    for lag in (1, 2, 3, 768, 1024):
        assert abs(np.corrcoef(elements[:-lag], elements[lag:])[0, 1]) < 5 / math.sqrt(n)


def test_seeds_and_tensors_differ() -> None:
    scale = dyadic_scale(Fraction(1, 64))
    streams = {
        drawn_elements(seed, tensor, 0, 64, scale).tobytes()
        for seed in (0, 1, 42, 2**31, 2**32 - 1)
        for tensor in range(5)
    }
    assert len(streams) == 25


def test_another_seed_changes_every_drawn_tensor_and_no_other_file(tmp_path: Path) -> None:
    write_base(EMBEDDED_SHAPE, 43, tmp_path / "out")
    ours, bundled = (TensorFile(folder / "model.safetensors") for folder in (tmp_path / "out", embedded_folder()))
    for name, tensor in tensors_of(SHAPES[EMBEDDED_SHAPE][1]).items():
        assert (ours.sha256_of(name) == bundled.sha256_of(name)) == (tensor.variance is None)
    for path in embedded_folder().glob("*.json"):
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


def test_transformers_loads_every_key_and_gives_finite_logits(base: tuple[str, Path]) -> None:
    name, folder = base
    model, report = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        assert not report[kind], kind
    ids = torch.arange(80).reshape(1, -1)
    with torch.no_grad():
        logits = model.eval()(ids).logits
    assert logits.shape == (1, 80, SHAPES[name][1]["vocab_size"])
    assert torch.isfinite(logits).all()
    # The logits depend on what is read: the weights are no constants.
    assert logits.std() > 0.01
    assert not torch.equal(logits[0, 0], logits[0, 1])


def test_every_base_carries_the_bundled_tokenizer(base: tuple[str, Path]) -> None:
    name, folder = base
    tokenizer = load_tokenizer(folder)
    assert tokenizer.sha256 == load_tokenizer(embedded_folder()).sha256
    assert (tokenizer.eos_token_id, tokenizer.bos_token_id) == (END_OF_TEXT_ID, END_OF_TEXT_ID)
    assert tokenizer.vocab_size == 512 <= SHAPES[name][1]["vocab_size"]
    theirs = AutoTokenizer.from_pretrained(folder)
    text = "What is a digest? <|endoftext|> Ünïcode ☃"
    assert theirs(text)["input_ids"] == tokenizer.encode(text)
    assert theirs.eos_token_id == theirs.pad_token_id == END_OF_TEXT_ID


BUNDLED = tokenizers.Tokenizer.from_file(str(embedded_folder() / "tokenizer.json"))


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_comes_back(text: str) -> None:
    ids = BUNDLED.encode(text, add_special_tokens=False).ids
    assert BUNDLED.decode(ids, skip_special_tokens=False) == text
    assert all(0 <= token_id < 512 for token_id in ids)


def test_every_byte_has_a_token() -> None:
    vocabulary = BUNDLED.get_vocab()
    assert set(tokenizers.pre_tokenizers.ByteLevel.alphabet()) <= vocabulary.keys()
    assert sorted(vocabulary.values()) == list(range(512))


def test_the_bundled_tokenizer_is_what_its_tool_trains() -> None:
    # The trainer is of the `tokenizers` library and makes no promise across its versions; within the locked one it
    # gives the same bytes in every process, whatever the number of its threads and the seed of its hashes.
    program = (
        "import runpy, sys; tool = runpy.run_path(sys.argv[1]); sys.stdout.buffer.write(tool['tokenizer_bytes']())"
    )
    for threads in ("1", "4"):
        child = subprocess.run(
            [sys.executable, "-c", program, str(ROOT / "tools" / "make_tiny_tokenizer.py")],
            env={"RAYON_NUM_THREADS": threads, "PYTHONPATH": str(ROOT / "src"), "PYTHONHASHSEED": threads},
            capture_output=True,
            check=True,
        )
        assert child.stdout == (embedded_folder() / "tokenizer.json").read_bytes()


def test_another_text_trains_another_tokenizer(tmp_path: Path) -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "make_tiny_tokenizer.py"))
    (tmp_path / "train.jsonl").write_text(
        "\n".join(json.dumps({"instruction": f"abc{i}", "input": "", "output": "xyz" * i}) for i in range(50))
    )
    assert tool["tokenizer_bytes"](tmp_path / "train.jsonl") != (embedded_folder() / "tokenizer.json").read_bytes()


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    for out in (tmp_path / "full", tmp_path / "full" / "file"):
        with pytest.raises(UsageError, match="must be new or empty"):
            write_base("gpt2-tiny", 1, out)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["file"]
    with pytest.raises(StorageError, match="must be writable"):
        make_empty(tmp_path / "full" / "file" / "below")
    make_empty(tmp_path / "a" / "b")
    make_empty(tmp_path / "a" / "b")


def test_an_unknown_shape_is_refused_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--like must be one of gpt2-tiny, .*, got 'gpt5'"):
        write_base("gpt5", 1, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_write_that_fails_leaves_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> np.ndarray:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(seeded, "drawn_elements", full)
    with pytest.raises(StorageError, match="No space left"):
        write_base("gpt2-tiny", 1, tmp_path / "out")
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert not left & {"config.json", "model.safetensors"}
    assert not [name for name in left if name.startswith(".")]
