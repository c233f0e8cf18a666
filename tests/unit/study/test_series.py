"""What a series gives each child: recipe, changes, and under stock the recipe's hash seed inside another program."""

from __future__ import annotations

from pathlib import Path

import pytest

from samebits.errors import UsageError
from samebits.study.progress import PlainLines
from samebits.study.rows import Experiment
from samebits.study.runner import Job, Outcome
from samebits.study.series import Series
from samebits.study.variation import Beginning, Variation, combine, of_profile


class Recorder:
    """Runs nothing; remembers the jobs."""

    def __init__(self, *exit_codes: int) -> None:
        self.jobs: list[Job] = []
        self.exit_codes = list(exit_codes)

    def train(self, job: Job) -> Outcome:
        self.jobs.append(job)
        code = self.exit_codes.pop(0) if self.exit_codes else 1
        return Outcome(0.1, f"it ended with exit code {code}", exit_code=code)


def jobs_of(variation: Variation, tmp_path: Path, *exit_codes: int) -> list[Job]:
    runner = Recorder(*exit_codes)
    series = Series(
        tmp_path / "out", runner, PlainLines(), Experiment("x"), recipe=tmp_path / "recipe.json", seed=7
    )  # fmt: skip
    series.run_all([variation])
    return runner.jobs


def test_a_child_gets_everything_that_its_variation_changes(tmp_path: Path) -> None:
    variation = Variation(
        "v", "f", "", environment={"A": "1"}, settings=("threads=1",), folder="a/b", prelude="pass",
        changes=("umask=077",),
    )  # fmt: skip
    [job] = jobs_of(variation, tmp_path)
    assert job.recipe == tmp_path / "recipe.json"
    assert (job.environment, job.prelude, job.changes) == ({"A": "1"}, "pass", ("umask=077",))
    assert job.settings == ("numerics=portable-f32", "threads=1")
    assert job.folder == (tmp_path / "out").resolve() / ".work" / "a" / "b"


def test_a_hosted_stock_child_has_the_recipes_hash_seed_unless_that_is_varied(tmp_path: Path) -> None:
    hosted = of_profile(Variation("v", "f", "", prelude="pass"), "stock")
    assert jobs_of(hosted, tmp_path / "1")[0].environment == {"PYTHONHASHSEED": "7"}
    varied = of_profile(Variation("v", "f", "", prelude="pass", environment={"PYTHONHASHSEED": "1"}), "stock")
    assert jobs_of(varied, tmp_path / "2")[0].environment == {"PYTHONHASHSEED": "1"}
    assert jobs_of(Variation("v", "f", "", prelude="pass"), tmp_path / "3")[0].environment == {}


@pytest.mark.parametrize(("profile", "expected"), [("portable-f32", ()), ("stock", ("threads=1", "save_steps=1"))])
def test_what_is_resumed_began_as_the_golden_run_or_under_stock_with_its_own_kernels(
    tmp_path: Path, profile: str, expected: tuple[str, ...]
) -> None:
    threads = Variation("t", "threads", "", settings=("threads=1",))
    beginning = Beginning("import early", 75, ("save_steps=1",))
    resume = Variation("r", "resume", "", settings=("save_steps=1",), beginning=beginning)
    hosted = Variation("h", "file-order", "", prelude="import late")
    together = of_profile(combine("p", [threads, resume, hosted]), profile)
    first, second = jobs_of(together, tmp_path, 75)
    assert first.settings == (f"numerics={profile}", *expected, "save_steps=1")
    assert (first.prelude, first.resume) == ("import late\nimport early", False)
    assert (second.prelude, second.resume) == ("import late", True)
    assert second.run == first.run


def test_a_folder_with_content_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(UsageError, match="empty folder"):
        Series(tmp_path, Recorder(), PlainLines(), Experiment("x"))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
