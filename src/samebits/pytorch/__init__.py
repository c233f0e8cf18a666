"""The PyTorch door, the only part that may import torch: stock training, DeterministicConfig, doctor, conversion."""
