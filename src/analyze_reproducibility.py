"""The study's analysis entry point: `python src/analyze_reproducibility.py` is `samebits analyze`."""

import sys

from samebits.cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "analyze")
    main()
