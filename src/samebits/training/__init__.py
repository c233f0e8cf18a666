"""Training on the portable arithmetic, without PyTorch: the same bits however the work is cut up."""
