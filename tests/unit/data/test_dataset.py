from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, processors

import samebits
from samebits.data.dataset import PreparedData, TokenSample, n_target_tokens, prepare, token_ids_sha256
from samebits.data.order import held_out
from samebits.data.tokenizer import Tokenizer, load_tokenizer
from samebits.errors import DataError
from samebits.recipe.settings import Settings

BUNDLED = Path(samebits.__file__).parent / "models" / "embedded"
UNHURRIED = examples(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
ASK, YES = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}


def settings(path: Path | str, **values: Any) -> Settings:
    return Settings(**{"dataset_name": str(path), "val_size": 0, **values})


def learnt(sample: TokenSample, tokenizer: Tokenizer) -> str:
    """The text of the learnt tokens."""
    return tokenizer.decode([i for i, is_target in zip(sample.input_ids, sample.is_target, strict=True) if is_target])


@pytest.fixture
def one(write_lines: Any, tokenizer: Tokenizer) -> Any:
    """Prepare a file of one sample and return it."""

    def prepare_one(sample: dict[str, Any], **values: Any) -> TokenSample:
        (found,) = prepare(settings(write_lines(sample), **values), values.pop("by", tokenizer)).train.samples
        return found

    return prepare_one


@pytest.fixture(scope="module")
def embedded(tokenizer: Tokenizer) -> PreparedData:
    return prepare(Settings(), tokenizer)


def test_embedded_default(embedded: PreparedData, tokenizer: Tokenizer) -> None:
    assert embedded.notes == []
    assert embedded.evaluation is not None
    train, evaluation = held_out(28, 4, 42)
    assert [sample.index for sample in embedded.train.samples] == train
    assert [sample.index for sample in embedded.evaluation.samples] == evaluation
    assert embedded.document["train"]["origins"] == {"curated": 2, "synthetic": 22}
    assert embedded.document["evaluation"]["origins"] == {"curated": 1, "synthetic": 3}
    for sample in (*embedded.train.samples, *embedded.evaluation.samples):
        assert len(sample.input_ids) == len(sample.is_target) <= 512
        assert max(sample.input_ids) < tokenizer.vocab_size
        assert learnt(sample, tokenizer).endswith("<|endoftext|>")


def test_d11_one_sample(write_lines: Any, tokenizer: Tokenizer) -> None:
    path = write_lines({"text": "alone"})
    assert len(prepare(settings(path), tokenizer).train.samples) == 1
    with pytest.raises(DataError, match="val_size=0"):
        prepare(settings(path, val_size=4), tokenizer)


def test_d17_duplicates_are_kept(write_lines: Any, tokenizer: Tokenizer) -> None:
    a, b = {"text": "abc"}, {"text": "abd"}
    data = prepare(settings(write_lines(a, b, a, a | {"id": 3})), tokenizer)
    assert len(data.train.samples) == 4
    assert data.notes == ["train: samples that repeat an earlier one, kept: 2"]


def test_d20_instruction(one: Any, tokenizer: Tokenizer) -> None:
    sample = one({"instruction": "Name a float.", "output": "0x1p-1"})
    text = "### Instruction:\nName a float.\n\n### Response:\n0x1p-1"
    assert sample.input_ids == (*tokenizer.encode(text), 0)
    assert learnt(sample, tokenizer) == "0x1p-1<|endoftext|>"


def test_d21_the_recipe_goes_before_the_tokenizer(tmp_path: Path, json_folder: Path, write_lines: Any) -> None:
    (json_folder / "chat_template.jinja").write_text("{% for m in messages %}[{{ m.content }}]{% endfor %}")
    tokenizer, path = load_tokenizer(json_folder), write_lines({"messages": [ASK, YES]})
    own = prepare(settings(path), tokenizer)
    assert tokenizer.decode(own.train.samples[0].input_ids) == "[hi][yes]<|endoftext|>"
    other = tmp_path / "t.jinja"
    other.write_text("{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}")
    stated = prepare(settings(path, chat_template=str(other)), tokenizer)
    assert tokenizer.decode(stated.train.samples[0].input_ids) == "hi<|endoftext|>yes<|endoftext|>"
    digests = [data.document["train"]["chat_template_sha256"] for data in (own, stated)]
    assert digests[1] == hashlib.sha256(other.read_bytes()).hexdigest() != digests[0]


