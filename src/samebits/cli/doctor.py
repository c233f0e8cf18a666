"""`samebits doctor`: the seven points that a repeatable training needs and the portable arithmetic, measured here."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from samebits.cli.main import reexecute_with_hash_seed

if TYPE_CHECKING:
    from samebits.numerics.examination import Check

MARKS = {True: "holds", False: "FAILS", None: "cannot tell"}


@click.command("doctor")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=42, show_default=True, help="Seed to measure with.")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@click.pass_context
def command(ctx: click.Context, seed: int, as_json: bool) -> None:
    """Try the portable arithmetic, then set up a process as stock training does and measure each of its seven points.

    Without PyTorch the seven points, which are its own, are left out and said to be.

    Exit codes: 0 all hold, 1 one does not, 2 one cannot be told.
    """
    reexecute_with_hash_seed(seed)
    from samebits.numerics.examination import examine_arithmetic
    from samebits.pytorch.extra import missing_libraries

    arithmetic, missing = examine_arithmetic(), missing_libraries()
    checks = [] if missing else _stock_checks(seed)
    ok = verdict([*checks, arithmetic])
    if as_json:
        answer = {"ok": ok, "checks": [asdict(check) for check in checks], "arithmetic": asdict(arithmetic)}
        click.echo(json.dumps(answer, indent=2))
    else:
        click.echo("portable-f32: the arithmetic of docs/spec/numerics.md")
        _print([arithmetic])
        click.echo("\nstock: PyTorch's own kernels")
        if missing:
            click.echo(f"not tested: {', '.join(missing)} not installed; run `pip install 'samebits[torch]'`")
        else:
            _print(checks)
            click.echo(f"{sum(check.ok is True for check in checks)} of {len(checks)} hold")
    ctx.exit({True: 0, False: 1, None: 2}[ok])


def _stock_checks(seed: int) -> list[Check]:
    from samebits.pytorch.determinism import DeterministicConfig
    from samebits.pytorch.doctor import examine

    DeterministicConfig.setup_deterministic_environment(seed)
    return examine(seed)


def verdict(checks: list[Check]) -> bool | None:
    """Return False where a check fails, else None where one cannot be told, else True."""
    found = {check.ok for check in checks}
    return False if False in found else None if None in found else True


def _print(checks: list[Check]) -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        click.echo(f"{MARKS[check.ok]:<11}  {check.name:<{width}}  {check.measured}")
        if not check.ok:
            click.echo(f"{'':<11}  {'':<{width}}  next: {check.remedy}")
