"""Write the dataset that comes with the package: hand-written samples, then samples made from word lists.

    python tools/make_embedded_dataset.py            writes src/samebits/data/embedded/
    python tools/make_embedded_dataset.py OTHER_DIR  writes there

Nothing is drawn at random: the lists below are walked in order, and every number in a made sample is computed here.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

CURATED = Path(__file__).with_name("curated_samples.jsonl")
EMBEDDED = Path(__file__).parents[1] / "src" / "samebits" / "data" / "embedded"

LAYERS = [
    ("query projection", 64, 64, 4), ("attention projection", 1024, 3072, 16), ("output projection", 768, 768, 8),
    ("up projection", 896, 4864, 16), ("down projection", 4096, 1024, 32), ("value projection", 2048, 512, 2),
]  # fmt: skip
NUMBERS = [1.0, 0.5, 0.1, -6.25, 1024.0]
SUMS = [(0.1, 0.2, 0.3), (1e16, -1e16, 1.0), (0.5, 0.25, 0.125), (0.7, 0.1, 0.2)]
CHANGES = [
    ("the hash seed of Python", False, "decides the order of names in a set",
     "the arithmetic never walks a set, but a file written from one does, so sort before you write"),
    ("the number of threads", True, "decides how a long sum is cut into parts",
     "each part rounds for itself, and the parts are added in another order"),
    ("the time zone", False, "decides how a clock is printed",
     "a weight is not computed from a clock; keep times out of the files that are compared"),
    ("the instruction set", True, "decides how many numbers are added side by side",
     "wider vectors mean other partial sums, and a fused step rounds once where two steps round twice"),
    ("the name of the folder", False, "decides where the files lie",
     "a path that is written into a file changes that file, though no weight moved"),
    ("the padded length of a batch", True, "decides the shape that the kernels see",
     "a library may choose another blocking for another shape, even where the extra places are masked"),
]  # fmt: skip
TERMS = [
    ("a digest", "a short fixed-length number computed from a file", "Equal digests stand for equal bytes",
     "comparing two large files without sending either"),
    ("a container image", "a stack of file layers with a description of how to start them",
     "It carries its own libraries but runs on the host's processor", "shipping a program with what it needs"),
    ("a unit in the last place", "the gap between a float and its neighbour", "It grows with the size of the number",
     "saying how far apart two results are"),
    ("a checkpoint", "everything that a training run needs in order to go on", "It holds the optimizer's state too",
     "continuing after a crash"),
]  # fmt: skip


def made_samples() -> Iterator[dict[str, str]]:
    """Yield the made samples in order, each of another kind than the one before."""
    kinds = [
        [_layer_sample(i, *layer) for i, layer in enumerate(LAYERS)],
        [_hex_sample(number) for number in NUMBERS],
        [_change_sample(i, *change) for i, change in enumerate(CHANGES)],
        [_sum_sample(*terms) for terms in SUMS],
        [_term_sample(i, *term) for i, term in enumerate(TERMS)],
    ]
    turn = [kind[i] for i in range(max(map(len, kinds))) for kind in kinds if i < len(kind)]
    for number, (instruction, given, output) in enumerate(turn, start=1):
        yield {
            "id": f"synthetic-{number:02d}", "origin": "synthetic",
            "instruction": instruction, "input": given, "output": output,
        }  # fmt: skip


def _layer_sample(i: int, name: str, n_in: int, n_out: int, rank: int) -> tuple[str, str, str]:
    added, full = rank * (n_in + n_out), n_in * n_out
    given = f"The {name} maps {n_in} numbers to {n_out}; the rank is {rank}."
    if i % 2:
        return "How many numbers does LoRA train here?", given, f"{rank} x ({n_in} + {n_out}) = {added}."
    share = f"{1000 * added // full / 10:.1f}"
    output = (
        f"The matrix A has {rank} rows of {n_in} numbers, which is {rank * n_in}. The matrix B has {n_out} rows of "
        f"{rank} numbers, which is {n_out * rank}. Together that is {added} numbers to train. The frozen matrix of "
        f"the {name} has {n_in} x {n_out} = {full} numbers, so LoRA trains {share} percent of what full fine-tuning "
        f"would train here, the percentage cut after one digit. Twice the rank would mean {2 * added} numbers, because "
        "the count grows in step with the rank."
    )
    return "Count the numbers that LoRA adds to this layer, step by step.", given, output


def _hex_sample(number: float) -> tuple[str, str, str]:
    mantissa, exponent = number.hex().split("p")
    output = (
        f"{number.hex()}. The part before p is the significand in base sixteen, {mantissa}, and the part after it says "
        f"to multiply by two to the power {int(exponent)}."
    )
    return f"Write {number!r} as a hexadecimal float.", "", output


def _change_sample(i: int, what: str, differs: bool, decides: str, reason: str) -> tuple[str, str, str]:
    verdict = "Yes, it can" if differs else "No"
    question = ("Can", "change") if differs else ("Does", "change")
    text = f"{verdict}. {what[0].upper()}{what[1:]} {decides}: {reason}."
    if i % 3 == 2:
        text += (
            " The way to be sure is to train twice with nothing else changed and to compare the two weight files byte "
            "by byte, because a loss printed with a few digits can hide a difference in every weight."
        )
    return f"{question[0]} {what} {question[1]} the weights of a run on a CPU?", "", text


def _sum_sample(a: float, b: float, c: float) -> tuple[str, str, str]:
    left, right = (a + b) + c, a + (b + c)
    verdict = "The two agree here" if left == right else "The order of the additions decides the result"
    return (
        "Add these three doubles from the left, then from the right.",
        f"{a!r}, {b!r}, {c!r}",
        f"From the left: {left!r}. From the right: {right!r}. {verdict}.",
    )


def _term_sample(i: int, term: str, kind: str, fact: str, use: str) -> tuple[str, str, str]:
    if i % 2:
        return f"What is {term} good for?", "", f"For {use}. It is {kind}."
    return f"What is {term}?", "", f"{term[0].upper()}{term[1:]} is {kind}. {fact}. It is used for {use}."


def dataset_bytes() -> bytes:
    """Return the whole dataset as JSONL: the hand-written lines as they are, then the made ones."""
    made = (json.dumps(sample, ensure_ascii=False, separators=(",", ":")) for sample in made_samples())
    return CURATED.read_bytes() + "".join(f"{line}\n" for line in made).encode()


def manifest_bytes(data: bytes) -> bytes:
    """Return the manifest of `data` as indented JSON."""
    origins = [json.loads(line)["origin"] for line in data.splitlines()]
    manifest = {
        "files": {"train.jsonl": {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}},
        "licence": "Apache-2.0",
        "made_by": {
            "curated": "written by hand for samebits: tools/curated_samples.jsonl",
            "synthetic": "made from word lists: tools/make_embedded_dataset.py",
        },
        "n_samples": {origin: origins.count(origin) for origin in ("curated", "synthetic")},
        "schema": "alpaca",
    }
    return (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else EMBEDDED
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath("train.jsonl").write_bytes(dataset_bytes())
    folder.joinpath("manifest.json").write_bytes(manifest_bytes(dataset_bytes()))