def test_d21_conversation_without_a_template(one: Any) -> None:
    with pytest.raises(DataError, match="--set chat_template=chatml"):
        one({"messages": [ASK, YES]})


def test_a_template_is_not_read_where_there_is_no_conversation(one: Any) -> None:
    assert one({"text": "abc"}, chat_template="no-such-file.jinja")


@UNHURRIED
@given(
    parts=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), min_size=2, max_size=2
    )
)
def test_d32_ids_are_those_of_the_whole_text(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer, parts: list[str]
) -> None:
    prompt, completion = parts
    path = tmp_path_factory.getbasetemp() / "pairs.jsonl"
    path.write_text(json.dumps({"prompt": prompt, "completion": completion}), encoding="utf-8")
    ids = tokenizer.encode(prompt + completion)
    n_prompt = sum(piece.start < len(prompt) for piece in tokenizer.pieces(prompt + completion))
    if n_prompt == len(ids) and ids[-1] == tokenizer.eos_token_id:
        # An end-of-sequence token whose text begins in the prompt: nothing is left to learn.
        with pytest.raises(DataError, match="token to learn"):
            prepare(settings(path, max_length=4096), tokenizer)
        return
    (sample,) = prepare(settings(path, max_length=4096), tokenizer).train.samples
    assert list(sample.input_ids[: len(ids)]) == ids
    assert list(sample.input_ids[len(ids) :]) in ([], [0])
    assert list(sample.is_target) == [at >= max(n_prompt, 1) for at in range(len(sample.input_ids))]


def test_d32_a_token_over_the_boundary_is_not_learnt(write_lines: Any, tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode("x the")) == 2
    data = prepare(settings(write_lines({"prompt": "x ", "completion": "the end"})), tokenizer)
    assert learnt(data.train.samples[0], tokenizer) == " end<|endoftext|>"
    assert data.notes == ["train: samples with a token that spans a prompt's end, not learnt: 1"]
    fine = prepare(settings(write_lines({"prompt": "x", "completion": " the end"})), tokenizer)
    assert learnt(fine.train.samples[0], tokenizer) == " the end<|endoftext|>"
    assert fine.notes == []


def test_d32_every_token_of_an_emoji_is_learnt(one: Any, tokenizer: Tokenizer) -> None:
    sample = one({"prompt": "a", "completion": "\U0001f600"})
    assert sum(sample.is_target) == len(tokenizer.encode("\U0001f600")) + 1


def test_d33_prefix(json_folder: Path, write_lines: Any) -> None:
    value = json.loads((json_folder / "tokenizer.json").read_bytes())
    value["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}},
    }
    (json_folder / "tokenizer.json").write_text(json.dumps(value))
    tokenizer = load_tokenizer(json_folder)
    texts = [{"text": "abc"}, {"text": "<|endoftext|>abc"}]
    for sample in prepare(settings(write_lines(*texts)), tokenizer).train.samples:
        assert tokenizer.decode(sample.input_ids) == "<|endoftext|>abc<|endoftext|>"
        assert list(sample.is_target) == [False] + [True] * (len(sample.input_ids) - 1)
    chat = settings(write_lines({"messages": [ASK, YES]}), chat_template="chatml")
    assert tokenizer.decode(prepare(chat, tokenizer).train.samples[0].input_ids).startswith("<|im_start|>user")


@pytest.mark.parametrize(
    ("completion", "ending"),
    [("c", "c<|endoftext|>"), ("c<|endoftext|>", "c<|endoftext|>"), ("c<|endoftext|> \n", "c<|endoftext|> \n"),
     ("<|endoftext|>c", "<|endoftext|>c<|endoftext|>"), ("c \n", "c \n<|endoftext|>")],
)  # fmt: skip
def test_d34_end_of_sequence(one: Any, tokenizer: Tokenizer, completion: str, ending: str) -> None:
    assert learnt(one({"prompt": "p", "completion": completion}), tokenizer) == ending


def test_d34_conversations(one: Any, tokenizer: Tokenizer) -> None:
    closed = one({"messages": [ASK, YES]}, chat_template="chatml")
    assert learnt(closed, tokenizer) == "yes<|im_end|>\n<|endoftext|>"
    opened = one({"messages": [ASK, YES, ASK]}, chat_template="chatml")
    assert tokenizer.decode(opened.input_ids).endswith("hi<|im_end|>\n")
    assert learnt(opened, tokenizer) == "yes<|im_end|>\n"


