"""Takes out of a text what tells who wrote it or where: addresses, telephone numbers, names after words that announce them.

Data to learn from and what experts are shown of farmers' questions go through it.
"""

from __future__ import annotations

from collections.abc import Callable

import regex

EMAIL, PHONE, PLACE, NAME = "[e-mail]", "[phone]", "[place]", "[name]"

_EMAIL = regex.compile(r"[\p{L}\p{N}._%+-]+\s?@\s?[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)*\.\p{L}{2,}")
# A telephone number: with a country code, in the American groups, or a Chinese mobile or area number. Years, codes of
# fertilisers and ranges have fewer digits or other groups.
_PHONE = regex.compile(
    r"(?<![\p{N}.+\-/])(?:"
    r"\+\d{1,3}[\s.-]?(?:\(\d{1,4}\)[\s.-]?)?\d{2,4}(?:[\s.-]?\d{2,4}){1,4}"
    r"|\(\d{3}\)\s?\d{3}[\s.-]\d{4}|\d{3}[.-]\d{3}[.-]\d{4}|\d{3} \d{3} \d{4}"
    r"|1[3-9]\d[\s-]?\d{4}[\s-]?\d{4}|0\d{2,3}-\d{7,8}"
    r")(?![\p{N}]|[.-]\d)"
)
_CALLED = regex.compile(
    r"((?:\b(?:tel(?:ephone)?|phone|mobile|cell|whats ?app|call(?: me)?(?: at| on)?)\b|电话|手机|微信)[\s.:：号码是]*)"
    r"(\+?\d[\d\s().-]{6,16}\d)",
    regex.IGNORECASE,
)
_COORDINATES = regex.compile(
    r"(?<![\p{N}.])-?\d{1,3}\.\d{3,}\s*°?\s*[NS]?\s*[,;/ ]\s*-?\d{1,3}\.\d{3,}(?:\s*°)?(?:\s*[EW]\b)?(?![\p{N}]|\.\d)"
    r"|\d{1,3}\s?°\s?\d{1,2}(?:\.\d+)?\s?['′](?:\s?\d{1,2}(?:\.\d+)?\s?[\"″])?\s?[NS][\s,;]+"
    r"\d{1,3}\s?°\s?\d{1,2}(?:\.\d+)?\s?['′](?:\s?\d{1,2}(?:\.\d+)?\s?[\"″])?\s?[EW]"
)
# A capital letter decides in scripts that have them, a surname's length in Chinese.
_PROPER = r"\p{Lu}[\p{L}'’-]+(?:\s\p{Lu}(?:[\p{L}'’-]+|\.))*"
_NAMED = regex.compile(
    rf"((?i:\bmy name is|\bi am called|\bsincerely|\bbest regards|\bkind regards|\bregards|\bthank you|\bthanks|\bcheers"
    rf"|\bcontact person:|\bname:|\bsigned|\bwritten by|\bauthor:)[,:!.]?\s{{1,3}})({_PROPER})(?=[\s.,;!?]|$)"
    rf"|(\b(?:Dr|Mr|Mrs|Ms|Prof)\.?\s)({_PROPER})"
    r"|((?:我叫|我的名字(?:是|叫)|姓名[：:]|联系人[：:]|作者[：:])\s?)(\p{Han}{2,4})(?=\P{Han}|$|是|在|来)"
)
_NOT_NAMES = frozenset(
    "So For In I The What How My We Is This Very Again Any Please On If It Typically First Regards Respectfully You".split()
)


def scrubbed(text: str) -> tuple[str, dict[str, int]]:
    """Return a text with a mark in place of each piece of personal data, and how many of each kind there were."""
    counts: dict[str, int] = {}

    def put(kind: str, mark: str) -> Callable[[regex.Match[str]], str]:
        def replaced(_: regex.Match[str]) -> str:
            counts[kind] = counts.get(kind, 0) + 1
            return mark

        return replaced

    def named(found: regex.Match[str]) -> str:
        before, name = next((found[at] or "", found[at + 1]) for at in (1, 3, 5) if found[at + 1])
        if name.split()[0] in _NOT_NAMES or (name.isupper() and name.isascii()):
            return str(found[0])
        counts["name"] = counts.get("name", 0) + 1
        return f"{before}{NAME}"

    def called(found: regex.Match[str]) -> str:
        counts["phone"] = counts.get("phone", 0) + 1
        return f"{found[1]}{PHONE}"

    if "@" in text:
        text = _EMAIL.sub(put("e-mail", EMAIL), text)
    text = _COORDINATES.sub(put("place", PLACE), text)
    text = _PHONE.sub(put("phone", PHONE), _CALLED.sub(called, text))
    return _NAMED.sub(named, text), counts


_BETWEEN = regex.compile(r"\s*[,;/|\n，、；]\s*")
_SMALL = regex.compile(
    r"\p{N}|\b(?:village|hamlet|farm|ward|street|st|road|rd|lane|avenue|house|plot|estate|block|my|near|next)\b",
    regex.IGNORECASE,
)
_TO_THE_COUNTY = regex.compile(r"\p{Han}*[县区旗市州盟省]")


def district(place: str | None) -> str | None:
    """Return a place without what is smaller than a district: farms, streets, villages, numbers; None where nothing is left.

    "Kiptere village, Kericho, Kenya" is "Kericho, Kenya"; 河北省石家庄市藁城区岗上镇 ends with its district 藁城区.
    What no word tells from a district stays.
    """
    kept = []
    for part in _BETWEEN.split(scrubbed((place or "").strip())[0]):
        larger = _TO_THE_COUNTY.match(part)
        if larger:
            kept.append(larger[0])
        elif part and not _SMALL.search(part) and not regex.search(r"[镇乡村屯]", part) and not part.startswith("["):
            kept.append(part)
    return ", ".join(kept) or None
