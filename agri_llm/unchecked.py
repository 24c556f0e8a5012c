"""Words of a model that no passage supports → what of them may stand on the page: descriptions, never advice.

A sentence goes out whole when it holds an amount, a product, a treatment, a link or a name that could be a brand: a stranger
may have written it on the photo for the model to repeat. When in doubt it goes out.
"""

from __future__ import annotations

import unicodedata

import regex

from agri_llm import sentences
from agri_llm.content import folded
from agri_llm.doses import INGREDIENT, has_rate

# What marks up, turns the reading direction round or cannot be seen, but for two joiners (U+200C and D) that Hindi needs.
_MARKUP = regex.compile(r"[<>`*_#|\[\]{}\\~^]|[\p{C}--[\u200c\u200d]]", regex.V1)
_JOINERS = regex.compile("[\u200c\u200d]")
_OTHER_ALPHABET = regex.compile(r"[^\p{Latin}\p{Han}\p{Devanagari}\p{Arabic}\p{Common}\p{Inherited}]")
_LENGTH = regex.compile(
    r"\p{N}+(?:\s?[.,–-]\s?\p{N}+)?\s?(?:毫米|厘米|(?:mm|cm|मिमी|सेमी|مم)(?![\p{L}\p{N}]))", regex.IGNORECASE
)
_NUMBER = regex.compile(r"\p{N}")
_LINK = regex.compile(r"://|@|\bwww\b|\p{L}\.(?:com|org|net|io|cn|info|shop)\b", regex.IGNORECASE)
# A word that is a name: with a capital inside a sentence, in capitals, or in Latin letters among others.
_NAME = regex.compile(r"(?<=[\p{Ll}\d,;:]\s[\"“«(]?)\p{Lu}\p{Ll}{2,}|(?<!\p{L})\p{Lu}{3,}|(?<!\p{L})\p{Lu}\p{Ll}+\p{Lu}|[®™]")
_LATIN = regex.compile(r"\p{Latin}{3,}")
_OTHER_LETTERS = regex.compile(r"[\p{Han}\p{Devanagari}\p{Arabic}]")
_AMOUNT = (
    r"\b(?:ml|cc|kgs?|grams?|kilos?|lit(?:er|re)s?|millilit\w+|spoon\w*|tablespoon\w*|teaspoons?|capfuls?|bottles?|sachets?"
    r"|gramos?|grammes?|gramas?|litros?|cuchara\w*|colher\w*|cuilleres?|gramu|lita|mililita|kijiko|vijiko)\b"
    r"|[一二三四五六七八九十百半两几数]\s?(?:克|升|毫升|公斤|斤|瓶|勺|袋|桶|壶)|毫升|公斤|稀释|兑水|剂量|ग्राम|लीटर|मिली|चम्मच|لتر|ليتر|غرام|جرام|ملعقه"
)
_TREATMENT = (
    r"\b(?:spray\w*|appl(?:y|ie[sd]|ications?)|treat\w*|dos(?:es?|age|ing)|dilut\w*|\w+icides?|chemicals?|medicines?|remed\w+|cures?"
    r"|cured|controls?|controlled|kills?|buy\w*|products?|brands?|recommend\w*|us(?:e|es|ed|ing)|mix\w*|inject\w*|drench\w*"
    r"|pour\w*|eat|drink|safe|helps?|works?|effective|solves?|prevents?|should|must|ignore|instructions?)\b"
    r"|\b(?:rociar?|rocie\w*|pulveri\w+|aplic\w+|tratar?|trate\w*|tratamiento\w*|tratamento\w*|trait(?:er|ez|ement)\w*|dosis|fumig\w+"
    r"|usar?|use|utili[csz]\w+|compr(?:ar?|e)|achet\w+|recom\w*nd\w+|product?os?|produtos?|produits?|remedios?|venenos?|mezcl\w+"
    r"|melang\w+|mistur\w+|appliqu\w+|epand\w+|control[ae]\w*|debe\w*|deve\w*|il faut|hay que)\b"
    r"|喷|施用|施药|用药|打药|农药|药|杀虫|杀菌|除草剂|治疗|防治|购买|产品|使用|推荐|应该|必须"
    r"|छिड़क|दवा|उपचार|इलाज|डालें|डालिए|डालना|डालो|प्रयोग|उपयोग|इस्तेमाल|खरीद|कीटनाश|फफूंदनाश|चाहिए"
    r"|\b(?:\w*nyunyiz\w*|dawa|\w*tibu\w*|matibabu|\w*tumi[ae]\w*|nunua|kipimo|sumu|ki?uatilifu|viuatilifu|lazima)\b"
    r"|رش|مبيد|علاج|عالج|دواء|استخدم|استعمل|استخدام|استعمال|جرعه|اشتر|يجب"
)
_FORBIDDEN = regex.compile(f"{folded(_AMOUNT)}|{folded(_TREATMENT)}", regex.IGNORECASE)


def cleaned(text: str, longest: int) -> str:
    """Return the sentences of a text that may be shown, whole ones up to a number of characters; "" where none may."""
    plain = " ".join(_MARKUP.sub(" ", text).split())
    kept, length = [], 0
    for span in sentences.split(plain):
        length += len(span.text) + 1
        if length > longest:
            break
        if _may_stand(span.text):
            kept.append(span.text)
    return " ".join(kept)


def _may_stand(sentence: str) -> bool:
    """Whether a sentence only says what somebody sees; of numbers, only lengths may.

    Read in its plainest form: wide letters are letters, joiners are nothing, and other alphabets could only disguise a word.
    """
    sentence = unicodedata.normalize("NFKC", _JOINERS.sub("", sentence))
    if _OTHER_ALPHABET.search(sentence):
        return False
    if _NUMBER.search(_LENGTH.sub("", sentence)) or has_rate(sentence) or _LINK.search(sentence):
        return False
    if _FORBIDDEN.search(folded(sentence)) or INGREDIENT.search(sentence):
        return False
    names = _LATIN.search(_LENGTH.sub("", sentence)) if _OTHER_LETTERS.search(sentence) else _NAME.search(sentence)
    return names is None
