"""Rows in which the right thing is not to answer: passages that do not carry it, and questions that say too little."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import regex

from agri_llm import safety
from agri_llm.content import stems
from agri_llm.doses import INGREDIENT, has_rate
from agri_llm.prompts import REFUSAL_MARK
from agri_llm.records import Passage, Question
from agri_llm.sentences import split
from training import question_forms
from training.document_questions import Asked, ask, crop_of, part_name, signs_in, words_of
from training.instruction import grounded as grounded_row
from training.instruction import row_of
from training.library import Library
from training.question_forms import chosen, filled, role_of
from training.rows import Kind, Row, identity

REFUSED = 2  # questions of each sheet that are asked beside passages of other sheets
SHOWN = (2, 5)  # passages shown with a question that they do not answer
HARD = 0.8  # share of near passages beside a question that they do not answer: a refusal beside far ones is too easy to learn
FEWEST_CROPS = 2  # with a sign, so that the crop decides what to do
TOPIC_SHARE = 0.6  # of the words of a topic that the glossary does not know: a passage with so many may be about it
PROBLEMS = ("disease", "pest", "nutrient", "practice", "input")


def refusals(library: Library, source: str, documents: Iterable[str]) -> Iterator[Row]:
    """Yield questions on documents with passages that do not answer; the answer is the mark that the request asks for."""
    for document in documents:
        passages = library.documents[document]
        if passages[0].language in question_forms.LANGUAGES:
            yield from _of_other_sheets(library, document, source)
            if question_forms.sort_of(passages) == "problem":
                yield from _not_said(library, document, source)
                yield from _doses(library, document, source)


def clarifications(library: Library, source: str) -> Iterator[Row]:
    """Yield questions that leave out what the advice depends on, with the question back, and what comes of the reply."""
    for language in question_forms.LANGUAGES:
        sheets = [
            passages
            for passages in library.documents.values()
            if passages[0].language == language and question_forms.sort_of(passages) == "problem"
        ]
        if sheets:
            yield from _unclear_signs(library, sheets, source)
            yield from _unclear_crops(library, sheets, source)


def answers_nothing(library: Library, topic: str, gold: Sequence[Passage]) -> Callable[[Passage], bool]:
    """Return a test that tells passages that may answer a question on a topic, judged by its sheet, from those that do not.

    A passage is unfit when it names the problem, when it holds most words of a topic without a name, when it is about the crop
    of a growing guide, or when it carries a sentence of the sheet.
    """
    named = library.named(topic, PROBLEMS)
    crops = set(gold[0].crop) if question_forms.sort_of(library.documents[gold[0].document_id]) == "growing" else set()
    wanted = stems(topic)
    sentences = [span.text for passage in gold for span in split(passage.text)]

    def unfit(passage: Passage) -> bool:
        text = f"{passage.title}. {passage.heading}. {passage.text}"
        if named & library.named(text, PROBLEMS) or crops & ({*passage.crop} | {*library.glossary.crops(text)}):
            return True
        if not named and not crops and len(wanted & stems(text)) >= TOPIC_SHARE * len(wanted):
            return True
        return any(safety.supporting_quote(sentence, passage.text) for sentence in sentences)

    return unfit


def _refusal(library: Library, asked: Asked, shown: Sequence[Passage], source: str, random: Random) -> Row:
    mixed = random.sample(list(shown), len(shown))
    return row_of(library, asked, source, mixed, REFUSAL_MARK)


def _of_other_sheets(library: Library, document: str, source: str) -> Iterator[Row]:
    passages, words = library.documents[document], words_of(library, document)
    every = question_forms.families(question_forms.sort_of(passages), passages[0].language)
    random = Random(f"{source}/{document}/refused")
    for family in random.sample(every, min(REFUSED, len(every))):
        form = random.choice(family.forms)
        asked = ask(replace(family, forms=(form,)), passages, words)
        if asked is None:
            continue
        unfit = answers_nothing(library, words["topic"], asked.gold)
        shown = library.distractors(document, random.randint(*SHOWN), random, unfit, near=HARD)
        if len(shown) >= SHOWN[0]:
            asked = replace(asked, kind="refusal", family=f"refused {family.name}")
            yield _refusal(library, asked, shown, source, random)


def _asked(document: str, family: str, text: str, kind: Kind = "refusal", about: tuple[Passage, ...] = ()) -> Asked:
    return Asked(question=Question(text=text), document=document, family=family, gold=about, first=frozenset(), kind=kind)


def _not_said(library: Library, document: str, source: str) -> Iterator[Row]:
    """Ask for what no sheet says (prices, years, companies) beside passages about the very problem."""
    passages, words = library.documents[document], words_of(library, document)
    random = Random(f"{source}/{document}/not said")
    said = random.choice(question_forms.forms()["absent"])
    read = library.unexamined(passages)
    silent = [one for one in read if not regex.search(said["unless"], f"{one.title} {one.text}", regex.IGNORECASE)]
    others = library.distractors(
        document, 1, random, lambda one: bool(regex.search(said["unless"], one.text, regex.IGNORECASE))
    )
    if len(silent) >= SHOWN[0]:
        shown = [*random.sample(silent, min(len(silent), random.randint(2, 3))), *others]
        text = filled(said[passages[0].language], **words)
        yield _refusal(library, _asked(document, "not said", text), shown, source, random)


def _doses(library: Library, document: str, source: str) -> Iterator[Row]:
    """Ask for the dose of a product that the sheet names: no sheet gives one, because the label of each country does."""
    passages, words = library.documents[document], words_of(library, document)
    random = Random(f"{source}/{document}/dose")
    for passage in passages:
        products = list(dict.fromkeys(name.lower() for name in INGREDIENT.findall(passage.text) if len(name) > 2))
        if role_of(passage) != "chemical" or not products or has_rate(passage.text):
            continue
        form = random.choice(question_forms.forms()["dose"][passage.language])
        text = filled(form, product=random.choice(products), **words)
        beside = library.distractors(document, random.randint(1, 3), random, lambda one: has_rate(one.text))
        if library.answer(Question(text=text), [passage], beside).kind == "refusal":
            yield _refusal(library, _asked(document, "dose", text, about=(passage,)), [passage, *beside], source, random)
        return


def off_topic(library: Library, source: str) -> Iterator[Row]:
    """Yield questions that have nothing to do with farming, beside passages that have."""
    for language in question_forms.LANGUAGES:
        documents = [name for name, passages in library.documents.items() if passages[0].language == language]
        for number, text in enumerate(question_forms.forms()["off_topic"][language] if documents else ()):
            random = Random(f"{source}/{text}")
            document = random.choice(documents)
            shown = library.distractors(document, random.randint(*SHOWN), random)
            if shown:
                row = _refusal(library, _asked(document, "off topic", text), shown, source, random)
                yield replace(row, group=f"off-topic-{number}", crop="any")


def _unclear_signs(library: Library, sheets: Sequence[Sequence[Passage]], source: str) -> Iterator[Row]:
    """A sign on a part of a plant, with passages of several crops that have it; the crop is what must be asked."""
    language = sheets[0][0].language
    for (sign, part), seen in sorted(_signs(library, sheets).items()):
        crops = {crop_of([passage]) for passage in seen}
        if len(crops - {"any"}) < FEWEST_CROPS:
            continue
        random = Random(f"{source}/{language}/{sign}/{part}")
        words = {"signs": library.glossary.name(sign, language), "part": part_name(part, language)}
        text = filled(random.choice(question_forms.forms()["unclear"]["sign"][language]), **words)
        row = _question_back(library, text, _some(library, seen, random), source)
        if row is not None:
            yield replace(row, group=f"sign-{sign}-{part}", crop="any")
            yield from _replies(library, text, part, seen, source)


def _signs(library: Library, sheets: Sequence[Sequence[Passage]]) -> dict[tuple[str, str], list[Passage]]:
    """Map each sign on each part of a plant to the passages with it, one a sheet."""
    found: dict[tuple[str, str], list[Passage]] = {}
    for passage in (one for passages in sheets for one in passages if role_of(one) == "sign"):
        for sentence in split(passage.text)[:4]:
            part, signs = signs_in(library, sentence.text, passage.language)
            for sign in signs if part else ():
                if passage not in found.setdefault((sign, part), []):
                    found[(sign, part)].append(passage)
    return found


def _replies(library: Library, earlier: str, part: str, seen: Sequence[Passage], source: str) -> Iterator[Row]:
    """The crop named after it was asked for: then the sheets of that crop answer."""
    language = seen[0].language
    forms = question_forms.forms()["unclear"]["answers"][language]
    for passage in [one for one in seen if crop_of([one]) != "any"][:3]:
        words = {"crop": library.glossary.name(crop_of([passage]), language), "part": part_name(part, language)}
        text = filled(chosen(forms, f"{earlier}/{passage.id}"), **words)
        text = text[0].upper() + text[1:]
        own = library.documents[passage.document_id]
        gold = [one for one in own if role_of(one) in ("sign", "what", "cultural")]
        first = frozenset(one.id for one in gold if role_of(one) == "sign")
        row = grounded_row(
            library,
            Asked(
                question=Question(text=text, follows=Question(text=earlier)),
                document=passage.document_id,
                family="reply",
                gold=tuple(gold),
                first=first,
                kind="followup",
            ),
            source,
        )
        if row is not None:
            yield row


def _unclear_crops(library: Library, sheets: Sequence[Sequence[Passage]], source: str) -> Iterator[Row]:
    """A crop that is sick in no way that was said, or not even a crop."""
    language = sheets[0][0].language
    forms: dict[str, Any] = question_forms.forms()["unclear"]
    by_crop: dict[str, list[Passage]] = {}
    for passage in (one for passages in sheets for one in passages if role_of(one) == "sign"):
        by_crop.setdefault(crop_of([passage]), []).append(passage)
    every = [passage for passages in by_crop.values() for passage in passages]
    asked = [
        (crop, filled(form, crop=library.glossary.name(crop, language)), seen)
        for crop, seen in sorted(by_crop.items())
        if crop != "any"
        for form in forms["crop"][language]
    ]
    asked += [("any", form, every) for form in forms["nothing"][language]]
    for crop, text, seen in asked:
        random = Random(f"{source}/{text}")
        row = _question_back(library, text, _some(library, seen, random), source)
        if row is not None:
            yield replace(row, group=f"sick-{crop}", crop=crop)


def _some(library: Library, seen: Sequence[Passage], random: Random) -> list[Passage]:
    read = library.unexamined(seen)
    return random.sample(read, min(len(read), random.randint(*SHOWN)))


def _question_back(library: Library, text: str, shown: Sequence[Passage], source: str) -> Row | None:
    """Return a question with what the assistant asks back; None where it would answer or refuse, or nothing can be shown."""
    if not shown:
        return None
    answer = library.answer(Question(text=text), shown, ())
    if answer.kind != "clarification":
        return None
    row = row_of(library, _asked(shown[0].document_id, "unclear", text, "clarification"), source, shown, answer.text)
    return replace(row, id=identity(source, "unclear", text), licence=shown[0].licence or "")
