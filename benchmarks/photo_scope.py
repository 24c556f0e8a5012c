"""What a photo model does with what it never learned: the part of benchmarks/photos.py about scope and other sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from report import table
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from agri_llm.photos.scope import Known, Values
from agri_llm.records import BACKGROUND, HEALTHY
from agri_llm.vision import PhotoModel, Seen
from training import photo_scope
from training.photo_scope import Fold, Signs
from training.photos import Eyes, Photos

# The last view is what the last layer sees; the fits are those of three depths.
ALONE = {
    "highest share (max softmax)": "share",
    "energy": "energy",
    "nearest typical photos (kNN), last layer": "nearness 3",
    "nearest typical photos (kNN), last block": "nearness 2",
    "relative Mahalanobis distance, 40 % deep": "fit 0",
    "relative Mahalanobis distance, 67 % deep": "fit 1",
    "relative Mahalanobis distance, last block": "fit 2",
}
Score = Callable[[Signs], Values]


def ways(known: Known) -> dict[str, Score]:
    """Return each sign alone, and all of them together as the model weighs them."""
    alone: dict[str, Score] = {title: (lambda signs, name=name: signs[name]) for title, name in ALONE.items()}
    return {**alone, "**ours**, all signs": known.judged}


def separated(inside: Values, outside: Values) -> tuple[float, float]:
    """Return the area under the curve, and which share passes where 95 % of the photos inside do."""
    flags = np.repeat([1, 0], [len(inside), len(outside)])
    return float(roc_auc_score(flags, np.concatenate([inside, outside]))), float((outside >= np.quantile(inside, 0.05)).mean())


def left_out(runs: Sequence[Path], whole: Photos) -> str:
    """Ask models about crops they were trained without; each with weights that were fitted on the other models."""
    folds = [photo_scope.fold(run, whole) for run in runs]
    lines: list[list[object]] = []
    found: dict[str, list[float]] = {}
    for number, (run, fold) in enumerate(zip(runs, folds, strict=True)):
        others = folds[:number] + folds[number + 1 :] or folds
        known = photo_scope.weighed(photo_scope.opened(run)[1], fold.inside["validation"], others)
        for title, score in ways(known).items():
            inside, plants, rest = (score(part["test"]) for part in (fold.inside, fold.plants, fold.others))
            figures = [
                *separated(inside, plants), *separated(inside, rest), *separated(inside, np.concatenate([plants, rest])),
            ]  # fmt: skip
            found.setdefault(title, []).extend(figures)
            if title.startswith("**"):
                lines.append([_short(fold), len(plants), len(rest), *figures])
    means = [[title, *np.array(figures).reshape(-1, 6).mean(axis=0).tolist()] for title, figures in found.items()]
    header = ["AUROC, plants", "accepted", "AUROC, no plants", "accepted", "AUROC, both", "accepted"]
    return (
        "Out of scope, in models trained without some crops: photos of these crops (plants), and background photos with drawn"
        " pictures (no plants). Accepted: where 95 % of the photos in scope are. Weights are those fitted on the other models."
        f" Mean of {len(runs)} models:\n\n" + table(["sign", *header], means)
        + "\n\nOurs, by what was left out:\n\n" + table(["left out", "plants", "others", *header], lines)
    )  # fmt: skip


def _short(fold: Fold) -> str:
    return ", ".join(name.rpartition("/")[2] for name in fold.left_out.split(","))


def other_sources(runs: Sequence[Path], whole: Photos) -> str:
    """Ask models about sources they were trained without, of labels that they know, and about health where no label fits."""
    lines: list[list[object]] = []
    for run in runs:
        model, _ = photo_scope.opened(run)
        names = set(photo_scope.left_out_by(run))
        known = set(model.labels)
        rows = [at for at, photo in enumerate(whole.listed) if photo.source in names and photo.label in known]
        for label in sorted({whole.listed[at].label for at in rows}):
            own = [at for at in rows if whole.listed[at].label == label]
            seen = _seen(model, whole.pixels[own])
            lines.append(
                [
                    f"{label}, source {whole.listed[own[0]].source.rpartition('/')[2]}",
                    len(own),
                    "recall",
                    _recall(model, seen, label),
                ]
            )
            crop = np.array([each.split("__")[0] == label.split("__")[0] for each in model.labels])
            named = Seen(views=seen.views, logits=np.where(crop, seen.logits, -np.inf))
            lines.append(["the same, crop named", len(own), "recall", _recall(model, named, label)])
        lines += _health(model, whole, names)
    return "Photos of a source that the model was trained without:\n\n" + table(["", "photos", "measure", "value"], lines)


def _recall(model: PhotoModel, seen: Seen, label: str) -> float:
    return float((seen.logits.argmax(axis=1) == model.labels.index(label)).mean())


def _health(model: PhotoModel, whole: Photos, names: set[str]) -> list[list[object]]:
    """Ask whether field photos of crops left out show healthy plants: is anything of health learned beyond the labels?"""
    fields = {photo.crop for photo in whole.listed if photo.domain == "field"}
    if any(label.split("__")[0] in fields for label in model.labels):
        return []
    crops = {photo.crop for photo in whole.listed if photo.label.endswith(HEALTHY)} & names
    rows = [at for at, photo in enumerate(whole.listed) if photo.domain == "field" and photo.crop in crops]
    truth = np.array([whole.listed[at].label.endswith(HEALTHY) for at in rows])
    shares = model.shares(_seen(model, whole.pixels[rows]).logits)
    plants = np.array([label != BACKGROUND for label in model.labels])
    well = np.array([label.endswith(HEALTHY) for label in model.labels])
    health = shares[:, well].sum(axis=1) / np.maximum(shares[:, plants].sum(axis=1), 1e-9)
    title = "healthy or not, from lab photos to field photos of other crops"
    return [
        [title, len(rows), "balanced accuracy", float(balanced_accuracy_score(truth, health > 0.5))],
        ["the same", len(rows), "AUROC", float(roc_auc_score(truth, health))],
    ]


def _seen(model: PhotoModel, pixels: NDArray[np.uint8]) -> Seen:
    eyes = Eyes(model.network, photo_scope.looking(model))
    return eyes.look(pixels, exactly=False)
