"""Which answers an expert should see first: what teaches most. Pure functions, so that the order can be tested by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import regex

from agri_llm import quantities

Reason = Literal["unsafe", "down", "disagreement", "safety", "uncertain", "topic", "second", "new"]
ORDER: tuple[Reason, ...] = ("unsafe", "down", "disagreement", "safety", "uncertain", "topic", "second", "new")
SELDOM = 3  # reviews of a crop, below which it counts as seldom reviewed
_DANGER = regex.compile(
    r"pesticid|insecticid|herbicid|fungicid|poison|toxic|spray|dose|dosage|chemical|pregnan|child|harvest interval"
    r"|农药|杀虫|杀菌|除草|毒|喷|剂量|用量|孕|儿童|veneno|plaguicida|dosis|traitement|veneno|agrotóxico|dawa|sumu|कीटनाशक|ज़हर|مبيد|سم",
    regex.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Something that may be judged. `second` is set for two answers; `votes` holds reasons of those who voted it down."""

    item: str
    answer_id: str
    question: str
    text: str
    kind: str
    crop: str | None
    second: str | None = None
    down: bool = False
    reasons: frozenset[str] = field(default_factory=frozenset)
    reviewed: int = 0
    disputed: bool = False
    certain: bool = True


def why(candidate: Candidate, reviews_of_crop: Mapping[str | None, int]) -> tuple[Reason, ...]:
    """Return the reasons to look at a candidate, the strongest first; there is always one."""
    found: dict[Reason, bool] = {
        "unsafe": "unsafe" in candidate.reasons,
        "down": candidate.down,
        "disagreement": candidate.disputed,
        "safety": bool(_DANGER.search(candidate.question)) or _gives_amount(candidate.text),
        "uncertain": candidate.kind == "refusal" or not candidate.certain,
        "topic": reviews_of_crop.get(candidate.crop, 0) < SELDOM,
        "second": candidate.reviewed > 0 and not candidate.disputed,
    }
    return tuple(reason for reason in ORDER if found.get(reason)) or ("new",)


def ranked(
    candidates: Iterable[Candidate], reviews_of_crop: Mapping[str | None, int]
) -> list[tuple[Candidate, tuple[Reason, ...]]]:
    """Return the candidates, those first that teach most; among equals those with more reasons, then the newest."""
    newest = sorted(candidates, key=lambda each: each.item, reverse=True)
    reasoned = [(each, why(each, reviews_of_crop)) for each in newest]
    return sorted(reasoned, key=lambda pair: (ORDER.index(pair[1][0]), -len(pair[1])))


def _gives_amount(text: str) -> bool:
    return bool(_DANGER.search(text)) and bool(quantities.find(text))
