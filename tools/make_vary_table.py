"""Write the table of docs/vary.md from the catalogue, src/samebits/study/factors.py."""

from __future__ import annotations

from pathlib import Path

from samebits.study.factors import CATALOGUE, NOT_STOCK

PAGE = Path(__file__).resolve().parent.parent / "docs" / "vary.md"
START, END = "<!-- factors: start -->", "<!-- factors: end -->"
HEAD = """\
| factor | what is changed | how | seen by | needs |
| --- | --- | --- | --- | --- |"""


def render(page: str) -> str:
    """Return the page with the table of today."""
    rows = [
        f"| `{factor.name}`{'' if factor.name not in NOT_STOCK else ' *'} | {factor.what} | {factor.how} "
        f"| {factor.seen_by} | {factor.needs} |"
        for factor in CATALOGUE
    ]
    before, _, rest = page.partition(START)
    return "\n".join([f"{before}{START}", "", HEAD, *rows, "", f"{END}{rest.partition(END)[2]}"])


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
