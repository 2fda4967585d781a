import numpy as np
import pytest
from scipy import stats

from orchestrator.search.intervals import Estimate, estimate, t_quantile


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 10, 29, 200])
def test_quantile_is_that_of_scipy(freedom: int) -> None:
    assert t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-9)


@pytest.mark.parametrize("n", [2, 3, 8])
def test_interval_is_that_of_scipy(n: int) -> None:
    values = np.random.default_rng(n).normal(40, 2, n)
    found = estimate(values.tolist())
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found.mean is not None
    assert found.ci95 is not None
    assert (found.mean - found.ci95, found.mean + found.ci95) == pytest.approx((low, high))


def test_nothing_is_claimed_of_fewer_than_two() -> None:
    assert estimate([]) == Estimate(None, None, 0)
    assert estimate([3.0]) == Estimate(3.0, None, 1)
