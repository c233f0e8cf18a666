"""Print the canaries' digests as the oracle computes them; src/samebits/numerics/canaries holds them.

python tools/make_canaries.py [NAME ...]
"""

from __future__ import annotations

import sys

from samebits.numerics.canaries.check import CANARIES


def main(names: list[str]) -> None:
    """Print one line per canary, or per canary named."""
    for canary in CANARIES:
        if not names or canary.name in names:
            print(f"{canary.name:24} {canary.expected_sha256()}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
