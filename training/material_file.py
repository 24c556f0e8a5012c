"""What people said, as a file with one record a line, and back: what a snapshot was made from, so that it can be made again."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agri_llm.errors import BadInput
from agri_llm.judgements import Comparison, Material, Outcome, Review, SignedAnswer
from agri_llm.personal import NAME
from agri_llm.records import Answer, Feedback
from training import as_taught, rows

PARTS: dict[str, TypeAdapter[Any]] = {
    "answers": TypeAdapter(Answer),
    "votes": TypeAdapter(Feedback),
    "outcomes": TypeAdapter(Outcome),
    "reviews": TypeAdapter(Review),
    "comparisons": TypeAdapter(Comparison),
    "signed": TypeAdapter(SignedAnswer),
    "experts": TypeAdapter(str),
}
HASHED = 16  # hex digits of a rater's name


def lines(material: Material) -> Iterator[dict[str, Any]]:
    """Yield each record as a JSON object, in an order that depends on nothing but the records."""
    for part, adapter in PARTS.items():
        records = material.answers.values() if part == "answers" else getattr(material, part)
        found = [adapter.dump_python(record, mode="json") for record in records]
        for record in sorted(found, key=lambda each: each if isinstance(each, str) else each.get("id", "")):
            yield {"part": part, "record": record}


def write(path: Path, material: Material) -> None:
    """Write a material to a file."""
    rows.write_json(path, lines(material))


def read(path: Path) -> Material:
    """Return the material in a file. Raises BadInput with the line that is none, and for a record about an unknown answer."""
    found: dict[str, list[Any]] = {part: [] for part in PARTS}
    for where, line in rows.objects(path):
        part = line.get("part")
        if part not in PARTS or "record" not in line:
            raise BadInput(
                f"{where} holds no record of people's words",
                "it cannot be learned from",
                'each line is {"part": …, "record": …}',
            )
        try:
            found[part].append(PARTS[part].validate_python(line["record"]))
        except ValidationError as error:
            first = error.errors()[0]
            named = ".".join(map(str, first["loc"]))
            raise BadInput(
                f"{where} is no record of {part} ({named}: {first['msg']})", "it cannot be read", "correct it"
            ) from error
    answers = {answer.id: answer for answer in found.pop("answers")}
    material = Material(answers=answers, **{part: tuple(records) for part, records in found.items()})
    unknown = next((each for each in _about(material) if each not in answers), None)
    if unknown is not None:
        raise BadInput(f"{path} speaks of the answer {unknown}, which is not in it", "nobody knows what was meant", "add it")
    return material


def _about(material: Material) -> Iterator[str]:
    yield from (vote.answer_id for vote in material.votes)
    yield from (outcome.answer_id for outcome in material.outcomes)
    yield from (review.answer_id for review in material.reviews)
    for comparison in material.comparisons:
        yield from (comparison.first, comparison.second)


def without_names(material: Material, salt: str) -> Material:
    """Return the material with a hash in the place of every person, and without what was learned on their way here.

    Free comments go, photos go, and places below the region: none of it is ever learned from. Personal data in questions,
    answers and corrections go, with the full names of those who signed. `salt` belongs to the installation, so that the same
    person has the same hash in each of its snapshots and in no other's.
    """

    def hashed(person: str) -> str:
        return person if len(person) == HASHED + 1 and person.startswith("~") else "~" + _hash(person, salt)

    names = {each.signer_name for each in material.signed} | {answer.signed_by for answer in material.answers.values()}
    known = sorted(filter(_tells_who, names), key=lambda name: (-len(name), name))

    def nameless(text: str) -> str:
        for name in known:
            text = text.replace(name, NAME)
        return as_taught.without_persons(text)

    def bare(answer: Answer) -> Answer:
        question = answer.question
        place = as_taught.coarse_place(question.place)
        asked = replace(question, text=nameless(question.text), photos=(), place=place, follows=None)
        return replace(answer, question=asked, text=nameless(answer.text), messages=_bare(answer), signed_by="")

    return Material(
        answers={key: bare(answer) for key, answer in material.answers.items()},
        votes=tuple(
            replace(
                vote,
                author=hashed(vote.author),
                reviewer=vote.reviewer and hashed(vote.reviewer),
                comment="",
                correction=nameless(vote.correction),
            )
            for vote in material.votes
        ),
        outcomes=tuple(replace(each, author=hashed(each.author), comment="") for each in material.outcomes),
        reviews=tuple(
            replace(each, reviewer=hashed(each.reviewer), comment="", correction=nameless(each.correction))
            for each in material.reviews
        ),
        comparisons=tuple(replace(each, reviewer=hashed(each.reviewer), comment="") for each in material.comparisons),
        signed=tuple(
            replace(
                each,
                signer=hashed(each.signer),
                signer_name="",
                answer=bare(each.answer),
                region=as_taught.coarse_place(each.region),
            )
            for each in material.signed
        ),
        experts=tuple(sorted(map(hashed, material.experts))),
    )


def in_force(material: Material, moment: datetime) -> Material:
    """Return the material without signed answers that were withdrawn or are past their date at this moment."""
    return replace(
        material, signed=tuple(each for each in material.signed if not each.withdrawn_at and each.expires_at > moment)
    )


def _tells_who(name: str) -> bool:
    """Whether a name is nothing else: one word such as Rose may be a crop, and would be lost from advice."""
    return " " in name.strip() or (len(name) > 2 and all("\u4e00" <= sign <= "\u9fff" for sign in name))


def _bare(answer: Answer) -> tuple[Mapping[str, str], ...]:
    """Keep of the messages which passages they showed; the request is put together anew without persons."""
    shown = as_taught.read_by_the_writer(answer) if answer.messages else ()
    return ({"role": "user", "content": "\n".join(passage.text for passage in shown)},) if shown else ()


def _hash(person: str, salt: str) -> str:
    return hmac.new(salt.encode(), person.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:HASHED]


def rater_hash(person: str, salt: str) -> str:
    """Return what stands for a person in the snapshots of this installation."""
    return "~" + _hash(person, salt)


def raters(material: Material) -> set[str]:
    """Return everybody who said something."""
    found = {vote.author for vote in material.votes} | {vote.reviewer for vote in material.votes if vote.reviewer}
    found |= {outcome.author for outcome in material.outcomes} | {review.reviewer for review in material.reviews}
    return found | {comparison.reviewer for comparison in material.comparisons} | {each.signer for each in material.signed}


def without(material: Material, rater: str) -> Material:
    """Return the material without everything that one person said."""

    def kept(records: Iterable[Any], *who: str) -> tuple[Any, ...]:
        return tuple(record for record in records if rater not in {getattr(record, name) for name in who})

    by: dict[str, tuple[str, ...]] = {
        "votes": ("author", "reviewer"), "outcomes": ("author",), "reviews": ("reviewer",), "comparisons": ("reviewer",),
        "signed": ("signer",),
    }  # fmt: skip
    changed: dict[str, Any] = {part: kept(getattr(material, part), *who) for part, who in by.items()}
    changed["experts"] = tuple(each for each in material.experts if each != rater)
    return replace(material, **{name: changed[name] for name in (field.name for field in fields(Material)) if name in changed})


def same(one: Material, other: Material) -> bool:
    """Whether two materials say the same."""
    return [json.dumps(line, sort_keys=True) for line in lines(one)] == [
        json.dumps(line, sort_keys=True) for line in lines(other)
    ]
