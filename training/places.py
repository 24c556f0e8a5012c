"""Where somebody farms, no finer than what advice depends on: a country, a province or a region, never a village."""

from __future__ import annotations

import regex

from knowledge_base.terms import Glossary

_PARTS = regex.compile(r"\s*(?:[,;/|\n，、；]|\s[-–—]\s)\s*")
_PROVINCE = regex.compile(
    r"北京|天津|上海|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川|贵州|云南"
    r"|陕西|甘肃|青海|台湾|内蒙古|广西|西藏|宁夏|新疆|香港|澳门"
)
# A prefecture, else a county: the first of a Chinese address, which goes from the largest to the smallest.
_CITY, _COUNTY = regex.compile(r"^\p{Han}{2,7}?(?:市|州|盟|地区)"), regex.compile(r"^\p{Han}{1,7}?[县区旗]")
_VILLAGE = regex.compile(
    r"[镇乡村屯]|\p{N}|\b(?:village|hamlet|farm|ward|street|st|road|rd|lane|avenue|house|plot|estate|block|my|near|next)\b",
    regex.IGNORECASE,
)
_HAN, _BARE = regex.compile(r"\p{Han}"), 4  # characters of a Chinese place without a word of its kind, such as 石家庄


def coarse(place: str | None, glossary: Glossary) -> str | None:
    """Return the country or region in what somebody wrote as their place, None where only something smaller is named.

    "Kisii, Nyanza, Kenya" is Kenya in any order of its parts; 河北省石家庄市藁城区岗上镇 is 河北; "Kisii" alone stays, because
    nothing tells a region from a town. Of parts that nobody knows the last is taken: addresses end with the largest.
    """
    text = (place or "").strip()
    if province := _PROVINCE.search(text):
        return str(province[0])
    named = [mention.term for mention in glossary.find(text, {"place"})]
    if named:
        names = named[-1].names
        return names["zh" if _HAN.search(text) else "en"][0]
    return _chinese(text) if _HAN.search(text) else _unknown(text)


def _chinese(text: str) -> str | None:
    first = _PARTS.split(text)[0]
    found = _CITY.match(first) or _COUNTY.match(first)
    if found:
        return str(found[0])
    return None if _VILLAGE.search(first) or len(first) > _BARE else first or None


def _unknown(text: str) -> str | None:
    parts = [part for part in _PARTS.split(text) if part and not _VILLAGE.search(part)]
    return parts[-1] if parts else None
