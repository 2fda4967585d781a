"""Repeats with new seeds, on the ledger alone: what is repeated, what it is called, and what a kill leaves of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from orchestrator.config.search_space import Choice, Dimension, Range, Space
from orchestrator.config.sweep import SweepConfig, read_sweep
from orchestrator.core.trial_number import repeat_number
from orchestrator.records.folder import SweepFolder
from orchestrator.search.confirmation import confirmation, text
from orchestrator.search.ledger import Ledger
from orchestrator.search.study import StoredStudy
from orchestrator.sweep.live_table import headline
from orchestrator.sweep.summary import summary

SPACE = Space((Dimension("x", Range("uniform", 0.0, 1.0)), Dimension("kind", Choice(("plain", "bad")))))
PLAIN, DIVERGES = {"x": 0.5, "kind": "plain"}, {"x": 0.25, "kind": "bad"}
SEED = 11  # of the runs of the search


def sweep_of(**changes: Any) -> SweepConfig:
    settled = {"name": "s", "trials": 6, "metric": "knn", "scheduler": {"name": "none"}, "seed": 4}
    settled |= {"sampler": {"name": "random"}, "enqueue": [PLAIN, DIVERGES], "confirm": {"top": 2, "seeds": 4}}
    return read_sweep({**settled, **changes})


def open_ledger(path: Path, sweep: SweepConfig) -> Ledger:
    def resolved(number: int, values: dict[str, Any]) -> dict[str, Any]:
        return {"run": {"seed": SEED, "training": {"epochs": 2}, **values}}

    folder = SweepFolder(path)
    folder.path.mkdir(parents=True, exist_ok=True)
    store = StoredStudy(folder.journal, sweep, space=SPACE, epochs=2)
    return Ledger(folder, store, sweep=sweep, resolved=resolved)


def reports(run: dict[str, Any]) -> list[dict[str, float]]:
    """Two epochs whose last one depends on the settings, the seed, and both together."""
    noise = (run["seed"] % 7) + (run["seed"] * (1 + round(100 * run["x"])) % 13) / 13
    last = {"knn": 40 + 10 * run["x"] + noise, "knn_se": 1.5, "gap": 10 * run["x"] + noise}
    return [{"epoch": 1, "finished": 0, **last, "knn": 99.0}, {"epoch": 2, "finished": 1, **last}]


def work(ledger: Ledger, most: int | None = None) -> list[int]:
    """Runs so many trials, or what there is; the numbers in their order."""
    done: list[int] = []
    while (most is None or len(done) < most) and (number := ledger.next()) is not None:
        run = ledger.folder.trial(number).config()["run"]
        ledger.started(number)
        if run["kind"] == "bad" and run["seed"] == SEED and number == 1:
            ledger.failed(number, "diverged")
        else:
            for report in reports(run):
                ledger.report(number, report)
            ledger.ended(number)
        done.append(number)
    return done


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    ledger = open_ledger(tmp_path_factory.mktemp("whole") / "s", sweep_of())
    work(ledger)
    return ledger


def ranked(ledger: Ledger) -> list[int]:
    finished = [trial for trial in ledger.searched.values() if trial.state == "finished"]
    return [trial.number for trial in sorted(finished, key=lambda trial: -trial.value("knn"))]


def test_best_and_enqueued_settings_are_repeated_on_shared_new_seeds(confirmed: Ledger) -> None:
    assert confirmed.is_complete
    assert confirmed.repeats is not None
    settings = confirmed.repeats.settings
    assert settings[:2] == ranked(confirmed)[:2]
    assert settings[2:] == [0], "the enqueued one; the other has failed, and would again"
    seeds = confirmed.repeats.seeds
    assert len({SEED, *seeds}) == 5
    assert len(confirmed.folder.repeats()) == 3 * 4
    for place, seed in enumerate(seeds, start=1):
        for origin in settings:
            run = confirmed.folder.trial(repeat_number(origin, place)).config()["run"]
            assert run == confirmed.folder.trial(origin).config()["run"] | {"seed": seed}


def test_no_repeat_reaches_the_study_or_leads(confirmed: Ledger) -> None:
    study = StoredStudy(confirmed.folder.journal, confirmed.sweep, space=SPACE, epochs=2)
    assert len(study) == confirmed.sweep.trials == len(confirmed.searched)
    assert f"best: trial {ranked(confirmed)[0]}, " in headline(confirmed)
    assert "6 of 6 trials done (5 finished, 1 failed), 12 of 12 repeats with new seeds" in headline(confirmed)


@pytest.mark.parametrize("step", [1, 4])
def test_kills_anywhere_and_a_later_wish_for_confirmation_change_nothing(
    confirmed: Ledger, tmp_path: Path, step: int
) -> None:
    wished = sweep_of()
    without = sweep_of(confirm=None)
    first = open_ledger(tmp_path / "s", without)
    work(first)
    assert first.is_complete
    assert not open_ledger(tmp_path / "s", wished).is_complete
    order: list[int] = []
    while done := work(open_ledger(tmp_path / "s", wished), step):
        order += done
    assert order == [trial for trial in confirmed.trials if trial not in confirmed.searched], "each once, seed by seed"
    for folder in confirmed.folder.trials() + confirmed.folder.repeats():
        twin = SweepFolder(tmp_path / "s").trial(folder.number)
        assert (twin.config(), twin.reports(), twin.result()) == (folder.config(), folder.reports(), folder.result())


def test_more_seeds_and_more_trials_keep_what_was_repeated(tmp_path: Path) -> None:
    work(open_ledger(tmp_path / "s", sweep_of(confirm={"top": 1, "seeds": 2})))
    folder = SweepFolder(tmp_path / "s")
    before = {trial.number: trial.result_file.stat().st_mtime_ns for trial in folder.trials() + folder.repeats()}
    more = open_ledger(tmp_path / "s", sweep_of(trials=9, confirm={"top": 2, "seeds": 3}))
    assert work(more)[:3] == [6, 7, 8], "the search goes on first"
    assert more.is_complete
    assert {n: folder.trial(n).result_file.stat().st_mtime_ns for n in before} == before
    whole = open_ledger(tmp_path / "other", sweep_of(trials=9, confirm={"top": 2, "seeds": 3}))
    work(whole)
    assert {n: t.values for n, t in more.trials.items()} == {n: t.values for n, t in whole.trials.items()}


def test_repeats_wait_for_the_last_trial_of_the_search(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "s", sweep_of(trials=2, enqueue=[PLAIN], confirm={"top": 1, "seeds": 2}))
    numbers = [ledger.next(), ledger.next()]
    assert numbers == [0, 1]
    work_of = {number: reports(ledger.folder.trial(number).config()["run"]) for number in (0, 1)}
    for number in (0, 1):
        assert ledger.next() is None
        assert not ledger.is_handed_out, "the executor must ask again"
        ledger.started(number)
        for report in work_of[number]:
            ledger.report(number, report)
        ledger.ended(number)
    assert ledger.next() == repeat_number(0, 1) if ranked(ledger)[0] == 0 else repeat_number(1, 1)
    ledger.close("enough")
    assert ledger.is_handed_out
    assert not ledger.is_complete


def test_equal_settings_are_repeated_once(tmp_path: Path) -> None:
    sweep = sweep_of(trials=3, enqueue=[PLAIN, PLAIN, PLAIN], confirm={"top": 3, "seeds": 2})
    ledger = open_ledger(tmp_path / "s", sweep)
    work(ledger)
    assert ledger.repeats is not None
    assert ledger.repeats.numbers == [repeat_number(0, 1), repeat_number(0, 2)]


def test_differences_are_paired_by_seed_and_intervals_are_students(confirmed: Ledger) -> None:
    assert confirmed.repeats is not None
    found = confirmation(confirmed, confirmed.repeats)
    assert found["complete"]
    assert json.loads(json.dumps(found)) == found
    by_seed = {
        one["trial"]: [
            reports({**confirmed.trials[one["trial"]].values, "seed": seed})[1]["knn"] for seed in found["seeds"]
        ]
        for one in found["settings"]
    }
    best = found["settings"][0]
    score, against = best["metrics"]["knn"], best["differences"]["knn"]["0"]
    assert score["by_seed"] == by_seed[best["trial"]]
    assert score["search"] == confirmed.trials[best["trial"]].value("knn")
    paired = stats.ttest_rel(by_seed[best["trial"]], by_seed[0]).confidence_interval(0.95)
    assert (against["mean"] - against["ci95"], against["mean"] + against["ci95"]) == pytest.approx(tuple(paired))
    apart = stats.ttest_ind(by_seed[best["trial"]], by_seed[0]).confidence_interval(0.95)
    assert against["ci95"] < 0.5 * (apart.high - apart.low) / 2, "the seeds' own share is taken out"


def test_text_tells_the_winner_on_old_and_new_seeds(confirmed: Ledger) -> None:
    assert confirmed.repeats is not None
    found = confirmation(confirmed, confirmed.repeats)
    report = text(found, confirmed.sweep)
    best = found["settings"][0]
    score = best["metrics"]["knn"]
    assert (
        f"trial {best['trial']} was the best of 6 trials on the search's seed: knn {score['search']:.4g}; "
        f"on 4 new seeds: {score['mean']:.4g} ± {score['ci95']:.2g}"
    ) in report
    header, *rows = (line.split() for line in report.split("\n\n")[1].splitlines())
    assert header[:6] == ["knn", "new", "seeds", "search", "-", "trial"]
    assert [row[1] for row in rows] == [str(one["trial"]) for one in found["settings"]]
    assert "enqueued x=0.5 kind=plain" in report
    closing = summary(confirmed, "none", command=["a.yaml"], compare="open http://h")
    assert report in closing
    assert "is complete: 6 of 6 trials ended (5 finished, 1 failed); " in closing
    assert "; 12 of 12 repeats with new seeds ended.\n" in closing


def test_diverged_repeat_is_reported_and_left_out_of_the_count(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "s", sweep_of(confirm={"top": 1, "seeds": 3}))
    work(ledger, 6)
    number = ledger.next()
    assert number is not None
    ledger.failed(number, "loss is nan")
    work(ledger)
    assert ledger.repeats is not None
    found = confirmation(ledger, ledger.repeats)
    best = found["settings"][0]
    assert best["metrics"]["knn"]["by_seed"][0] is None
    assert [one["n"] for one in (best["metrics"]["knn"], *best["differences"]["knn"].values())] == [2, 2]
    assert "(of 2)" in text(found, ledger.sweep)
    assert f"trial {number}: loss is nan" in summary(ledger, "none", command=["a.yaml"], compare="open http://h")


def test_of_several_metrics_the_front_is_repeated_and_each_metric_reported(tmp_path: Path) -> None:
    changes = {"trials": 8, "metric": ["knn", "gap"], "mode": ["max", "min"], "enqueue": []}
    ledger = open_ledger(tmp_path / "s", sweep_of(**changes))
    work(ledger)
    assert ledger.repeats is not None
    front = [
        trial.number
        for trial in ledger.searched.values()
        if not any(
            other.value("knn") >= trial.value("knn") and other.value("gap") <= trial.value("gap") and other is not trial
            for other in ledger.searched.values()
        )
    ]
    by_first = sorted(front, key=lambda number: -ledger.trials[number].value("knn"))
    assert len(front) > 2
    assert ledger.repeats.settings == by_first[:2], "capped, the best by the first metric first"
    closing = summary(ledger, "none", command=["a.yaml"], compare="open http://h")
    numbers = ", ".join(map(str, by_first))
    assert f"Pareto front of more knn and less gap, on validation data: trials {numbers}\n" in closing
    assert f"front: trials {numbers}" in headline(ledger)
    tables = text(confirmation(ledger, ledger.repeats), ledger.sweep).split("\n\n")[1:]
    assert [table.split()[0] for table in tables] == ["knn", "gap"]
    assert closing.count("orchestrator.evaluate") == len(front)
    assert ledger.folder.trial(0).result() == {
        "state": "finished",
        "reason": None,
        "epoch": 2,
        "metric": ["knn", "gap"],
        "value": list(ledger.trials[0].values_of(ledger.sweep.goals)),
    }
