"""Tells sound text from damaged text: a small classifier, taught with our own sheets and with damage that we do to them.

It sees how words follow one another and not which they are, and it learns a second time from the texts that it is to judge:
a filter that knew our sheets alone took nine of ten pages of other manuals for damage, for their words and their line ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from random import Random

import numpy as np
import regex
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression

Values = NDArray[np.float64]
FEATURES = 2**16  # hashed groups of pieces; 2**18 tells no more on the held-out sheets
BETTER_THAN = 0.1  # texts to be judged that seem at least this sound at first teach it the second time
FEWEST = 300  # of our own texts, the second time, however few the others are
_WORD = regex.compile(r"\p{Han}|[^\W\d_]+")
_PIECE = regex.compile(r"[\p{L}\p{M}\p{N}]+(?:['’-][\p{L}\p{M}\p{N}]+)*|\S")
_HAN = regex.compile(r"\p{Han}")
_FUNCTION = frozenset(
    "the a an of in to and or is are was were be been by for from with on at as that this these those it its they their them "
    "which who when where while if then than not no can may will should must has have had do does into between over under "
    "more most less such other each all any both some only also but so because after before during until about up out "
    "there he she his her we our you your i one two first".split()
)
_FUNCTION_HAN = frozenset(
    "的了在和是不有为以用中上下后前时可要或与及等对从而到其这那个种于由使并能会应先再每较大小多少高低内外"
)
_WRONG_LETTERS = {
    "l": "1",
    "o": "0",
    "e": "c",
    "m": "rn",
    "h": "b",
    "i": "!",
    "a": "@",
    "的": "旳",
    "水": "氺",
    "病": "疒丙",
    "土": "士",
}
_BOILERPLATE = (
    "Home | About us | Contact | Sitemap | Login | Subscribe to our newsletter | Share on social media | © All rights reserved",
    "Accept all cookies Manage preferences Click here to read more >> Next page Previous page Back to top Related articles",
    "首页 | 关于我们 | 联系我们 | 登录 | 注册 | 点击这里查看更多 >> 上一页 下一页 返回顶部 版权所有 转载请注明出处",
    "Sign up now! Buy 1 get 1 free!!! Limited offer $$$ www.example.com/?id=123&ref=abc Download PDF Print this page",
)


def shuffled(text: str, random: Random) -> str:
    """Return a text whose words have lost their order."""
    words = text.split() if text.count(" ") > len(text) / 12 else list(text)
    random.shuffle(words)
    return (" " if text.count(" ") > len(text) / 12 else "").join(words)


def misread(text: str, random: Random) -> str:
    """Return a text as a bad scan gives it: letters mistaken, spaces lost or added."""
    out = []
    for letter in text:
        chance = random.random()
        if chance < 0.12:
            out.append(_WRONG_LETTERS.get(letter, random.choice("#~|^*_") if chance < 0.04 else letter + " "))
        elif letter != " " or chance < 0.8:
            out.append(letter)
    return "".join(out)


def boilerplate(text: str, random: Random) -> str:
    """Return a text drowned in what stands around it on a web page."""
    parts = [random.choice(_BOILERPLATE) for _ in range(random.randint(1, 3))]
    return " ".join([*parts, text[: random.randint(0, 60)]])


def repeated(text: str, random: Random) -> str:
    """Return a text that says one piece again and again."""
    start = random.randint(0, max(0, len(text) - 40))
    piece = text[start : start + random.randint(12, 40)]
    return "\n".join([piece] * random.randint(4, 10))


def truncated(text: str, random: Random) -> str:
    """Return scraps of a text, cut inside words, as columns of a page fall apart."""
    cuts = sorted(random.randrange(len(text)) for _ in range(max(4, len(text) // 25)))
    pieces = [text[begin : begin + random.randint(4, 14)] for begin in cuts]
    random.shuffle(pieces)
    return "\n".join(pieces)


DAMAGES: tuple[Callable[[str, Random], str], ...] = (shuffled, misread, boilerplate, repeated, truncated)


class QualityFilter:
    """Gives the probability that a text is sound; taught anew in seconds, so that no file of weights has to be trusted."""

    def __init__(self, sound: Sequence[str], seed: int = 0, judged: Sequence[str] = ()) -> None:
        """Learn from sound texts and the same texts damaged in five ways; then also from those of `judged` that seem sound."""
        self._groups = HashingVectorizer(
            tokenizer=outlines,
            token_pattern=None,
            lowercase=False,
            ngram_range=(1, 3),
            n_features=FEATURES,
            alternate_sign=False,
        )
        self._teach(sound, seed)
        if judged:
            kept = [text for text, found in zip(judged, self.soundness(judged), strict=True) if found >= BETTER_THAN]
            few = min(len(sound), max(len(kept), FEWEST))
            self._teach([*Random(seed).sample(list(sound), few), *kept], seed)

    def _teach(self, sound: Sequence[str], seed: int) -> None:
        random = Random(seed)
        texts = [one for text in sound for one in (text, _part(text, random), _wrapped(_part(text, random), random))]
        texts += [_middle(text, random) for text in sound]
        broken = [damage(_middle(text, random), random) for text in sound for damage in DAMAGES]
        broken += [damage(_part(text, random), random) for text in sound for damage in DAMAGES]
        model = LogisticRegression(C=30.0, solver="liblinear", class_weight="balanced", random_state=seed)
        self._model = model.fit(self._numbers([*texts, *broken]), [1] * len(texts) + [0] * len(broken))

    def soundness(self, texts: Sequence[str]) -> Values:
        """Return the probability, 0–1, that each text is sound."""
        found: Values = self._model.predict_proba(self._numbers(texts))[:, 1]
        return found

    def _numbers(self, texts: Iterable[str]) -> csr_matrix:
        kept = list(texts)
        return hstack([self._groups.transform(kept), csr_matrix(np.array([_shape(text) for text in kept]))], format="csr")


def outlines(text: str) -> list[str]:
    """Return what stands in a text, piece by piece: function words and marks as they are, of other words the outline."""
    found: list[str] = []
    for piece in _PIECE.findall(text):
        low = piece.casefold()
        if low in _FUNCTION:
            found.append(low)
        elif piece.isdigit():
            found.append("9")
        elif _HAN.match(piece):
            found.extend(each if each in _FUNCTION_HAN or not _HAN.match(each) else "汉" for each in piece)
        else:
            found.append(_outline(piece) if piece[0].isalnum() else piece)
    return found


def _outline(word: str) -> str:
    """Return the length of a word in steps, its last two letters, and whether digits or capitals stand inside it."""
    if any(letter.isdigit() for letter in word):
        return "letters and digits"
    vowels = sum(letter in "aeiouy" for letter in word.casefold())
    sounds = "?" if not word.isascii() else "v" if 0 < vowels < len(word) or len(word) == 1 else "x"
    length = next(step for step in (1, 3, 6, 13, 999) if len(word) <= step)
    inner = "I" if word[1:] != word[1:].casefold() and not word.isupper() else ""
    return f"{sounds}{length}{inner}{word[-2:].casefold() if len(word) > 5 else ''}"


def _wrapped(text: str, random: Random) -> str:
    """Return a text with the line ends of a page: sound, though sentences go on over them."""
    width, lines = random.randint(50, 110), [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return "\n".join(lines)


def _middle(text: str, random: Random) -> str:
    """Return a stretch that begins and ends inside sentences, as pieces of long texts do."""
    words = text.split(" ")
    if len(words) < 30:  # Chinese, or too short to lose anything
        return text
    begin = random.randrange(len(words) // 2)
    return _wrapped(" ".join(words[begin : begin + random.randint(len(words) // 3, len(words))]), random)


def _part(text: str, random: Random) -> str:
    """Return a stretch of whole sentences, so that soundness does not depend on length."""
    ends = [found.end() for found in regex.finditer(r"[.!?](?=\s)|[。！？]", text)]
    return text[: random.choice(ends)].strip() if ends else text


def _shape(text: str) -> list[float]:
    """Numbers about a text as a whole, each about 0–1: what groups of letters cannot see."""
    length = max(1, len(text))
    words = _WORD.findall(text)
    lines = [line for line in text.splitlines() if line.strip()] or [text]
    pairs = list(pairwise(words)) or [("", "")]
    return [
        sum(letter.isalpha() for letter in text) / length,
        len(set(lines)) / len(lines),
        len(set(pairs)) / len(pairs),
        min(1.0, sum(map(len, lines)) / len(lines) / 60),
        min(1.0, sum(map(len, words)) / max(1, len(words)) / 12),
        sum(letter in "|#~^*_<>@$©" for letter in text) / length * 10,
    ]
