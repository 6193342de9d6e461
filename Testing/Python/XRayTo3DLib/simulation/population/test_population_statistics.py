from __future__ import annotations

import numpy as np
import pytest

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.simulation.population.statistics import fit_linear_model, measure_model


def subjects(count: int = 14) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors of two modes with sizes 4 and 2, of which every second subject hides an end; and the modes."""
    generator = np.random.default_rng(3)
    axes = np.linalg.qr(generator.standard_normal((240, 2)))[0].T * np.sqrt(240)
    scores = generator.standard_normal((count, 2))
    scores = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    values = 1 + scores @ (axes * [[4.0], [2.0]]) + 0.05 * generator.standard_normal((count, 240))
    observed = np.ones(values.shape, dtype=bool)
    for number in range(0, count, 2):
        observed[number, 120 + 8 * number // 2 :] = False
    return values, observed, axes


def test_modes_are_found_although_parts_are_missing_and_tell_what_is_missing():
    values, observed, axes = subjects()
    model = fit_linear_model(np.where(observed, values, 1e6), observed, 2)
    np.testing.assert_allclose(np.sqrt(model.variances), [4.0, 2.0], rtol=0.35)
    for found, true in zip(model.modes, axes, strict=True):
        assert abs(found @ true) / np.linalg.norm(found) / np.linalg.norm(true) > 0.9
    assert abs(model.modes[0] @ model.modes[1]) < 1e-3 * np.square(model.modes[0]).sum()
    fitted = model.at(model.coefficients(values[0], observed[0]))
    hidden = ~observed[0]
    wrong = np.sqrt(np.mean((fitted - values[0])[hidden] ** 2))
    assert wrong < 0.25 * np.sqrt(np.mean((model.mean - values[0])[hidden] ** 2))
    with pytest.raises(InputError, match="at least 2 subjects"):
        fit_linear_model(values[:1], observed[:1], 2)


def test_weights_decide_what_counts():
    values, observed, _ = subjects()
    values[:, :40] += 30 * np.random.default_rng(0).standard_normal((14, 1))
    weights = np.ones(240)
    weights[:40] = 1e-6
    model = fit_linear_model(values, observed, 1, weights)
    assert model.variances[0] < 30
    assert fit_linear_model(values, observed, 1).variances[0] > 100


def test_leaving_one_out_tells_two_modes_from_noise():
    values, observed, _ = subjects()
    found = measure_model(values, observed, 4, samples=20)
    assert found.compactness[0] == 0 and found.compactness[2] > 0.95 and found.compactness[-1] == pytest.approx(1)
    assert found.generalisation[0] > 3.5 and found.generalisation[2] < 0.5
    assert found.specificity[2] > found.specificity[0] * 0.5
    assert len(found.compactness) == len(found.generalisation) == len(found.specificity) == 5
