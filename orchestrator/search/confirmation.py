"""Results of the repeats with new seeds: each setting's mean, and its difference from every enqueued setting."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.config.sweep import SweepConfig
from orchestrator.core.trial_number import repeat_number
from orchestrator.search.confirmation_runs import Repeats
from orchestrator.search.formatting import columns, count, number, settings
from orchestrator.search.intervals import Estimate, estimate
from orchestrator.search.ledger import Ledger

# Plain values, as they lie in `confirm.json`.
Confirmation = dict[str, Any]
# By metric, the values of one setting on each new seed, None where its trial has not finished.
_Measured = Mapping[str, Sequence[float | None]]


def confirmation(ledger: Ledger, repeats: Repeats) -> Confirmation:
    """The repeats so far, as plain values.

    Returns:
        `complete`, `seeds`, and `settings`: for each its `trial`, `enqueued`, `values`; by metric what the `search`
        gave, `by_seed`, `mean`, `ci95` and `n`; and `differences` by metric and enqueued trial, paired by seed.
    """
    metrics = _metrics(ledger, repeats)
    measured = {origin: _measured(ledger, repeats, origin, metrics) for origin in repeats.settings}
    return {
        "complete": ledger.is_complete,
        "seeds": repeats.seeds,
        "settings": [
            {
                "trial": origin,
                "enqueued": origin in repeats.baselines,
                "values": ledger.trials[origin].values,
                "metrics": {
                    metric: {
                        "search": _on_search_seed(ledger, origin, metric),
                        "by_seed": values,
                        **estimate([value for value in values if value is not None]).dump(),
                    }
                    for metric, values in measured[origin].items()
                },
                "differences": {
                    metric: {
                        str(other): _difference(values, measured[other][metric]).dump()
                        for other in _against(origin, repeats.baselines)
                    }
                    for metric, values in measured[origin].items()
                },
            }
            for origin in repeats.settings
        ],
    }


def text(found: Confirmation, sweep: SweepConfig) -> str:
    """The confirmation as text: a table for each metric of the sweep, and how to read it."""
    seeds = count(len(found["seeds"]), "new seed")
    lines = [
        f"Repeated with {seeds} on the same data: mean ± half of the 95 % interval (Student's t over seeds);",
        "differences are paired by seed, and the ± of one is the smallest that could have been seen",
    ]
    for place, goal in enumerate(sweep.goals):
        lines += ["", columns(_table(found["settings"], goal.metric, named=place == 0))]
    if len(sweep.goals) == 1 and found["settings"]:
        best, metric = found["settings"][0], sweep.goals[0].metric
        one = best["metrics"][metric]
        if one["search"] is not None:
            where = f"the best of {count(sweep.trials, 'trial')} on the search's seed: {metric} {number(one['search'])}"
            lines += ["", f"  trial {best['trial']} was {where}; on {seeds}: {_cell(one)}"]
    compared = sum(len(one["differences"][goal.metric]) for one in found["settings"] for goal in sweep.goals)
    if compared > 1:
        lines += ["", f"  of {compared} differences at 95 %, one in 20 would stand out by chance alone"]
    return "\n".join(lines)


def _metrics(ledger: Ledger, repeats: Repeats) -> list[str]:
    """The sweep's metrics, then every other metric with a standard error."""
    names = [goal.metric for goal in ledger.sweep.goals]
    for origin in repeats.settings:
        reports = ledger.trials[origin].reports
        names += [name for name in (reports[-1] if reports else ()) if f"{name}_se" in reports[-1]]
    return list(dict.fromkeys(names))


def _against(origin: int, baselines: Sequence[int]) -> Sequence[int]:
    """Every baseline; for a baseline only those before it, so that no pair occurs twice."""
    return baselines[: baselines.index(origin)] if origin in baselines else baselines


def _measured(ledger: Ledger, repeats: Repeats, origin: int, metrics: Sequence[str]) -> _Measured:
    trials = [ledger.trials.get(repeat_number(origin, place)) for place in range(1, len(repeats.seeds) + 1)]
    last = [trial.reports[-1] if trial and trial.state == "finished" else {} for trial in trials]
    return {metric: [report.get(metric) for report in last] for metric in metrics}


def _on_search_seed(ledger: Ledger, origin: int, metric: str) -> float | None:
    trial = ledger.trials[origin]
    return trial.reports[-1].get(metric) if trial.state == "finished" else None


def _difference(values: Sequence[float | None], others: Sequence[float | None]) -> Estimate:
    pairs = zip(values, others, strict=True)
    return estimate([one - other for one, other in pairs if one is not None and other is not None])


def _table(found: Sequence[Mapping[str, Any]], metric: str, *, named: bool) -> list[list[str]]:
    compared = dict.fromkeys(other for one in found for other in one["differences"][metric])
    rows = [[metric, "new seeds", "search", *(f"- trial {other}" for other in compared), ""]]
    for one in found:
        scores, differences = one["metrics"][metric], one["differences"][metric]
        search = "-" if scores["search"] is None else number(scores["search"])
        against = [_cell(differences[other], signed=True) if other in differences else "" for other in compared]
        fewer = "" if len(scores["by_seed"]) == scores["n"] else f" (of {scores['n']})"
        shown = ("enqueued " if one["enqueued"] else "") + settings(one["values"]) if named else ""
        rows.append([f"trial {one['trial']}", _cell(scores) + fewer, search, *against, shown])
    return rows


def _cell(found: Mapping[str, Any], *, signed: bool = False) -> str:
    if found["mean"] is None:
        return "-"
    mean = f"{found['mean']:+.3g}" if signed else number(found["mean"])
    return mean if found["ci95"] is None else f"{mean} ± {found['ci95']:.2g}"
