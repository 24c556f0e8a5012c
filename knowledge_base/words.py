"""Text to the words that the word half of a search counts (postings.py), by the rules of its language.

European languages, Hindi and Arabic are stemmed (Snowball), Chinese is cut into words (jieba); codes, numbers and product names
stay whole and in parts in every language, accents are left out.
"""

from __future__ import annotations

import threading
import unicodedata
from functools import lru_cache

import regex
import rjieba
import Stemmer

# Names what a word index depends on, with the cutting of sentences (agri_llm/sentences.py), whose vectors stand beside it; an
# index made otherwise is refused.
TOKENIZER_VERSION = "words-3 sentences-1"

# Snowball stemmers by language; others, like Swahili, have none and keep their words as they stand.
_STEMMERS = {
    "ar": "arabic", "de": "german", "en": "english", "es": "spanish", "fr": "french", "hi": "hindi", "id": "indonesian",
    "it": "italian", "ne": "nepali", "nl": "dutch", "pt": "portuguese", "ru": "russian", "ta": "tamil", "tr": "turkish",
}  # fmt: skip

# Scripts written without spaces are cut into overlapping pieces of two characters.
_NO_SPACES = r"[[\p{L}\p{M}\p{N}]&&[\p{Han}\p{Hiragana}\p{Katakana}ー\p{Thai}\p{Khmer}\p{Lao}\p{Myanmar}]]"
_CHARACTER = rf"[[\p{{L}}\p{{M}}\p{{N}}]--{_NO_SPACES}]"
# A word keeps its inner points, hyphens and slashes, so that "2,4-D", "15-15-15" and "6.5" stay whole.
_WORD = regex.compile(rf"(?P<run>{_NO_SPACES}+)|{_CHARACTER}+(?:[.,'’\-/]{_CHARACTER}+)*", regex.V1)
_PART = regex.compile(r"[\p{L}\p{M}\p{N}]+")
_HAN = regex.compile(r"\p{Han}")
_LATIN = regex.compile(r"\p{Latin}")
# Our own lists: the usual ones throw away "no" and "not", which turn advice round.
STOP_WORDS = frozenset(
    """a an and are as at be been being but by can could did do does for from had has have how i if in into is it its me my of
    on or our should so such than that the their them then there these they this to was we were what when where which who why
    will with would you your am about some any im""".split()
)

_STOP_WORDS = {
    "en": STOP_WORDS,
    "es": frozenset(
        """a al como con cual cuales cuando cuanto de del donde e el en es esta este esto hay la las le les lo los me mi mis o
        para pero por porque que se son su sus tengo tiene un una unos y ya""".split()
    ),
    "fr": frozenset(
        """a ai au aux avec ce ces cette comment d dans de des donc du elle en est et il ils j je l la le les leur m ma mais mes
        mon n ou par pour pourquoi qu quand que quel quelle quelles quels qui s sa se ses son sont sur un une""".split()
    ),
    "pt": frozenset(
        """a ao aos as com como da das de do dos e em essa esse esta este eu ha isso mas me meu meus minha minhas na nas no nos
        o os ou para pela pelo por porque qual quais quando que se são seu sua tem tenho um uma""".split()
    ),
    "hi": frozenset(
        """का के की को में से पर है हैं हो और या यह ये वह वे क्या कैसे कब क्यों कौन कहाँ कहां मेरे मेरी मेरा हमारे तो भी ही ने
        लिए करें करूं करूँ रहे रहा रही था थे थी""".split()
    ),
    "sw": frozenset(
        """ya wa la za na ni kwa katika cha vya pa ku kwenye je nini gani vipi lini wapi nani yangu langu zangu wangu changu hii
        hizi huu hiyo hizo au kama ili""".split()
    ),
    "ar": frozenset("في من على عن الى إلى ما ماذا كيف متى أين هل و أو التي الذي هذا هذه هو هي ان أن مع عند لي".split()),
    "zh": frozenset(
        """的 了 吗 呢 啊 吧 是 在 和 与 及 或 也 就 都 很 把 被 给 让 我 我们 我的 你 怎么 怎样 如何 什么 哪些
        请问 这 那 有 要 该 会 能 可以 为什么 怎么办""".split()
    ),
}


# Around the longer ones a text is cut, so that no pair of characters reaches into them.
_QUESTION_WORDS = regex.compile("|".join(sorted((word for word in _STOP_WORDS["zh"] if len(word) > 1), key=len, reverse=True)))


def words(text: str, language: str = "en") -> list[str]:
    """Return the index words of a text, in order: lower case, stems, codes and numbers kept whole and in parts.

    A language that has no stemmer keeps its words whole. Chinese gives the words of a dictionary and overlapping pairs of
    characters, which also find names that no dictionary has.
    """
    stop_words = _STOP_WORDS.get(language, frozenset())
    found: list[str] = []
    for match in _WORD.finditer(text.lower()):
        whole = match.group()
        if match["run"]:
            found.extend(_of_run(whole))
            continue
        if whole.isalnum():  # one part, as nearly all words are
            if whole not in stop_words:
                found.append(_stem(whole, language))
            continue
        parts = _PART.findall(whole)
        if len(parts) > 1:
            found.append(_without_accents(whole.replace("’", "'")))
        found.extend(_stem(part, language) for part in parts if part not in stop_words and not (len(parts) > 1 and part == "s"))
    return found


def _of_run(run: str) -> list[str]:
    """Return the words of a text without spaces: pairs of characters, and where it is Chinese the words of the dictionary."""
    if not _HAN.search(run):
        return _pairs(run)
    found: list[str] = []
    for part in _QUESTION_WORDS.split(run):
        found.extend(word for word in rjieba.cut_for_search(part) if len(word) > 1)
        found.extend(_pairs(part) if part else ())
    return found


def _pairs(run: str) -> list[str]:
    return [run[start : start + 2] for start in range(max(len(run) - 1, 1))]


_stemmers = threading.local()  # Snowball stemmers keep state and may not be shared by threads


@lru_cache(maxsize=200_000)
def _stem(word: str, language: str) -> str:
    algorithm = _STEMMERS.get(language)
    if algorithm is None:
        return _without_accents(word)
    if not hasattr(_stemmers, algorithm):
        setattr(_stemmers, algorithm, Stemmer.Stemmer(algorithm))
    stem: str = getattr(_stemmers, algorithm).stemWord(word)
    return _without_accents(stem)


def _without_accents(word: str) -> str:
    """Leave accents out where people often do: on Latin letters alone, elsewhere they are letters of their own."""
    if word.isascii() or not _LATIN.search(word):
        return word
    return "".join(letter for letter in unicodedata.normalize("NFD", word) if not unicodedata.combining(letter))
