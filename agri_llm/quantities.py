"""Numbers and units in a text, comparable: "2.5 l/ha" equals "250 ml per 1,000 m²", and never equals "2.5 l per 100 l".

Our own table says what a written unit means; the units library (pint) only ever sees units from that table, because it reads
raw text wrongly ("ac" as attosecond times speed of light). A unit has a kind; quantities are compared within one kind only.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import pint
import regex

_FRACTION = "¼½¾⅐-⅞"
_NUMBER = (
    rf"(?:[1-9]\d{{0,2}}(?:[, '’]\d{{3}}){{1,4}}(?:\.\d{{1,9}})?(?!\d)"  # 1,500 or 1 500
    rf"|(?:\d{{1,3}}[ -])?\d{{1,2}}[/⁄][1-9]\d?(?![\d/])"  # 3/4, 1 1/2
    rf"|\d{{1,15}}(?:[.,]\d{{1,15}})?(?!\d)(?:\s?[{_FRACTION}])?|[{_FRACTION}]|\.\d{{1,15}}(?!\d))"
)
_WORD_LIST = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen"
    " nineteen twenty"
).split()
_NUMBER_WORDS = {word: float(value) for value, word in enumerate(_WORD_LIST, start=1)} | {
    word: float(10 * value) for value, word in enumerate("thirty forty fifty sixty seventy eighty ninety".split(), start=3)
}
_NUMBER_WORDS |= {"half": 0.5, "quarter": 0.25, "twice": 2.0, "thrice": 3.0, "double": 2.0, "两": 2.0, "半": 0.5}
_NUMBER_WORDS |= {word: float(value) for value, word in enumerate("一二三四五六七八九", start=1)}
_TIMES = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "十": 10.0, "百": 1e2, "千": 1e3, "万": 1e4}

# Written form → (kind, unit as pint knows it). Longest written form wins.
_UNITS: dict[str, tuple[str, str]] = {}


def _unit(kind: str, unit: str, *written: str) -> None:
    for form in written:
        _UNITS[form.casefold()] = (kind, unit)


_unit("volume", "milliliter", "ml", "millilitre", "millilitres", "milliliter", "milliliters", "cc", "毫升")
_unit("volume", "liter", "l", "litre", "litres", "liter", "liters", "升")
_unit("volume", "us_gallon", "gal", "gallon", "gallons")
_unit("volume", "us_fluid_ounce", "fl oz", "fl. oz", "fl. oz.", "fl.oz", "fl.oz.", "fluid ounce", "fluid ounces")
_unit("volume per area", "us_gallon / acre", "gpa")
_unit("mass", "milligram", "mg", "milligram", "milligrams", "毫克")
_unit("mass", "gram", "g", "gram", "grams", "gm", "gramme", "grammes", "克")
_unit("mass", "kilogram", "kg", "kgs", "kilo", "kilos", "kilogram", "kilograms", "公斤", "千克")
_unit("mass", "metric_ton", "t", "tonne", "tonnes", "吨")
_unit("mass", "short_ton", "ton", "tons")
_unit("mass", "pound", "lb", "lbs", "pound", "pounds")
_unit("mass", "ounce", "oz", "ounce", "ounces")
_unit("mass", "500 * gram", "斤", "市斤")
_unit("mass", "50 * gram", "两")
_unit("mass", "100 * kilogram", "quintal", "quintals")
_unit("length", "millimeter", "mm", "millimetre", "millimetres", "millimeter", "millimeters", "毫米")
_unit("length", "centimeter", "cm", "centimetre", "centimetres", "centimeter", "centimeters", "厘米", "公分")
_unit("length", "meter", "m", "metre", "metres", "meter", "meters", "米")
_unit("length", "kilometer", "km", "kilometre", "kilometres", "kilometer", "kilometers", "公里")
_unit("length", "inch", "inch", "inches", "in.", '"')
_unit("length", "foot", "ft", "foot", "feet")
_unit("length", "mile", "mile", "miles")
_unit("area", "hectare", "ha", "hectare", "hectares", "公顷", "hm2", "hm²")
_unit("area", "acre", "ac", "acre", "acres", "英亩")
_unit("area", "meter ** 2", "m2", "m²", "sqm", "square metre", "square metres", "square meter", "square meters", "平方米")
_unit("area", "hectare / 15", "亩")
_unit("area", "foot ** 2", "ft2", "ft²", "sq ft", "sq. ft.", "square foot", "square feet")
_unit("area", "centimeter ** 2", "cm2", "cm²")
_unit("volume", "meter ** 3", "m3", "m³", "cubic metre", "cubic metres", "cubic meter", "cubic meters", "立方米")
_unit("time", "hour", "h", "hr", "hrs", "hour", "hours", "小时")
_unit("time", "minute", "min", "minute", "minutes", "分钟")
_unit("time", "day", "day", "days", "天", "日")
_unit("time", "week", "week", "weeks", "周", "星期")
_unit("time", "month", "month", "months", "个月")
_unit("time", "year", "year", "years", "年")
_unit("temperature", "degC", "°c", "° c", "ºc", "degrees celsius", "degree celsius", "degrees c", "℃", "摄氏度", "度")
_unit("temperature", "degF", "°f", "° f", "ºf", "degrees fahrenheit", "degrees f")
_unit("share", "percent", "%", "percent", "per cent", "％")
_unit("share", "percent / 10", "‰")
_unit("share", "ppm", "ppm", "mg/kg", "parts per million")
_unit("share", "ppm / 1000", "ppb", "µg/kg", "ug/kg", "parts per billion")
_unit("acidity", "dimensionless", "ph")

for _thing in "cup tablespoon teaspoon handful bucket bottle bushel barrel feddan bigha kanal katha rai dunam".split():
    _unit(_thing, "dimensionless", _thing, f"{_thing}s")  # no agreed size: compared as written
for _thing in "勺瓶袋包盖把筐":
    _unit(_thing, "dimensionless", _thing)
_unit("times", "dimensionless", "times", "次")
_unit("倍", "dimensionless", "倍")


def _any_of(forms: Iterable[str]) -> str:
    return "|".join(
        regex.escape(form) + (r"(?![\p{L}\p{N}])" if form[-1].isascii() and form[-1].isalnum() else "")
        for form in sorted(forms, key=len, reverse=True)
    )


_FORMS = _any_of(_UNITS)
_PER_FORMS = _any_of(form for form, (kind, _) in _UNITS.items() if kind in ("volume", "mass", "area", "length", "time"))
_THINGS = r"(?:plant|tree|tank|knapsack|seed|bag|heap|hole|leaf|season|株|桶)s?(?![\p{L}])"
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_WORDS = (
    rf"(?:(?i:(?:(?:{_TENS})[ -])?(?:{'|'.join(_WORD_LIST)}|{_TENS}|half|quarter|twice|thrice|double|hundred|thousand)"
    rf"(?:\s(?:hundred|thousand)(?:\s(?:and\s)?(?:{'|'.join(_WORD_LIST)}|{_TENS}))?)?)(?!\p{{L}})"
    rf"|[一二三四五六七八九十百千万两半]{{1,12}}(?=(?i:{_FORMS})|[至到株粒头只片个棵行叶节穴丛茬遍代龄级倍点成]))"
)
_TO = r"\s*-?\s*(?:-|–|—|to\b|(?<=\b[Bb]etween\s+[\d.,]+[^\d.,;]{0,8}\s)and\b|至|到|~|～)\s*"
_BASIS = r"P2O5|K2O|N|P|K|S|Zn|a\.?i\.?|nitrogen|phosphorus|potassium|active (?:ingredient|substance)"
_BASIS_NAMES = {"nitrogen": "n", "phosphorus": "p", "potassium": "k", "active": "ai"}
_QUANTITY = regex.compile(
    rf"""(?P<ph>pH\s*(?:(?:of|about|around|below|above|under|over|between|from|is|at|[<>=≤≥≈~])\s*)?)?
    (?P<minus>(?<![\p{{L}}\p{{N}}.,)\]%])[-−–](?=\d)|\b[Mm]inus\s+)?
    (?<!\p{{Latin}}|\p{{N}}[.,/^-]?)
    (?P<low>{_NUMBER}|{_WORDS}) (?:{_TO}(?P<minus2>[-−](?=\d))?(?P<high>{_NUMBER}|{_WORDS}))?
    (?:\s?(?P<times>(?i:hundred|thousand|million|billion)\b|[百千万](?!克|米)))?
    (?: (?:[\s-]?|(?<=half|quarter)\s+(?:of\s+)?an?\s+) (?P<unit>(?!pH\s?[<>=≤≥\d])(?i:{_FORMS}))
        (?:\s?(?:of\s+)?(?P<basis>{_BASIS})(?![\p{{L}}\p{{N}}]))? )?
    (?: (?: (?:\s+(?!(?:and|or|per|but|then)\b)\p{{L}}[\p{{L}}-]*){{0,3}}?
            (?:\s*/\s*|\s+(?:per|for\ each|for\ every|to\ each)\s+)
            (?P<amount>{_NUMBER})?[\s-]?(?P<per>(?i:{_PER_FORMS})|(?i:{_THINGS})|\p{{L}}++(?![\p{{N}}²³]))
          | (?:\s+an?\s+|\s*每\s*) (?P<amount>{_NUMBER})?\s?(?P<per>(?i:{_PER_FORMS}|{_THINGS}))
          | \s+in\s+ (?P<amount>{_NUMBER})\s?(?P<per>(?i:{_PER_FORMS}))
          | \s*·?\s*(?P<per>(?i:ha|acre|l|kg|m2|m²|day))(?:-1|−1|⁻¹)(?!\d) ) )?""",
    regex.VERBOSE,
)
_PER_ALONE = regex.compile(rf"(?:/\s*|\b(?:per|each|every)\s+|每)(?P<per>(?i:{_PER_FORMS}))")
# Grades, names and powers made of numbers are compared as written: "15-15-15", "2,4-D", "10²".
_CODE = regex.compile(
    r"(?<![\p{L}\p{N}.,])(?:\d+(?:[-:]\d+){2,}|\d,\d(?:,\d)?-[A-Za-z]{1,3}|\d+(?:\^\d+|[⁰¹²³⁴-⁹]+))(?![\p{L}\p{N}])"
)
_LEFT_OVER = regex.compile(r"[\p{L}\p{N}.,/^:-]++")
_DIGIT = regex.compile(rf"[\d{_FRACTION}]")
_MIXED = regex.compile(r"(?:(\d+)[ -])?(\d+)[/⁄](\d+)")
_THOUSANDS = regex.compile(r"[1-9]\d{0,2}(?:[^\d.]\d{3})+(?:\.\d+)?")
_GAP = regex.compile(r"[^\d.]")
# "1.500" is one and a half here and fifteen hundred elsewhere: equal only to itself.
_UNSURE = regex.compile(r"[1-9]\d{0,2}\.\d{3}")
_REPEATED_UNIT = regex.compile(rf"({_NUMBER})\s?((?i:{_FORMS}))(?={_TO}{_NUMBER}\s?(?i:\2)(?!\p{{L}}))")
_HAN = regex.compile(r"\p{Han}")
_SHARE_FIRST = regex.compile(rf"([百千])分之({_NUMBER}(?:{_TO}{_NUMBER})?|[一二三四五六七八九十两]{{1,3}})")
_PAIRS = "|".join(f"{low}(?={high})" for low, high in zip("一二三四五六七八两一", "二三四五六七八九三两", strict=True))
_NEXT_TO = regex.compile(  # 三四天, 两三次: a number and the one after it
    rf"(?<![一二三四五六七八九十百千万])(?:{_PAIRS})(?=[二三四五六七八九两][十个天次周月年米斤亩株粒片代])"
)
_PER_FIRST = regex.compile(
    rf"每\s*(公顷|亩|英亩|平方米|升|千克|公斤|株|桶)"
    rf"(\p{{Han}}{{0,6}}?)\s*({_NUMBER}(?:{_TO}{_NUMBER})?)\s?((?i:{_FORMS}))(?!\s*/)"
)
_DIGITS = str.maketrans("０１２３４５６７８９．％₀₁₂₃₄₅₆₇₈₉", "0123456789.%0123456789")


@dataclass(frozen=True)
class Quantity:
    """A number or range with its unit. `low` and `high` are in base units of `kind`; `kind` is "number" without a unit."""

    kind: str
    low: float
    high: float
    text: str


@cache
def _registry() -> pint.UnitRegistry:
    registry = pint.UnitRegistry(cache_folder=None)
    registry.define("us_gallon = 3.785411784 * liter")
    registry.define("us_fluid_ounce = 29.5735295625 * milliliter")
    return registry


def find(text: str) -> list[Quantity]:
    """Return every number of a text with its unit; what cannot be read as a number ("2,4-D", "M01") is a code, as written."""
    text = _plain(text)
    found = [_code(match.group()) for match in _CODE.finditer(text)]
    text = _CODE.sub(" ", text)
    rest, position = "", 0
    for match in _QUANTITY.finditer(text):
        if _is_word_only(match):
            continue
        found.append(_quantity(match))
        rest += f"{text[position : match.start()]} "
        position = match.end()
    rest += text[position:]
    found.extend(_per_alone(match) for match in _PER_ALONE.finditer(rest))
    found.extend(_code(token) for token in _LEFT_OVER.findall(rest) if _DIGIT.search(token))
    return found


def supported(claimed: Quantity, evidence: list[Quantity]) -> bool:
    """Whether a quantity occurs in the evidence: same kind, same range after conversion, within half a percent."""
    return any(
        claimed.kind == known.kind and _close(claimed.low, known.low) and _close(claimed.high, known.high) for known in evidence
    ) or (claimed.low == claimed.high and any(claimed.kind == known.kind and _end_of(claimed.low, known) for known in evidence))


def _end_of(value: float, known: Quantity) -> bool:
    return _close(value, known.low) or _close(value, known.high)


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= 0.005 * max(abs(one), abs(other)) + 1e-12


def _plain(text: str) -> str:
    """Without citation marks, full-width digits and the first unit of "25 °C to 28 °C"; "60x90" with room around the x."""
    text = regex.sub(r"(?:\[\d{1,3}(?:\s*[,，]\s*\d{1,3})*\]|\s)+", " ", text).translate(_DIGITS)
    if _HAN.search(text):
        text = _chinese(text)
    return str(_REPEATED_UNIT.sub(r"\1", regex.sub(r"(?<=\d)\s?[xX×*]\s?(?=\d)", " × ", text)))


def _chinese(text: str) -> str:
    """Write what Chinese puts before a number behind it (每亩20毫升 as 20毫升/亩, 百分之五 as 五%), and 三四天 as 三至四天."""
    text = _SHARE_FIRST.sub(lambda match: f"{match[2]}{'%' if match[1] == '百' else '‰'}", text)
    text = _NEXT_TO.sub(r"\g<0>至", text)
    return str(_PER_FIRST.sub(r"\2\3\4/\1", text))


def _code(written: str) -> Quantity:
    return Quantity(f"code {written.strip('.,:-').casefold()}", 0.0, 0.0, written)


def _per_alone(match: regex.Match[str]) -> Quantity:
    """ "For each hectare", without a number: the claim must speak of the same unit."""
    kind, unit = _known(match["per"])
    return Quantity(f"per {kind}", _to_base(unit)[0], _to_base(unit)[0], match.group())


def _is_word_only(match: regex.Match[str]) -> bool:
    """ "One farmer" is a word, "one week" a quantity, "five plants" a number."""
    alone = not any(match.group("unit", "high", "per", "times"))
    return alone and match["low"].casefold() in ("one", "quarter", "一")


def _quantity(match: regex.Match[str]) -> Quantity:
    low = _number(match["low"]) * (-1 if match["minus"] else 1)
    high = low if match["high"] is None else _number(match["high"]) * (-1 if match["minus2"] else 1)
    kind, scale, offset = _meaning(match)
    kind = " ".join((kind, *(one for one in match.group("low", "high", "amount") if one and _UNSURE.fullmatch(one))))
    times = _TIMES[match["times"].casefold()] if match["times"] else 1.0
    ends = (low * times * scale + offset, high * times * scale + offset)
    return Quantity(kind, min(ends), max(ends), match.group().strip())


def _number(written: str) -> float:
    written = written.strip().casefold()
    if not _DIGIT.search(written):
        return _spoken(written)
    if parts := _MIXED.fullmatch(written):
        return float(parts[1] or 0) + float(parts[2]) / float(parts[3])
    fraction = unicodedata.numeric(written[-1]) if not written[-1].isdigit() else 0.0
    digits = written[:-1].rstrip() if fraction else written
    if _THOUSANDS.fullmatch(digits):
        digits = _GAP.sub("", digits)
    return (float(digits.replace(",", ".")) if digits else 0.0) + fraction


def _spoken(words: str) -> float:
    """ "twenty-five", "two hundred", "二十五" as a number."""
    total = current = 0.0
    for word in regex.findall(r"\p{Han}|\p{L}+", words):
        if word in _TIMES:
            total, current = total + (current or 1.0) * _TIMES[word], 0.0
        else:
            current += _NUMBER_WORDS.get(word, 0.0)
    return total + current


def _known(written: str) -> tuple[str, str]:
    return _UNITS["tonne"] if written == "Mg" else _UNITS[written.casefold()]


def _meaning(match: regex.Match[str]) -> tuple[str, float, float]:
    """Return (kind, factor, offset) that bring the written number to base units of its kind."""
    kind, unit = ("acidity" if match["ph"] else "number", "dimensionless") if match["unit"] is None else _known(match["unit"])
    scale, offset = _to_base(unit)
    if match["basis"]:
        basis = match["basis"].casefold().replace(".", "")
        kind = f"{kind} of {_BASIS_NAMES.get(basis.split()[0], basis)}"
    if match["per"] is None:
        return kind, scale, offset
    amount = _number(match["amount"]) if match["amount"] else 1.0
    per = match["per"]
    if per == "A":
        per = "acre"
    if per.casefold() not in _UNITS:  # per plant, per tank: never converted into anything else
        return f"{kind} per {per.casefold().rstrip('s')}", scale / (amount or 1.0), 0.0
    per_kind, per_unit = _known(per)
    return f"{kind} per {per_kind}", scale / ((amount or 1.0) * _to_base(per_unit)[0]), 0.0


@cache
def _to_base(unit: str) -> tuple[float, float]:
    registry = _registry()
    if unit == "degC":
        return 1.0, 0.0
    if unit == "degF":
        return 5 / 9, -32 * 5 / 9
    return float(registry.parse_expression(unit).to_base_units().magnitude), 0.0
