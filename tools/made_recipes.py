"""Recipes of which every byte is made here: seeded bases of four layers, and 200 texts of many lengths."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from samebits.models.seeded import write_base
from samebits.models.shapes import SHAPES

N_SAMPLES = 200
BASE_SEED = 4
MAX_SENTENCES = 12

SUBJECTS = ("the adapter", "a seed", "the record", "one thread", "the kernel", "a digest", "the sum", "every tensor")
VERBS = ("keeps", "changes", "names", "counts", "follows", "rounds", "repeats", "holds")
OBJECTS = ("the same bits", "its order", "one number", "a longer name", "two halves", "the last place", "no clock",
           "what was written")  # fmt: skip
MANNERS = ("", " on every machine", " after each step", " without a sum", " in one fixed tree", " again", " once",
           " below the first line")  # fmt: skip

FOUR_LAYERS = {"gpt2": ("gpt2-tiny", "n_layer"), "llama": ("llama-tiny", "num_hidden_layers")}


@dataclass(frozen=True)
class MadeRecipe:
    """A recipe to train: `settings` are `key=value` pairs for `--set`."""

    name: str
    n_samples: int
    n_steps: int
    settings: tuple[str, ...] = ()


def invariance_recipes(folder: Path) -> list[MadeRecipe]:
    """Write what the recipes read into `folder`, and return them: 4 samples are held out, 4 make a step."""
    texts = write_texts(folder / "texts.jsonl")
    recipes = [MadeRecipe("embedded", 28, 6)]
    for family in FOUR_LAYERS:
        base = (f"model_name_or_path={write_four_layers(family, folder)}", "lora_target_modules=all-linear")
        recipes.append(MadeRecipe(f"{family}, 4 layers", 28, 6, base))
        recipes.append(MadeRecipe(f"{family}, 4 layers", N_SAMPLES, 49, (*base, f"dataset_name={texts}")))
    return recipes


def write_four_layers(family: str, folder: Path) -> Path:
    """Write a seeded base of four layers, otherwise of the family's tiny shape; return its folder."""
    like, layers_key = FOUR_LAYERS[family]
    name, config = f"{family}-4-layers", SHAPES[like][1]
    # For this process only: no user needs these shapes by name.
    SHAPES[name] = ("four layers, 64 wide", {**config, layers_key: 4})
    write_base(name, BASE_SEED, folder / name)
    return folder / name


def write_texts(path: Path) -> Path:
    """Write 200 prompts with answers of 1 to 12 sentences, made from word lists; return the path."""
    lines = (json.dumps(_sample(number), separators=(",", ":")) for number in range(N_SAMPLES))
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    return path


def _sample(number: int) -> dict[str, str]:
    # A hash in place of a generator: the same on every version of Python.
    drawn = hashlib.sha512(f"sample {number}".encode()).digest()
    n_sentences = 1 + drawn[0] % MAX_SENTENCES
    sentences = [_sentence(drawn[4 * i + 1 : 4 * i + 5]) for i in range(n_sentences)]
    subject = SUBJECTS[drawn[1] % len(SUBJECTS)]
    return {"instruction": f"What is said of {subject}?", "input": "", "output": " ".join(sentences)}


def _sentence(drawn: bytes) -> str:
    lists = (SUBJECTS, VERBS, OBJECTS, MANNERS)
    subject, verb, thing, manner = (words[byte % len(words)] for words, byte in zip(lists, drawn, strict=True))
    return f"{subject[0].upper()}{subject[1:]} {verb} {thing}{manner}."
