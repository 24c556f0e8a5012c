"""Tells sound text from damaged text: a small classifier, taught with our own sheets and with damage that we do to them."""

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
FEATURES = 2**16  # hashed groups of letters; 2**18 tells no more on the held-out sheets
_WORD = regex.compile(r"\p{Han}|[^\W\d_]+")
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

    def __init__(self, sound: Sequence[str], seed: int = 0) -> None:
        """Learn from sound texts and from the same texts damaged in five ways."""
        random = Random(seed)
        texts = [piece for text in sound for piece in (text, _part(text, random))]
        broken = [damage(_part(text, random), random) for text in sound for damage in DAMAGES]
        self._groups = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 5), n_features=FEATURES, alternate_sign=False)
        model = LogisticRegression(C=30.0, solver="liblinear", class_weight="balanced", random_state=seed)
        self._model = model.fit(self._numbers([*texts, *broken]), [1] * len(texts) + [0] * len(broken))

    def soundness(self, texts: Sequence[str]) -> Values:
        """Return the probability, 0–1, that each text is sound."""
        found: Values = self._model.predict_proba(self._numbers(texts))[:, 1]
        return found

    def _numbers(self, texts: Iterable[str]) -> csr_matrix:
        kept = list(texts)
        return hstack([self._groups.transform(kept), csr_matrix(np.array([_shape(text) for text in kept]))], format="csr")


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
        sum(line.rstrip()[-1:] in '.!?。！？：:”")）；;' for line in lines) / len(lines),
        min(1.0, sum(map(len, words)) / max(1, len(words)) / 12),
        sum(letter in "|#~^*_<>@$©" for letter in text) / length * 10,
    ]
