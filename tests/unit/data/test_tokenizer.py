from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from samebits.data.tokenizer import Tokenizer, load_tokenizer
from samebits.errors import ModelError

# The same examples each time, and no clock: a loaded machine is no failure.
UNHURRIED = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
TEXTS = st.lists(
    st.sampled_from(
        [" ", "  ", "\n", "\t", "LoRA", "<|endoftext|>", "'ll", "don't", "42", "\u00e9", "e\u0301", "\U0001f600"]
    )
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
).map("".join)


def edit(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file; None removes one."""
    value = json.loads(path.read_bytes()) if path.exists() else {}
    value |= changes
    path.write_text(json.dumps({key: item for key, item in value.items() if item is not None}), encoding="utf-8")


def word_folder(folder: Path, **parts: Any) -> Path:
    """A word-level tokenizer with a beginning and an end of sequence, as Llama's post-processor sets them."""
    vocab = {"<s>": 0, "</s>": 1, "a": 2, "b": 3, "?": 4, "<pad>": 5}
    backend = Backend(models.WordLevel(vocab, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.add_special_tokens(["<s>", "</s>"])
    for name, part in parts.items():
        setattr(backend, name, part)
    folder.mkdir(exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    edit(folder / "tokenizer_config.json", bos_token="<s>", eos_token="</s>")
    return folder


def bos_and(suffix: str) -> Any:
    tokens = [("<s>", 0), ("</s>", 1), ("a", 2)]
    return processors.TemplateProcessing(single=f"<s> $A {suffix}".strip(), special_tokens=tokens)


def refused(folder: Path, match: str) -> None:
    with pytest.raises(ModelError, match=match) as caught:
        load_tokenizer(folder)
    assert str(folder) in str(caught.value)


@pytest.fixture(scope="module")
def theirs() -> Any:
    """Tokenizers as users of transformers load them."""
    return pytest.importorskip("transformers").AutoTokenizer


def test_d30_vocab_and_merges_give_the_ids_of_tokenizer_json(gpt2_folder: Path, tokenizer: Tokenizer) -> None:
    ours = load_tokenizer(gpt2_folder)
    text = "LoRA trains 65,536 numbers.\n\u00e9\U0001f600 <|endoftext|>"
    assert ours.encode(text) == tokenizer.encode(text)
    assert ours.decode(ours.encode(text)) == text
    assert (ours.vocab_size, ours.eos_token_id, ours.bos_token_id, ours.prefix_ids) == (512, 0, 0, ())
    assert ours.sha256 != tokenizer.sha256


@UNHURRIED
@given(text=TEXTS)
def test_d30_vocab_and_merges_give_the_ids_of_transformers(gpt2_folder: Path, theirs: Any, text: str) -> None:
    ours, reference = _both(gpt2_folder, theirs)
    assert ours.encode(text) == reference(text)["input_ids"]
    assert ours.encode(text) == reference.encode(text, add_special_tokens=False)


@UNHURRIED
@given(text=TEXTS)
def test_d30_tokenizer_json_gives_the_ids_of_transformers(json_folder: Path, theirs: Any, text: str) -> None:
    ours, reference = _both(json_folder, theirs)
    assert ours.encode(text) == reference(text)["input_ids"]


_LOADED: dict[Path, tuple[Tokenizer, Any]] = {}


def _both(folder: Path, theirs: Any) -> tuple[Tokenizer, Any]:
    if folder not in _LOADED:
        _LOADED[folder] = load_tokenizer(folder), theirs.from_pretrained(folder)
    return _LOADED[folder]


@pytest.mark.parametrize(
    ("config", "listed"),
    [
        ({"add_prefix_space": True}, {}),
        ({"add_bos_token": True}, {}),
        ({"eos_token": "<|im_end|>"}, {"<|im_end|>": 512}),
        ({"tokenizer_class": "GPT2Tokenizer", "unk_token": {"content": "<|endoftext|>", "__type": "AddedToken"}}, {}),
    ],
)
def test_d30_options_of_the_folder(
    gpt2_folder: Path, theirs: Any, config: dict[str, Any], listed: dict[str, int]
) -> None:
    edit(gpt2_folder / "tokenizer_config.json", **config)
    if listed:
        edit(gpt2_folder / "added_tokens.json", **listed)
    ours, reference = load_tokenizer(gpt2_folder), theirs.from_pretrained(gpt2_folder)
    for text in ("a b", " a", "a<|im_end|>\n", "x <|endoftext|> y"):
        assert [*ours.prefix_ids, *ours.encode(text)] == reference(text)["input_ids"]
    assert (ours.eos_token_id, ours.bos_token_id) == (reference.eos_token_id, reference.bos_token_id)


def test_d30_added_tokens_with_blanks_around(gpt2_folder: Path, theirs: Any) -> None:
    token = {
        "content": "<mask>",
        "lstrip": True,
        "rstrip": False,
        "normalized": False,
        "single_word": False,
        "special": True,
    }
    edit(gpt2_folder / "tokenizer_config.json", added_tokens_decoder={"512": token})
    ours, reference = load_tokenizer(gpt2_folder), theirs.from_pretrained(gpt2_folder)
    for text in ("a <mask> b", "a<mask>b"):
        assert ours.encode(text) == reference(text)["input_ids"]
    edit(gpt2_folder / "tokenizer_config.json", added_tokens_decoder={"600": token})
    refused(gpt2_folder, "added tokens must be a table.*'<mask>' with the id 600, where 512")


@pytest.mark.parametrize(
    "name", ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.txt", "tokenizer.pkl"]
)
def test_d30_other_forms_are_refused_by_name(tmp_path: Path, name: str) -> None:
    refused(tmp_path, "got neither")
    (tmp_path / name).write_bytes(b"\x80\x04.")
    refused(tmp_path, f"got {name}")


def test_d30_other_families_are_refused(gpt2_folder: Path) -> None:
    edit(gpt2_folder / "config.json", model_type="qwen2")
    refused(gpt2_folder, "GPT-2's tokenizer.*got qwen2.*tokenizer.json")
    edit(gpt2_folder / "config.json", model_type="gpt2")
    edit(gpt2_folder / "tokenizer_config.json", tokenizer_class="RobertaTokenizer")
    refused(gpt2_folder, "got RobertaTokenizer")


def test_d30_no_code_of_the_folder_runs(json_folder: Path) -> None:
    (json_folder / "evil.py").write_text(f"open({str(json_folder / 'ran')!r}, 'w')")
    edit(json_folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"]})
    assert load_tokenizer(json_folder).vocab_size == 512
    assert not (json_folder / "ran").exists()


@pytest.mark.parametrize(
    ("name", "data", "match"),
    [
        ("tokenizer.json", b"{}", "one that `tokenizers` reads"),
        ("tokenizer.json", b"\xff", "one that `tokenizers` reads"),
        ("tokenizer_config.json", b"[]", "one JSON object"),
        ("tokenizer_config.json", b'{"eos_token": "a", "eos_token": "b"}', "twice"),
        ("special_tokens_map.json", b"{", "one JSON value"),
        ("chat_template.jinja", b"\xff", "UTF-8"),
    ],
)
def test_d30_damaged_files(json_folder: Path, name: str, data: bytes, match: str) -> None:
    (json_folder / name).write_bytes(data)
    refused(json_folder, match)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("vocab.json", b"[]"),
        ("vocab.json", b"{"),
        ("merges.txt", b"zz qq\n"),
        ("merges.txt", b"\xff\n"),
        ("merges.txt", b"a\n"),
    ],
)
def test_d30_damaged_vocabulary(gpt2_folder: Path, name: str, data: bytes) -> None:
    (gpt2_folder / name).write_bytes(data)
    refused(gpt2_folder, "must be a byte-level BPE")


def test_d30_dropout_is_refused(json_folder: Path) -> None:
    value = json.loads((json_folder / "tokenizer.json").read_bytes())
    value["model"]["dropout"] = 0.1
    (json_folder / "tokenizer.json").write_text(json.dumps(value))
    refused(json_folder, "without dropout, got 0.1")


def test_d30_padding_and_truncation_of_the_file_are_off(json_folder: Path, tokenizer: Tokenizer) -> None:
    backend = Backend.from_file(str(json_folder / "tokenizer.json"))
    backend.enable_truncation(3)
    backend.enable_padding(length=7, pad_id=0, pad_token="<|endoftext|>")
    backend.save(str(json_folder / "tokenizer.json"))
    assert load_tokenizer(json_folder).encode("one two three") == tokenizer.encode("one two three")
    assert load_tokenizer(json_folder).encode("a") == tokenizer.encode("a")


def test_d31_order_of_the_places(json_folder: Path) -> None:
    # Each place names another token; the first place that names one wins.
    edit(json_folder / "tokenizer_config.json", eos_token="a", bos_token=None, pad_token=None)
    edit(json_folder / "special_tokens_map.json", eos_token={"content": "b"}, bos_token={"content": "c"})
    edit(json_folder / "generation_config.json", eos_token_id=[5, 6], bos_token_id=7)
    edit(json_folder / "config.json", eos_token_id=8, bos_token_id=9)
    plain = load_tokenizer(json_folder)
    tokens = [plain.decode([plain.eos_token_id or 0]), plain.decode([plain.bos_token_id or 0])]
    assert tokens == ["a", "c"]
    edit(json_folder / "tokenizer_config.json", eos_token=None)
    assert load_tokenizer(json_folder).decode([load_tokenizer(json_folder).eos_token_id or 0]) == "b"
    (json_folder / "special_tokens_map.json").unlink()
    found = load_tokenizer(json_folder)
    assert (found.eos_token_id, found.bos_token_id) == (5, 7)
    (json_folder / "generation_config.json").unlink()
    found = load_tokenizer(json_folder)
    assert (found.eos_token_id, found.bos_token_id) == (8, 9)
    assert found.special_tokens["eos_token"]
    (json_folder / "config.json").unlink()
    found = load_tokenizer(json_folder)
    assert (found.eos_token_id, found.bos_token_id, found.special_tokens) == (None, None, {})


def test_d31_a_token_must_be_in_the_vocabulary(json_folder: Path) -> None:
    edit(json_folder / "tokenizer_config.json", eos_token="<nowhere>")
    refused(json_folder, "`eos_token` must be in the vocabulary, got '<nowhere>'")
    edit(json_folder / "tokenizer_config.json", eos_token=None)
    for value in (512, -1, 2**40, "0", True):
        edit(json_folder / "config.json", eos_token_id=value)
        refused(json_folder, "`eos_token_id` must be an id of the vocabulary")


def test_d31_a_named_token_is_one_token_in_any_text(tmp_path: Path, theirs: Any) -> None:
    folder = word_folder(tmp_path / "t")
    edit(folder / "tokenizer_config.json", pad_token="<pad>", tokenizer_class="PreTrainedTokenizerFast")
    text = "a<pad>b</s>"
    assert load_tokenizer(folder).encode(text) == theirs.from_pretrained(folder)(text)["input_ids"] == [2, 5, 3, 1]


def test_d33_prefix(tmp_path: Path, theirs: Any) -> None:
    folder = word_folder(tmp_path / "t")
    assert load_tokenizer(folder).prefix_ids == ()
    bare = load_tokenizer(folder).sha256
    for suffix in ("", "</s>"):
        word_folder(folder, post_processor=bos_and(suffix))
        ours = load_tokenizer(folder)
        assert ours.prefix_ids == (0,)
        assert ours.encode("a b") == [2, 3]
        assert ours.sha256 != bare
    edit(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    assert theirs.from_pretrained(folder)("a b")["input_ids"] == [0, 2, 3, 1]
    word_folder(folder, post_processor=bos_and("a"))
    refused(folder, r"append nothing but the end-of-sequence token.*got \[2\]")


def test_chat_template_places(json_folder: Path) -> None:
    assert load_tokenizer(json_folder).chat_template is None
    edit(json_folder / "tokenizer_config.json", chat_template="one")
    assert load_tokenizer(json_folder).chat_template == "one"
    several = [{"name": "tool_use", "template": "two"}, {"name": "default", "template": "three"}]
    edit(json_folder / "tokenizer_config.json", chat_template=several)
    assert load_tokenizer(json_folder).chat_template == "three"
    edit(json_folder / "tokenizer_config.json", chat_template=several[:1])
    assert load_tokenizer(json_folder).chat_template is None
    (json_folder / "chat_template.jinja").write_text("four\n")
    assert load_tokenizer(json_folder).chat_template == "four\n"
    (json_folder / "chat_template.jinja").unlink()
    edit(json_folder / "tokenizer_config.json", chat_template=4)
    refused(json_folder, "`chat_template` must be a string")


def test_d32_pieces_name_the_characters(tokenizer: Tokenizer) -> None:
    text = "LoRA \U0001f600  is\n\nthin<|endoftext|>"
    pieces = tokenizer.pieces(text)
    assert [piece.token_id for piece in pieces] == tokenizer.encode(text)
    assert pieces[0].start == 0
    assert (text[pieces[-1].start : pieces[-1].stop], pieces[-1].token_id) == ("<|endoftext|>", 0)
    covered = {at for piece in pieces for at in range(piece.start, piece.stop)}
    assert covered == set(range(len(text)))


def test_d32_pieces_keep_their_blanks(json_folder: Path, tokenizer: Tokenizer) -> None:
    # A byte-level post-processor would move a token's start behind its blank, out of the prompt it begins in.
    value = json.loads((json_folder / "tokenizer.json").read_bytes())
    value["post_processor"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    (json_folder / "tokenizer.json").write_text(json.dumps(value))
    trimming = Backend.from_file(str(json_folder / "tokenizer.json")).encode("x the", add_special_tokens=False)
    assert trimming.offsets[-1] == (2, 5)
    assert load_tokenizer(json_folder).pieces("x the") == tokenizer.pieces("x the")
    assert tokenizer.pieces("x the")[-1].start == 1


def test_d32_pieces_of_a_normalised_text_name_the_original(tmp_path: Path) -> None:
    parts = {"normalizer": normalizers.Sequence([normalizers.Prepend("_"), normalizers.NFC()])}
    folder = word_folder(tmp_path / "t", **parts, decoder=decoders.WordPiece())
    text = "e\u0301 b"
    assert [text[piece.start : piece.stop] for piece in load_tokenizer(folder).pieces(text)][-1] == "b"


def test_digest_covers_what_decides_the_ids(gpt2_folder: Path) -> None:
    digests = [load_tokenizer(gpt2_folder).sha256]
    edit(gpt2_folder / "tokenizer_config.json", model_max_length=7, name_or_path="/somewhere")
    assert load_tokenizer(gpt2_folder).sha256 == digests[0]
    edit(gpt2_folder / "tokenizer_config.json", add_prefix_space=True)
    digests.append(load_tokenizer(gpt2_folder).sha256)
    edit(gpt2_folder / "tokenizer_config.json", eos_token="a")
    digests.append(load_tokenizer(gpt2_folder).sha256)
    with (gpt2_folder / "merges.txt").open("a") as stream:
        stream.write("\n")
    digests.append(load_tokenizer(gpt2_folder).sha256)
    edit(gpt2_folder / "added_tokens.json", **{"<new>": 512})
    digests.append(load_tokenizer(gpt2_folder).sha256)
    assert len(set(digests)) == 5


def test_another_hash_seed_gives_the_same_digest(gpt2_folder: Path) -> None:
    edit(gpt2_folder / "added_tokens.json", **{"<x>": 513, "<new>": 512})
    program = (
        "import sys; from pathlib import Path; from samebits.data.tokenizer import load_tokenizer;"
        "t = load_tokenizer(Path(sys.argv[1])); print(t.sha256, t.encode('a<new>b'))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program, str(gpt2_folder)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, check=True, text=True,
        ).stdout
        for seed in ("0", "1", "2")
    }  # fmt: skip
    assert len(printed) == 1
