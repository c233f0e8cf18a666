"""`samebits doctor`: the seven points that a repeatable training needs and the portable arithmetic, measured here."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from samebits.cli.main import reexecute_with_hash_seed

if TYPE_CHECKING:
    from samebits.pytorch.doctor import Check

MARKS = {True: "holds", False: "FAILS", None: "cannot tell"}


@click.command("doctor")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=42, show_default=True, help="Seed to measure with.")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@click.pass_context
def command(ctx: click.Context, seed: int, as_json: bool) -> None:
    """Set up a process as training does, measure each of the seven points in it, then try the portable arithmetic.

    Exit codes: 0 all hold, 1 one does not, 2 one cannot be told.
    """
    reexecute_with_hash_seed(seed)
    from samebits.pytorch.extra import require_torch

    require_torch()
    from samebits.pytorch.determinism import DeterministicConfig
    from samebits.pytorch.doctor import examine, examine_arithmetic

    DeterministicConfig.setup_deterministic_environment(seed)
    checks, arithmetic = examine(seed), examine_arithmetic()
    ok = verdict([*checks, arithmetic])
    if as_json:
        answer = {"ok": ok, "checks": [asdict(check) for check in checks], "arithmetic": asdict(arithmetic)}
        click.echo(json.dumps(answer, indent=2))
    else:
        _print(checks)
        click.echo(f"{sum(check.ok is True for check in checks)} of {len(checks)} hold")
        click.echo("\nportable arithmetic (docs/spec/numerics.md; no training uses it yet)")
        _print([arithmetic])
    ctx.exit({True: 0, False: 1, None: 2}[ok])


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
