"""What is in preference data and what was left out, as a page for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from training.rows import SPLITS

if TYPE_CHECKING:
    from training.preferences import Made


def text(made: Made, counted: Mapping[str, Mapping[str, int]]) -> str:
    """Return the page: rows of each side, sources and languages of the pairs, what was left out, and who wins by length."""
    lines = ["# Preference data", "", "| part | train | validation | test |", "|---|---|---|---|"]
    lines += [f"| {name} | " + " | ".join(str(counts[split]) for split in SPLITS) + " |" for name, counts in counted.items()]
    lines += ["", "| pairs by source | |", "|---|---|"]
    sources = Counter(str(row["source"]) for row in made.rows["pairs"])
    lines += [f"| {source} | {number} |" for source, number in sorted(sources.items())]
    lines += ["", "| language of pairs | |", "|---|---|"]
    languages = Counter(str(row["language"]) for row in made.rows["pairs"])
    lines += [f"| {language} | {number} |" for language, number in sorted(languages.items())]
    lines += ["", "| left out or settled | |", "|---|---|"]
    lines += [f"| {reason} | {number} |" for reason, number in sorted(made.counts.items())]
    lines += ["", "| the longer answer wins | share | 95 % interval |", "|---|---|---|"]
    for when, found in made.longer_wins.items():
        lines.append(f"| {when} balancing | {found['share']} | {found['low']} to {found['high']} |")
    return "\n".join(lines) + "\n"
