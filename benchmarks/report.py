"""Write one benchmark's section of docs/benchmarks.md, leaving the others as they are."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def table(header: list[str], rows: list[list[object]]) -> str:
    """Return a Markdown table; floats get three decimals."""
    cells = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in cells])


def machine() -> str:
    """Return the machine and day of a measurement in one line."""
    return f"{os.cpu_count()} CPU cores, {platform.machine()}, no GPU, {datetime.now(UTC):%Y-%m-%d}"


def publish(section: str, title: str, text: str) -> None:
    """Print a section and put it into docs/benchmarks.md between its marks."""
    body = f"<!-- {section}: begin -->\n## {title}\n\n{text}\n<!-- {section}: end -->"
    print(f"{title}\n\n{text}")
    page = PAGE.read_text(encoding="utf-8")
    pattern = re.compile(rf"<!-- {section}: begin -->.*?<!-- {section}: end -->", re.DOTALL)
    page = pattern.sub(lambda _: body, page) if pattern.search(page) else f"{page.rstrip()}\n\n{body}\n"
    PAGE.write_text(page, encoding="utf-8")
