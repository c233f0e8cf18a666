"""Attention, rotary embedding and embedding (N-16, N-20) beside torch's; see benchmarks/pairs.py for the manner.

python benchmarks/attention.py [--threads 1 2] [--only forward training dropout decode rotary embedding] [--cpu-time]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from pairs import Case, matrix, run, same_as_baseline

from samebits.numerics import rotary
from samebits.numerics.arrays import F32
from samebits.numerics.attention import Sight, attention, attention_backward
from samebits.numerics.embedding import embedding, embedding_backward
from samebits.numerics.random import Purpose, Stream

# Tokens, heads, heads of keys and values, width of a head: of a GPT-2 medium, and of small Llamas.
SIZES = [(128, 16, 16, 64), (512, 16, 16, 64), (1024, 16, 16, 64), (512, 32, 4, 64), (512, 16, 8, 128)]
STREAM = Stream(seed=1, purpose=Purpose.ATTENTION_DROPOUT)


class Problem:
    """One sample's operands, ours and torch's, as they come out of one product for queries, keys and values."""

    def __init__(self, t: int, heads: int, kv_heads: int, d: int, *, n_queries: int | None = None) -> None:
        self.n_queries, self.heads, self.kv_heads, self.d = n_queries or t, heads, kv_heads, d
        row = matrix(t, (heads + 2 * kv_heads) * d).reshape(t, heads + 2 * kv_heads, d)
        self.q = row[t - self.n_queries :, :heads]
        self.k, self.v = row[:, heads : heads + kv_heads], row[:, heads + kv_heads :]
        self.dout = matrix(self.n_queries, heads * d, seed=1).reshape(self.n_queries, heads, d)
        self.theirs = [torch.from_numpy(x).transpose(0, 1)[None] for x in (self.q, self.k, self.v, self.dout)]

    def sight(self, p: float = 0.0) -> Sight:
        """Return a causal sight of all keys before, with dropout `p`."""
        return Sight(float(np.float32(self.d**-0.5)), first=len(self.k) - self.n_queries, dropout=p, stream=STREAM)

    def forward(self, sight: Sight) -> F32:
        """Run ours, forward."""
        return attention(self.q, self.k, self.v, sight)

    def training(self, sight: Sight) -> tuple[F32, ...]:
        """Run ours, forward and backward."""
        statistics = np.empty((2, self.heads, self.n_queries), dtype=np.float32)
        out = attention(self.q, self.k, self.v, sight, statistics=statistics)
        return out, *attention_backward(self.dout, self.q, self.k, self.v, out, statistics, sight)

    def theirs_forward(self, p: float = 0.0) -> object:
        """Run torch's, forward."""
        with torch.no_grad():
            return self._theirs(*self.theirs[:3], p)

    def theirs_training(self, p: float = 0.0) -> object:
        """Run torch's, forward and backward."""
        q, k, v = (x.detach().requires_grad_() for x in self.theirs[:3])
        out = self._theirs(q, k, v, p)
        return torch.autograd.grad(out, (q, k, v), self.theirs[3])

    def _theirs(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, p: float) -> torch.Tensor:
        causal = self.n_queries > 1
        shared = self.heads != self.kv_heads
        attend = torch.nn.functional.scaled_dot_product_attention
        return attend(q, k, v, dropout_p=p, is_causal=causal, enable_gqa=shared)

    def checks(self, sight: Sight) -> Callable[[], None]:
        """Return a check of the first group of heads against the plainest library."""
        group = self.heads // self.kv_heads
        few = Problem.__new__(Problem)
        few.__dict__.update(self.__dict__, heads=group, kv_heads=1, q=self.q[:, :group], dout=self.dout[:, :group])
        few.k, few.v = self.k[:, :1], self.v[:, :1]
        out, dq, dk, dv = self.training(sight)
        actual = [out[:, :group], dq[:, :group], dk[:, :1], dv[:, :1]]
        return same_as_baseline(joined(*actual), lambda: joined(*few.training(sight)))

    def n_operations(self) -> int:
        """Return operations of the two products, forward, without what is masked."""
        first = len(self.k) - self.n_queries
        seen = sum(first + i + 1 for i in range(self.n_queries))
        return 4 * seen * self.heads * self.d


def joined(*arrays: F32) -> F32:
    """Return all elements in one row."""
    return np.concatenate([np.ascontiguousarray(array).ravel() for array in arrays])


def name_of(kind: str, size: tuple[int, int, int, int]) -> str:
    """Return a case's name."""
    t, heads, kv_heads, d = size
    return f"{kind} T={t} heads={heads}/{kv_heads} d={d}"


def forward_cases() -> Iterator[Case]:
    """Causal attention, forward."""
    for size in SIZES:
        p = Problem(*size)
        sight = p.sight()
        ours = lambda p=p, sight=sight: p.forward(sight)  # noqa: E731
        yield Case(name_of("forward", size), p.n_operations(), ours, p.theirs_forward, p.checks(sight))


