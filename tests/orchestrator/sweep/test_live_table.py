import io
import math
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.config.search_space import Choice, Dimension, Range, Space
from orchestrator.config.sweep import SweepConfig
from orchestrator.records.folder import SweepFolder
from orchestrator.search.formatting import duration, last_error, leading, number, settings
from orchestrator.search.ledger import Ledger
from orchestrator.search.schedulers import none
from orchestrator.search.study import StoredStudy
from orchestrator.search.trial_state import Trial
from orchestrator.sweep.live_table import Lines, LiveTable, event, headline, in_sight, left_in, left_in_all
from orchestrator.sweep.summary import summary, within_two_errors
from orchestrator.tracking.mlflow.address import open_command

pytestmark = pytest.mark.usefixtures("_python")
SPACE = Space((Dimension("addons.msr.weight", Range("uniform", 0, 1)), Dimension("optimizer.weight", Choice((1, 2)))))
BASELINES = {"random encoder": {"knn": 20.0, "knn_se": 4.0, "loss": 9.0}, "raw pixels": {"knn": 30.0, "knn_se": 4.5}}


@pytest.fixture
def _python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/python")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Trial 0 finished, 1 stopped, 2 failed, 3 runs, 4 waits, 5 is to come; the budget is 4 epochs."""
    folder = SweepFolder(tmp_path / "demo")
    folder.path.mkdir()
    sweep = SweepConfig(name="demo", trials=6, metric="knn", concurrency=2, scheduler=none.Config())
    ledger = Ledger(
        folder,
        StoredStudy(folder.journal, sweep, space=SPACE, epochs=4),
        sweep=sweep,
        resolved=lambda number, values: {"run": {"training": {"epochs": 4}}},
    )
    for n in range(5):
        assert ledger.next() == n
    for n in range(4):
        ledger.started(n)
    for epoch in range(1, 5):
        ledger.report(0, {"epoch": epoch, "finished": int(epoch == 4), "knn": 40.0 + epoch, "knn_se": 1.5, "loss": 2.0})
    ledger.ended(0)
    ledger.report(1, {"epoch": 1, "finished": 0, "knn": 50.0, "knn_se": 1.5, "loss": 2.0})
    ledger._end(ledger.trials[1], "stopped", "knn 50 at epoch 1 was not among the best")
    ledger.failed(2, "loss is nan at step 3")
    ledger.report(3, {"epoch": 1, "finished": 0, "knn": 60.0, "knn_se": 1.5, "loss": 1.0})
    return ledger


def test_settings_are_named_by_their_shortest_telling_end() -> None:
    assert settings({"a.b.weight": 0.12345, "c.weight": 2, "c.kind": "x"}) == "b.weight=0.123 c.weight=2 kind=x"


def test_words_for_numbers() -> None:
    assert (number(41.23456), number(math.nan)) == ("41.23", "-")
    assert (duration(59.4), duration(61.0), duration(7260.0)) == ("59 s", "1 min 01 s", "2 h 01 min")


DIED = """Failure # 1 (occurred at 2026-11-21_10-00-00)
The actor died unexpectedly before finishing this task.
	class_name: ImplicitFunc
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR
"""
RAISED = """Failure # 2 (occurred at 2026-11-21_10-01-00)
ray::ImplicitFunc.train() (pid=7, ip=127.0.0.1)
  File "loop.py", line 7, in train
    raise ArithmeticError("no luck")
ArithmeticError: no luck
"""
MEMORY = (
    "its node or GPU ran out of memory; a smaller run.training.batch_size, run.training.precision = bf16, or fewer "
    "trials at a time would help"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DIED, "its worker process died"),
        (RAISED, "ArithmeticError: no luck"),
        (DIED + RAISED, "ArithmeticError: no luck"),
        (RAISED + DIED, "its worker process died"),
        ("Failure # 1 (occurred at noon)\nTask was killed due to the node running low on memory.\n", MEMORY),
        ("Failure # 1 (occurred at noon)\nno word\nof an error at all\n", "of an error at all"),
    ],
)
def test_last_error_is_that_of_the_last_failure(text: str, expected: str) -> None:
    assert last_error(text) == expected


