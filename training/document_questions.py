"""What is asked of a document, by section, sign and reason, and the passages that answer; from forms, without a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import regex

from agri_llm.doses import INGREDIENT
from agri_llm.records import Passage, Question
from agri_llm.sentences import split
from training import question_forms
from training.library import Library
from training.question_forms import Family, chosen, filled, role_of
from training.rows import Kind

DETAIL_SHARE = 0.12  # of the questions come with the crop given beside it, as people fill in the form
SHOWN_OF_SECTION = 3  # passages of a section that answer for it
SUBJECTS = ("disease", "pest", "nutrient", "input", "practice")  # what a passage without a heading may be about
FEWEST_NAMED = 2  # times that it names the thing then: once may be in passing
MOST_CHEMICAL = 3  # sentences about chemicals before the one about the label
ADVICE = frozenset(("cultural", "prevention", "mistakes", "steps"))  # sections whose sentences say what to do, and why
# Words that open an advice; others ("Rotating", "No", "Insecticides") begin sentences that cannot follow "why should I".
_STEP = regex.compile(r"^(?P<not>Do not |Never |Avoid )?(?P<advice>\p{Lu}?\p{Ll}+ .{12,140}?), because .+\.$")
_STEP_ZH = regex.compile(r"^(?P<advice>[^。，]{6,40}(?:，[^。，]{2,30})?)，因为[^。]+。$")
_NO_VERB = regex.compile(
    r"^(?:\p{L}+ing|no|some|many|most|only|always|if|when|where|after|before|once|even)\b", regex.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question with the passages that answer it, those of `first` before all others, and the words to answer in if any."""

    question: Question
    document: str
    family: str
    gold: tuple[Passage, ...]
    first: frozenset[str]
    kind: Kind = "grounded"
    said: tuple[str, ...] = ()


def crop_of(passages: Sequence[Passage]) -> str:
    """Return the crop that a document is about, "any" where there is none or no special one."""
    return passages[0].crop[0] if passages[0].crop else "any"


def of(library: Library, document: str) -> Iterator[Asked]:
    """Yield what is asked of a document: by section, by signs, by reason, and follow-ups."""
    passages = library.documents[document]
    if passages[0].language not in question_forms.LANGUAGES:
        return
    sort = question_forms.sort_of(passages)
    yield from (_by_sections if sort != "document" else _by_headings)(library, document, sort)
    if sort == "problem":
        yield from _by_signs(library, document)
        yield from _follow_ups(library, document)
    yield from _by_reasons(document, passages)


def _by_sections(library: Library, document: str, sort: str) -> Iterator[Asked]:
    passages = library.documents[document]
    words = words_of(library, document)
    for family in question_forms.families(sort, passages[0].language):
        asked = ask(family, passages, words)
        if asked is None:
            continue
        if family.name == "chemical":
            asked = replace(asked, said=chemicals_of(asked.gold[0]))
        random = Random(asked.question.text)
        if sort == "problem" and random.random() < DETAIL_SHARE and crop_of(passages) != "any":
            asked = replace(asked, question=replace(asked.question, crop=words["crop"]))
        yield asked


def words_of(library: Library, document: str) -> dict[str, str]:
    """Return what is put into the forms of questions about a sheet: its topic and its crop."""
    passages = library.documents[document]
    crop = library.glossary.name(crop_of(passages), passages[0].language)
    return {"topic": question_forms.topic_of(passages), "crop": crop, "title": passages[0].title}


def ask(family: Family, passages: Sequence[Passage], words: dict[str, str]) -> Asked | None:
    """Return one question of a family about a sheet, with its sections; None where the sheet has no section for it."""
    first = [passage for passage in passages if role_of(passage) in family.roles]
    beside = [passage for passage in passages if role_of(passage) in family.beside]
    if not first:
        return None
    document = passages[0].document_id
    form = chosen(family.forms, f"{document}/{family.name}")
    return Asked(
        question=Question(text=filled(form, **words)),
        document=document,
        family=family.name,
        gold=(*first, *beside),
        first=frozenset(passage.id for passage in first),
    )


def chemicals_of(passage: Passage) -> tuple[str, ...]:
    """Return what a chemical section says when it is asked for: what is used, then what sends people to the label."""
    every = [" ".join(span.text.split()) for span in split(passage.text)]
    labels = [text for text in every if regex.search(r"\blabel\b|(?<![无没有])标签", text)]
    named = [text for text in every if INGREDIENT.search(text) and text not in labels]
    others = [text for text in every if text not in (*named, *labels)]
    return (*[*named, *others][:MOST_CHEMICAL], labels[-1]) if labels else ()


def _by_headings(library: Library, document: str, sort: str) -> Iterator[Asked]:
    """One question for each section of a document that is no sheet of ours; short ones without a heading go by the title."""
    passages = library.documents[document]
    by_heading: dict[str, list[Passage]] = {}
    for passage in passages:
        by_heading.setdefault(passage.heading, []).append(passage)
    if len(by_heading.get("", ())) > SHOWN_OF_SECTION:  # a PDF has no headings, and its first page says little
        by_heading |= _by_subject(library, by_heading.pop(""))
    (family,) = question_forms.families(sort, passages[0].language)
    for heading, section in by_heading.items():
        last = heading.rsplit(" > ", 1)[-1] or passages[0].title
        form = chosen(family.forms, f"{document}/{heading}")
        yield Asked(
            question=Question(text=filled(form, heading=last, title=passages[0].title)),
            document=document,
            family=f"section {heading}",
            gold=tuple(section[:SHOWN_OF_SECTION]),
            first=frozenset(passage.id for passage in section[:SHOWN_OF_SECTION]),
        )


