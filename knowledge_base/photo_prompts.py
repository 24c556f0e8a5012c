"""The labels of the photo model as texts that a CLIP or SigLIP model compares with photos, in the languages of the glossary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agri_llm.errors import SettingsInvalid
from agri_llm.records import BACKGROUND, HEALTHY
from knowledge_base.photo_labels import labels, sheet_of
from knowledge_base.terms import Glossary

PROBLEMS = frozenset({"disease", "pest", "nutrient", "sign"})


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How a language says what is on a photo; a pest sits on a plant, a disease shows on its leaves."""

    disease: str
    pest: str
    healthy: str
    nothing: tuple[str, ...]
    joined: str


WORDINGS = {
    "en": Wording(
        disease="a photo of {crop} leaves with {problem}",
        pest="a photo of {problem} on {crop}",
        healthy="a photo of healthy green {crop} leaves",
        nothing=("a photo without a plant", "a photo of a thing, a person or an animal"),
        joined=" and ",
    ),
    "zh": Wording(
        disease="患有{problem}的{crop}叶片的照片",
        pest="{crop}上的{problem}的照片",
        healthy="健康的绿色{crop}叶片的照片",
        nothing=("没有植物的照片", "物品、人或动物的照片"),
        joined="和",
    ),
    "es": Wording(
        disease="una foto de hojas de {crop} con {problem}",
        pest="una foto de {problem} en {crop}",
        healthy="una foto de hojas verdes y sanas de {crop}",
        nothing=("una foto sin plantas", "una foto de una cosa, una persona o un animal"),
        joined=" y ",
    ),
    "fr": Wording(
        disease="une photo de feuilles de {crop} avec {problem}",
        pest="une photo de {problem} sur {crop}",
        healthy="une photo de feuilles vertes et saines de {crop}",
        nothing=("une photo sans plante", "une photo d’un objet, d’une personne ou d’un animal"),
        joined=" et ",
    ),
    "pt": Wording(
        disease="uma foto de folhas de {crop} com {problem}",
        pest="uma foto de {problem} em {crop}",
        healthy="uma foto de folhas verdes e saudáveis de {crop}",
        nothing=("uma foto sem plantas", "uma foto de uma coisa, uma pessoa ou um animal"),
        joined=" e ",
    ),
    "hi": Wording(
        disease="{problem} वाली {crop} की पत्तियों की फोटो",
        pest="{crop} पर {problem} की फोटो",
        healthy="{crop} की स्वस्थ हरी पत्तियों की फोटो",
        nothing=("बिना पौधे की फोटो", "किसी वस्तु, व्यक्ति या जानवर की फोटो"),
        joined=" और ",
    ),
    "sw": Wording(
        disease="picha ya majani ya {crop} yenye {problem}",
        pest="picha ya {problem} kwenye {crop}",
        healthy="picha ya majani ya kijani yenye afya ya {crop}",
        nothing=("picha isiyo na mmea", "picha ya kitu, mtu au mnyama"),
        joined=" na ",
    ),
    "ar": Wording(
        disease="صورة لأوراق {crop} مصابة ب{problem}",
        pest="صورة {problem} على {crop}",
        healthy="صورة لأوراق {crop} خضراء سليمة",
        nothing=("صورة بلا نبات", "صورة لشيء أو شخص أو حيوان"),
        joined=" و",
    ),
}


def texts(languages: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return for every label its texts in some languages; of labels that all of them call the same, the first stays."""
    unknown = [language for language in languages if language not in WORDINGS]
    if unknown or not languages:
        raise SettingsInvalid(
            f"AGRI_PHOTO_LANGUAGES names {unknown[0]!r}" if unknown else "AGRI_PHOTO_LANGUAGES names no language",
            "the labels cannot be said in it" if unknown else "the labels cannot be said",
            f"choose from {', '.join(WORDINGS)}, with commas between",
        )
    said: dict[tuple[str, ...], str] = {}
    for label in labels():
        said.setdefault(tuple(text for language in languages for text in _said(label, language)), label)
    return {label: prompts for prompts, label in said.items()}


def _said(label: str, language: str) -> tuple[str, ...]:
    """Return one label in one language."""
    wording = WORDINGS[language]
    if label == BACKGROUND:
        return wording.nothing
    crop, _ = _named(label.split("__")[0], language, frozenset({"crop"}))
    if label.endswith(HEALTHY):
        return (wording.healthy.format(crop=crop),)
    problem, kinds = _named(sheet_of(label) or label, language, PROBLEMS)
    return ((wording.pest if kinds == {"pest"} else wording.disease).format(crop=crop, problem=problem),)


def _named(name: str, language: str, kinds: frozenset[str]) -> tuple[str, set[str]]:
    """Return what a name speaks of in a language, and of which kinds that is; English keeps its own words."""
    glossary, words = Glossary.load(), name.replace("__", " ").replace("-", " ").replace("_", " ")
    found = [each for each in glossary.find(words) if each.term.kind in kinds] or glossary.find(words, kinds)
    names = [each.text if language == "en" else glossary.name(each.term.id, language) for each in found]
    return WORDINGS[language].joined.join(dict.fromkeys(names)) or words, {each.term.kind for each in found}
