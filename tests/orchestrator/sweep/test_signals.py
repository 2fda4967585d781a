import os
import signal
import sys
import time

import pytest

from tests.orchestrator.command import Command, descendants, living

ENDLESS = {"sweep.trials": 2, "sweep.concurrency": 2, "sweep.scheduler": {"name": "none"}, "run.training.epochs": 4000}
pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """One sweep, which the tests stop in the order of the file."""
    return Command(tmp_path_factory.mktemp("signals"), ENDLESS)


def _both_train(command: Command, since: int) -> None:
    command.wait_until(lambda: all(command.sweep.trial(number).last_epoch() > since for number in (0, 1)))


def _stop(command: Command, number: signal.Signals) -> str:
    """Sends a signal, sees the sweep end as it should, and returns its output."""
    assert command.process is not None
    family = descendants(command.process.pid)
    os.kill(command.process.pid, number)
    code, output, errors = command.finish()
    assert code == 128 + number, errors
    assert "received" not in errors  # Ray's native handler, which aborts a process that it cannot trace in time
    assert f"continue    {sys.executable} -m orchestrator.sweep study.yaml\n" in output
    assert f"Why: it was stopped by {number.name}." in output
    assert "stopping; press Ctrl-C again to stop immediately" in output
    assert "is complete" not in output
    assert "Traceback" not in errors
    deadline = time.monotonic() + 10
    while living(family):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return output


def test_sigterm_while_ray_starts_stops_as_at_any_other_time(command: Command) -> None:
    command.start()
    command.wait_until(lambda: "starting Ray" in command.output_so_far())
    time.sleep(0.3)
    output = _stop(command, signal.SIGTERM)
    assert "starting the first trials" not in output


# SIGTERM comes while Ray starts in the test above; here, in a training, it is left to the slow tests.
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_one_signal_stops_cleanly_and_tells_how_to_go_on(command: Command, number: signal.Signals) -> None:
    since = max([trial.last_epoch() for trial in command.sweep.trials()], default=0)
    command.start()
    _both_train(command, since)
    assert "is NOT complete" in _stop(command, number)
    assert command.results() == {0: None, 1: None}
    epochs = [[report["epoch"] for report in reports] for reports in command.reports().values()]
    assert epochs == [list(range(1, len(reported) + 1)) for reported in epochs], "every epoch once, none lost"


def test_two_signals_stop_a_fresh_sweep_at_once_and_a_second_driver_is_refused(command: Command) -> None:
    old, identity = command.reports(), command.sweep.identity()
    process = command.start("--quiet", "--fresh")
    command.wait_until(lambda: command.sweep.exists() and command.sweep.identity() != identity)
    _both_train(command, 0)
    second = Command(command.working_folder, ENDLESS)
    code, _, errors = second.run()
    assert code == 2
    assert f"is being run by process {process.pid}" in errors
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGINT)
    began = time.monotonic()
    code, output, _ = command.finish()
    assert time.monotonic() - began < 5
    assert code == 130
    assert "is complete" not in output

    (aside,) = command.sweep.path.parent.glob("study.until-*")
    assert (aside / "id").read_text().strip() == identity
    assert len((aside / "trials" / "0000" / "reports.jsonl").read_text().splitlines()) == len(old[0])
    fresh = command.reports()[0]
    common = min(len(fresh), len(old[0]))
    assert common > 0
    assert fresh[:common] == old[0][:common], "the same settings and seed give the same numbers"
