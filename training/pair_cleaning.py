"""What is taken out of drafts before a model learns from them, all of it counted, and the side of the split for the rest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from agri_llm.content import content_words
from training import intervals, mixing
from training.contamination import Contamination
from training.pair_rules import Draft
from training.rows import Row, identity


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What decides a snapshot beside the material; the same rules and material give the same bytes."""

    seed: int = 0
    margin: float = 0.5  # of mean scores, 1–5: half a step on every criterion
    near: float = 0.95  # share of common words from which two texts say the same
    repeated: float = 0.85  # share of common runs of words from which two pairs say the same, as in data_config
    most_of_a_group: int = 8  # pairs; six answers to one question would make fifteen
    most_of_a_rater: float = 0.5  # share of all pairs, so that no one person's taste is learned; 1 sets no limit
    longer_wins: float = (
        0.6  # largest share of pairs whose better answer is the longer one, and of those where it is the shorter
    )
    validation: float = 0.1
    test: float = 0.15
    salt: str = ""
    evaluation: tuple[str, ...] = ("shipped",)


def adjudicated(drafts: Iterable[Draft], counts: Counter[str]) -> list[Draft]:
    """Let each two answers to a request have one winner: what most raters say; where they are even, the pair goes."""
    sides: dict[tuple[str, str], dict[tuple[str, str], list[Draft]]] = defaultdict(lambda: defaultdict(list))
    for draft in drafts:
        low, high = sorted((draft.chosen, draft.rejected))
        sides[draft.group, identity(low, high)][draft.chosen, draft.rejected].append(draft)
    kept = []
    for _, ways in sorted(sides.items()):
        voices = {way: {rater for draft in found for rater in draft.raters} for way, found in ways.items()}
        best = max(ways, key=lambda way: (len(voices[way]), way))
        if len(ways) > 1 and len({len(each) for each in voices.values()}) == 1:
            counts["pairs that raters disagree on, evenly"] += 1
            continue
        counts["pairs settled by the majority"] += len(ways) > 1
        counts["pairs said again"] += len(ways[best]) - 1
        kept.append(_joined(ways[best], len(voices[best]) / sum(map(len, voices.values()))))
    return kept


def _joined(same: Sequence[Draft], agreement: float) -> Draft:
    first = min(same, key=lambda draft: (draft.source, draft.ids))
    return replace(
        first,
        weight=round(agreement, 4),
        margin=max(draft.margin for draft in same),
        raters=tuple(sorted({rater for draft in same for rater in draft.raters})),
        ids=tuple(sorted({its_id for draft in same for its_id in draft.ids})),
        answers=tuple(dict.fromkeys(each for draft in same for each in draft.answers)),
    )


def settled(drafts: Iterable[Draft], counts: Counter[str]) -> list[Draft]:
    """Let each single answer be good or bad: experts outrank farmers, then what most say; where they are even, it goes."""
    by_text: dict[tuple[str, str], list[Draft]] = defaultdict(list)
    for draft in drafts:
        by_text[draft.group, draft.chosen].append(draft)
    kept = []
    for _, same in sorted(by_text.items()):
        heard = [draft for draft in same if draft.expert] or same
        counts["single answers that an expert settled"] += len(heard) < len(same)
        voices = {good: {rater for draft in heard if draft.good is good for rater in draft.raters} for good in (True, False)}
        if len(voices[True]) == len(voices[False]):
            counts["single answers that raters disagree on, evenly"] += 1
            continue
        good = len(voices[True]) > len(voices[False])
        counts["single answers said again"] += len(same) - 1
        kept.append(
            _joined([draft for draft in heard if draft.good is good], len(voices[good]) / sum(map(len, voices.values())))
        )
    return kept


def teachable(pairs: Iterable[Draft], counts: Counter[str]) -> list[Draft]:
    """Leave out pairs whose better answer fails the check."""
    found = list(pairs)
    kept = [pair for pair in found if not pair.problem]
    counts["better answers that fail the check"] += len(found) - len(kept)
    return kept


def without_ties(pairs: Iterable[Draft], near: float, counts: Counter[str]) -> list[Draft]:
    """Leave out pairs whose two texts are equal or nearly so: nothing can be learned from them."""
    kept = []
    for pair in pairs:
        one, other = (Counter(content_words(text)) for text in (pair.chosen, pair.rejected))
        alike = (one & other).total() / max(1, (one | other).total())
        if pair.chosen.split() == pair.rejected.split():
            counts["pairs of equal texts"] += 1
        elif alike >= near and _marks(pair.chosen) == _marks(pair.rejected) and _numbers(one) == _numbers(other):
            counts["pairs of nearly equal texts"] += 1
        else:
            kept.append(pair)
    return kept