def test_d34_no_end_of_sequence_token(json_folder: Path, write_lines: Any) -> None:
    (json_folder / "tokenizer_config.json").unlink()
    tokenizer = load_tokenizer(json_folder)
    (sample,) = prepare(settings(write_lines({"text": "abc"})), tokenizer).train.samples
    assert list(sample.input_ids) == tokenizer.encode("abc")


def test_d35_long_samples_are_cut(write_lines: Any, tokenizer: Tokenizer) -> None:
    path = write_lines({"text": "word " * 5000}, {"text": "abc"})
    data = prepare(settings(path, max_length=50), tokenizer)
    assert [len(sample.input_ids) for sample in data.train.samples] == [50, len(tokenizer.encode("abc")) + 1]
    assert list(data.train.samples[0].input_ids) == tokenizer.encode("word " * 5000)[:50]
    assert data.notes == ["train: samples cut at `max_length`: 1"]


def test_d35_no_target_left(write_lines: Any, tokenizer: Tokenizer) -> None:
    path = write_lines({"prompt": "p", "completion": "c"}, {"prompt": "word " * 100, "completion": "c"})
    with pytest.raises(DataError, match=r"data.jsonl, line 2.*raise `max_length`"):
        prepare(settings(path, max_length=50), tokenizer)
    with pytest.raises(DataError, match="line 1"):
        prepare(settings(path, max_length=1), tokenizer)


def test_d35_the_first_token_is_never_learnt(one: Any) -> None:
    assert one({"text": "abcdef"}).is_target[0] is False


def test_d44_split_and_evaluation_files(tmp_path: Path, tokenizer: Tokenizer) -> None:
    lines = [json.dumps({"text": f"sample {i}"}) for i in range(10)]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    split = prepare(settings(tmp_path, val_size=0.3), tokenizer)
    assert split.evaluation is not None
    assert [sample.index for sample in split.evaluation.samples] == held_out(10, 0.3, 42)[1]
    other = prepare(settings(tmp_path, val_size=0.3, data_seed=7), tokenizer)
    assert other.document != split.document
    (tmp_path / "valid.jsonl").write_text(json.dumps({"prompt": "p", "completion": "c"}))
    beside = prepare(settings(tmp_path, val_size=0.3), tokenizer)
    assert beside.document["evaluation"]["schema"] == "prompt-completion"
    assert len(beside.train.samples) == 10
    stated = prepare(settings(tmp_path, eval_dataset_name=str(tmp_path / "train.jsonl")), tokenizer)
    assert stated.document["evaluation"] == stated.document["train"]
    with pytest.raises(DataError, match="`eval_dataset_name` must be a file"):
        prepare(settings(tmp_path, eval_dataset_name=str(tmp_path)), tokenizer)
    assert prepare(settings(tmp_path / "train.jsonl"), tokenizer).evaluation is None


def test_d50_digests_name_the_layer(tmp_path: Path, tokenizer: Tokenizer) -> None:
    def document(data: bytes, **values: Any) -> tuple[str, str, str]:
        (tmp_path / "a.jsonl").write_bytes(data)
        part = prepare(settings(tmp_path / "a.jsonl", **values), tokenizer).document["train"]
        return part["raw_sha256"], part["rendered_sha256"], part["token_ids_sha256"]

    first = document(b'{"prompt":"p","completion":"word word"}\n')
    bytes_only = document(b'{"completion":"word word","prompt":"p"}\r\n')
    assert [a == b for a, b in zip(first, bytes_only, strict=True)] == [False, True, True]
    tokens_only = document(b'{"prompt":"p","completion":"word word"}\n', max_length=2)
    assert [a == b for a, b in zip(first, tokens_only, strict=True)] == [True, True, False]
    targets = document(b'{"prompt":"p","completion":"word word"}\n', completion_only_loss=False, max_length=512)
    assert [a == b for a, b in zip(first, targets, strict=True)] == [True, False, True]
    order = [document(b'{"text":"a b"}\n{"text":"c d"}\n'), document(b'{"text":"c d"}\n{"text":"a b"}\n')]
    assert all(a != b for a, b in zip(*order, strict=True))


def test_targets_are_counted(embedded: PreparedData) -> None:
    first, second = embedded.train.samples[:2]
    assert n_target_tokens([first, second]) == sum(first.is_target) + sum(second.is_target) > 0
    assert n_target_tokens([]) == 0


