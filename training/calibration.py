"""What turns a trained network into one that knows how sure it is: temperature, when it is certain, what it never learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression

from agri_llm.photos.scope import Known, Values, View, scaled, signs, unit
from agri_llm.vision import Seen

BINS = 15  # of the calibration error, as in Guo et al. 2017
PER_LABEL = 8  # typical photos kept of each label
RIGHT_WHEN_CERTAIN = 0.98  # share of validation photos that must be right among those called certain
WIDEST = 512  # dimensions of a view whose spread is measured: for more there are too few photos
SHRINKING = 1e-3  # of the mean variance, added to each, so that the spread can be inverted
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


def views(seen: Seen, targets: NDArray[np.int64], seed: int) -> tuple[View, ...]:
    """Describe what a network sees of the photos that it learns from, at each depth."""
    return tuple(
        View(typical=typical(each, targets, seed), **(_spreads(each, targets) if each.shape[1] <= WIDEST else {}))
        for each in seen.views
    )


def _spreads(seen: Values, targets: NDArray[np.int64]) -> dict[str, Values]:
    """Return the middles of labels and of all photos, and what makes the spread around each of them round."""
    labels = np.unique(targets)
    means = np.stack([seen[targets == label].mean(axis=0) for label in labels])
    middle = seen.mean(axis=0)
    around = seen - means[np.searchsorted(labels, targets)]
    return {"means": means, "within": _rounding(around), "middle": middle, "whole": _rounding(seen - middle)}


def _rounding(around: Values) -> Values:
    """Return the matrix (dimensions, dimensions) that makes a spread round: a root of its inverse covariance."""
    covariance = np.cov(around.T.astype(np.float64))
    covariance += SHRINKING * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    return np.linalg.cholesky(np.linalg.inv(covariance)).astype(np.float32)


def fit_scope(known: tuple[View, ...], inside: Seen, outside: Sequence[Seen]) -> Known:
    """Scale and weigh the signs so that photos in scope and others are told apart, and set the threshold.

    Photos in scope count as much as all others; each of the parts of the others counts alike.
    """
    found = signs(inside.views, inside.logits, known)
    centre = {name: float(values.mean()) for name, values in found.items()}
    spread = {name: float(values.std()) + 1e-9 for name, values in found.items()}
    others = [scaled(signs(part.views, part.logits, known), centre, spread) for part in outside if len(part.logits)]
    own = scaled(found, centre, spread)
    return weighed(known, centre, spread, [own], others, own)


def weighed(
    known: tuple[View, ...],
    centre: dict[str, float],
    spread: dict[str, float],
    inside: Sequence[dict[str, Values]],
    outside: Sequence[dict[str, Values]],
    own: dict[str, Values],
) -> Known:
    """Weigh scaled signs of photos inside and outside; the threshold lets most of a model's `own` photos in scope through."""
    names = sorted(centre)
    parts = [np.stack([part[name] for name in names], axis=1) for part in (*inside, *outside)]
    flags = np.repeat([1] * len(inside) + [0] * len(outside), [len(part) for part in parts])
    shares = np.repeat([1 / len(inside)] * len(inside) + [1 / len(outside)] * len(outside), [len(part) for part in parts])
    counts = np.concatenate([np.full(len(part), len(flags) / len(part)) for part in parts])
    fitted = LogisticRegression(C=1.0).fit(np.concatenate(parts), flags, sample_weight=shares * counts / 2)
    weights = {name: float(slope) for name, slope in zip(names, fitted.coef_[0], strict=True)}
    weights["bias"] = float(fitted.intercept_[0])
    loose = Known(views=known, centre=centre, spread=spread, weights=weights, threshold=0.0)
    return replace(loose, threshold=float(np.quantile(loose.judged(own), 1 - KEPT_IN_SCOPE)))
