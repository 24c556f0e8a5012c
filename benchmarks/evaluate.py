"""The shipped assistant on the shipped suites and, with `--data`, on real dialogues: what `agri evaluate` says, as a section.

    python benchmarks/evaluate.py [--data DATA] [--out FOLDER]

The writer is the one of the settings (the composer by default); what was asked before is not asked again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from report import machine, publish

from training import cases, report
from training.evaluate import ALL, Figure, Report
from ui.commands import evaluating, indexing

DIALOGUES = Path("instruct/mirage_ask_or_answer_dev.jsonl")
BY_LANGUAGE = ("right decision", "span match", "right sheet in five", "safe")


def overall(figures: list[Figure]) -> str:
    """Return one table of all suites: every figure of all languages together."""
    rows = [
        [
            one.suite,
            f"{one.measure} ({one.rule})" if one.rule else one.measure,
            f"{one.cases} in {one.groups}",
            f"{one.interval.value:.3f}",
            "" if one.interval.low is None else f"{one.interval.low:.3f} to {one.interval.high:.3f}",
        ]
        for one in figures
        if one.language == ALL
    ]
    return report.table(["suite", "", "cases in groups", "", "95 % interval"], rows)


def by_language(measured: Report) -> str:
    """Return the main figure of each suite by language."""
    held = [one for one in measured.figures if one.measure in BY_LANGUAGE and not one.rule]
    languages = sorted({one.language for one in held} - {ALL})
    rows = []
    for suite, measure in dict.fromkeys((one.suite, one.measure) for one in held):
        found = {one.language: one for one in held if (one.suite, one.measure) == (suite, measure)}
        cells = [f"{found[each].interval.value:.2f} of {found[each].cases}" if each in found else "" for each in languages]
        if any(cells):  # a suite of one language stands in the table above
            rows.append([suite, measure, *cells])
    return report.table(["suite", "", *languages], rows)


def section(measured: Report, command: str) -> str:
    """Return the text of the section."""
    missing = "; ".join(f"{suite}: not possible, {why}" for suite, why in measured.not_possible.items())
    return (
        f"`{command}`, {machine()}, writer {measured.contract['model']}. The suites are in `training/suites/`, written by us on"
        " our own sheets; they are small, and intervals (95 %, bootstrap over sheets or dialogues) say what that means."
        f" {missing}.\n\n{overall(list(measured.figures))}\n\n"
        f"The main figure of each suite by language:\n\n{by_language(measured)}"
    )


def main() -> None:
    """Ask everything and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/evaluation"))
    options = parser.parse_args()
    outside = [str(options.data / DIALOGUES)] if options.data else []
    indexing.prepare()
    measured = evaluating.evaluated(evaluating.Wanted((*cases.shipped_names(), *outside)))
    report.write(measured, options.out)
    command = "python benchmarks/evaluate.py" + (" --data DATA" if outside else "")
    publish("evaluation", "Suites of `agri evaluate`", section(measured, command))


if __name__ == "__main__":
    main()
