"""Muon for the matrices of a decoder's blocks, AdamW for the rest: a small model with little text learns in fewer steps.

Jordan et al. 2024 (kellerjordan.github.io/posts/muon); scaled so that one learning rate serves both, as Liu et al. 2025,
arXiv 2502.16982. The optimiser is that of pytorch-optimizer.
"""

from __future__ import annotations

from typing import Any

from agri_llm.errors import BadInput
from training.configuration import Training
from training.rehearsal import is_sharded


def use(training: Training, trainer: Any) -> None:
    """Let a trainer that has not begun learn with it. Raises BadInput where the weights lie on several machines in pieces."""
    from pytorch_optimizer import Muon

    if is_sharded(trainer):
        raise BadInput("muon: true with sharded weights", "it needs whole matrices", "set muon: false, or train unsharded")
    args = training.args
    ends = {id(layer.weight) for layer in (trainer.model.get_input_embeddings(), trainer.model.get_output_embeddings())}
    weights = [weight for weight in trainer.model.parameters() if weight.requires_grad]
    matrices = [weight for weight in weights if weight.ndim == 2 and id(weight) not in ends]
    shared = {"lr": args.learning_rate, "weight_decay": args.weight_decay}
    groups = [
        {"params": matrices, "use_muon": True, "use_adjusted_lr": True, **shared},
        {"params": [weight for weight in weights if weight.ndim == 2 and id(weight) in ends], **_adam(args), **shared},
        {"params": [weight for weight in weights if weight.ndim != 2], **_adam(args), **shared, "weight_decay": 0.0},
    ]
    trainer.optimizer_cls_and_kwargs = (Muon, {"params": groups})


def _adam(args: Any) -> dict[str, Any]:
    return {"use_muon": False, "betas": (args.adam_beta1, args.adam_beta2), "eps": args.adam_epsilon}