def test_only_finished_trials_compete(ledger: Ledger) -> None:
    (leader,) = leading(ledger.trials.values(), ledger.sweep)
    assert leader.number == 0


def test_each_state_has_its_line(ledger: Ledger) -> None:
    lines = [event(trial, ledger.sweep.goals) for trial in ledger.trials.values()]
    assert lines[0] == "trial 0   finished at epoch 4/4  knn 44  loss 2"
    assert lines[1] == "trial 1   stopped at epoch 1/4  knn 50 at epoch 1 was not among the best"
    assert lines[2] == "trial 2   failed at epoch 0/4  loss is nan at step 3"
    assert lines[3].startswith("trial 3   epoch 1/4  knn 60  loss 1")


def test_lines_tell_a_crash_and_what_a_trial_starts_with(ledger: Ledger) -> None:
    stream = io.StringIO()
    lines = Lines(ledger, Console(file=stream, width=40))
    ledger.watch(lines.changed)
    ledger.crashed(3, "its worker process died")
    ledger.started(4)
    written = stream.getvalue().split("\n")
    assert written[0] == "trial 3   crashed: its worker process died; it is tried again from its checkpoint"
    assert written[1].startswith("trial 4   epoch 0/4  starts  ")
    assert "msr.weight=" in written[1]


def test_table_shows_every_trial_and_the_headline(ledger: Ledger) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=160, force_terminal=True, color_system=None)
    table = LiveTable(ledger)
    table.note("stopping; press Ctrl-C again to stop immediately")
    console.print(table)
    text = stream.getvalue()
    rows = {line.split()[0]: line for line in text.split("\n") if line.strip()}
    assert rows["0"].split()[1:5] == ["finished", "4/4", "44", "2"]
    assert "loss is nan at step 3" in rows["2"]
    assert rows["4"].split()[1] == "waiting"
    assert "demo: 3 of 6 trials done (1 running, 1 finished, 1 stopped, 1 failed)" in text
    assert "best: trial 0, knn 44" in text
    assert "press Ctrl-C again" in text


def test_table_of_many_trials_keeps_the_best_the_running_and_the_newest(ledger: Ledger) -> None:
    best = ledger.trials[0]
    trials = [best, *(Trial(n, {"x" * 100: n}, 4, "stopped", moments=[float(-n % 700)]) for n in range(1, 998))]
    trials += [Trial(998, {}, 4, "running"), Trial(999, {}, 4)]
    shown = in_sight(trials, [best], room=5)
    assert [trial.number for trial in shown] == [0, 1, 701, 702, 998], "-1 and -701 are 699 modulo 700, the newest"
    assert in_sight(trials[:4], [best], room=5) == trials[:4]
    ledger.trials |= {trial.number: trial for trial in trials}
    console = Console(file=io.StringIO(), width=100, height=20)
    lines = console.render_lines(LiveTable(ledger), pad=False)
    assert len(lines) <= 20
    rows = ["".join(segment.text for segment in line).strip() for line in lines]
    assert rows[-1] == "and 1 waiting, 985 stopped"


def test_time_left_is_the_pace_times_what_remains(ledger: Ledger) -> None:
    now = time.monotonic()
    for trial in ledger.trials.values():
        trial.moments = []
    ledger.trials[3].moments = [now - 10, now]
    left = left_in(ledger.trials[3])
    assert left == pytest.approx(30, abs=1)
    # 3 epochs of trial 3, 4 of trial 4, and trial 5 like those that are over (4, 1 and 0 epochs), two at a time.
    assert left_in_all(ledger) == pytest.approx((3 + 4 + 5 / 3) * 10 / 2, abs=1)
    assert "left" in headline(ledger)


def test_summary_of_an_unfinished_sweep_says_so_and_how_to_continue(ledger: Ledger) -> None:
    ledger.close("time is over")
    text = summary(
        ledger,
        "the sweep was stopped before",
        command=["a b.yaml", "--quiet"],
        compare=open_command("http://host:5000"),
    )
    head = "Sweep demo is NOT complete: 3 of 6 trials ended (1 finished, 1 stopped, 1 failed). Why: time is over.\n"
    assert text.startswith(head)
    assert "continue    /opt/python -m orchestrator.sweep 'a b.yaml' --quiet\n" in text
    assert "baselines were not measured: the sweep was stopped before" in text
    assert "trial 2: loss is nan at step 3" in text
    assert "open http://host:5000" in text


