"""Whether ratings make a model better, and who is stopped: simulated experts rate the answers of a small model.

`python benchmarks/loop.py --run RUN --out FOLDER`, where RUN is the tuning of `agri train chain training/configs/tiny`. Again
with the same folder it goes on where it stopped. Only a run of 1,000 ratings or more goes into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import loop_answers
import loop_experts
import loop_report
import loop_sabotage
import loop_training
import report
from loop_answers import Writer
from loop_experts import Asked
from loop_plan import CURVE, METHODS, NOISES, PARTS, Plan, Sizes
from loop_training import Judging

from agri_llm.errors import AgriError, BadInput, TrainingStopped
from agri_llm.judgements import Material
from training import finished, gate_steps

PUBLISHED_FROM = 1000
TWICE = 0.2  # share of the comparisons that a second expert makes too


class Loop:
    """One run: the model's answers, who rated them, and every training with what it brought."""

    def __init__(self, plan: Plan) -> None:
        """Take a plan; the answers are written first."""
        self.plan = plan
        self.start = Writer(finished.read(plan.run))
        self.answered = plan.do("1-answers", lambda out: loop_answers.write(plan, self.start, out))
        self.asked: list[Asked] = loop_experts.compared(plan.out / "1-answers", plan.sizes.seed)
        clean = loop_training.snapshot(plan, "all-noise-0", self.rated())
        self.judging = Judging(plan, gate_steps.questions(clean, plan.sizes.held), self.start, plan.out / "start")
        (plan.out / "start").mkdir(exist_ok=True)

    def rated(self, ratings: int = 0, noise: float = 0.0, twice: float = TWICE, **more: Any) -> Material:
        """Return what the experts say of so many of the answers; 0 is all."""
        wanted, seed = ratings or self.plan.sizes.ratings, self.plan.sizes.seed
        return loop_experts.material(self.asked, wanted, noise=noise, twice=twice, seed=seed, **more)

    def candidate(self, kind: str, data: str, said: Material, seed: int, **more: Any) -> dict[str, Any]:
        """Train on what was said, and return what that brought; what cannot be learned from is said in a sentence."""

        def work(out: Path) -> dict[str, Any]:
            made = loop_training.snapshot(self.plan, data, said)
            counts = {"pairs": made.rows("pairs")["train"], "single": made.rows("single")["train"]}
            try:
                if kind == "grpo":
                    reward = self.plan.out / "reward" / data
                    loop_training.train(self.plan, "reward", made.folder, reward, seed)
                    more["reward"] = str(reward)
                loop_training.train(self.plan, kind, made.folder, out / "run", seed, **more)
            except TrainingStopped:
                raise
            except AgriError as error:
                return {**counts, "refused": str(error)}
            watched = loop_training.crossed(out / "run") if kind == "grpo" else []
            return {**counts, "watched": watched, **self.judging.of(out / "run", out)}

        return self.plan.do(f"2-{kind}-{data}-{seed}", work)

    def methods(self) -> list[dict[str, Any]]:
        """Every method at every share of wrong labels, and DPO with other seeds too."""
        found = [
            {"method": method, "noise": noise, "seed": 0, **self.candidate(method, f"all-noise-{noise:g}", said, 0)}
            for noise in NOISES
            for said in [self.rated(noise=noise)]
            for method in METHODS
        ]
        for seed in range(1, self.plan.sizes.seeds):
            again = self.candidate("dpo", "all-noise-0", self.rated(), seed)
            found += [{"method": "dpo", "noise": 0.0, "seed": seed, **again}]
        return found

    def curve(self) -> list[dict[str, Any]]:
        """DPO from few ratings to all of them."""
        some = [(number, f"first-{number}", self.rated(number)) for number in CURVE if number < self.plan.sizes.ratings]
        some.append((self.plan.sizes.ratings, "all-noise-0", self.rated()))
        return [{"ratings": number, **self.candidate("dpo", data, said, 0)} for number, data, said in some]

    def disagreement(self) -> list[dict[str, Any]]:
        """A fifth of the labels wrong: every pair rated once, or twice with disagreements dropped, or the first one kept."""
        noise = 0.2
        ways: dict[str, tuple[str, Callable[[], Material]]] = {
            "each pair rated once": ("once", lambda: self.rated(noise=noise, twice=0.0)),
            "half as many pairs rated twice, disagreements dropped": ("twice", lambda: self.rated(noise=noise, twice=1.0)),
            "the same, the first rating kept and the second thrown away": (
                "first",
                lambda: self.rated(noise=noise, twice=1.0, first_only=True),
            ),
        }
        return [{"way": way, **self.candidate("dpo", f"disagreement-{data}", said(), 0)} for way, (data, said) in ways.items()]

    def figures(self) -> dict[str, Any]:
        """Do every part that is wanted, and return all of it as plain values."""
        start = self.judging.start_answers
        found: dict[str, Any] = {
            "sizes": dataclasses.asdict(self.plan.sizes),
            "answered": self.answered,
            "rated": loop_experts.described(self.asked, self.rated()),
            "held": {"questions": len(self.judging.held.prompts), "pairs": len(self.judging.pairs)},
            "start": self.judging.looks(start),
        }
        for part in ("methods", "curve", "disagreement"):
            if part in self.plan.parts:
                found[part] = getattr(self, part)()
        if "sabotage" in self.plan.parts:
            found["sabotage"] = loop_sabotage.all_of(self.plan, self.judging, self.asked, self.rated)
        return found


def main(arguments: list[str] | None = None) -> None:
    """Run the parts, print the tables, and publish those of a full run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="finished tuning of a small model")
    parser.add_argument("--out", type=Path, required=True, help="folder; the same one again goes on")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    for size in dataclasses.fields(Sizes):
        parser.add_argument(f"--{size.name.replace('_', '-')}", type=type(size.default), default=size.default)
    said = parser.parse_args(arguments)
    sizes = Sizes(**{size.name: getattr(said, size.name) for size in dataclasses.fields(Sizes)})
    plan = Plan(run=said.run.absolute(), out=said.out.absolute(), sizes=sizes, parts=tuple(said.parts), tell=_tell)
    _tell(
        f"about {plan.seconds() / 60:.0f} minutes on one core for {len(plan.trainings())} trainings; the same command goes on"
    )
    try:
        text = loop_report.text(Loop(plan).figures())
    except (BadInput, TrainingStopped) as error:
        raise SystemExit(str(error)) from error
    if sizes.ratings >= PUBLISHED_FROM:
        report.publish("loop", "From ratings to a better model, simulated", f"{loop_report.HEAD} {report.machine()}.\n\n{text}")
    else:
        print(text)


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
