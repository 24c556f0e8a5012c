"""Numbers and units in a text, comparable: "2.5 l/ha" equals "250 ml per 1,000 m²", and never equals "2.5 l per 100 l".

Our own table says what a written unit means; the units library (pint) only ever sees units from that table, because it reads
raw text wrongly ("ac" as attosecond times speed of light). A unit has a kind; quantities are compared within one kind only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pint
import regex

_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)?(?:\s?[½¼¾])?|[½¼¾]"
_FRACTIONS = {"½": 0.5, "¼": 0.25, "¾": 0.75}
_NUMBER_WORDS = {
    word: value
    for value, word in enumerate(
        [
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty",
        ],
        start=1,
    )
} | {"half": 0.5, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "hundred": 100}

# Written form → (kind, unit as pint knows it). Longest written form wins.
_UNITS: dict[str, tuple[str, str]] = {}


def _unit(kind: str, unit: str, *written: str) -> None:
    for form in written:
        _UNITS[form] = (kind, unit)


_unit("volume", "milliliter", "ml", "millilitre", "millilitres", "milliliter", "milliliters", "cc", "毫升")
_unit("volume", "liter", "l", "litre", "litres", "liter", "liters", "升")
_unit("volume", "us_gallon", "gal", "gallon", "gallons")
_unit("volume", "us_fluid_ounce", "fl oz", "fluid ounce", "fluid ounces")
_unit("mass", "milligram", "mg", "milligram", "milligrams", "毫克")
_unit("mass", "gram", "g", "gram", "grams", "gm", "gramme", "grammes", "克")
_unit("mass", "kilogram", "kg", "kgs", "kilo", "kilos", "kilogram", "kilograms", "公斤", "千克")
_unit("mass", "metric_ton", "t", "tonne", "tonnes", "吨")
_unit("mass", "short_ton", "ton", "tons")
_unit("mass", "pound", "lb", "lbs", "pound", "pounds")
_unit("mass", "ounce", "oz", "ounce", "ounces")
_unit("mass", "500 * gram", "斤")
_unit("mass", "100 * kilogram", "quintal", "quintals")
_unit("length", "millimeter", "mm", "millimetre", "millimetres", "millimeter", "millimeters", "毫米")
_unit("length", "centimeter", "cm", "centimetre", "centimetres", "centimeter", "centimeters", "厘米")
_unit("length", "meter", "m", "metre", "metres", "meter", "meters", "米")
_unit("length", "kilometer", "km", "kilometre", "kilometres", "kilometer", "kilometers", "公里")
_unit("length", "inch", "inch", "inches", "in.", '"')
_unit("length", "foot", "ft", "foot", "feet")
_unit("length", "mile", "mile", "miles")
_unit("area", "hectare", "ha", "hectare", "hectares", "公顷")
_unit("area", "acre", "ac", "acre", "acres", "英亩")
_unit("area", "meter ** 2", "m2", "m²", "sqm", "square metre", "square metres", "square meter", "square meters", "平方米")
_unit("area", "hectare / 15", "亩")
_unit("time", "hour", "h", "hr", "hrs", "hour", "hours", "小时")
_unit("time", "minute", "min", "minute", "minutes", "分钟")
_unit("time", "day", "day", "days", "天", "日")
_unit("time", "week", "week", "weeks", "周", "星期")
_unit("time", "month", "month", "months", "个月")
_unit("time", "year", "year", "years", "年")
_unit("temperature", "degC", "°c", "° c", "ºc", "degrees celsius", "degree celsius", "degrees c", "℃", "摄氏度")
_unit("temperature", "degF", "°f", "° f", "ºf", "degrees fahrenheit", "degrees f")
_unit("share", "percent", "%", "percent", "per cent", "％")
_unit("share", "ppm", "ppm", "mg/kg", "parts per million")
_unit("share", "ppb", "ppb", "µg/kg", "ug/kg", "parts per billion")
_unit("acidity", "dimensionless", "ph")

_PER = {"volume": "volume", "mass": "mass", "area": "area", "length": "length", "time": "time"}
_FORMS = "|".join(
    regex.escape(form) + (r"(?![\p{L}\p{N}])" if form[-1].isascii() and form[-1].isalnum() else "")
    for form in sorted(_UNITS, key=len, reverse=True)
)
_WORDS = "|".join(_NUMBER_WORDS)
_THINGS = "plants?|trees?|tanks?|knapsacks?|seeds?|bags?|heaps?|株|桶"
_QUANTITY = regex.compile(
    rf"""(?<![A-Za-z\p{{N}}.,/-])
    (?P<ph>pH\s*(?:(?:of|about|around|below|above|between)\s*)?)?
    (?: (?P<low>{_NUMBER}) (?:-?\s*(?:-|–|—|to\b|and\b|至|到|~|～)\s*(?P<high>{_NUMBER}))?
      | (?P<word>(?i:{_WORDS}))\b (?:\s+(?:-|–|to)\s*(?P<word2>(?i:{_WORDS}))\b)? )
    (?: [\s-]? (?P<unit>(?i:{_FORMS}))
        (?: \s*(?:/|per|a|an|每)\s*(?P<amount>{_NUMBER})?\s?(?P<per>(?i:{_FORMS}|{_THINGS})) )?
    )?""",
    regex.VERBOSE,
)
# Grades and names made of numbers are compared as written: "15-15-15", "2,4-D".
_CODE = regex.compile(r"(?<![\p{L}\p{N}.,])(?:\d+(?:[-:]\d+){2,}|\d,\d(?:,\d)?-[A-Z]{1,3})(?![\p{L}\p{N}])")


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
    """Return the codes, then all numbers of a text with their units, in order."""
    text = _without_markers(text)
    found = [Quantity(f"code {match.group()}", 0.0, 0.0, match.group()) for match in _CODE.finditer(text)]
    for match in _QUANTITY.finditer(_CODE.sub(" ", text)):
        if match["word"] and not match["unit"]:
            continue  # "one farmer" is a word, "two weeks" a quantity
        found.append(_quantity(match))
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


def _without_markers(text: str) -> str:
    return str(regex.sub(r"\[\d{1,3}(?:\s*,\s*\d{1,3})*\]", " ", text))


def _quantity(match: regex.Match[str]) -> Quantity:
    low = _NUMBER_WORDS[match["word"].lower()] if match["word"] else _number(match["low"])
    second = match["word2"] or match["high"]
    high = low if second is None else _NUMBER_WORDS[second.lower()] if match["word2"] else _number(second)
    kind, scale, offset = _meaning(match)
    low, high = (low * scale + offset, high * scale + offset)
    return Quantity(kind, min(low, high), max(low, high), match.group().strip())


def _number(written: str) -> float:
    fraction = next((value for sign, value in _FRACTIONS.items() if sign in written), 0.0)
    digits = written.rstrip("½¼¾ ")
    if regex.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", digits):
        digits = digits.replace(",", "")
    return (float(digits.replace(",", ".")) if digits else 0.0) + fraction


def _meaning(match: regex.Match[str]) -> tuple[str, float, float]:
    """Return (kind, factor, offset) that bring the written number to base units of its kind."""
    if match["unit"] is None:
        return ("acidity" if match["ph"] else "number"), 1.0, 0.0
    kind, unit = _UNITS[match["unit"].lower()]
    scale, offset = _to_base(unit)
    if match["per"] is None:
        return kind, scale, offset
    amount = _number(match["amount"]) if match["amount"] else 1.0
    per = _UNITS.get(str(match["per"]).lower())
    if per is None:  # per plant, per tank: never converted into anything else
        return f"{kind} per {str(match['per']).lower().rstrip('s')}", scale / amount, 0.0
    return f"{kind} per {per[0]}", scale / (amount * _to_base(per[1])[0]), 0.0


@cache
def _to_base(unit: str) -> tuple[float, float]:
    registry = _registry()
    if unit == "degC":
        return 1.0, 0.0
    if unit == "degF":
        return 5 / 9, -32 * 5 / 9
    return float(registry.Quantity(1, unit).to_base_units().magnitude), 0.0