def test_summary_sets_the_best_beside_the_baselines_and_names_ties(ledger: Ledger) -> None:
    for n, value in ((3, 42.5), (4, 30.0)):
        if n == 4:
            ledger.started(4)
        ledger.report(n, {"epoch": 4, "finished": 1, "knn": value, "knn_se": 1.5, "loss": 1.0})
        ledger.ended(n)
    assert ledger.next() == 5
    ledger.failed(5, "nan")
    text = summary(
        ledger, BASELINES, command=["x.yaml", "--trials", "6"], compare=open_command("sqlite:////a/mlflow.db")
    )
    assert "is complete: 6 of 6 trials ended" in text
    assert "Best: trial 0, knn 44 ± 1.5" in text
    assert "ties      within two standard errors of it: trial 3 (" in text
    assert "trial 4 (" not in text.partition("ties")[2].partition("\n")[0]
    rows = {line.strip().split("  ")[0]: line for line in text.split("\n")}
    assert rows["best trial"].split() == ["best", "trial", "44", "±", "1.5"]
    assert rows["random encoder"].split() == ["random", "encoder", "20", "±", "4"]
    assert "more        /opt/python -m orchestrator.sweep x.yaml --trials 12" in text
    assert f"{Path('trials') / '0000' / 'config.yaml'}" in text


def test_summary_tells_the_nearest_of_many_ties_and_counts_the_rest(ledger: Ledger) -> None:
    row = {"epoch": 4, "finished": 1, "knn_se": 1.5}
    for n in range(10, 40):
        ledger.trials[n] = Trial(n, {"n": n}, 4, "finished", reports=[{**row, "knn": 43.9 - n / 100}])
    text = summary(ledger, "none", command=[], compare=open_command("http://host:5000"))
    ties = next(line for line in text.split("\n") if line.startswith("  ties"))
    assert ties.endswith("trial 18 (n=18), trial 19 (n=19), and 20 more")
    assert "trial 10 (n=10), trial 11 (n=11)" in ties


def test_a_tie_is_two_standard_errors_of_the_difference() -> None:
    assert within_two_errors(50.0, 3.0, 40.0, 4.0)  # apart by 10 = 2 * 5
    assert not within_two_errors(50.1, 3.0, 40.0, 4.0)


def test_commands_run_when_pasted(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = ledger.folder.path.parent
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "executable", str(home / ".venv" / "bin" / "python"))
    places = ["--storage", "my sweeps", "--tracking-uri", "sqlite:///my runs.db"]
    command = ["x.yaml", *places, "--address", "10.0.0.1:6379"]
    text = summary(
        ledger, "none", command=command, places=places, compare=open_command(f"sqlite:///{home / 'my runs.db'}")
    )
    lines = {line[:12].strip(): line[12:] for line in text.rpartition("\n\n")[2].splitlines()}
    given = "--storage 'my sweeps' --tracking-uri 'sqlite:///my runs.db'"
    assert lines["folder"] == "demo (this text is in demo/summary.txt)"
    assert lines["compare"] == ".venv/bin/mlflow ui --backend-store-uri 'sqlite:///my runs.db'"
    there = f"{given} --address 10.0.0.1:6379"
    assert lines["continue"] == f".venv/bin/python -m orchestrator.sweep x.yaml {there}"
    assert lines["evaluate"] == f".venv/bin/python -m orchestrator.evaluate demo/trials/0000 {given}"
    assert lines["rerun best"] == f".venv/bin/python -m orchestrator.sweep demo/trials/0000/config.yaml {there}"


def test_an_end_is_not_taken_back_by_a_late_crash(ledger: Ledger) -> None:
    ledger.crashed(0, "its worker died")
    ledger.failed(1, "its worker died")
    assert [ledger.trials[n].state for n in (0, 1)] == ["finished", "stopped"]