def training_cases(dropout: float = 0.0) -> Iterator[Case]:
    """Causal attention, forward and backward; backward has five products where forward has two."""
    for size in SIZES:
        p = Problem(*size)
        sight = p.sight(dropout)
        kind = "dropout" if dropout else "training"
        yield Case(
            name_of(kind, size),
            p.n_operations() * 7 // 2,
            lambda p=p, sight=sight: p.training(sight),
            lambda p=p: p.theirs_training(dropout),
            p.checks(sight),
        )


def dropout_cases() -> Iterator[Case]:
    """Forward and backward with a tenth of the weights dropped."""
    yield from training_cases(0.1)


def decode_cases() -> Iterator[Case]:
    """One query and the keys before it."""
    for t, heads, kv_heads, d in ((128, 16, 16, 64), (1024, 16, 16, 64), (1024, 32, 4, 64)):
        p = Problem(t, heads, kv_heads, d, n_queries=1)
        sight = p.sight()
        ours = lambda p=p, sight=sight: p.forward(sight)  # noqa: E731
        name = name_of("decode", (t, heads, kv_heads, d))
        yield Case(name, p.n_operations(), ours, p.theirs_forward, p.checks(sight))


def theirs_rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Return what transformers' Llama computes of x."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sin


def rotary_cases() -> Iterator[Case]:
    """Rotation as transformers' Llama does it, x cos + rotated half x sin, forward; and the tables."""
    for t, heads, d in ((128, 32, 64), (512, 32, 64), (1024, 8, 128)):
        x = matrix(t, heads, d)
        cos, sin = rotary.tables(t, rotary.inverse_frequencies(d, 10000.0))
        theirs = [torch.from_numpy(np.concatenate([table, table], axis=1))[:, None] for table in (cos, sin)]
        out, theirs_x = np.empty_like(x), torch.from_numpy(x)

        yield Case(
            f"rotate T={t} heads={heads} d={d}",
            3 * x.size,
            lambda x=x, cos=cos, sin=sin, out=out: rotary.rotate(x, cos, sin, out=out),
            lambda x=theirs_x, tables=theirs: theirs_rotate(x, *tables),
            same_as_baseline(rotary.rotate(x, cos, sin), lambda x=x, cos=cos, sin=sin: rotary.rotate(x, cos, sin)),
        )
    frequencies = rotary.inverse_frequencies(64, 10000.0)
    positions, theirs_frequencies = torch.arange(1024, dtype=torch.float32), torch.from_numpy(frequencies)

    def theirs_tables() -> tuple[torch.Tensor, torch.Tensor]:
        angles = torch.outer(positions, theirs_frequencies)
        return angles.cos(), angles.sin()

    def ours_tables() -> F32:
        return np.concatenate(rotary.tables(1024, frequencies))

    ours = lambda: rotary.tables(1024, frequencies)  # noqa: E731
    yield Case("tables T=1024 d=64", 3 * 1024 * 32, ours, theirs_tables, same_as_baseline(ours_tables(), ours_tables))


def embedding_cases() -> Iterator[Case]:
    """Rows of a vocabulary's table, and their gradient added to one that is there."""
    n_rows, d = 50257, 1024
    table = matrix(n_rows, d)
    theirs_table, gradient = torch.from_numpy(table), np.zeros_like(table)
    theirs_gradient = torch.zeros_like(theirs_table)
    for t in (128, 512, 1024):
        ids = np.random.default_rng(t).zipf(1.2, t) % n_rows
        theirs_ids, dout, out = torch.from_numpy(ids), matrix(t, d, seed=1), matrix(t, d)
        theirs_dout, theirs_out = torch.from_numpy(dout), torch.from_numpy(matrix(t, d))
        yield Case(
            f"embedding T={t} V={n_rows} D={d}",
            t * d,
            lambda ids=ids, out=out: embedding(table, ids, out=out),
            lambda ids=theirs_ids, out=theirs_out: torch.index_select(theirs_table, 0, ids, out=out),
            same_as_baseline(embedding(table, ids), lambda ids=ids: table[ids]),
        )
        first = embedding_backward(dout, ids, np.zeros_like(table), accumulate=True)
        yield Case(
            f"embedding backward T={t} V={n_rows} D={d}",
            t * d,
            lambda ids=ids, dout=dout: embedding_backward(dout, ids, gradient, accumulate=True),
            lambda ids=theirs_ids, dout=theirs_dout: theirs_gradient.index_add_(0, ids, dout),
            same_as_baseline(
                first, lambda ids=ids, dout=dout: embedding_backward(dout, ids, np.zeros_like(table), accumulate=True)
            ),
        )


GROUPS = {
    "forward": forward_cases,
    "training": training_cases,
    "dropout": dropout_cases,
    "decode": decode_cases,
    "rotary": rotary_cases,
    "embedding": embedding_cases,
}


if __name__ == "__main__":
    run(GROUPS)
