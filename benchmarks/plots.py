"""Draw the pictures of docs/benchmarks.md."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"


def confusion(truth: NDArray[np.int64], guessed: NDArray[np.int64], labels: tuple[str, ...], name: str) -> Path:
    """Draw which label is taken for which, in shares of the photos of the true one; right answers are left grey."""
    counts = np.zeros((len(labels), len(labels)))
    np.add.at(counts, (truth, guessed), 1)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    figure = Figure(figsize=(13, 12), layout="constrained")
    axes = figure.subplots()
    right = np.eye(len(labels), dtype=bool)
    axes.imshow(np.where(right, shares, np.nan), cmap=mpl.colormaps["Greys"], vmin=0, vmax=4)
    wrong = axes.imshow(np.where(right | (shares == 0), np.nan, shares), cmap=mpl.colormaps["YlOrRd"], vmin=0, vmax=0.2)
    for row, column in np.argwhere(~right & (counts > 0)):
        axes.text(column, row, int(counts[row, column]), ha="center", va="center", fontsize=6)
    named = [label.replace("__", ": ").replace("_", " ") for label in labels]
    axes.set_xticks(range(len(labels)), named, rotation=90, fontsize=7)
    axes.set_yticks(range(len(labels)), named, fontsize=7)
    axes.set_xlabel("taken for")
    axes.set_ylabel("shown")
    axes.set_xticks(np.arange(len(labels)) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(labels)) - 0.5, minor=True)
    axes.grid(which="minor", color="#e8e8e8", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    figure.colorbar(wrong, ax=axes, shrink=0.5, label="share of the photos of a label that is taken for another one")
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.png"
    figure.savefig(path, dpi=90)
    return path
