"""The part of the training page that draws curves: what the training and the held-out rows said at each step."""

from __future__ import annotations

import streamlit as st

from ui import runs
from ui.runs import Run
from ui.words import word

HEIGHT = 280  # pixels, of the whole picture with its axes
LEARNED, HELD_OUT = "#3f8f8a", "#d9731a"  # seen on a light and a dark page, and by those who see no red or green


def show(run: Run) -> None:
    """Draw each figure of which there are two points or more."""
    said = runs.figures(run)
    for name in runs.CURVES:
        points = runs.curve(said, name)
        if len(points) >= 2:
            st.caption(word(f"training_curve_{name}"))
            _draw(points)


def _draw(points: dict[int, tuple[float | None, float | None]]) -> None:
    import altair  # half a second, which a page without runs need not wait for

    lines = (word("training_on_data"), word("training_on_held_out"))
    long = [
        {"step": step, "value": value, "line": line}
        for step, values in points.items()
        for value, line in zip(values, lines, strict=True)
        if value is not None
    ]
    steps = altair.X("step:Q", title=word("training_steps"), scale=altair.Scale(nice=False))
    steps = steps.axis(tickMinStep=1, tickCount=6, grid=False)
    value = altair.Y("value:Q", title=None, scale=altair.Scale(zero=False)).axis(tickCount=4)
    shades = altair.Scale(domain=list(lines), range=[LEARNED, HELD_OUT])
    which = altair.Color("line:N", title=None, scale=shades, legend=altair.Legend(orient="top", direction="horizontal"))
    chart = altair.Chart({"values": long}).mark_line(strokeWidth=2).encode(x=steps, y=value, color=which)
    st.altair_chart(chart.properties(height=HEIGHT), width="stretch")
