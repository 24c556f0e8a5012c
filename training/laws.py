"""What published laws say about model size and amount of text; they were fitted on pretraining from scratch, not on tuning."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

PETAFLOP_DAY = 1e15 * 86400


class Law(Protocol):
    """A law that relates parameters, tokens and loss."""

    def deserved(self, parameters: float) -> float:
        """Return the tokens that make this model size the best one for its compute."""

    def supported(self, tokens: float) -> float:
        """Return the model size for which this many tokens are the best."""

    def loss(self, parameters: float, tokens: float) -> float:
        """Return the loss in nats a token that the law expects on its own text and tokenizer."""


@dataclass(frozen=True, kw_only=True)
class Parametric:
    """L = E + A / N^α + B / D^β, fitted to runs; N counts all parameters, and compute is 6·N·D."""

    floor: float
    size: float
    size_power: float
    text: float
    text_power: float

    def deserved(self, parameters: float) -> float:
        """Return the tokens at which a step in either direction of the same compute is worse (Hoffmann, equation 4)."""
        # At the optimum α·A/N^α = β·B/D^β: both terms fall alike when compute moves from one to the other.
        steep = self.text_power * self.text / (self.size_power * self.size)
        return math.pow(steep * math.pow(parameters, self.size_power), 1 / self.text_power)

    def supported(self, tokens: float) -> float:
        """Return the parameters for which these tokens are the best."""
        steep = self.size_power * self.size / (self.text_power * self.text)
        return math.pow(steep * math.pow(tokens, self.text_power), 1 / self.size_power)

    def loss(self, parameters: float, tokens: float) -> float:
        """Return the expected loss."""
        of_size, of_text = math.pow(parameters, self.size_power), math.pow(tokens, self.text_power)
        return self.floor + self.size / of_size + self.text / of_text


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Kaplan's way: size and tokens both as powers of the compute in PF-days; N leaves embeddings out."""

    size: float
    size_power: float
    text: float
    text_power: float

    def deserved(self, parameters: float) -> float:
        """Return the tokens that go with this size when compute is spent best."""
        return self.text * math.pow(parameters / self.size, self.text_power / self.size_power)

    def supported(self, tokens: float) -> float:
        """Return the size that goes with these tokens when compute is spent best."""
        return self.size * math.pow(tokens / self.text, self.size_power / self.text_power)

    def loss(self, parameters: float, tokens: float) -> float:
        """Return the expected loss, by equation 1.5."""
        size = (KAPLAN_JOINT_SIZE / parameters) ** (KAPLAN_JOINT_SIZE_POWER / KAPLAN_JOINT_TEXT_POWER)
        return float((size + KAPLAN_JOINT_TEXT / tokens) ** KAPLAN_JOINT_TEXT_POWER)


# Kaplan et al. 2020, arXiv 2001.08361, tables 2 and 6.
KAPLAN_JOINT_SIZE, KAPLAN_JOINT_SIZE_POWER = 6.4e13, 0.076  # table 2, N_c and α_N
KAPLAN_JOINT_TEXT, KAPLAN_JOINT_TEXT_POWER = 1.8e13, 0.103  # table 2, D_c and α_D
KAPLAN = Compute(size=1.3e9, size_power=0.73, text=2e10, text_power=0.27)  # table 6: N_opt and D_opt by PF-days
KAPLAN_LEAST, KAPLAN_LEAST_POWER = 5e3, 0.74  # equation 4.4: tokens below which a model of N overfits
# Hoffmann et al. 2022, arXiv 2203.15556, equation 10 (approach 3).
HOFFMANN = Parametric(floor=1.69, size=406.4, size_power=0.34, text=410.7, text_power=0.28)
TOKENS_A_PARAMETER = 20  # the same paper, table 3 (approach 1): 1.4 T tokens for 67 B parameters, in round numbers
# Besiroglu et al. 2024, arXiv 2404.10102: approach 3 fitted again, and found to agree with approaches 1 and 2.
BESIROGLU = Parametric(floor=1.8172, size=482.01, size_power=0.3478, text=2085.43, text_power=0.3658)
# Muennighoff et al. 2023, arXiv 2305.16264, appendix A: after so many repetitions a repeated token is worth 1/e of a new one.
REPETITIONS = 15.387756
# Tokens of the runs that each law was fitted to (both abstracts; the replication read its runs off Hoffmann's figure).
FITTED = {"Kaplan 2020": (22e6, 23e9), "Hoffmann 2022": (5e9, 500e9), "Besiroglu 2024": (5e9, 500e9)}
HARMLESS_EPOCHS = 4  # the same paper: up to four epochs the loss is all but that of new text


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the laws say about one model and one amount of text; tokens and parameters as plain counts."""

    deserves: dict[str, float]
    supports: dict[str, float]
    least: float  # tokens below which a model from scratch of this size overfits (Kaplan)
    unique: float
    seen: float
    effective: float  # what the tokens seen are worth in new ones

    def outside(self, law: str) -> bool:
        """Whether a law says nothing about so few or so many tokens."""
        least, most = next(tokens for name, tokens in FITTED.items() if law.startswith(name))
        return not least <= self.effective <= most


def effective(unique: float, seen: float) -> float:
    """Return how many new tokens the tokens seen are worth when `unique` ones are repeated (Muennighoff, equation 5)."""
    if unique <= 0 or seen <= unique:
        return max(0.0, min(unique, seen))
    repeated = seen / unique - 1
    return unique + unique * REPETITIONS * (1 - math.exp(-repeated / REPETITIONS))


def judged(parameters: int, without_embeddings: int, unique: float, seen: float) -> Judgement:
    """Return what a model of this size deserves, and what these tokens support, by each law."""
    laws: dict[str, tuple[Law, int]] = {
        "Kaplan 2020": (KAPLAN, without_embeddings),
        "Hoffmann 2022, approach 3": (HOFFMANN, parameters),
        "Besiroglu 2024, approach 3 again": (BESIROGLU, parameters),
    }
    rule = "Hoffmann 2022, 20 tokens a parameter"
    worth = effective(unique, seen)
    supports = {name: law.supported(worth) if worth else 0.0 for name, (law, _) in laws.items()}
    return Judgement(
        deserves={name: law.deserved(size) for name, (law, size) in laws.items()} | {rule: TOKENS_A_PARAMETER * parameters},
        supports=supports | {rule: worth / TOKENS_A_PARAMETER},
        least=KAPLAN_LEAST * without_embeddings**KAPLAN_LEAST_POWER,
        unique=unique,
        seen=seen,
        effective=worth,
    )
