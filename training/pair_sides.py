"""Which side of a split a question stands on, and that no side knows what another asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from training import examined, mixing
from training.cleaning import NearDuplicates
from training.pair_cleaning import Rules, row_of
from training.pair_rules import Draft
from training.rows import Split, question_of


def split_of(group: str, rules: Rules) -> Split:
    """Return the side of a group: by its name and the seed alone, so that it is the same in every snapshot.

    Questions whose answers cite a section that a model is examined on are for the test side, as in other data sets.
    """
    if group.endswith(examined.MARK):
        return "test"
    place = mixing.share(rules.seed, "preference split", group)
    if place < rules.test:
        return "test"
    return "validation" if place < rules.test + rules.validation else "train"


def unrepeated(pairs: Iterable[Draft], rules: Rules, counts: Counter[str]) -> list[Draft]:
    """Keep one of pairs that nearly say the same, in whatever group: the one that is held out, else the one more raters said.

    Questions that differ in a word are groups of their own and may stand on two sides; the pair to learn from goes then.
    """
    met, order = NearDuplicates(rules.repeated), {"test": 0, "validation": 1, "train": 2}
    found = sorted(
        pairs, key=lambda pair: (order[split_of(pair.group, rules)], -pair.weight, -len(pair.raters), pair.group, pair.ids)
    )
    asked = (question_of(row_of(pair, "train")) for pair in found)  # without passages, which would make all alike
    kept = [p for p, question in zip(found, asked, strict=True) if not met.met(f"{question}\n{p.chosen}\n{p.rejected}")]
    counts["pairs nearly said before"] += len(found) - len(kept)
    return kept


def apart(drafts: Iterable[Draft], rules: Rules, counts: Counter[str], what: str) -> list[Draft]:
    """Leave out what nearly repeats something of a side that is held out: test stands before validation, and both before train.

    Questions that differ in a word are groups of their own, and what was learned of one would be asked of the other.
    """
    met, found, kept = NearDuplicates(rules.repeated), list(drafts), list[Draft]()
    for side in ("test", "validation", "train"):
        own = [(each, _said(each)) for each in found if split_of(each.group, rules) == side]
        clear = [(each, text) for each, text in own if not met.knows(text)]
        for _, text in clear:
            met.met(text)
        kept += [each for each, _ in clear]
    counts[f"{what} nearly said on a held-out side"] += len(found) - len(kept)
    return kept


def _said(draft: Draft) -> str:
    return f"{question_of(row_of(draft, 'train'))}\n{draft.chosen}"  # without passages, which would make all alike
