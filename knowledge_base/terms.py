"""The glossary: what farmers call their crops, diseases, pests and inputs, and the one name each of them has for us.

`terms.csv` holds one row per thing: `id,kind,scientific`, then a name and its synonyms, separated by "|", in English (`en`,
`en_synonyms`), Chinese, Spanish, French, Portuguese, Hindi, Swahili and Arabic. A further language is two further columns.
Rows of kind "trap" are phrases that only look like a term ("rice cooker"): they cover the words inside them and are never
reported.
"""

from __future__ import annotations

import csv
import functools
import importlib.resources
import io
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from agri_llm.errors import BadInput

KINDS = frozenset(
    ("crop", "disease", "pest", "nutrient", "input", "stage", "part", "sign", "practice", "place", "farming", "measure", "trap")
)
NOT_FARMING_ALONE = frozenset(
    ("place", "part", "sign", "measure", "trap")
)  # "root", "spots" and "Kenya" are said about much else
ALWAYS_COVERING = frozenset(("trap", "place"))  # the 麦, wheat, in 丹麦, Denmark, is none whatever is asked for
NAMED_AFTER_CROPS = frozenset(("disease", "pest", "input", "part", "stage"))  # "rice blast", "seed potato", 棉铃
REQUIRED_LANGUAGES = ("en", "zh")

_HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # Chinese characters, each a unit by itself
_MARKS = (
    r"\u0300-\u036f\u0900-\u0963\u0966-\u0dff"  # accents typed by themselves, vowel signs of Indian scripts: parts of words
)
_UNIT = re.compile(rf"(?P<possessive>['’][sS]\b)|[{_HAN}]|(?:[^\W_{_HAN}]|[{_MARKS}])+")
_GAP = re.compile(
    r"(?:['’][sS]?)?[\s_\-‐‑–]{0,3}"
)  # between two units of one name: "sweet-potato", "lady's finger", "bell_pepper"
_NAMED_BY_SCIENCE = frozenset(("disease", "pest"))  # "Spodoptera frugiperda" is in the sheet, "Zea mays" is in none
# "15-15-15", "2,4-D", "NPK"
_CODE = re.compile(
    r"(?<![\w])(?=[A-Za-z0-9.,/-]*[0-9])[A-Za-z0-9][A-Za-z0-9.,/-]*%?|(?<![A-Za-z])[A-Z]{2,5}(?![A-Za-z])", re.ASCII
)
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class Term:
    """One thing with all its names; `names` maps a language to its names, the preferred one first."""

    id: str
    kind: str
    scientific: str
    names: Mapping[str, tuple[str, ...]] = field(hash=False)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A term where it stands in a text: `text` is the original's `[start:end]`, in characters."""

    term: Term
    start: int
    end: int
    text: str


