"""The network of a sentence embedder as one compiled graph for the processor, with its weights in 8 bits.

The graph is BERT (Devlin et al. 2019, arXiv 1810.04805) with mean pooling and unit length, as in Sentence-BERT (Reimers and
Gurevych 2019, arXiv 1908.10084), in the operations of OpenVINO. It is made from the checked weights in half a second each time
a process first needs it, so nothing derived lies on disk that could be stale or damaged.

Every weight is rounded to 8 bits with one scale per row. Where the processor multiplies 8-bit numbers without overflow (VNNI),
64 neighbouring values of one token share a scale, so what a text becomes does not depend on the texts beside it; all other
processors multiply the same rounded weights in float32 or bfloat16. Cosines with torch in float32 (benchmarks/embedding.py):
0.999 in the mean, 0.997 at the least.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Weights = Mapping[str, NDArray[np.float32]]

TOKENS_PER_BATCH = 1024  # between 512 and 2048 the speed is the same within the noise; less memory than more
LENGTH_STEP = 8  # lengths are rounded up to this, so that few shapes occur: the first batch of a shape compiles its kernels
VALUES_PER_SCALE = 64  # 128 is a twentieth faster and loses a point of R@1 in meaning alone (benchmarks/embedding.py)


def is_supported(config: Mapping[str, Any]) -> bool:
    """Whether a transformers configuration describes a network that this module can build."""
    return (
        config.get("model_type") == "bert"
        and config.get("hidden_act") == "gelu"
        and config.get("position_embedding_type", "absolute") in ("absolute", None)
        and not config.get("is_decoder")
    )


class Network:
    """Token numbers to unit vectors; compiled once, safe to share between threads, not across a fork."""

    def __init__(self, weights: Weights, config: Mapping[str, Any]) -> None:
        """`weights` and `config` are those of a BertModel that `is_supported`. Raises ImportError or RuntimeError."""
        openvino = _openvino()
        self.dimension = int(config["hidden_size"])
        self._openvino = openvino
        core = openvino.Core()
        abilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.name = "OpenVINO, 8-bit weights, " + ("bfloat16" if "BF16" in abilities else "float32")
        threads = _processors()
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,  # one batch per processor: they never wait for each other
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": VALUES_PER_SCALE,
            "INFERENCE_PRECISION_HINT": "bf16" if "BF16" in abilities else "f32",
        }
        self._streams = threads
        self._compiled = core.compile_model(_Graph(weights, config).model(), "CPU", options)
        self.vectors([[1, 2, 3]])  # some kernels are only looked for now: if there is none, it shall be known before it matters

    def vectors(self, sequences: Sequence[Sequence[int]]) -> Vectors:
        """Return unit vectors of token sequences with their framing tokens, (sequences, dimensions), in the order given."""
        out = np.empty((len(sequences), self.dimension), dtype=np.float32)
        self._run(sequences, lambda request, rows: out.__setitem__(rows, request.get_output_tensor(0).data))
        return out

    def tokens(self, sequences: Sequence[Sequence[int]]) -> list[Vectors]:
        """Return the unit vectors of every token of token sequences, (tokens, dimensions) each, in the order given."""
        out: list[Vectors] = [np.empty((0, self.dimension), dtype=np.float32)] * len(sequences)

        def keep(request: Any, rows: list[int]) -> None:
            data = request.get_output_tensor(1).data  # (rows, tokens, dimensions)
            for at, row in enumerate(rows):
                out[row] = data[at, : len(sequences[row])].copy()

        self._run(sequences, keep)
        return out

    def _run(self, sequences: Sequence[Sequence[int]], keep: Callable[[Any, list[int]], None]) -> None:
        """Compute in batches; `keep` takes what came out of each."""
        plan = list(batches([len(sequence) for sequence in sequences]))
        if len(plan) == 1:
            request = self._compiled.create_infer_request()
            request.infer(_padded(sequences, plan[0]))
            keep(request, plan[0])
        elif plan:
            queue = self._openvino.AsyncInferQueue(self._compiled, min(self._streams, len(plan)))
            queue.set_callback(keep)
            try:
                for rows in plan:
                    queue.start_async(_padded(sequences, rows), rows)
            finally:  # an interruption leaves no work running behind the caller's back
                queue.wait_all()


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Group positions, longest first, so that a batch padded to its longest holds about TOKENS_PER_BATCH tokens."""
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    start = 0
    while start < len(order):
        end = start + max(1, TOKENS_PER_BATCH // _rounded(lengths[order[start]]))
        yield order[start:end]
        start = end


def _rounded(length: int) -> int:
    return -(-max(length, 1) // LENGTH_STEP) * LENGTH_STEP


def _padded(sequences: Sequence[Sequence[int]], rows: Sequence[int]) -> dict[int, NDArray[Any]]:
    """Token numbers and which of them count, both (rows, tokens)."""
    length = _rounded(len(sequences[rows[0]]))
    numbers = np.zeros((len(rows), length), dtype=np.int32)
    counted = np.zeros((len(rows), length), dtype=np.float32)
    for at, row in enumerate(rows):
        numbers[at, : len(sequences[row])] = sequences[row]
        counted[at, : len(sequences[row])] = 1
    return {0: numbers, 1: counted}


def _processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _openvino() -> Any:
    """Import OpenVINO without the package by which it reports every import to its makers; it does without one."""
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # Python then says that there is no such module
    import openvino

    return openvino


class _Graph:
    """Writes the network down in OpenVINO's operations; x is (texts, tokens, width) throughout."""

    def __init__(self, weights: Weights, config: Mapping[str, Any]) -> None:
        from openvino import opset13

        self.op: Any = opset13
        self.weights = weights
        self.layers, self.heads = int(config["num_hidden_layers"]), int(config["num_attention_heads"])
        self.width, self.epsilon = int(config["hidden_size"]), float(config["layer_norm_eps"])

    def model(self) -> Any:
        """The whole network: token numbers and which count, both (texts, tokens), to unit
        vectors of the texts, (texts, width), and of their tokens, (texts, tokens, width)."""
        op = self.op
        numbers, counted = op.parameter([-1, -1], np.int32), op.parameter([-1, -1], np.float32)
        hidden = op.unsqueeze(op.multiply(op.subtract(counted, self.number(1.0)), self.number(1e9)), self.integers([1, 2]))
        x = self.embeddings(numbers)
        for layer in range(self.layers):
            part = f"encoder.layer.{layer}."
            seen = self.linear(self.attention(x, hidden, f"{part}attention.self."), f"{part}attention.output.dense")
            x = self.norm(op.add(x, seen), f"{part}attention.output.LayerNorm")
            thought = op.gelu(self.linear(x, f"{part}intermediate.dense"), "erf")
            x = self.norm(op.add(x, self.linear(thought, f"{part}output.dense")), f"{part}output.LayerNorm")
        # The mean over the tokens that count; a sum will do, for the length becomes 1.
        total = op.reduce_sum(op.multiply(x, op.unsqueeze(counted, self.integers([2]))), self.integers([1]))
        vectors = op.normalize_l2(total, self.integers([1]), 1e-12, "max")
        each = op.normalize_l2(x, self.integers([2]), 1e-12, "max")
        return sys.modules["openvino"].Model([vectors, each], [numbers, counted], "embedder")

    def embeddings(self, numbers: Any) -> Any:
        """What each token means by itself and by its place."""
        op, weights = self.op, self.weights
        places = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
        length = op.gather(op.shape_of(numbers), self.integers([1]), self.integers(0))
        place = op.slice(op.constant(places), self.integers([0]), length, self.integers([1]), self.integers([0]))
        word = op.gather(op.constant(weights["embeddings.word_embeddings.weight"]), numbers, self.integers(0))
        return self.norm(op.add(word, place), "embeddings.LayerNorm")

    def attention(self, x: Any, hidden: Any, part: str) -> Any:
        """What each token takes from the others; `hidden` is far below zero for those that only fill a row."""
        op, size = self.op, self.width // self.heads
        heads, whole = self.integers([0, 0, self.heads, size]), self.integers([0, 0, self.width])
        query, key, value = (op.reshape(self.linear(x, part + name), heads, True) for name in ("query", "key", "value"))
        query = op.multiply(op.transpose(query, self.integers([0, 2, 1, 3])), self.number(size**-0.5))
        scores = op.add(op.matmul(query, op.transpose(key, self.integers([0, 2, 3, 1])), False, False), hidden)
        taken = op.matmul(op.softmax(scores, 3), op.transpose(value, self.integers([0, 2, 1, 3])), False, False)
        return op.reshape(op.transpose(taken, self.integers([0, 2, 1, 3])), whole, True)

    def linear(self, x: Any, part: str) -> Any:
        """A linear layer whose weights are rounded to 8 bits, one scale per row."""
        op, weights = self.op, self.weights[f"{part}.weight"]  # (outputs, inputs)
        scale = np.maximum(np.abs(weights).max(axis=1, keepdims=True), 1e-12) / 127
        rounded = op.constant(np.round(weights / scale).astype(np.int8))
        matrix = op.multiply(op.convert(rounded, np.float32), op.constant(scale.astype(np.float32)))
        return op.add(op.matmul(x, matrix, False, True), op.constant(self.weights[f"{part}.bias"]))

    def norm(self, x: Any, part: str) -> Any:
        """Layer normalisation."""
        op = self.op
        even = op.mvn(x, self.integers([-1]), True, self.epsilon, "INSIDE_SQRT")
        return op.add(op.multiply(even, op.constant(self.weights[f"{part}.weight"])), op.constant(self.weights[f"{part}.bias"]))

    def integers(self, values: int | list[int]) -> Any:
        return self.op.constant(np.array(values, dtype=np.int64))

    def number(self, value: float) -> Any:
        return self.op.constant(np.array(value, dtype=np.float32))
