"""The second stage of a search: look again, and more closely, at the passages that the first one found.

`InContext` needs no model but the embedder: it looks for each piece of the question among the pieces of a passage, with the
meaning they have there (late interaction: Khattab and Zaharia, ColBERT, SIGIR 2020, arXiv 2004.12832, here with an embedder
that was never trained for it). `CrossEncoder` is a model by name or path, which reads question and passage together.
`SecondLook` puts one of them behind an index; which one, if any, is the setting AGRI_RERANKER.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from agri_llm.errors import ModelMissing
from agri_llm.records import Hit

if TYPE_CHECKING:
    import sentence_transformers

    from knowledge_base.index import KnowledgeBase, View

Pieces = tuple[
    NDArray[np.int64], NDArray[np.floating]
]  # numbers and unit vectors of the tokens of a text, (tokens, dimensions)
Tokens = Callable[[Sequence[str]], list[Pieces]]

RERANKED = 24  # passages looked at again
# Shares of words, meaning and context in the score: a softmax over the passages of each question, fitted on the agxqa and agask
# development questions by benchmarks/retrieval.py, which also says what is left of it on passages never seen.
SHARES = (0.29, 0.22, 0.49)
NEIGHBOURHOOD = 48  # tokens in which the pieces of a question should stand together; 24 and 96 find less (docs/benchmarks.md)
CROSS_ENCODER_SHARE = 0.5  # of its score beside the first one; not fitted, since the model is the user's own
REMEMBERED = 1000  # passages whose tokens are kept, some 80 kB each: questions come back to the same sheets


class Stage(Protocol):
    """Orders the passages found for a question anew."""

    reads_every_language: bool

    def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """Return the same passages, best first."""


class SecondLook:
    """An index whose first passages a second stage orders anew."""

    def __init__(self, base: KnowledgeBase, stage: Stage) -> None:
        """Take an index in a folder or in a database."""
        self._base, self._stage = base, stage

    @property
    def view(self) -> View:
        """The version of the index in use."""
        return self._base.view

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        crop: str | Collection[str] | None = None,
        region: str | None = None,
        language: str | None = None,
        english: str = "",
    ) -> list[Hit]:
        """Search as the index does."""
        return self.search_all([query], k, crop=crop, region=region, language=language, english=[english])[0]

    def search_all(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        crop: str | Collection[str] | None = None,
        region: str | None = None,
        language: str | None = None,
        english: Sequence[str] | None = None,
    ) -> list[list[Hit]]:
        """Search as the index does; of each question the first passages are looked at again."""
        wanted = max(k, RERANKED) if k > 0 else k
        found = self._base.search_all(queries, wanted, crop=crop, region=region, language=language, english=english)
        said = english or [""] * len(queries)
        return [self._ordered(*each)[:k] for each in zip(queries, said, found, strict=True)]

    def _ordered(self, query: str, english: str, hits: list[Hit]) -> list[Hit]:
        """Order the first hits anew; not where the stage cannot read one of them."""
        first = hits[:RERANKED]
        in_english = all(hit.passage.language == "en" for hit in first)
        if not first or not (in_english or self._stage.reads_every_language):
            return hits
        again = self._stage.rerank((in_english and english) or query, first)
        # The scores stay with the places: what reads them (composer, safety) knows the scale of the first stage.
        return [replace(hit, score=place.score) for hit, place in zip(again, first, strict=True)] + hits[RERANKED:]


class InContext:
    """Weighs how near the pieces of a question come to the pieces of each passage."""

    def __init__(
        self, tokens: Tokens, shares: tuple[float, float, float] = SHARES, *, reads_every_language: bool = False
    ) -> None:
        """`tokens` turns texts into the tokens of each, without those that frame it."""
        self._tokens = tokens
        self._shares = shares
        self.reads_every_language = reads_every_language
        self._kept: dict[str, Pieces] = {}
        self._lock = threading.Lock()

    def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """Return the hits by words, meaning and context, best first."""
        words, meaning, context = self._shares
        mixed = [
            words * hit.words + meaning * hit.meaning + context * near
            for hit, near in zip(hits, self.nearness(query, [hit.passage.text for hit in hits]), strict=True)
        ]
        return _ordered(hits, mixed)

    def nearness(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return for each text how near it comes to the whole question within one neighbourhood, 0–1.

        Each token of the question counts by how few of the texts have it, so what all candidates share decides nothing.
        """
        if not texts:
            return []
        (numbers, asked), *found = self._pieces(query, texts)
        having = Counter(number for each, _ in found for number in np.unique(each).tolist())
        frequency = np.array([having[number] for number in numbers.tolist()], dtype=np.float32)
        rarity = np.log1p((len(found) - frequency + 0.5) / (frequency + 0.5))  # as in BM25
        weights = (rarity / max(rarity.sum(), 1e-9)).astype(np.float32)
        return [_nearness(asked, weights, vectors) for _, vectors in found]

    def _pieces(self, query: str, texts: Sequence[str]) -> list[Pieces]:
        """Return the tokens of the question and of the passages; those of passages seen lately are not computed again."""
        with self._lock:
            known = {text: self._kept[text] for text in texts if text in self._kept}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        asked, *found = self._tokens([query, *new])
        known |= {text: (numbers, vectors.astype(np.float16)) for text, (numbers, vectors) in zip(new, found, strict=True)}
        with self._lock:
            for text in texts:  # what was used last goes to the end
                self._kept.pop(text, None)
                self._kept[text] = known[text]
            for text in list(self._kept)[: len(self._kept) - REMEMBERED]:
                del self._kept[text]
        return [asked, *((known[text][0], known[text][1].astype(np.float32)) for text in texts)]


