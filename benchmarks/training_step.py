"""A LoRA training step on DialoGPT-medium's shape beside transformers and PEFT in float32: real tokens per second.

    python benchmarks/training_step.py [--threads 1 2] [--pairs 3] [--base DIR] [--like gpt2-medium]
    python benchmarks/training_step.py --memory [--base DIR]

Both train the same samples in turn, in one process: ours without padding, theirs as transformers.Trainer runs them,
padded to the longest of a step. The ratio is their time over ours. Their side is Trainer's arithmetic alone (forward,
backward, clipping, fused AdamW), without its bookkeeping; ours is `take_step` whole, with trace, digests and checks.

--memory prints the most memory that each side held, each in a process of its own that takes one step of 4 samples of 64
to 512 tokens at default dropouts, and how much of our step went into digests, checks and the trace.

Settings: `default dropouts` (the base's own and LoRA's 0.1), `LoRA dropout only`, and `no dropout, equal lengths`.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from samebits.data.dataset import TokenSample
from samebits.data.order import StepPlan
from samebits.models.base import find_base
from samebits.models.families import adapt
from samebits.models.seeded import write_base
from samebits.numerics import library
from samebits.pytorch.adapter import attach_adapter, load_base, trained_parameters
from samebits.pytorch.evaluation import summed_loss
from samebits.recipe.reader import settings_from
from samebits.recipe.settings import Settings
from samebits.record.execution import peak_memory_bytes
from samebits.training import portable
from samebits.training.state import begin

MIXED, EQUAL = (64, 512), (256, 256)
SAMPLES = 4
SETTINGS = {
    "default dropouts, 64 to 512 tokens": (True, 0.1, MIXED),
    "LoRA dropout only, 64 to 512 tokens": (False, 0.1, MIXED),
    "no dropout, 256 tokens each": (False, 0.0, EQUAL),
}
DROPOUTS = ("resid_pdrop", "embd_pdrop", "attn_pdrop")


def main() -> None:
    """Print one line per setting and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--like", default="gpt2-medium")
    parser.add_argument("--base", type=Path)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument(
        "--side", choices=("ours", "theirs"), help="take one step of one side and print its peak memory"
    )
    arguments = parser.parse_args()
    if arguments.side:
        print_peak(arguments.side, arguments.base)
        return
    with tempfile.TemporaryDirectory() as folder:
        base = arguments.base or Path(folder) / "base"
        if not base.exists():
            write_base(arguments.like, 42, base)
        if arguments.memory:
            for side in ("ours", "theirs"):
                subprocess.run([sys.executable, __file__, "--side", side, "--base", str(base)], check=True)
            return
        print(f"{library.loaded().isa}; torch {torch.__version__}; {arguments.like}", flush=True)
        for name, (base_drops, lora_dropout, lengths) in SETTINGS.items():
            values = {"model_name_or_path": str(base), "lora_dropout": lora_dropout}
            settings = settings_from({**values, "numerics": "portable-f32"}, where="benchmark")
            ours, theirs = (
                our_step(base, settings, base_drops=base_drops),
                their_step(base, settings, base_drops=base_drops),
            )
            for n_threads in arguments.threads:
                library.set_threads(n_threads)
                torch.set_num_threads(n_threads)
                report(name, n_threads, lengths, arguments.pairs, ours, theirs)
            del ours, theirs
            gc.collect()


def print_peak(side: str, base: Path) -> None:
    """Take one step and print the most memory held, and our time in digests and checks."""
    values = {"model_name_or_path": str(base), "numerics": "portable-f32"}
    settings = settings_from(values, where="benchmark")
    spent = list[float]()
    if side == "ours":
        for name in ("tensors_sha256", "check_tensors", "token_ids_sha256", "step_record"):
            setattr(portable, name, added_up(getattr(portable, name), spent))
    step = (our_step if side == "ours" else their_step)(base, settings, base_drops=True)
    took_s = timed(step, samples_of(MIXED, 1))
    share = f", {sum(spent) / took_s:.2%} of the step in digests, checks and the trace" if spent else ""
    print(f"{side}: peak {(peak_memory_bytes() or 0) / 2**30:.2f} GiB{share}", flush=True)


def added_up(function: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    """Return the function, its seconds appended to a list."""

    def run(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            spent.append(time.perf_counter() - start)

    return run


def report(
    name: str,
    n_threads: int,
    lengths: tuple[int, int],
    n_pairs: int,
    ours: Callable[[Sequence[TokenSample]], None],
    theirs: Callable[[Sequence[TokenSample]], None],
) -> None:
    """Time pairs of steps on the same samples and print the ratio's median and range."""
    steps = [samples_of(lengths, step) for step in range(n_pairs + 1)]
    for step in (ours, theirs):
        step(steps[0])
    ratios, rates = list[float](), list[float]()
    for samples in steps[1:]:
        our_s, their_s = (timed(step, samples) for step in (ours, theirs))
        n_tokens = sum(len(sample.input_ids) for sample in samples)
        ratios.append(their_s / our_s)
        rates.append(n_tokens / our_s)
    print(
        f"{name:36} {n_threads} thread(s)  ratio {statistics.median(ratios):.2f} "
        f"[{min(ratios):.2f}, {max(ratios):.2f}]  ours {statistics.median(rates):.0f} tokens/s",
        flush=True,
    )


def timed(step: Callable[[Sequence[TokenSample]], None], samples: Sequence[TokenSample]) -> float:
    """Return the seconds of one step."""
    start = time.perf_counter()
    step(samples)
    return time.perf_counter() - start


def samples_of(lengths: tuple[int, int], step: int) -> list[TokenSample]:
    """Return a step's samples: random tokens, all but the first learnt, lengths drawn evenly from a range."""
    generator = np.random.default_rng(step)
    drawn = generator.integers(lengths[0], lengths[1] + 1, SAMPLES)
    return [
        TokenSample(i, i + 1, "", tuple(generator.integers(0, 50257, n).tolist()), (False, *[True] * (n - 1)))
        for i, n in enumerate(drawn.tolist())
    ]


def our_step(base: Path, settings: Settings, *, base_drops: bool) -> Callable[[Sequence[TokenSample]], None]:
    """Return our step, with the base's own dropouts on or off."""
    found = find_base(str(base), None)
    if not base_drops:
        found.config.update(dict.fromkeys(DROPOUTS, 0.0))
    state = begin(adapt(found, settings))

    def step(samples: Sequence[TokenSample]) -> None:
        plan = StepPlan(state.step + 1, 0, (tuple(range(len(samples))),))
        portable.take_step(state, plan, samples, settings, n_steps=1000)

    return step


def their_step(base: Path, settings: Settings, *, base_drops: bool) -> Callable[[Sequence[TokenSample]], None]:
    """Return Trainer's arithmetic of one step."""
    loaded: PreTrainedModel = load_base(base, "sdpa")
    if not base_drops:
        for module in loaded.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        for block in loaded.transformer.h:
            block.attn.attn_dropout.p = 0.0
        loaded.config.attn_pdrop = 0.0
    model = attach_adapter(loaded, settings)
    parameters = list(trained_parameters(model).values())
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.0, fused=True)

    def step(samples: Sequence[TokenSample]) -> None:
        model.train()
        n_targets = sum(sample.n_target_tokens for sample in samples)
        (summed_loss(model, samples) / n_targets).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        model.zero_grad()

    return step


if __name__ == "__main__":
    main()