def _marks(text: str) -> int:
    return text.count("[")


def _numbers(words: Counter[str]) -> Counter[str]:
    return Counter({word: count for word, count in words.items() if any(sign.isdigit() for sign in word)})


def uncontaminated(drafts: Iterable[Draft], known: Contamination, counts: Counter[str], what: str) -> list[Draft]:
    """Leave out what evaluation asks, or answers: in the question, the better text or the worse one."""
    kept = []
    for draft in drafts:
        worse = replace(draft, chosen=draft.rejected)
        if known.overlap(row_of(draft, "train")) is None and (
            not draft.rejected or known.overlap(row_of(worse, "train")) is None
        ):
            kept.append(draft)
        else:
            counts[f"{what} that evaluation asks"] += 1
    return kept


def row_of(draft: Draft, split: str) -> Row:
    """Return the chat of a draft as a row to learn from."""
    return Row(
        id=identity("preference", draft.group, draft.source, *draft.ids),
        group=draft.group,
        kind="grounded" if "[" in draft.chosen else "refusal",
        language=draft.language,
        source=draft.source,
        messages=(*draft.messages, {"role": "assistant", "content": draft.chosen}),
        split=split,
    )


def capped(pairs: Sequence[Draft], rules: Rules, counts: Counter[str]) -> list[Draft]:
    """Keep so many pairs of a group, and of one rater no more than a share of all: first those with the clearest margin."""
    order = sorted(
        pairs, key=lambda pair: (-pair.weight, -pair.margin, mixing.share(rules.seed, "cap", *pair.ids, pair.rejected))
    )
    groups: Counter[str] = Counter()
    kept = []
    for pair in order:
        groups[pair.group] += 1
        if groups[pair.group] > rules.most_of_a_group:
            counts["pairs beyond the most of a question"] += 1
        else:
            kept.append(pair)
    if len({rater for pair in kept for rater in pair.raters}) < 2 or rules.most_of_a_rater >= 1:
        return kept
    return _capped_by_rater(kept, rules.most_of_a_rater, counts)


def _capped_by_rater(pairs: list[Draft], most: float, counts: Counter[str]) -> list[Draft]:
    """Whoever alone has more than the share loses the last pairs until it holds for all; a share below 1 / raters is that.

    Taking pairs of one rater raises the shares of the others, so all have the same most, the highest at which the share holds.
    """
    alone = Counter(pair.raters[0] for pair in pairs if len(pair.raters) == 1)
    most = max(most, 1 / len({rater for pair in pairs for rater in pair.raters}))
    joint = len(pairs) - alone.total()
    highest = max(alone.values(), default=0)
    while highest and highest > most * (joint + sum(min(number, highest) for number in alone.values())) + 1e-9:
        highest -= 1
    met: Counter[str] = Counter()
    kept = []
    for pair in pairs:
        met.update(pair.raters if len(pair.raters) == 1 else ())
        if len(pair.raters) > 1 or met[pair.raters[0]] <= highest:
            kept.append(pair)
    counts["pairs beyond the most of one rater"] += len(pairs) - len(kept)
    return kept


def length_balanced(pairs: Sequence[Draft], rules: Rules, counts: Counter[str]) -> list[Draft]:
    """Drop pairs of the commoner kind, the longer or the shorter answer wins, until neither is more than the share."""
    sides: dict[bool, list[Draft]] = {True: [], False: []}
    for pair in pairs:
        sides[len(pair.chosen) > len(pair.rejected)].append(pair)
    most = max(sides, key=lambda side: len(sides[side]))
    allowed = round(len(sides[not most]) * rules.longer_wins / (1 - rules.longer_wins))
    if len(sides[most]) <= allowed or not sides[not most]:
        return list(pairs)
    order = sorted(sides[most], key=lambda pair: mixing.share(rules.seed, "length", *pair.ids, pair.rejected))
    counts["pairs left out so that length alone decides nothing"] += len(order) - allowed
    gone = {id(pair) for pair in order[allowed:]}
    return [pair for pair in pairs if id(pair) not in gone]


def longer_wins(pairs: Sequence[Draft]) -> dict[str, float | None]:
    """Return the share of pairs whose better answer is the longer one, with its 95 % interval over groups."""
    import numpy as np

    if not pairs:
        return {"share": None, "low": None, "high": None}
    parts = np.array([[float(len(pair.chosen) > len(pair.rejected)), 1.0] for pair in pairs])
    found = intervals.ratio(parts, [pair.group for pair in pairs])
    if found is None:
        return {"share": None, "low": None, "high": None}
    limits = {"share": found.value, "low": found.low, "high": found.high}
    return {name: None if value is None else round(value, 4) for name, value in limits.items()}
