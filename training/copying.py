"""First weights that copy: two layers of a small decoder find where a token stood before, and repeat what followed it.

So little text does not teach a decoder to look back (see docs/benchmarks.md): it starts with the circuit that large models form
by themselves, and learning keeps it where it pays. Layer 0 writes the token before beside each token; layer 1 searches for the
places whose token before is the present one, and brings the token of that place (Elhage et al. 2021, "A mathematical framework
for transformer circuits"; Olsson et al. 2022, arXiv 2209.11895). Weights that start from structure: Trockman and Kolter 2023,
arXiv 2305.09828.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

THETA = 1e6  # base of the rotary positions, as in Qwen2.5: most pairs of a head turn so slowly that they tell content alone
EMBEDDING = 0.5  # spread of the token vectors; with .02 learning hides in 50 steps which token a vector stands for
LOGITS = 0.03  # spread of the output's, so that the first loss is that of guessing
TURNING, STANDING = 0.1, 0.03  # radians a token: pairs faster than the one tell positions, slower than the other content
SHARP = 6.0  # attention score of each turning pair; 98 % of the weight falls on the token before
MATCH = 10.0  # of a token with itself, before the softmax; half of the weight falls on the places that match
BROUGHT = 4.0  # how much louder than a token's own vector what is brought is written


def give(model: Any, seed: int) -> None:
    """Set the token vectors, and the attention of the first two layers, of a Qwen2 whose heads all have keys of their own.

    Embedding and output must not be tied. With one layer only the token vectors are set: there is no place for the search.
    """
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        vectors: Tensor = model.model.embed_tokens.weight
        vectors.normal_(0, EMBEDDING, generator=chance)
        model.lm_head.weight.copy_(vectors * (LOGITS / EMBEDDING))
        if len(model.model.layers) < 2:
            return
        first, second = (layer.self_attn for layer in model.model.layers[:2])
        beside = _directions(model.config.hidden_size, model.config.hidden_size, chance)
        _write_before(first, beside)
        _search(second, beside, chance)


def _write_before(attention: Any, beside: Tensor) -> None:
    """Let every head read the token before, by position alone, and write it turned by `beside` (hidden × hidden)."""
    turns = _turns(attention.head_dim)
    strength = (turns > TURNING).float() * math.sqrt(SHARP * math.sqrt(attention.head_dim))
    nothing = torch.zeros_like(strength)
    heads = beside.shape[0] // attention.head_dim
    for layer in (attention.q_proj, attention.k_proj):
        layer.weight.zero_()
    attention.k_proj.bias.copy_(torch.cat([strength, nothing]).repeat(heads))
    back = torch.cat([strength * torch.cos(turns), -strength * torch.sin(turns)])  # turned back by one position
    attention.q_proj.bias.copy_(back.repeat(heads))
    _bring(attention, beside)


def _search(attention: Any, beside: Tensor, chance: torch.Generator) -> None:
    """Let every head compare its token with the one written beside each earlier token, and bring the token there."""
    size, turns = attention.head_dim, _turns(attention.head_dim)
    still = torch.cat([turns < STANDING, turns < STANDING]).nonzero()[:, 0]
    for layer in (attention.q_proj, attention.k_proj):
        layer.weight.zero_()
    for start in range(0, beside.shape[0], size):
        seen = _directions(beside.shape[0], len(still), chance).T * math.sqrt(MATCH)
        attention.q_proj.weight[start + still] = seen
        attention.k_proj.weight[start + still] = seen @ beside.T
    _bring(attention, BROUGHT * torch.eye(beside.shape[0]))


def _bring(attention: Any, turned: Tensor) -> None:
    """Let values be the vectors as they are, and what is written them turned by a matrix, as loud as token vectors."""
    attention.v_proj.weight.copy_(torch.eye(turned.shape[0]))
    attention.o_proj.weight.copy_(EMBEDDING * turned)


def _turns(size: int) -> Tensor:
    """Return by how many radians each pair of a head of this size turns from one token to the next."""
    return THETA ** -(torch.arange(0, size, 2) / size)


def _directions(rows: int, columns: int, chance: torch.Generator) -> Tensor:
    """Return so many orthonormal columns, drawn by chance."""
    directions: Tensor = torch.linalg.qr(torch.randn(rows, columns, generator=chance))[0]
    return directions