def _nearness(asked: NDArray[np.float32], weights: NDArray[np.float32], vectors: NDArray[np.float32]) -> float:
    """Return the best weighted sum of cosines over all neighbourhoods of a passage, never below 0."""
    if not len(asked) or not len(vectors):
        return 0.0
    cosines = asked @ vectors.T  # (tokens of the question, tokens of the passage)
    size = min(NEIGHBOURHOOD, cosines.shape[1])
    best = np.lib.stride_tricks.sliding_window_view(cosines, size, axis=1).max(axis=2)  # (tokens of the question, places)
    return float(np.clip((weights @ best).max(), 0, 1))


class CrossEncoder:
    """A sentence-transformers CrossEncoder that scores a question and a passage read together; loaded on first use."""

    def __init__(self, name_or_path: str) -> None:
        """Take the name or path of a model whose weights are safetensors; with several outputs the last one counts."""
        self.name = name_or_path
        self.reads_every_language = True  # which ones it knows is the choice of whoever names it
        self._lock = threading.Lock()  # fast tokenizers must not be entered by two threads at once

    def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """Return the hits by the first score and that of the cross-encoder, half and half, best first. Raises ModelMissing."""
        if not hits:
            return []
        pairs = [(query, ". ".join(filter(None, (each.passage.title, each.passage.text)))) for each in hits]
        with self._lock:
            raw = np.asarray(self._model.predict(pairs, batch_size=8, show_progress_bar=False), dtype=np.float64)
        chances = (raw if raw.ndim == 1 else raw[:, -1]).clip(0, 1)  # the model's own sigmoid or softmax comes first
        scores = [(1 - CROSS_ENCODER_SHARE) * hit.score for hit in hits]
        return _ordered(hits, [first + CROSS_ENCODER_SHARE * float(each) for first, each in zip(scores, chances, strict=True)])

    @cached_property
    def _model(self) -> sentence_transformers.CrossEncoder:
        import sentence_transformers
        import torch

        try:
            model = sentence_transformers.CrossEncoder(self.name, model_kwargs={"use_safetensors": True})
        except (OSError, ValueError) as error:
            raise ModelMissing(
                f"The reranker {self.name!r} cannot be loaded ({str(error).splitlines()[0]})",
                "without it passages keep the order of the first search",
                "give the name or path of a CrossEncoder whose weights are safetensors",
            ) from error
        model.activation_fn = torch.nn.Sigmoid() if model.num_labels == 1 else torch.nn.Softmax(dim=-1)
        return model


def _ordered(hits: Sequence[Hit], scores: Sequence[float]) -> list[Hit]:
    """Sort hits by their scores; equal ones keep their order."""
    return [hits[at] for at in sorted(range(len(hits)), key=lambda at: -scores[at])]
