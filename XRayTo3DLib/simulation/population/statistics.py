"""A statistical model of vectors of which each subject shows only a part: probabilistic PCA with missing values.

``y = mean + modes @ z + noise`` with independent standard normal ``z`` (Tipping and Bishop, J. R. Stat. Soc. B 61, 1999), fitted by
expectation maximisation over the observed entries alone (Ilin and Raiko, JMLR 11, 2010). Entries are nodes of a velocity field, of
which a partial scan shows some. How good such a model is, is measured as for point distribution models: compactness, generalisation
to a subject that was left out, and specificity (Davies, PhD thesis, Manchester 2002).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.errors import InputError

_ITERATIONS = 25
#: Strength of the prior on an entry's modes, in subjects: an entry that few have seen varies little.
_PRIOR = 0.5
#: The share of the variance that is noise at the start, and the least at any time.
_START, _LEAST = 0.1, 1e-4


@dataclass(frozen=True, eq=False)
class LinearModel:
    """``mean`` (entries,), ``modes`` (modes, entries) scaled by their standard deviations, in order, orthogonal under the weights;
    ``noise``: standard deviation of what the modes leave; ``weights`` (entries,) of the fit, their mean over the entries 1."""

    mean: np.ndarray
    modes: np.ndarray
    noise: float
    weights: np.ndarray

    def at(self, coefficients: np.ndarray) -> np.ndarray:
        """The vector of standard normal ``coefficients`` (at most as many as modes)."""
        return self.mean + np.asarray(coefficients, dtype=np.float32) @ self.modes[: len(coefficients)]

    def coefficients(self, vector: np.ndarray, observed: np.ndarray, modes: int | None = None) -> np.ndarray:
        """The most probable coefficients of a vector of which the ``observed`` entries (bool) are known."""
        used = self.modes[:modes, observed] * np.sqrt(self.weights[observed])
        rest = (vector - self.mean)[observed] * np.sqrt(self.weights[observed])
        matrix = used.astype(np.float64) @ used.T + self.noise**2 * np.eye(len(used))
        return np.linalg.solve(matrix, used.astype(np.float64) @ rest)

    def truncated(self, modes: int) -> LinearModel:
        """The first ``modes`` modes alone."""
        return LinearModel(self.mean, self.modes[:modes], self.noise, self.weights)

    @property
    def variances(self) -> np.ndarray:
        """Variance of each mode, summed over the entries with their weights."""
        return (self.modes.astype(np.float64) ** 2 @ self.weights) / len(self.weights)


def fit_linear_model(values: np.ndarray, observed: np.ndarray, modes: int, weights: np.ndarray | None = None) -> LinearModel:
    """Fit ``modes`` modes to ``values`` (subjects, entries) where ``observed`` (bool, the same shape).

    Entries count by ``weights`` (entries,). Modes beyond what the subjects can show are left out. Raises :class:`InputError` for
    fewer than two subjects.
    """
    subjects, entries = values.shape
    if subjects < 2:
        raise InputError(f"A population needs at least 2 subjects, and {subjects} can be used: add CTs to the folder.")
    weight = np.ones(entries) if weights is None else np.asarray(weights, dtype=np.float64)
    weight = weight / weight.mean()
    root = np.sqrt(weight)
    data = np.where(observed, values * root, 0.0)
    seen = observed.astype(np.float64)
    count = min(modes, subjects - 1)
    mean = data.sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    scores, basis = _start(np.where(observed, data - mean, 0.0), count)
    spread = np.where(observed, (data - mean) ** 2, 0.0).sum() / max(seen.sum(), 1)
    noise = max(_START * spread, _LEAST)
    groups = _groups(observed)
    for _ in range(_ITERATIONS):
        scores, covariances = _expect(data, seen, mean, basis, noise)
        mean, basis = _maximise(data, groups, scores, covariances)
        rest = np.where(observed, data - mean - scores @ basis, 0.0)
        noise = max((rest**2).sum() / max(seen.sum(), 1), _LEAST * spread, 1e-12)
    # The model stays the same when coefficients are turned and shifted: here to principal axes and to the mean of the subjects.
    centre = scores.mean(axis=0)
    mean = mean + centre @ basis
    spread_of = np.linalg.cholesky(np.cov(scores.T, bias=True).reshape(count, count) + 1e-9 * np.eye(count))
    _, sizes, axes = np.linalg.svd(spread_of.T @ basis, full_matrices=False)
    return LinearModel(
        (mean / root).astype(np.float32),
        (sizes[:, None] * axes / root).astype(np.float32),
        float(np.sqrt(noise)),
        weight.astype(np.float32),
    )


def _start(centred: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Principal components with zeros for what is missing."""
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    scale = np.sqrt(len(centred))
    return left[:, :count] * scale, sizes[:count, None] * right[:count] / scale


