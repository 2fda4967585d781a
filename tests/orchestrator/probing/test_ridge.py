import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score

from orchestrator.probing.ridge import PENALTIES, determination, fit_ridge


@pytest.mark.parametrize("columns", [12, 90], ids=["tall", "wide"])
def test_ridge_agrees_with_scikit_learn_on_penalty_and_predictions(columns):
    draw = np.random.default_rng(0)
    inputs = draw.normal(size=(60, columns)) * np.logspace(-1, 0.5, columns) + 3
    targets = inputs[:, :3] @ draw.normal(size=(3, 2)) + inputs[:, -2:] + 6 * draw.normal(size=(60, 2))
    ours = fit_ridge(torch.from_numpy(inputs).float(), torch.from_numpy(targets).float())
    peer = RidgeCV(alphas=[60 * penalty for penalty in PENALTIES]).fit(inputs, targets)
    assert 60 * ours.penalty == pytest.approx(peer.alpha_)
    assert PENALTIES[0] < ours.penalty < PENALTIES[-1]
    queries = draw.normal(size=(20, columns)) * np.logspace(-1, 0.5, columns) + 3
    expected = peer.predict(queries)
    np.testing.assert_allclose(ours.predict(torch.from_numpy(queries).float()), expected, rtol=1e-3, atol=1e-3)
    truth = expected + draw.normal(size=expected.shape)
    np.testing.assert_allclose(
        determination(torch.from_numpy(expected), torch.from_numpy(truth)),
        r2_score(truth, expected, multioutput="raw_values"),
    )
