"""Canaries of attention: grouped heads, a window, dropped weights, and keys past a round of the lanes."""

from __future__ import annotations

from typing import Any

import numpy as np

from samebits.numerics.arrays import F32
from samebits.numerics.attention import Sight, attention, attention_backward
from samebits.numerics.canaries.canary import Canary, pattern
from samebits.numerics.oracle.attention import Attention, backward
from samebits.numerics.oracle.random import Stream as Words
from samebits.numerics.random import Purpose, Stream

SCALE = 0.28125
STREAM = Stream(seed=2**33 + 5, purpose=Purpose.ATTENTION_DROPOUT, step=3, sample=11, tensor=1)
N_HEADS, N_KV_HEADS, D = 3, 1, 5
