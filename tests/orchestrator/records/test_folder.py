from pathlib import Path

import pytest

from orchestrator.records.folder import SweepFolder


def test_reports_come_back_bit_for_bit_in_order(tmp_path: Path) -> None:
    trial = SweepFolder(tmp_path / "s").trial(3)
    reports = [{"epoch": 1, "finished": 0, "score": 0.1 + 0.2}, {"epoch": 2, "finished": 1, "score": 1e-310}]
    for report in reports:
        trial.append_report(report)
    assert trial.reports() == reports
    assert trial.last_epoch() == 2


@pytest.mark.parametrize("torn", ['{"epoch": 2, "fini', '{"epoch": 2, "finished": 0}', "\0\0"])
def test_torn_last_report_does_not_count_and_is_cut_off_by_the_next(tmp_path: Path, torn: str) -> None:
    trial = SweepFolder(tmp_path / "s").trial(0)
    trial.append_report({"epoch": 1, "finished": 0})
    with (trial.path / "reports.jsonl").open("a") as file:
        file.write(torn)
    assert [report["epoch"] for report in trial.reports()] == [1]
    trial.append_report({"epoch": 2, "finished": 1})
    assert trial.reports() == [{"epoch": 1, "finished": 0}, {"epoch": 2, "finished": 1}]


def test_trials_are_those_with_a_config_by_number(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "s")
    for number in (11, 2):
        folder.trial(number).write_config({"run": {"seed": number}})
    folder.trial(5).append_report({"epoch": 1, "finished": 0})
    assert [trial.number for trial in folder.trials()] == [2, 11]
    assert folder.trial(11).config() == {"run": {"seed": 11}}


def test_result_is_none_until_written(tmp_path: Path) -> None:
    trial = SweepFolder(tmp_path / "s").trial(0)
    assert trial.result() is None
    trial.write_result({"state": "failed", "reason": "nan", "epoch": 2})
    assert trial.result() == {"state": "failed", "reason": "nan", "epoch": 2}


def test_identity_stays_for_one_sweep_and_differs_after_archiving(tmp_path: Path) -> None:
    first = SweepFolder(tmp_path / "s").identity()
    assert SweepFolder(tmp_path / "s").identity() == first
    aside = SweepFolder(tmp_path / "s").archive()
    assert (aside / "id").read_text().strip() == first
    assert SweepFolder(tmp_path / "s").identity() != first
