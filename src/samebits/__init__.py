"""LoRA fine-tuning that anyone can rebuild to the bit.

The public names load on first use, so that `import samebits` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samebits.api import ReproducibleLoRATrainer
    from samebits.pytorch.determinism import DeterministicConfig

__version__ = "0.1.0"
__all__ = ["DeterministicConfig", "ReproducibleLoRATrainer", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "ReproducibleLoRATrainer":
        from samebits.api import ReproducibleLoRATrainer

        return ReproducibleLoRATrainer
    if name == "DeterministicConfig":
        from samebits.pytorch.extra import require_torch

        require_torch()
        from samebits.pytorch.determinism import DeterministicConfig

        return DeterministicConfig
    raise AttributeError(f"module 'samebits' has no attribute {name!r}")
