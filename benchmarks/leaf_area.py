"""How well the discoloured share of a leaf is estimated: against outlines drawn by hand, and on healthy and diseased leaves.

    python benchmarks/leaf_area.py --data DATA

benchmarks/leaf_masks.json holds the outlines of 30 photos (coordinates only; it says how they were drawn). The method was tuned
on one half, the figures that count are of the other. Two simple references run beside it: a fixed range of green hues, and
Otsu's thresholds on excess green and on a*.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from report import machine, publish, table
from scipy import ndimage
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from agri_llm.photos.leaf_area import affected_area

Flags = NDArray[np.bool_]
Values = NDArray[np.float64]
Method = Callable[[Image.Image], tuple[Flags, Flags]]
Row = dict[str, Any]

MASKS = Path(__file__).parent / "leaf_masks.json"
FEW = 0.5  # percent; below, the overlap of the damage says nothing


def drawn(size: tuple[int, int], polygons: list[list[int]], spots: list[list[int]] | None = None) -> Flags:
    """Return polygons and ellipses as a mask."""
    picture = Image.new("1", size)
    pen = ImageDraw.Draw(picture)
    for polygon in polygons:
        pen.polygon(polygon, fill=1)
    for x, y, width, height in spots or []:
        pen.ellipse([x - width, y - height, x + width, y + height], fill=1)
    return np.asarray(picture)


def masks_of(row: Row, size: tuple[int, int]) -> tuple[Flags, Flags, Flags]:
    """Return (leaf, affected, what counts at all) of one photo as drawn."""
    leaf = drawn(size, row["leaf"])
    affected = drawn(size, row.get("affected", []), row.get("spots")) & leaf
    if row["outside"] == "ignored":
        return leaf, affected, leaf | drawn(size, row.get("background", []))
    return leaf, affected, leaf | ~drawn(size, row.get("ignored", []))


def ours(image: Image.Image) -> tuple[Flags, Flags]:
    """The method under test."""
    found = affected_area(image)
    return found.leaf, found.affected


def fixed_hue(image: Image.Image) -> tuple[Flags, Flags]:
    """Leaf: everything with a colour; affected: hues outside 60–170 degrees. The range usually written down for green."""
    hue, saturation, value = np.moveaxis(np.asarray(image.convert("HSV"), dtype=float), -1, 0)
    leaf = (saturation > 0.2 * 255) & (value > 0.15 * 255)
    degrees = hue * 360 / 255
    return leaf, leaf & ((degrees < 60) | (degrees > 170))


def two_otsus(image: Image.Image) -> tuple[Flags, Flags]:
    """Leaf: Otsu on excess green, holes filled; affected: the redder side of Otsu on a* within it."""
    pixels = np.asarray(image, dtype=float) / 255
    red, green, blue = np.moveaxis(pixels, -1, 0)
    excess = 2 * green - red - blue
    leaf = ndimage.binary_fill_holes(excess > otsu(excess))
    linear = np.where(pixels > 0.04045, ((pixels + 0.055) / 1.055) ** 2.4, pixels / 12.92)  # sRGB, IEC 61966-2-1
    x = linear @ [0.4124, 0.3576, 0.1805] / 0.9505
    y = linear @ [0.2126, 0.7152, 0.0722]
    a = np.cbrt(x) - np.cbrt(y)  # a* but for its scale
    return leaf, leaf & (a > otsu(a[leaf]))


def otsu(values: Values) -> float:
    """Return the threshold that parts the values into the two most different groups (Otsu 1979)."""
    counts, edges = np.histogram(values, bins=256)
    middles = (edges[:-1] + edges[1:]) / 2
    below, sums = np.cumsum(counts), np.cumsum(counts * middles)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(middles[np.nanargmax(between)])


def measured(rows: list[Row], photos: Path, method: Method) -> Values:
    """Return per photo: leaf IoU, affected IoU and Dice (nan where hardly any was drawn), percent drawn, percent found."""
    figures = []
    for row in rows:
        content = (photos / row["file_name"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"], f"{row['file_name']} is not the photo that was drawn on"
        image = Image.open(photos / row["file_name"]).convert("RGB")
        leaf, affected, counts = masks_of(row, image.size)
        found_leaf, found = method(image)
        both, either = (found & affected).sum(), ((found | affected) & counts).sum()
        percent, found_percent = 100 * affected.sum() / leaf.sum(), 100 * found.sum() / max(1, found_leaf.sum())
        overlap = both / either if percent >= FEW else np.nan
        whole = (found_leaf & leaf).sum() / ((found_leaf | leaf) & counts).sum()
        figures.append([whole, overlap, 2 * overlap / (1 + overlap), percent, found_percent])
    return np.array(figures)


def figures_of(values: Values) -> list[object]:
    """The figures of one line of the table."""
    error = float(np.abs(values[:, 3] - values[:, 4]).mean())
    rank = float(spearmanr(values[:, 3], values[:, 4]).statistic) if np.ptp(values[:, 4]) else "–"
    return [*(float(np.nanmean(values[:, column])) for column in range(3)), f"{error:.1f}", rank]


def against_outlines(rows: list[Row], photos: Path) -> str:
    """Return the table of the drawn photos."""
    halves = {half: [row for row in rows if row["half"] == half] for half in ("tune", "test")}
    lines: list[list[object]] = []
    results = {}
    methods = {"**ours**": ours, "fixed range of hues": fixed_hue, "Otsu on excess green, then on a*": two_otsus}
    for name, method in methods.items():
        results[name] = values = measured(halves["test"], photos, method)
        lines.append([name, len(values), *figures_of(values)])
    usual = measured(halves["tune"], photos, ours)
    always = float(np.median(usual[:, 3]))
    error = float(np.abs(results["**ours**"][:, 3] - always).mean())
    lines.append(
        [f"always {always:.1f} %, the median of the tuned half", len(halves["test"]), "–", "–", "–", f"{error:.1f}", "–"]
    )
    for domain, text in (("lab", "ours, picked leaves on a sheet"), ("field", "ours, field")):
        chosen = [row["domain"] == domain for row in halves["test"]]
        lines.append([text, sum(chosen), *figures_of(results["**ours**"][chosen])])
    lines.append(["ours on the half it was tuned on", len(usual), *figures_of(usual)])
    header = ["unseen half", "photos", "IoU of the leaf", "IoU of the damage", "Dice of the damage", "error of the percent"]
    eye = np.array([row["percent_by_eye"] for row in rows])
    own = np.concatenate([results["**ours**"][:, 3], usual[:, 3]])
    order = [row["percent_by_eye"] for half in ("test", "tune") for row in halves[half]]
    gap = float(np.abs(own - np.array(order)).mean())
    note = (
        f"The outlines and a guess by the same eye differ by {gap:.1f} points on average (guesses {eye.min()}–{eye.max()} %)."
    )
    return table([*header, "rank correlation"], lines) + "\n\n" + note


def against_labels(photos: Path) -> str:
    """Return the table of healthy and diseased leaves of the test split, by the labels of the collection."""
    with (photos / "metadata.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test" and row["is_healthy"]]
    rows = [row for row in rows if not row["label"].startswith("rice_pest")]  # insects, not damage
    taken, percents = [], []
    for row in rows:
        image = Image.open(photos / row["file_name"]).convert("RGB")
        start = time.perf_counter()
        percents.append(affected_area(image).percent)
        taken.append(1000 * (time.perf_counter() - start))
    values, healthy = np.array(percents), np.array([row["is_healthy"] == "true" for row in rows])
    lines: list[list[object]] = []
    for domain in ("lab", "field"):
        inside = np.array([row["domain"] == domain for row in rows])
        parts = [values[inside & flags] for flags in (healthy, ~healthy)]
        ranks = float(roc_auc_score(~healthy[inside], values[inside]))
        for name, part in zip(("healthy", "diseased"), parts, strict=True):
            tenths = [f"{share:.1f}" for share in np.percentile(part, (10, 50, 90))]
            lines.append([f"{domain}, {name}", len(part), *tenths, ranks if name == "diseased" else ""])
    header = ["test split", "photos", "10 % have at most", "median percent", "90 % have at most", "area under ROC"]
    times = f"One photo of 256 pixels takes {np.median(taken):.0f} ms (95th percentile {np.percentile(taken, 95):.0f} ms)."
    return table(header, lines) + "\n\n" + times


def section(photos: Path) -> str:
    """Return the section as Markdown."""
    rows = json.loads(MASKS.read_text(encoding="utf-8"))["photos"]
    return (
        f"`python benchmarks/leaf_area.py --data DATA`, {machine()}. The references are outlines drawn by eye on enlarged "
        f"photos, {len(rows)} of the test split, by the author of the method, a language model that sees. No plant pathologist "
        "checked them, and pale patches and very small spots have no sharp border. Other leaves in a field photo count neither "
        "way for the overlaps, but our percent is of all tissue and the drawn one of the leaf in front.\n\n"
        + against_outlines(rows, photos)
        + "\n\nBy the labels of the collection, which say nothing about area:\n\n"
        + against_labels(photos)
    )


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    photos = parser.parse_args().data / "photos"
    publish("leaf-area", "Affected leaf area", section(photos))


if __name__ == "__main__":
    main()
