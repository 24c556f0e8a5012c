"""What turns a trained network into one that knows how sure it is: temperature, when it is certain, what it never learned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression

from agri_llm.photos.scope import Known, Values, signs, unit
from agri_llm.vision import Seen

BINS = 15  # of the calibration error, as in Guo et al. 2017
PER_LABEL = 8  # typical photos kept of each label
RIGHT_WHEN_CERTAIN = 0.98  # share of validation photos that must be right among those called certain
KEPT_IN_SCOPE = 0.95  # share of photos in scope that the threshold lets through


def temperature(logits: Values, targets: NDArray[np.int64]) -> float:
    """Return what the logits are divided by so that the true labels are likeliest (Guo et al., arXiv 1706.04599)."""

    def surprise(power: float) -> float:
        return float(-log_softmax(logits / np.exp(power), axis=1)[np.arange(len(targets)), targets].mean())

    return float(np.exp(minimize_scalar(surprise, bounds=(-3, 3), method="bounded").x))


def calibration_error(shares: Values, targets: NDArray[np.int64]) -> float:
    """Return the expected calibration error: how far confidence and share of right answers lie apart, weighed by bin."""
    confidence, right = shares.max(axis=1), shares.argmax(axis=1) == targets
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return float(
        sum(abs(confidence[bins == at].mean() - right[bins == at].mean()) * (bins == at).mean() for at in np.unique(bins))
    )


def certain_from(shares: Values, targets: NDArray[np.int64]) -> float:
    """Return the lowest confidence from which on nearly all answers are right; never below one half."""
    confidence, right = shares.max(axis=1), shares.argmax(axis=1) == targets
    order = np.argsort(-confidence)
    good = np.cumsum(right[order]) / np.arange(1, len(order) + 1) >= RIGHT_WHEN_CERTAIN
    return max(0.5, float(confidence[order][np.flatnonzero(good)[-1]])) if good.any() else 1.0


def typical(features: Values, targets: NDArray[np.int64], seed: int) -> Values:
    """Return the unit features of the middles of groups of photos of each label, (typical, dimensions)."""
    middles = [
        KMeans(min(PER_LABEL, int((targets == label).sum())), n_init=2, random_state=seed)
        .fit(unit(features[targets == label]))
        .cluster_centers_
        for label in np.unique(targets)
    ]
    return unit(np.concatenate(middles).astype(np.float32))


def fit_scope(known: Values, inside: Seen, outside: Seen) -> Known:
    """Weigh the signs so that photos in scope and others are told apart, both counting alike, and set the threshold."""
    found = [signs(seen.features, seen.logits, known) for seen in (inside, outside)]
    names = sorted(found[0])
    values = np.concatenate([np.stack([each[name] for name in names], axis=1) for each in found])
    mean, spread = values.mean(axis=0), values.std(axis=0) + 1e-9
    flags = np.repeat([1, 0], [len(inside.logits), len(outside.logits)])
    fitted = LogisticRegression(C=1.0, class_weight="balanced").fit((values - mean) / spread, flags)
    slopes = fitted.coef_[0] / spread
    weights = {name: float(slope) for name, slope in zip(names, slopes, strict=True)}
    weights["bias"] = float(fitted.intercept_[0] - (slopes * mean).sum())
    scores = Known(typical=known, weights=weights, threshold=0.0).scores(inside.features, inside.logits)
    return Known(typical=known, weights=weights, threshold=float(np.quantile(scores, 1 - KEPT_IN_SCOPE)))
