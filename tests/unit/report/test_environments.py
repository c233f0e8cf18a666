"""Environments side by side: what differs is shown, what agrees is not, and nothing is cut without a digest."""

from __future__ import annotations

from typing import Any

from samebits.report.environments import MAX_VALUE_CHARACTERS, compare_environments, machine_facts
from samebits.report.runs import Run, read_run


def rows_of(*runs: Run) -> dict[str, dict[str, Any]]:
    return {row["field"]: row for row in compare_environments(runs)["rows"]}


def run_of(make_run: Any, name: str, **arguments: Any) -> Run:
    return read_run(make_run(name, **arguments), name)


def test_core_facts_are_always_shown_and_others_where_they_differ(make_run: Any) -> None:
    env = {"cpu": {"name": "x"}, "variables": {"TZ": "UTC"}, "memory_bytes": 1}
    other = {"cpu": {"name": "x"}, "variables": {"TZ": "EST"}, "memory_bytes": 1}
    rows = rows_of(run_of(make_run, "a", env=env), run_of(make_run, "b", env=other, environment="docker"))
    assert rows["env.cpu.name"] == {"field": "env.cpu.name", "values": [["x"], ["x"]], "differs": False}
    assert rows["env.variables.TZ"] == {"field": "env.variables.TZ", "values": [["EST"], ["UTC"]], "differs": True}
    assert "env.memory_bytes" not in rows


def test_runs_of_one_environment_that_differ_are_shown_in_one_column(make_run: Any) -> None:
    rows = rows_of(run_of(make_run, "a", n_threads=1), run_of(make_run, "b", n_threads=2))
    assert rows["execution.n_threads"]["values"] == [["1", "2"]]
    assert rows["execution.n_threads"]["differs"] is True


def test_a_fact_that_one_run_lacks_differs(make_run: Any) -> None:
    env = {"cpu": {"name": "x"}}
    rows = rows_of(run_of(make_run, "a", env=env), run_of(make_run, "b", env={}))
    assert rows["env.cpu.name"]["values"] == [["not recorded", "x"]]


def test_distributions_are_compared_by_name(make_run: Any) -> None:
    ours = {"distributions": [{"name": "torch", "version": "1"}, {"name": "numpy", "version": "1"}]}
    theirs = {"distributions": [{"name": "numpy", "version": "1"}, {"name": "torch", "version": "2"}]}
    rows = rows_of(run_of(make_run, "a", env=ours), run_of(make_run, "b", env=theirs))
    assert rows["env.distributions.torch.version"]["values"] == [["1", "2"]]
    assert "env.distributions.numpy.version" not in rows


def test_long_values_that_differ_at_their_end_stay_different(make_run: Any) -> None:
    ours, theirs = {"flags": ["x" * 90, "a"]}, {"flags": ["x" * 90, "b"]}
    [values] = rows_of(run_of(make_run, "a", env=ours), run_of(make_run, "b", env=theirs))["env.flags"]["values"]
    assert len(set(values)) == 2
    assert all(len(value) <= MAX_VALUE_CHARACTERS + 2 for value in values)


def test_machine_facts_are_none_where_nothing_was_recorded(make_run: Any) -> None:
    facts = machine_facts(run_of(make_run, "a"))
    assert facts["isa"] == "AVX2"
    assert facts["probes_sha256"] is not None
    assert machine_facts(Run("x", make_run("b"), "undecided")) == dict.fromkeys(facts)
    other = machine_facts(run_of(make_run, "c", probe="1" * 64))
    assert other["probes_sha256"] != facts["probes_sha256"]
