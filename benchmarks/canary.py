"""False stops and power of the canary's test, on simulated conversations: `python benchmarks/canary.py`."""

from __future__ import annotations

import argparse

import numpy as np
import report
from scipy.stats import beta

from agri_llm import canary

CONVERSATIONS = 5000
SHARES, HARM, RISKS = (0.05, 0.1, 0.3, 0.5), (0.05, 0.2), (1.5, 2.0, 3.0)


def stop(share: float, harm: float, risk: float, rng: np.random.Generator) -> int | None:
    """Return at which conversation a canary is stopped, with a look after each harmed one; None where it never is."""
    of_candidate = rng.random(CONVERSATIONS) < share
    harmed = np.flatnonzero(rng.random(CONVERSATIONS) < np.where(of_candidate, harm * risk, harm))
    count = 0
    for at, conversation in enumerate(harmed, start=1):
        count += bool(of_candidate[conversation])
        if canary.evidence(at, count, share) >= 1 / canary.ALPHA:
            return int(conversation) + 1
    return None


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="canaries that harm no more; a quarter as many of each that do")
    runs = parser.parse_args().runs
    rows: list[list[object]] = []
    for share in SHARES:
        for harm in HARM:
            rng = np.random.default_rng(round(1000 * share + 100 * harm))
            false = sum(stop(share, harm, 1.0, rng) is not None for _ in range(runs))
            row: list[object] = [share, harm, false / runs, float(beta.ppf(0.975, false + 1, runs - false))]
            for risk in RISKS:
                ends = [stop(share, harm, risk, rng) for _ in range(runs // 4)]
                found = sorted(end for end in ends if end is not None)
                middle = f"{found[len(found) // 2]:,}" if found else "none"
                row.append(f"{len(found) / len(ends):.3f} ({middle})")
            rows.append(row)
    text = (
        f"`python benchmarks/canary.py`, {report.machine()}; for each line {runs} simulated canaries that harm no more and"
        f" {runs // 4} of each that does, each of {CONVERSATIONS:,} answered conversations with a look after every harmed one;"
        " nobody was harmed, all is drawn. At most 5 % of those that harm no more may be stopped. Behind the share that is"
        " stopped stands the conversation, in the middle of those stopped, at which it is.\n\n"
    )
    header = ["share", "harmed now", "harms no more: stopped", "upper 95 % bound", "harm × 1.5", "harm × 2", "harm × 3"]
    report.publish("canary", "The canary: false stops and power", text + report.table(header, rows))


if __name__ == "__main__":
    main()
