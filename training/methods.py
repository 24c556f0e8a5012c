"""How the weights of a base model change, by one word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agri_llm.errors import BadInput

if TYPE_CHECKING:
    from training.configuration import Adaptation


@dataclass(frozen=True, kw_only=True)
class Method:
    """A kind of adapter: how PEFT's configuration is made, and whether it adds virtual tokens before the text."""

    make: Callable[[Adaptation], Any]
    virtual: bool = False
    ranked: bool = False  # whether it has two matrices of a rank beside each of the base
    checkpointing: bool = True  # whether activations can be computed again instead of kept


def _lora(**more: Any) -> Callable[[Adaptation], Any]:
    def make(ours: Adaptation) -> Any:
        from peft import LoraConfig

        return LoraConfig(
            r=ours.rank,
            lora_alpha=ours.alpha,
            lora_dropout=ours.dropout,
            target_modules=_targets(ours),
            task_type="CAUSAL_LM",
            **more,
        )

    return make


def _targets(ours: Adaptation) -> str | list[str]:
    names = [name.strip() for name in ours.targets.split(",") if name.strip()]
    if "lm_head" in names:
        raise BadInput("targets names lm_head", "the fused loss reads its weight and would never train it", "leave it out")
    return names[0] if names == ["all-linear"] else names


def _prompt(ours: Adaptation) -> Any:
    from peft import PromptTuningConfig

    return PromptTuningConfig(num_virtual_tokens=ours.virtual_tokens, task_type="CAUSAL_LM")


def _prefix(ours: Adaptation) -> Any:
    from peft import PrefixTuningConfig

    return PrefixTuningConfig(num_virtual_tokens=ours.virtual_tokens, task_type="CAUSAL_LM")


def _ia3(ours: Adaptation) -> Any:
    from peft import IA3Config

    if ours.targets == "all-linear":  # the layers that the paper scales: keys, values, feed-forward (arXiv 2205.05638)
        return IA3Config(
            target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"], task_type="CAUSAL_LM"
        )
    names = list(_targets(ours))
    return IA3Config(
        target_modules=names, feedforward_modules=[name for name in names if "down" in name], task_type="CAUSAL_LM"
    )


METHODS: dict[str, Method] = {
    "qlora": Method(make=_lora(), ranked=True),
    "lora": Method(make=_lora(), ranked=True),
    # Scaled by alpha / sqrt(rank): large ranks still learn (arXiv 2312.03732).
    "rslora": Method(make=_lora(use_rslora=True), ranked=True),
    "dora": Method(make=_lora(use_dora=True), ranked=True),  # direction and size apart (arXiv 2402.09353)
    "prompt": Method(make=_prompt, virtual=True, checkpointing=False),
    "prefix": Method(make=_prefix, virtual=True, checkpointing=False),
    "ia3": Method(make=_ia3),
    "full": Method(make=lambda _: None),
}
