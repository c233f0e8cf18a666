from __future__ import annotations

import json
import subprocess
import sys

from click.testing import CliRunner

from samebits.cli.env import command


def test_json_holds_the_facts_of_torch() -> None:
    outcome = CliRunner().invoke(command, ["--json"], catch_exceptions=False)
    document = json.loads(outcome.stdout)
    assert outcome.exit_code == 0
    assert document["torch"]["n_threads"] >= 1
    assert document["numerics"]["isa"] in document["numerics"]["runnable_isas"]
    assert {"cpu", "system", "python", "distributions", "variables"} <= document.keys()


def test_without_torch_nothing_of_it_is_imported() -> None:
    program = (
        "import sys; from click.testing import CliRunner; from samebits.cli.env import command\n"
        "outcome = CliRunner().invoke(command, ['--no-torch'], catch_exceptions=False)\n"
        "print(outcome.exit_code, 'torch' in sys.modules, 'torch: not told' in outcome.stdout)"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert child.stdout.split() == ["0", "False", "True"]


def test_the_text_has_every_group_and_each_distribution() -> None:
    outcome = CliRunner().invoke(command, [], catch_exceptions=False)
    lines = outcome.stdout.splitlines()
    assert {"cpu:", "python:", "torch:", "distributions:"} <= set(lines)
    assert any(line.startswith("  name peft, version ") for line in lines)