def test_d50_token_digest() -> None:
    samples = [TokenSample(0, 1, "x", (5, 6), (False, True)), TokenSample(9, 3, "y", (7,), (False,))]
    lines = b'{"input_ids":[5,6],"is_target":[false,true]}\n{"input_ids":[7],"is_target":[false]}\n'
    assert token_ids_sha256(samples) == hashlib.sha256(lines).hexdigest()


def test_d50_no_path_in_the_document(tmp_path: Path, tokenizer: Tokenizer, embedded: PreparedData) -> None:
    embedded_file = Path(samebits.__file__).parent / "data" / "embedded" / "train.jsonl"
    shutil.copy(embedded_file, tmp_path / "elsewhere.jsonl")
    assert prepare(Settings(dataset_name=str(tmp_path / "elsewhere.jsonl")), tokenizer).document == embedded.document
    assert "jsonl" not in json.dumps(embedded.document)


CHAT = (
    "{% for m in messages %}<|endoftext|>{{ m['role'] }}\n  {{ m['content'] | trim }}\n{% if not loop.last %}\n"
    "--{% endif %}\n{% endfor %}{% if add_generation_prompt %}<|endoftext|>assistant\n  {% endif %}{{ tools }}"
)


@pytest.mark.parametrize("source", [CHAT, "{%- for m in messages %}\n{{- m | tojson }}\n{%- endfor %}"])
def test_conversations_are_those_of_transformers(json_folder: Path, write_lines: Any, source: str) -> None:
    transformers = pytest.importorskip("transformers")
    (json_folder / "chat_template.jinja").write_text(source)
    reference, tokenizer = transformers.AutoTokenizer.from_pretrained(json_folder), load_tokenizer(json_folder)
    chats = [[ASK, YES], [{"role": "system", "content": " <\u00e9> "}, ASK, YES, ASK, YES], [ASK, YES, ASK]]
    path = write_lines(*({"messages": chat} for chat in chats))
    data = prepare(settings(path, completion_only_loss=False), tokenizer)
    for sample, chat in zip(data.train.samples, chats, strict=True):
        expected = reference.apply_chat_template(chat, tokenize=True, return_dict=False)
        assert list(sample.input_ids[: len(expected)]) == expected
        assert list(sample.input_ids[len(expected) :]) in ([], [0])


def sentencepiece_folder(folder: Path) -> Path:
    """A tokenizer.json of Llama 2's and Mistral's shape: blanks as U+2581, one in front, bytes for the rest."""
    vocab = {token: at for at, token in enumerate(["<unk>", "<s>", "</s>", "\u2581", "a", "b", "[", "]", "\u2581a"])}
    vocab |= {f"<0x{byte:02X}>": len(vocab) + byte for byte in range(256)}
    backend = Backend(models.BPE(vocab=vocab, merges=[("\u2581", "a")], unk_token="<unk>", byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    backend.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    backend.add_special_tokens(["<unk>", "<s>", "</s>"])
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    folder.mkdir()
    backend.save(str(folder / "tokenizer.json"))
    template = (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[ {{ m.content }} ]"
        "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
    )
    names = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps({**names, "chat_template": template}))
    return folder


def test_d32_turns_of_a_sentencepiece_family_are_those_of_transformers(tmp_path: Path, write_lines: Any) -> None:
    transformers = pytest.importorskip("transformers")
    folder = sentencepiece_folder(tmp_path / "mistral-like")
    tokenizer, reference = load_tokenizer(folder), transformers.AutoTokenizer.from_pretrained(folder)
    chat = [{"role": role, "content": text} for role, text in zip(["user", "assistant"] * 2, "abba", strict=True)]
    (sample,) = prepare(settings(write_lines({"messages": chat})), tokenizer).train.samples
    assert list(sample.input_ids) == reference.apply_chat_template(chat, return_dict=False)
    # No blank is put in where a turn begins, as would happen if turns were tokenised one by one.
    assert learnt(sample, tokenizer) == " b</s> a</s>"
    (plain,) = prepare(settings(write_lines({"prompt": "a", "completion": " b\U0001f600"})), tokenizer).train.samples
    assert list(plain.input_ids) == [*reference("a b\U0001f600")["input_ids"], 2]
    assert plain.is_target[:2] == (False, False)
    assert all(plain.is_target[2:])
