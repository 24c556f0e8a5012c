"""What we must ask back before the advice is more than a guess: a symptom without a crop, a sick crop without a symptom."""

from __future__ import annotations

from collections.abc import Sequence

import regex

from agri_llm.content import folded
from agri_llm.questions import Understood, length_in_words
from agri_llm.records import Hit

_SICK = regex.compile(
    folded(
        r"\b(?:sick|ill|problems?|dying|unhealthy|bad|wrong|poorly|unwell|struggling"
        r"|not \w+ing (?:so |very )?(?:well|good|right|fine))\b|病了|不好|生病|要死|快死|长得?不好|出(?:了|现)问题"
        r"|\b(?:enferm[oa]s?|malade?s?|doentes?|problemas?|problemes?|muriendo|meur\w*|morrendo)\b|बीमार|खराब|मर रह"
        r"|\b(?:\w*ugua|\w*umwa|shida|tatizo|\w*nakufa)\b|مريض|مشكل|تموت|يموت"
    ),
    regex.IGNORECASE,
)
_PLANT = regex.compile(
    folded(
        r"\b(?:plants?|crops?|field|garden|trees?|seedlings?)\b|庄稼|植株|作物|苗|地里|果树|(?<![炒做点买烧吃]的?)菜(?![单谱刀场市])"
        r"|\b(?:plantas?|cultivos?|matas?|plantes?|cultures?|lavouras?|arbol\w*|arbres?|arvores?)\b|पौध|फसल|पेड़"
        r"|\b(?:mimea|mmea|mazao|zao|miti|mti|miche)\b|نبات|محصول|زرع|شجر|اشجار"
    ),
    regex.IGNORECASE,
)
# Who begins with the question word ("why do leaves turn yellow?"), or says what happens in general, describes no plant.
_IN_GENERAL = regex.compile(
    folded(
        r"^\W*(?:(?:why|what|which|how|when|where|who|do|does|is|are|can|por ?que|que|como|cual\w*|pourquoi|qu'\w+|comment"
        r"|quel\w*|o que|qual|quais|kwa ?nini|nini|je|jinsi)\b|为什么|为何|为啥|什么|啥|哪|怎么|怎样|如何"
        r"|(?:क्या|क्यों|कैसे|कौन)|(?:لماذا|ليش|ما|كيف|هل)(?!\p{L}))|होत[ाीे] है"
    ),
    regex.IGNORECASE,
)
# A longer text that names no crop asks about something else: of 1,000 questions of the benchmarks none is asked back for this.
FEW_WORDS = 7


def missing_details(question: Understood) -> tuple[str, ...]:
    """Name the details without which the advice would be a guess: a symptom without a crop, a sick crop without a symptom."""
    wants_advice = question.intent in ("act", "identify", "amount", "explain")
    if not wants_advice or question.problems:
        return ()
    if not question.personal:
        return _crop_unsaid(question) if _only_describes(question) else ()
    names_plant = bool(_PLANT.search(folded(question.text)))
    if not (question.about_farming or names_plant):
        return ()
    if not question.crops and (question.signs and (question.parts or not question.inputs)):
        return _crop_unsaid(question)
    says_nothing_else = (
        not (question.signs or question.inputs) and question.intent != "amount" and _SICK.search(folded(question.text))
    )
    if says_nothing_else and question.crops:
        return ("sign", "part")
    return ("crop", "sign") if says_nothing_else and names_plant else ()


def _only_describes(question: Understood) -> bool:
    """Whether a short text says what is seen, and nothing else that could tell which plant is meant."""
    return bool(
        question.signs
        and not (question.crops or question.inputs)
        and question.intent in ("act", "identify", "explain")
        and (question.parts or question.about_farming)
        and length_in_words(question.text) <= FEW_WORDS
        and not _IN_GENERAL.search(folded(question.text))
    )


def _crop_unsaid(question: Understood) -> tuple[str, ...]:
    return ("crop", "part") if _pattern_unknown(question.text) else ("crop",)


_PATTERN = regex.compile(
    folded(
        r"\b(?:old\w*|young\w*|new|upper|top|bottom|lower|tips?|edges?|margins?|veins?|between)\b"
        r"|老|嫩|新|上部|下部|底部|顶[部端上]|心叶|叶[尖缘边脉]|下面|上面"
        r"|\b(?:viej[oa]s?|jovenes|nuev[oa]s?|bajeras?|de abajo|de arriba|punta\w*|bordes?|nervaduras?|inferiores"
        r"|superiores)\b"
        r"|\b(?:vieilles|jeunes|nouvelles|du bas|du haut|pointes?|nervures?|velhas?|novas?|de baixo|de cima|pontas?"
        r"|bordas?)\b"
        r"|पुरान|नई|नये|निचल|ऊपर|नीचे|नोक|किनार|शिरा|\b(?:ya zamani|ya chini|machanga|ya juu|ncha|kingo|chini|juu)\b"
        r"|قديم|سفلي|حديث|علوي|اطراف|حواف|عروق"
    ),
    regex.IGNORECASE,
)


def _pattern_unknown(text: str) -> bool:
    return not _PATTERN.search(folded(text))


def crops_disagree(question: Understood, hits: Sequence[Hit]) -> bool:
    """Whether the best passages speak of different crops while the asker of a personal question named none."""
    if question.crops or not question.personal or question.intent not in ("act", "amount"):
        return False
    best = [hit for hit in hits if hit.passage.crop and "any" not in hit.passage.crop and hit.score >= 0.9 * hits[0].score]
    return bool(best) and not set.intersection(*(set(hit.passage.crop) for hit in best))
