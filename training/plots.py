"""Pictures of a report, as SVG: figures with their intervals, and risk against coverage."""

from __future__ import annotations

import io
from typing import Any

from training.evaluate import ALL, Figure, Report
from training.scores import LOWER_IS_BETTER, NEITHER

Picture = tuple[str, str]  # what it shows, and the SVG


def drawn(report: Report) -> list[Picture]:
    """Draw what the report holds; nothing where matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:  # the tables say the same
        return []
    matplotlib.rcParams["svg.hashsalt"] = "agri"  # the same report gives the same file
    pictures = []
    overall = [one for one in report.figures if one.language == ALL and not one.rule and one.measure not in NEITHER]
    if overall:
        pictures.append(("Figures of all suites with 95 % intervals; * lower is better", _bars(overall)))
    if report.differences:
        pictures.append(("Differences with 95 % intervals; * lower is better", _differences(report)))
    pictures += [
        (f"{name}: share of wrong answers when only the surest are answered", _curve(*points))
        for name, points in report.curves.items()
    ]
    return pictures


def _axes(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(canvas)
    return canvas, canvas.add_subplot()


def _bars(held: list[Figure]) -> str:
    names = [f"{one.suite}: {_starred(one.measure)}" for one in held]
    limits = [(one.interval.low, one.interval.value, one.interval.high) for one in held]
    return _forest(names, limits, None)


def _differences(report: Report) -> str:
    names = [f"{one.suite}: {_starred(one.measure)}" for one in report.differences]
    intervals = [one.paired.difference for one in report.differences]
    return _forest(names, [(one.low, one.value, one.high) for one in intervals], 0.0)


def _forest(names: list[str], limits: list[tuple[float | None, float, float | None]], line: float | None) -> str:
    canvas, axes = _axes(9, 1 + 0.28 * len(names))
    for at, (low, value, high) in enumerate(limits):
        axes.plot([value], [at], "o", color="#246b3c")
        if low is not None and high is not None:
            axes.plot([low, high], [at, at], "-", color="#246b3c")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    if line is not None:
        axes.axvline(line, color="black", linewidth=0.8)
    return _svg(canvas)


def _curve(coverage: Any, risk: Any) -> str:
    canvas, axes = _axes(6, 3.5)
    axes.plot(coverage, risk, color="#246b3c")
    axes.set(xlabel="share answered", ylabel="share of those wrong", xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.3)
    return _svg(canvas)


def _starred(measure: str) -> str:
    return f"{measure} *" if measure in LOWER_IS_BETTER else measure


def _svg(canvas: Any) -> str:
    buffer = io.StringIO()
    canvas.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]  # without the XML heading
