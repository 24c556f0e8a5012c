"""How much memory a training takes, by part, before anything is loaded.

The formulas count what autograd keeps in TRL 1.16 with transformers 5.23 for decoders like Llama and Qwen2. What they are worth
is measured by benchmarks/train_memory.py; the tests hold them to 15 % of what torch allocates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from training.architecture import Architecture

Kernel = Literal["sdpa", "flash"]
Device = Literal["gpu", "cpu"]

GIB = 1024**3
NF4_BLOCK, NF4_OUTER = 64, 256  # elements that share a constant, constants that share one (QLoRA, arXiv 2305.14314, section 3)
NF4_TABLES = 4 * (256 + 16 + 1)  # bytes: the code of the constants, the code of the weights, an offset; for each matrix
EIGHT_BIT_BLOCK, EIGHT_BIT_LEAST = 256, 4096  # bitsandbytes 0.50: block of a state; smaller tensors keep 32 bits
TILE_ROWS, TILE_COLUMNS = 4096, 32768  # the fused loss of TRL 1.16 looks at so many tokens and words at a time
EAGER_TILE = 29  # bytes for each element of a tile where there is no Triton: seven float32 and a mask (TRL, _backward_tile)
PLAIN_LOGITS = 14  # bytes a logit without a fused loss: bfloat16, float32, its log softmax, its gradient
# How many wide (feed-forward) and narrow (hidden) rows the backward pass of a layer holds beside what was kept.
BACKWARD_WIDE, BACKWARD_NARROW = 3, 4


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What of a training decides about its memory; sizes in tokens, `weight_bytes` for what is not in 4 bits."""

    quantised: bool
    full: bool = False  # all weights are trained
    rank: int = 16
    sequence_length: int = 2048
    batch_size: int = 1
    gradient_accumulation: int = 1
    packing: bool = True
    checkpointing: bool = True
    fused_loss: bool = True
    optimiser: str = "adamw_torch_fused"
    kernel: Kernel = "sdpa"
    weight_bytes: int = 2
    adapter_bytes: int = 4  # adapters are trained in float32
    autocast: bool = True  # products in bfloat16
    device: Device = "gpu"
    trained_share: float = 1.0  # tokens that the loss looks at

    @property
    def tokens(self) -> int:
        """Tokens of one pass through the model."""
        return self.sequence_length * self.batch_size

    @property
    def compute_bytes(self) -> int:
        """Bytes of a number in a matrix product."""
        return 2 if self.autocast else self.weight_bytes

    @property
    def masked(self) -> bool:
        """Whether attention gets a square of what may see what; flash attention needs none."""
        return self.kernel == "sdpa" and (self.packing or self.batch_size > 1)


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes by part, and what three moments of a step need; the largest is the peak."""

    weights: int
    constants: int
    adapters: int
    gradients: int
    optimiser: int
    activations: int  # kept from the forward pass
    loss: int  # the head and the loss, while they run
    backward: int  # one layer going backwards, computed again where activations are not kept
    moments: dict[str, int]

    @property
    def peak(self) -> int:
        """The most that is held at any time, in bytes."""
        return max(self.moments.values())


def estimate(architecture: Architecture, shape: Shape) -> Memory:
    """Estimate what one process needs for a step of a training."""
    weights, constants = _weights(architecture, shape)
    adapters = architecture.adapter * shape.adapter_bytes
    gradients = architecture.base * shape.weight_bytes if shape.full else adapters
    states = _states(architecture, shape)
    kept, layer = _activations(architecture, shape)
    loss, backward = _loss(architecture, shape), _backward(architecture, shape)
    always = weights + constants + adapters + states
    before = gradients if shape.gradient_accumulation > 1 else 0
    of_head = 0 if before else _gradients_of_head(architecture, shape)
    again = layer if shape.checkpointing else 0
    moments = {
        "loss": always + before + kept + loss,
        "backward begins": always + before + of_head + kept + again + backward,
        "backward ends": always + gradients + layer + backward,
        "step": always + gradients,
    }
    return Memory(
        weights=weights, constants=constants, adapters=adapters, gradients=gradients, optimiser=states,
        activations=kept, loss=loss, backward=again + backward, moments=moments,
    )  # fmt: skip


def _weights(architecture: Architecture, shape: Shape) -> tuple[int, int]:
    """Weights, and the constants by which 4-bit ones are multiplied."""
    if not shape.quantised:
        return architecture.base * shape.weight_bytes, 0
    others = architecture.base - sum(architecture.linear)
    blocks = [-(-elements // NF4_BLOCK) for elements in architecture.linear]
    constants = sum(count + 4 * -(-count // NF4_OUTER) + NF4_TABLES for count in blocks)
    return sum(architecture.linear) // 2 + others * shape.weight_bytes, constants


def _states(architecture: Architecture, shape: Shape) -> int:
    """Two moments for each trained number; of SGD none, of Adafactor about none, of Lion one."""
    name = shape.optimiser
    moments = 0 if name in ("sgd", "adafactor") else 1 if "lion" in name else 2
    own = shape.weight_bytes if shape.full else shape.adapter_bytes
    # Norms and biases are told apart only as a whole; they are too few to matter.
    trained = (
        (*architecture.linear, architecture.embeddings, architecture.head, architecture.small)
        if shape.full
        else architecture.adapters
    )
    if "8bit" not in name:
        wide = 4 if "bnb" in name or "paged" in name or "32bit" in name else own  # torch keeps moments like the weights
        return moments * wide * sum(trained)
    eight = sum(elements + 4 * -(-elements // EIGHT_BIT_BLOCK) for elements in trained if elements >= EIGHT_BIT_LEAST)
    return moments * (eight + 4 * sum(elements for elements in trained if elements < EIGHT_BIT_LEAST))


def _activations(architecture: Architecture, shape: Shape) -> tuple[int, int]:
    """What is kept of the forward pass, and what one layer keeps; with checkpointing only the stream between layers."""
    layer = shape.tokens * token_bytes(architecture, shape) + _mask(shape, shape.compute_bytes) + _cast(architecture, shape)
    stream = shape.tokens * architecture.hidden * shape.weight_bytes
    shared = 2 * shape.tokens * architecture.head_width * shape.compute_bytes + _mask(shape, 1)  # rotary angles, who sees whom
    ends = shape.tokens * architecture.hidden * (4 + shape.weight_bytes)  # the last norm
    if not shape.checkpointing:
        return architecture.layers * layer + shared + ends + stream, layer
    return (architecture.layers + 1) * stream + shared + ends, layer


def token_bytes(architecture: Architecture, shape: Shape) -> int:
    """What autograd keeps of one token in one layer: norms, inputs of trained matrices, attention, feed-forward."""
    hidden, wide, number = architecture.hidden, architecture.intermediate, shape.compute_bytes
    norms = 2 * (4 * hidden + 4)  # in float32
    groups = architecture.query if shape.masked else architecture.key_value  # with a mask keys and values are repeated
    attention = 2 * (architecture.query + groups) * number + 4 * architecture.heads
    feed_forward = 3 * wide * number  # gate, its activation, up
    if shape.full:
        cast = shape.autocast and shape.weight_bytes == 4  # then every matrix gets a copy of its input
        inputs = 2 * hidden * shape.weight_bytes + (5 if cast else 2) * hidden * number + wide * number
        return norms + attention + feed_forward + inputs
    copied, own = _adapter_inputs(shape)
    inputs = ((5 * hidden + architecture.query) if copied else 2 * hidden) * own + wide * own
    return norms + attention + feed_forward + inputs + 7 * shape.rank * own


def _adapter_inputs(shape: Shape) -> tuple[bool, int]:
    """Whether every adapter keeps a copy of its input, and the bytes of a number in it.

    PEFT casts to the adapter's float32 and autocast back, each adapter for itself. Only its 4-bit layers leave that out, and
    only where autocast runs on a GPU (peft 0.21, tuners/lora/bnb.py).
    """
    if shape.autocast:
        return not (shape.quantised and shape.device == "gpu"), 2
    return shape.weight_bytes != shape.adapter_bytes, shape.adapter_bytes


def _cast(architecture: Architecture, shape: Shape) -> int:
    """Copies in bfloat16 of the float32 weights that autocast multiplies with, of one layer."""
    if not shape.autocast:
        return 0
    trained = sum(architecture.linear) if shape.full else architecture.adapter
    own = shape.weight_bytes if shape.full else shape.adapter_bytes
    return 2 * trained // architecture.layers if own == 4 else 0


def _mask(shape: Shape, number: int) -> int:
    """The square of who sees whom: the packs of a batch lie in one row, so it grows with the square of the batch."""
    if not shape.masked:
        return 0
    return number * (shape.tokens**2 if shape.packing else shape.batch_size * shape.sequence_length**2)


def _loss(architecture: Architecture, shape: Shape) -> int:
    """The head and the loss going backwards: a tile at a time, or all logits at once."""
    trained = max(1, round(shape.tokens * shape.trained_share)) if shape.device == "gpu" else shape.tokens
    states = trained * architecture.hidden * (4 + 2 * shape.compute_bytes)  # their gradient in float32, and two copies
    of_head = architecture.vocabulary * architecture.hidden * 4 if shape.full else 0
    if not shape.fused_loss:
        return shape.tokens * architecture.vocabulary * (PLAIN_LOGITS + (4 if shape.compute_bytes == 4 else 0))
    rows = min(trained, TILE_ROWS)
    tile = rows * TILE_COLUMNS * shape.compute_bytes
    if shape.device == "cpu":
        tile += rows * min(architecture.vocabulary, TILE_COLUMNS) * EAGER_TILE
    return states + of_head + tile


def _gradients_of_head(architecture: Architecture, shape: Shape) -> int:
    """What is there of the gradients when the backward pass enters the last layer."""
    return (architecture.head or architecture.embeddings) * shape.weight_bytes if shape.full else 0


def _backward(architecture: Architecture, shape: Shape) -> int:
    """What going backwards through one layer needs beside what was kept.

    A 4-bit matrix is unpacked while the gradient of one wide row is there, before those of gate and up take its place.
    """
    wide = shape.tokens * architecture.intermediate * shape.compute_bytes
    narrow = shape.tokens * architecture.hidden * shape.compute_bytes
    unpacked = architecture.largest * shape.compute_bytes if shape.quantised else 0
    return BACKWARD_NARROW * narrow + max(unpacked + wide, BACKWARD_WIDE * wide)