def _expect(data: np.ndarray, seen: np.ndarray, mean: np.ndarray, basis: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean (subjects, modes) and covariance (subjects, modes, modes) of the coefficients, given what is observed."""
    scores, covariances = [], []
    for row, mask in zip(data, seen, strict=True):
        used = basis * mask
        inverse = np.linalg.inv(np.eye(len(basis)) + used @ basis.T / noise)
        scores.append(inverse @ (used @ (row - mean)) / noise)
        covariances.append(inverse)
    return np.array(scores), np.array(covariances)


def _groups(observed: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Entries that the same subjects show share one matrix, and partial scans make few such groups: (subjects, entries) of each."""
    patterns, number = np.unique(np.packbits(observed, axis=0).T.copy(), axis=0, return_inverse=True)
    order = np.argsort(number.ravel(), kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(number.ravel()[order])) + 1)
    return [(np.flatnonzero(observed[:, part[0]]), part) for part in parts if len(patterns)]


def _maximise(
    data: np.ndarray, groups: list[tuple[np.ndarray, np.ndarray]], scores: np.ndarray, covariances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and modes of every entry by least squares over the subjects that show it."""
    extended = np.concatenate([scores, np.ones((len(scores), 1))], axis=1)
    size = extended.shape[1]
    moments = extended[:, :, None] * extended[:, None, :]
    moments[:, :-1, :-1] += covariances
    right = extended.T @ data  # what is missing is 0
    prior = np.diag([_PRIOR] * (size - 1) + [1e-6])
    found = np.empty_like(right)
    for subjects, entries in groups:
        found[:, entries] = np.linalg.solve(moments[subjects].sum(axis=0) + prior, right[:, entries])
    return found[-1], found[:-1]


@dataclass(frozen=True)
class ModelQuality:
    """For 0, 1, 2 ... modes: ``compactness`` (share of the variance), ``generalisation`` (root mean square of what a subject that
    was left out differs from its best fit, mean over the subjects) and ``specificity`` (root mean square by which a sample differs
    from the nearest subject), the last two in the unit of the entries."""

    compactness: tuple[float, ...]
    generalisation: tuple[float, ...]
    specificity: tuple[float, ...]


def measure_model(
    values: np.ndarray, observed: np.ndarray, modes: int, weights: np.ndarray | None = None, samples: int = 50, seed: int = 0
) -> ModelQuality:
    """Leave-one-out generalisation, specificity of ``samples`` and compactness of models with 0 to ``modes`` modes."""
    whole = fit_linear_model(values, observed, modes, weights)
    count = len(whole.modes)
    variances = whole.variances
    errors = np.zeros((len(values), count + 1))
    for number in range(len(values)):
        others = np.arange(len(values)) != number
        model = fit_linear_model(values[others], observed[others], modes, weights) if len(values) > 2 else whole.truncated(0)
        for used in range(count + 1):
            fewer = model.truncated(used)
            mask = observed[number]
            fitted = fewer.at(fewer.coefficients(values[number], mask)) if used else fewer.mean
            errors[number, used] = _distance(values[number], fitted, mask, whole.weights)
    generator = np.random.default_rng(seed)
    drawn = generator.standard_normal((samples, count))
    pairs = list(zip(values, observed, strict=True))

    def to_nearest(vector: np.ndarray) -> float:
        return min(_distance(row, vector, mask, whole.weights) for row, mask in pairs)

    nearest = [float(np.mean([to_nearest(whole.at(one[:used])) for one in drawn])) for used in range(count + 1)]
    total = max(float(variances.sum()), 1e-12)
    return ModelQuality((0.0, *(variances.cumsum() / total).tolist()), tuple(errors.mean(axis=0).tolist()), tuple(nearest))


def _distance(one: np.ndarray, other: np.ndarray, observed: np.ndarray, weights: np.ndarray) -> float:
    """Root of the weighted mean of the squared differences of the observed entries."""
    weight = weights[observed]
    return float(np.sqrt(((one - other)[observed] ** 2 * weight).sum() / max(weight.sum(), 1e-12)))