class Glossary:
    """Finds the things of farming in what people write, in any of the glossary's languages, and gives them their names."""

    def __init__(self, terms: Iterable[Term]) -> None:
        """Take the terms in order of precedence; two of one kind with the same name, or the same id, raise BadInput."""
        self.terms: dict[str, Term] = {}
        self._forms: dict[str, tuple[Term, ...]] = {}  # "sweet potatoes" or "番 茄" → its terms, at most one of each kind
        self._longest: dict[str, int] = {}  # first unit of a name → units in the longest name that begins with it
        held = list(terms)
        for term in held:
            self._add(term)
        for term in held:
            self._add_plurals(term)

    @classmethod
    def load(cls, path: Path | None = None) -> Glossary:
        """Read a glossary file, the shipped one by default (kept after the first call); BadInput says which row is wrong."""
        if path is None:
            return _shipped()
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(
                f"the glossary {path} cannot be read ({error})", "terms come from it", "give a UTF-8 file"
            ) from error
        return cls(_rows(text))

    def find(self, text: str, kinds: Collection[str] | None = None) -> list[Found]:
        """Return the terms of a text in order, of some kinds only when asked; of overlapping ones the longest stays.

        Whole words, any case, English plurals; Chinese by its characters. With `kinds`, names of other kinds (but
        places) cover nothing: the crop inside "rice blast" is found when only crops are asked for.
        """
        wanted = (KINDS if kinds is None else frozenset(kinds)) - {"trap"}
        candidates = sorted(
            self._candidates(text, wanted | ALWAYS_COVERING), key=lambda found: (found.start - found.end, found.start)
        )
        covered = bytearray(len(text))
        kept = []
        for found in candidates:
            if not any(covered[found.start : found.end]):
                covered[found.start : found.end] = b"\x01" * (found.end - found.start)
                kept.append(found)
        return sorted((found for found in kept if found.term.kind in wanted), key=lambda found: found.start)

    def crops(self, text: str) -> tuple[str, ...]:
        """Return the ids of the crops a text speaks of, in order.

        A crop inside the name of a problem counts only where none stands by itself: "rice blast" speaks of rice, "cotton
        bollworm in my tomatoes" of tomatoes alone.
        """
        found = self.find(text)
        crops = [one for one in found if one.term.kind == "crop"]
        inside = (
            one for problem in found if problem.term.kind in NAMED_AFTER_CROPS for one in self.find(problem.text, {"crop"})
        )
        return tuple(dict.fromkeys(one.term.id for one in crops or inside))

    def crop_ids(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the id of each crop that a document names, or the name itself where it is in no entry."""
        return tuple(dict.fromkeys((self.crops(name) or (name.lower(),))[0] for name in names))

    def name(self, term_id: str, language: str) -> str:
        """Return the preferred name of a term in a language, else the English one, else the id as it came."""
        term = self.terms.get(term_id)
        if term is None:
            return term_id
        names = term.names.get(language) or term.names.get("en") or (term_id,)
        return names[0]

    def expand(self, text: str, language_of_index: str = "en") -> str:
        """Return the text, untouched, followed by the names that the documents use for what it calls otherwise.

        For each term whose preferred name in the index's language is not in the text: that name and the scientific one.
        Words of kind "farming" and "measure" are only translated: "planted" needs no "plant" beside it, nor an active
        ingredient a gloss.
        """
        there = f" {_key(text)} "
        added: dict[str, None] = {}
        for found in self.find(text):
            name, own_names = self.name(found.term.id, language_of_index), found.term.names.get(language_of_index, ())
            understood = own_names if found.term.kind in ("farming", "measure") else (name,)
            if not any(f" {form} " in there for word in understood for form in _forms(word, language_of_index)):
                added.update(dict.fromkeys(n for n in (name, found.term.scientific) if n and f" {_key(n)} " not in there))
        return " ".join((text, *added)) if added else text

    def translated(self, text: str, language: str = "en", *, measures: bool = False) -> str:
        """Say in another language what the glossary knows of a text: names in order, with codes and numbers; "" for nothing.

        Scientific names stay beside the translated ones; words that no entry holds are left out. What can be measured (water,
        temperature, kg) is said only with `measures`, and never alone: it is asked of everything.
        """
        said: dict[str, None] = {}
        at, known = 0, False
        for found in self.find(text, KINDS if measures else KINDS - {"measure"}):
            said.update(dict.fromkeys(_CODE.findall(text[at : found.start])))
            names = (self.name(found.term.id, language), found.term.scientific if found.term.kind in _NAMED_BY_SCIENCE else "")
            said.update(dict.fromkeys(name for name in names if name))
            at, known = found.end, known or found.term.kind != "measure"
        said.update(dict.fromkeys(_CODE.findall(text[at:])))
        return " ".join(said) if known else ""

    def is_about_farming(self, text: str) -> bool:
        """Say whether a text names anything of farming; a place, a plant part or a sign alone is not enough."""
        return bool(self.find(text, KINDS - NOT_FARMING_ALONE))

    def _candidates(self, text: str, kinds: Collection[str]) -> Iterator[Found]:
        """Yield every name that stands in the text, overlapping ones too."""
        units = list(_units(text))
        for first, (unit, start, _) in enumerate(units):
            key = ""
            for index in range(first, min(first + self._longest.get(unit, 0), len(units))):
                word, word_start, end = units[index]
                if index > first and not _GAP.fullmatch(text, units[index - 1][2], word_start):
                    break
                key = f"{key} {word}" if key else word
                term = next((term for term in self._forms.get(key, ()) if term.kind in kinds), None)
                if term is not None:
                    yield Found(term=term, start=start, end=end, text=text[start:end])

    def _add(self, term: Term) -> None:
        """Enter a term under every form of its names."""
        if term.id in self.terms:
            raise BadInput(f"the glossary has the id “{term.id}” twice", "an id means one thing", "remove or rename one")
        self.terms[term.id] = term
        for form, name in _own_forms(term).items():
            same_kind = self._of_kind(form, term.kind)
            if same_kind is not None:
                raise BadInput(
                    f"the glossary gives the name “{name}” to “{same_kind.id}” and to “{term.id}”, both {term.kind}",
                    "nobody could tell which is meant",
                    "remove the name from one of them",
                )
            self._enter(form, term)

    def _add_plurals(self, term: Term) -> None:
        """Enter a term under the plurals of its names, where no term of its kind has them for a name."""
        for language, names in term.names.items():
            for form in (plural for name in names for plural in _plurals(_key(name), language)):
                if self._of_kind(form, term.kind) is None:
                    self._enter(form, term)

    def _of_kind(self, form: str, kind: str) -> Term | None:
        return next((other for other in self._forms.get(form, ()) if other.kind == kind), None)

    def _enter(self, form: str, term: Term) -> None:
        self._forms[form] = (*self._forms.get(form, ()), term)
        first, count = form.split(" ", 1)[0], form.count(" ") + 1
        self._longest[first] = max(count, self._longest.get(first, 0))


@functools.cache
def _shipped() -> Glossary:
    """Read the glossary that ships with the project, once."""
    text = importlib.resources.files("knowledge_base").joinpath("terms.csv").read_text(encoding="utf-8")
    return Glossary(_rows(text))


def _rows(text: str) -> Iterator[Term]:
    """Yield the terms of a glossary file, or raise BadInput with the line that is wrong."""
    reader = csv.DictReader(io.StringIO(text), strict=True)
    header = list(reader.fieldnames or ())
    languages = [column for column in header if f"{column}_synonyms" in header]
    missing = (
        {"id", "kind", "scientific", *REQUIRED_LANGUAGES} - {"id", "kind", "scientific"}.intersection(header) - {*languages}
    )
    if missing:
        found = f"the glossary's first line lacks {', '.join(sorted(missing))}"
        raise BadInput(found, "the columns cannot be told apart", "begin with id,kind,scientific,en,en_synonyms,zh,zh_synonyms")
    try:
        for row in reader:
            yield _term(row, languages, reader.line_num)
    except csv.Error as error:
        raise BadInput(f"line {reader.line_num} of the glossary is not CSV ({error})", "its row is lost", "mend it") from error


def _term(row: Mapping[str | None, str | None], languages: Collection[str], line: int) -> Term:
    """Make a term of a row; a row that is not whole, or has an unknown kind, raises BadInput with its line."""
    if None in row or None in row.values():
        found = f"line {line} of the glossary has too many or too few commas"
        raise BadInput(found, "names would land under the wrong language", "use “|” between synonyms and mend the line")
    cells = {column: (cell or "").strip() for column, cell in row.items() if column is not None}
    if not _ID.fullmatch(cells["id"]) or cells["kind"] not in KINDS:
        found = f"line {line} of the glossary has the id “{cells['id']}” and the kind “{cells['kind']}”"
        raise BadInput(
            found, "one of them is not usable", f"write the id like fall-armyworm and a kind of {', '.join(sorted(KINDS))}"
        )
    names = {}
    for language in languages:
        all_names = (cells[language], *cells[f"{language}_synonyms"].split("|"))
        names[language] = tuple(name.strip() for name in all_names if name.strip())
        if language in REQUIRED_LANGUAGES and not _key(cells[language]):
            found = f"line {line} of the glossary has no name in “{language}” for “{cells['id']}”"
            raise BadInput(found, "people who ask in it would not be understood", "write the name")
    return Term(id=cells["id"], kind=cells["kind"], scientific=cells["scientific"], names=MappingProxyType(names))


def _units(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the words of a text, and each Chinese character by itself, folded for comparison, with start and end."""
    for match in _UNIT.finditer(text):
        if match["possessive"] is None:
            unit = _fold(match[0])
            if unit:
                yield unit, match.start(), match.end()


def _fold(word: str) -> str:
    """Return a word without case, accents and full-width letters, so that "Côte" and "ＦＡＷ" are found however typed.

    The vowel signs of Indian scripts stay, which tell a flower (फूल) from a fruit (फल); only the dot below a letter goes.
    """
    if word.isascii():
        return word.lower()
    decomposed = unicodedata.normalize("NFKD", word).casefold()
    folded = "".join(sign for sign in decomposed if sign.isalnum() or ("\u0900" <= sign <= "\u0dff" and sign != "\u093c"))
    return folded[2:] if len(folded) > 4 and folded.startswith("ال") else folded  # the article of Arabic


def _key(text: str) -> str:
    """Return the units of a text joined by spaces: "Lady's Finger" → "lady finger", "番茄" → "番 茄"."""
    return " ".join(unit for unit, _, _ in _units(text))


def _own_forms(term: Term) -> dict[str, str]:
    """Return the folded names of a term, each with its name; of scientific names only two-word ones ("Musa" is a person)."""
    forms = {_key(name): name for names in term.names.values() for name in names}
    if " " in term.scientific and not term.scientific.endswith(" spp."):
        forms[_key(term.scientific)] = term.scientific
    return {form: name for form, name in forms.items() if form}


def _forms(name: str, language: str) -> tuple[str, ...]:
    """Return a folded name and its plurals."""
    return (_key(name), *_plurals(_key(name), language))


def _plurals(key: str, language: str) -> tuple[str, ...]:
    """Return the plurals of a folded name: of the last word in English, of the first, the last or all in Romance languages."""
    if not re.search(r"[a-z]{3}$", key):
        return ()
    if language == "en":
        return _english_plurals(key)
    if language not in _PLURAL_ENDINGS:
        return ()
    words = key.split()
    plural = [_romance_plural(word, language) for word in words]
    every = (" ".join(plural), " ".join((plural[0], *words[1:])), " ".join((*words[:-1], plural[-1])))
    return tuple(form for form in dict.fromkeys(every) if form != key)


def _english_plurals(key: str) -> tuple[str, ...]:
    """Tomato → tomatoes, leaf → leaves, berry → berries."""
    if re.search(r"(ss|x|z|ch|sh)$", key):
        return (f"{key}es",)
    if key.endswith("s"):
        return ()
    if re.search(r"[^aeiou]y$", key):
        return (f"{key[:-1]}ies",)
    if key.endswith("o"):
        return (f"{key}s", f"{key}es")
    if re.search(r"[^f]f$", key):
        return (f"{key}s", f"{key[:-1]}ves")
    return (f"{key}s",)


# How a word without accents forms its plural, first match first.
_PLURAL_ENDINGS = {
    "es": ((r"[sx]$", ""), (r"z$", "ces"), (r"([bdfglnrt])$", r"\1es"), (r"$", "s")),
    "fr": ((r"[sxz]$", ""), (r"al$", "aux"), (r"(eau|eu)$", r"\1x"), (r"$", "s")),
    "pt": ((r"s$", ""), (r"ao$", "oes"), (r"([aeou])l$", r"\1is"), (r"m$", "ns"), (r"([rz])$", r"\1es"), (r"$", "s")),
}
_NEVER_PLURAL = frozenset("de del da do das dos la el le les los las du des en a au aux e y et".split())


def _romance_plural(word: str, language: str) -> str:
    if word in _NEVER_PLURAL or len(word) < 3:
        return word
    pattern, ending = next((pattern, ending) for pattern, ending in _PLURAL_ENDINGS[language] if re.search(pattern, word))
    return word if not ending else re.sub(pattern, ending, word, count=1)
