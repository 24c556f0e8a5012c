"""The second stage of a search: look again, and more closely, at the passages that the first one found.

`InContext` needs no model but the embedder: it looks for each piece of the question among the pieces of a passage, with the
meaning they have there (late interaction: Khattab and Zaharia, ColBERT, SIGIR 2020, arXiv 2004.12832, here with an embedder
that was never trained for it). `Reranker` is a cross-encoder by name or path, which reads question and passage together.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agri_llm.errors import ModelMissing
from agri_llm.records import Hit

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

Pieces = tuple[NDArray[np.int64], NDArray[np.float32]]  # numbers and unit vectors of the tokens of a text, (tokens, dimensions)
Tokens = Callable[[Sequence[str]], list[Pieces]]

RERANKED = 24  # passages looked at again
# Shares of words, meaning and context in the score: a softmax over the passages of each question, fitted on the agxqa and agask
# development questions by benchmarks/retrieval.py, which also says what is left of it on passages never seen.
SHARES = (0.29, 0.22, 0.49)
NEIGHBOURHOOD = 48  # tokens in which the pieces of a question should stand together; 24 and 96 find less (docs/benchmarks.md)
CROSS_ENCODER_SHARE = 0.5  # of its score beside the first one; not fitted, since the model is the user's own


class InContext:
    """Weighs how near the pieces of a question come to the pieces of each passage."""

    def __init__(self, tokens: Tokens, shares: tuple[float, float, float] = SHARES) -> None:
        """`tokens` turns texts into the tokens of each, without those that frame it."""
        self._tokens = tokens
        self._shares = shares

    def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """Return the hits with their scores mixed from words, meaning and context, in 0–1, best first."""
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
        (numbers, asked), *found = self._tokens([query, *texts])
        having = Counter(number for each, _ in found for number in np.unique(each).tolist())
        frequency = np.array([having[number] for number in numbers.tolist()], dtype=np.float32)
        rarity = np.log1p((len(found) - frequency + 0.5) / (frequency + 0.5))  # as in BM25
        weights = (rarity / max(rarity.sum(), 1e-9)).astype(np.float32)
        return [_nearness(asked, weights, vectors) for _, vectors in found]


def _nearness(asked: NDArray[np.float32], weights: NDArray[np.float32], vectors: NDArray[np.float32]) -> float:
    """Return the best weighted sum of cosines over all neighbourhoods of a passage, never below 0."""
    if not len(asked) or not len(vectors):
        return 0.0
    cosines = asked @ vectors.T  # (tokens of the question, tokens of the passage)
    size = min(NEIGHBOURHOOD, cosines.shape[1])
    best = np.lib.stride_tricks.sliding_window_view(cosines, size, axis=1).max(axis=2)  # (tokens of the question, places)
    return float(np.clip((weights @ best).max(), 0, 1))


class Reranker:
    """A sentence-transformers CrossEncoder that scores a question and a passage read together; loaded on first use."""

    def __init__(self, name_or_path: str) -> None:
        """Take the name or path of a model whose weights are safetensors; with several outputs the last one counts."""
        self.name = name_or_path
        self._lock = threading.Lock()  # fast tokenizers must not be entered by two threads at once

    def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """Return the hits with half of each score from the cross-encoder, in 0–1, best first. Raises ModelMissing."""
        if not hits:
            return []
        pairs = [(query, ". ".join(filter(None, (each.passage.title, each.passage.text)))) for each in hits]
        with self._lock:
            raw = np.asarray(self._model.predict(pairs, batch_size=8, show_progress_bar=False), dtype=np.float64)
        chances = (raw if raw.ndim == 1 else raw[:, -1]).clip(0, 1)  # the model's own sigmoid or softmax comes first
        scores = [(1 - CROSS_ENCODER_SHARE) * hit.score for hit in hits]
        return _ordered(hits, [first + CROSS_ENCODER_SHARE * float(each) for first, each in zip(scores, chances, strict=True)])

    @cached_property
    def _model(self) -> CrossEncoder:
        import torch
        from sentence_transformers import CrossEncoder

        try:
            model = CrossEncoder(self.name, model_kwargs={"use_safetensors": True})
        except (OSError, ValueError) as error:
            raise ModelMissing(
                f"The reranker {self.name!r} cannot be loaded ({str(error).splitlines()[0]})",
                "without it passages keep the order of the first search",
                "give the name or path of a CrossEncoder whose weights are safetensors",
            ) from error
        model.activation_fn = torch.nn.Sigmoid() if model.num_labels == 1 else torch.nn.Softmax(dim=-1)
        return model


def _ordered(hits: Sequence[Hit], scores: Sequence[float]) -> list[Hit]:
    """Give hits new scores and sort them; equal ones keep their order."""
    scored = [replace(hit, score=score) for hit, score in zip(hits, scores, strict=True)]
    return sorted(scored, key=lambda hit: -hit.score)
