"""Switches of libraries: one table for both profiles, each seen by the variable that reached the child."""

from __future__ import annotations

from samebits.record.variables import allowed_variables
from samebits.study.knobs import KNOBS, knobs
from samebits.study.stock import machine


def test_each_switch_is_seen_by_a_variable_that_is_recorded() -> None:
    for factor, make in knobs().items():
        found = make()
        assert [(one.name, *one.environment.items()) for one in found] == [
            (name, (variable, value)) for name, variable, value in KNOBS[factor]
        ]
        for one in found:
            (variable,) = one.environment
            assert allowed_variables(one.environment) == one.environment
            assert one.facts == (f"env.variables.{variable}",)


def test_stock_turns_the_same_switches() -> None:
    facts = {"execution": {"isa": "AVX2", "n_threads": 2}, "env": {"torch": {"mkl": {}}}}
    made = machine(facts, full=False)
    for factor in ("mkl", "onednn"):
        portable = {name: one for name, *one in KNOBS[factor]}
        stock = {one.name.removeprefix("stock-"): list(*one.environment.items()) for one in made[factor]()}
        assert stock == portable
