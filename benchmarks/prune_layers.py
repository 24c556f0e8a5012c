"""Leave layers out of a finished run and heal it: what each step does to the held-out loss, as a table.

    python benchmarks/prune_layers.py RUN --layers 0 1 2 --steps 40 --out FOLDER

RUN is a folder of `agri train sft`; rows and held-out rows are those of that run. An experiment: it says whether this model, on
this data, has layers to spare, and nothing about another.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from training import adapt, configuration, export, finished, held_out, pruning
from training.export_card import Card, size


def main() -> None:
    """Prune, heal, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--layers", type=int, nargs="+", default=[0, 1, 2], help="0 is the control: trained on, whole")
    parser.add_argument("--steps", type=int, default=40, help="of healing")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    print(f"Turned by each layer, 1 - cosine: {', '.join(f'{each:.3f}' for each in turned(chosen.run))}\n")
    print("| layers left out | weights | loss as trained | left out | healed |\n|---|---|---|---|---|")
    for number in chosen.layers:
        card, healed = pruned_and_healed(chosen, number)
        print(
            f"| {', '.join(map(str, card.dropped_layers)) or 'none'} | {size(card.bytes_after)} | {card.loss_before:.3f}"
            f" | {card.loss_after:.3f} | {healed:.3f} |",
            flush=True,
        )


def turned(run: Path) -> list[float]:
    """Return how far every layer of the run turns its input."""
    found = finished.read(run)
    return pruning.influences(finished.as_trained(found), rows_of(found))


def rows_of(run: finished.Finished) -> held_out.Rows:
    """Return the rows that the run held out."""
    tokenizer, stops = finished.tokenizer(run.tokenizer_from)
    return held_out.read(Path(str(run.data)) / "validation.jsonl", tokenizer, stops, int(run.contract["max_length"]))


def pruned_and_healed(chosen: argparse.Namespace, number: int) -> tuple[Card, float]:
    """Return the card of the pruned export, and the held-out loss after healing it."""
    place = chosen.out / f"without-{number}"
    kind = "pruned" if number else "merged"
    card = export.export(export.Wanted(run=chosen.run, kind=kind, out=place, layers=number), lambda _: None)
    run = finished.read(chosen.run)
    settings = {
        "model": str(place), "data": str(run.data), "out": str(chosen.out / f"healed-{number}"), "method": "lora", "rank": 16,
        "alpha": 32, "packing": False, "max_length": run.contract["max_length"], "max_steps": chosen.steps,
        "per_device_train_batch_size": chosen.batch, "learning_rate": chosen.rate, "optim": "adamw_torch", "save_steps": 1000,
        "eval_strategy": "no", "gradient_checkpointing": False,
    }  # fmt: skip
    file = chosen.out / f"heal-{number}.yaml"
    file.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    adapt.train(configuration.read(file, "sft"), lambda line: print(line, file=sys.stderr))
    healed = finished.read(chosen.out / f"healed-{number}")
    return card, held_out.measure(finished.as_trained(healed), rows_of(healed)).value


if __name__ == "__main__":
    main()
