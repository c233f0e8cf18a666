"""The study's training entry point: `python src/train_lora_reproducible.py` is `samebits train`."""

import sys

from samebits.cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    main()
