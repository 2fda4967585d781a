import os

import pytest

from tests.benchmarks.growth import Curve
from tests.benchmarks.memory import Peak
from tests.benchmarks.sweep_outcome import Outcome, Trial

SIZES = [10, 20, 40, 80]


@pytest.mark.parametrize(
    ("cost", "exponent", "fixed", "verdict"),
    [
        (lambda n: 3 * n, 1, 0, "linear"),
        (lambda n: 0.5 * n**1.2, 1.2, None, "MORE THAN LINEAR"),
        (lambda n: 7 * n**0.5, 0.5, None, "less than linear"),
        (lambda n: 30 + n, None, 0.75, "less than linear"),
    ],
)
def test_curve_reports_exponent_and_fixed_cost(cost, exponent, fixed, verdict):
    curve = Curve("", SIZES, [cost(n) for n in SIZES])
    assert curve.verdict == verdict
    if exponent is not None:
        assert curve.exponent == pytest.approx(exponent)
    if fixed is not None:
        assert curve.fixed == pytest.approx(fixed, abs=1e-9)


def trial(began: float, seconds: float, work: float) -> Trial:
    report = {
        "time/epoch": seconds,
        "time/training": work / seconds,
        "time/checkpoint": 0.1,
        "time/images_per_second": 9,
    }
    return Trial({}, [report], began + seconds)


def test_trial_overhead_is_time_since_the_previous_end_minus_work():
    one_by_one = Outcome([trial(5, 2, 1.5), trial(8, 2, 1.5)], 1, began=0, ended=12)
    assert (one_by_one.to_first_step, one_by_one.wall, one_by_one.to_prompt, one_by_one.work) == (5, 12, 2, 1.5)
    assert one_by_one.beyond == pytest.approx((0.5 + 1 + 0.5) / 2)
    # The third trial takes the slot of the second, which ends before the first.
    side_by_side = Outcome([trial(5, 10, 10), trial(5, 2, 2), trial(8, 4, 4)], 2, began=0, ended=16)
    assert side_by_side.beyond == pytest.approx(1 / 3)


def test_process_memory_is_observed():
    peak = Peak(os.getpid())
    before = peak.look()
    held = b"x" * 50_000_000
    assert peak.look() - before == pytest.approx(len(held) / 1e6, rel=0.1)
    assert peak.rss >= peak.pss >= peak.private > 50
    assert peak.is_named("python")