def _by_subject(library: Library, passages: Sequence[Passage]) -> dict[str, list[Passage]]:
    """Sort passages by the thing of farming that each names most; those that name none often enough are left aside."""
    found: dict[str, list[Passage]] = {}
    for passage in passages:
        named = Counter(each.term.id for each in library.glossary.find(passage.text, SUBJECTS))
        for thing, times in named.most_common(1):
            if times >= FEWEST_NAMED:
                found.setdefault(library.glossary.name(thing, passage.language), []).append(passage)
    return found


def _by_signs(library: Library, document: str) -> Iterator[Asked]:
    """Ask what it is for signs that the first sentences of a sheet describe on a part of the crop."""
    passages = library.documents[document]
    language, crop = passages[0].language, crop_of(passages)
    gold = [passage for passage in passages if role_of(passage) in ("sign", "what", "cultural")]
    if crop == "any" or not gold or role_of(gold[0]) != "sign":
        return
    said = question_forms.forms()["signs"]
    asked: set[str] = set()
    for sentence in split(gold[0].text)[:3]:
        part, signs = signs_in(library, sentence.text, language)
        if not part or not signs or part in asked:
            continue
        asked.add(part)
        names = [library.glossary.name(sign, language) for sign in signs[:2]]
        words = {
            "crop": library.glossary.name(crop, language),
            "part": part_name(part, language),
            "signs": said["joined"][language].join(names),
        }
        text = filled(chosen(said[language], f"{document}/{part}"), **words)
        yield Asked(
            question=Question(text=text),
            document=document,
            family=f"signs {part}",
            gold=tuple(gold),
            first=frozenset(passage.id for passage in gold if role_of(passage) == "sign"),
        )


def signs_in(library: Library, sentence: str, language: str) -> tuple[str, list[str]]:
    """Return the part of the plant that a sentence speaks of, "" where it is none of ours, and the signs on it.

    Sentences that set one problem off against another speak of signs that the sheet's own problem does not have.
    """
    known = question_forms.forms()["signs"]
    if regex.search(known["of_others"][language], sentence):
        return "", []
    doers = {found.end for found in library.glossary.find(sentence, {"pest", "disease"})}
    parts = [
        found.term.id
        for found in library.glossary.find(sentence, {"part"})
        if found.term.id in known["parts"] and found.start - 1 not in doers  # "the weevil leaves holes" is about no leaf
    ]
    signs = dict.fromkeys(found.term.id for found in library.glossary.find(sentence, {"sign"}))
    return (parts[0] if parts else ""), [sign for sign in signs if sign in known["on_parts"]]


def part_name(part: str, language: str) -> str:
    """Return what farmers call a part of the plant, in English in the plural."""
    name: str = question_forms.forms()["signs"]["parts"][part][question_forms.LANGUAGES.index(language)]
    return name


def _follow_ups(library: Library, document: str) -> Iterator[Asked]:
    """Ask a second thing about the same problem, with words that lean on the first question."""
    passages = library.documents[document]
    words, language = words_of(library, document), passages[0].language
    every = question_forms.families("problem", language)
    forms = question_forms.forms()["followups"]
    for family in Random(document).sample([one for one in every if one.name in forms], 3):
        before = next(one for one in Random(f"{document}/{family.name}").sample(every, len(every)) if one.name != family.name)
        asked = ask(family, passages, words)
        if asked is None:
            continue
        earlier = Question(text=filled(chosen(before.forms, f"{document}/{family.name}"), **words))
        text = chosen(forms[family.name][language], f"{document}/{family.name}")
        yield replace(
            asked,
            question=Question(text=text, follows=earlier),
            family=f"then {family.name}",
            kind="followup",
        )


def _by_reasons(document: str, passages: Sequence[Passage]) -> Iterator[Asked]:
    """Ask why for each advice that gives its reason; the answer is that sentence."""
    forms = question_forms.forms()["why"]
    for passage in passages:
        if role_of(passage) not in ADVICE:
            continue
        for sentence in split(passage.text):
            text = " ".join(sentence.text.split())
            found = (_STEP_ZH if passage.language == "zh" else _STEP).match(text)
            if found is None or _NO_VERB.match(found["advice"]):
                continue
            negative = "_not" if passage.language == "en" and found["not"] else ""
            advice = found["advice"]
            if passage.language == "en":
                avoid = negative and found["not"].startswith("Avoid")
                advice = ("use " if avoid and not advice.split()[0].endswith("ing") else "") + advice[0].lower() + advice[1:]
            if negative and found["not"].startswith("Avoid"):
                continue  # "avoid planting" and "avoid fields" need other words each
            yield Asked(
                question=Question(text=filled(chosen(forms[passage.language + negative], text), advice=advice)),
                document=document,
                family=f"why {advice[:40]}",
                gold=(passage,),
                first=frozenset((passage.id,)),
                said=(text,),
            )
