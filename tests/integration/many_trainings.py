"""Trainings in processes of their own: killed at random moments, and two that share one training; figures as JSON.

A program apart, so that processes are forked before any gradient was computed; libraries are imported once for all of them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import tiny_chat
import torch
from safetensors.torch import load_file
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from agri_llm.errors import AgriError
from training import adapt, configuration, rehearsal

ENDED_BY_US = 3


def in_child(work: Callable[[], object], **environment: str) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.environ.update(environment)
        torch.set_num_threads(1)
        work()
        status = 0
    except AgriError as error:
        sys.stderr.write(f"{error}\n")
        status = ENDED_BY_US
    finally:
        sys.stderr.flush()
        os._exit(status)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def together(work: Callable[[], object], **environment: str) -> list[int]:
    """Run the same work in two processes that know of one another."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, **environment}
    return [ended(each) for each in [in_child(work, RANK=str(at), LOCAL_RANK=str(at), **shared) for at in range(2)]]


def curve(out: Path) -> list[list[float]]:
    lines = [json.loads(line) for line in (out / "losses.jsonl").read_text(encoding="utf-8").splitlines()]
    return [[each["step"], each["loss"], each["grad_norm"]] for each in lines if "loss" in each]


def token_counts(out: Path) -> list[int | None]:
    said = json.loads((out / "run.json").read_text(encoding="utf-8"))
    return [said["tokens_seen"], said["tokens_trained"]]


def digest(out: Path) -> str:
    import hashlib

    weights = load_file(out / "adapter" / "adapter_model.safetensors")
    return hashlib.sha256(b"".join(weights[name].numpy().tobytes() for name in sorted(weights))).hexdigest()


class Trainings:
    """Trainings of one tiny model on one data set, each in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model, self.data = tiny_chat.save_model(folder / "model"), tiny_chat.save_data(folder / "data")

    def config(self, name: str, **settings: Any) -> Path:
        return tiny_chat.save_config(self.folder / f"{name}.yaml", self.model, self.data, self.folder / name, **settings)

    def work(self, name: str, **settings: Any) -> Callable[[], object]:
        path = self.config(name, **settings)
        return lambda: adapt.train(configuration.read(path, "sft"), lambda _: None)

    def finished(self, name: str, **settings: Any) -> dict[str, Any]:
        status = ended(in_child(self.work(name, **settings)))
        out = self.folder / name
        return {"status": status, "curve": curve(out), "weights": digest(out), "tokens": token_counts(out)}


def killed(trainings: Trainings) -> dict[str, Any]:
    """One training without a break, and one that is killed at random moments until it gets through."""
    settings = {"max_steps": 12, "save_steps": 2, "method": "qlora", "eval_strategy": "steps", "eval_steps": 3}
    found = {"whole": trainings.finished("whole", **settings), "moments": []}
    work, out = trainings.work("killed", **settings), trainings.folder / "killed"
    for least in sorted(random.sample(range(1, 9), 3)):  # three steps are left at least, however fast they are
        child = in_child(work)
        while True:
            if os.waitpid(child, os.WNOHANG) != (0, 0):
                raise SystemExit("the training ended before it was killed")
            if (out / "losses.jsonl").exists() and len(curve_so_far(out)) > least:
                break
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        found["moments"].append([least, ended(child), (out / "run.json").exists()])
    found["resumed"] = trainings.finished("killed", **settings)
    return found


def curve_so_far(out: Path) -> list[str]:
    return [line for line in (out / "losses.jsonl").read_text(encoding="utf-8").splitlines() if '"grad_norm"' in line]


def stopped(trainings: Trainings) -> dict[str, Any]:
    """One training that is asked to stop, as by Ctrl-C, and then goes on."""
    settings = {"max_steps": 8, "save_steps": 100}
    work, out = trainings.work("stopped", **settings), trainings.folder / "stopped"
    child = in_child(work)
    while not (out / "losses.jsonl").exists() or len(curve_so_far(out)) < 2:
        time.sleep(0.01)
    os.kill(child, signal.SIGINT)
    status = ended(child)
    kept = sorted(path.name for path in (out / "steps").glob("checkpoint-*"))
    whole = trainings.finished("unstopped", **settings)
    return {"status": status, "kept": kept, "resumed": trainings.finished("stopped", **settings), "whole": whole}


def accumulated(trainings: Trainings) -> list[dict[str, Any]]:
    """The same rows in batches of 8, of 2 times 4, and of 8 times 1."""
    found = []
    for batch, times in ((8, 1), (4, 2), (1, 8)):
        name = f"batch-{batch}"
        settings = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": times, "max_steps": 3}
        done = trainings.finished(name, **settings)
        found.append({"curve": done["curve"], "tokens": done["tokens"]})
    return found


def distributed(trainings: Trainings) -> dict[str, Any]:
    """One process with batches of 8, and two with batches of 4 each."""
    alone = trainings.finished("alone", per_device_train_batch_size=8, max_steps=4, save_steps=4)
    statuses = together(trainings.work("both", per_device_train_batch_size=4, max_steps=4, save_steps=4))
    about = json.loads((trainings.folder / "both" / "run.json").read_text(encoding="utf-8"))
    both = {"curve": curve(trainings.folder / "both"), "processes": about["processes"]}
    both["tokens"] = token_counts(trainings.folder / "both")
    return {"statuses": statuses, "alone": alone, "both": both}


def sharded_steps(trainings: Trainings, name: str, shard: bool) -> None:
    """Four steps on the trainer's own model and batches, each process with its share of the rows."""
    training = configuration.read(trainings.config(name), "sft")
    tokenizer, _, stops = adapt.load_tokenizer(training)
    trainer = adapt.build(training, adapt._tokens(training, tokenizer, stops), tokenizer, lambda _: None)
    rank, world = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if shard else (0, 1)
    model = trainer.model
    if shard:
        for layer in model.get_base_model().model.layers:
            fully_shard(layer)
        fully_shard(model)
    learns = rehearsal.trainable(trainer)
    optimiser, losses = torch.optim.AdamW(learns, lr=0.01), []
    for step in range(4):
        rows = [trainer.train_dataset[at] for at in range(8 * step, 8 * step + 8)]
        total = sum(sum(label != -100 for label in row["labels"]) for row in rows)
        batch = trainer.data_collator(rows[rank::world])
        loss = -model(**batch, use_cache=False, fused_lm_head=True).log_probs.sum() / total
        (loss * world).backward()
        seen = loss.detach().clone()
        if shard:
            torch.distributed.all_reduce(seen)
        losses.append(float(seen))
        optimiser.step()
        optimiser.zero_grad()
    if rank == 0:
        kinds = {"all": len(learns), "sharded": sum(isinstance(weight, DTensor) for weight in learns)}
        (trainings.folder / f"{name}.json").write_text(json.dumps({"losses": losses, **kinds}), encoding="utf-8")


def sharded(trainings: Trainings) -> dict[str, Any]:
    """The same four steps in one process, and with every weight spread over two."""
    statuses = [ended(in_child(lambda: sharded_steps(trainings, "one", shard=False)))]
    statuses += together(lambda: sharded_steps(trainings, "two", shard=True))
    found = {name: json.loads((trainings.folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("one", "two")}
    return {"statuses": statuses, **found}


def ignored_launcher(trainings: Trainings) -> list[int]:
    """A launcher that asks for shards on processors, where accelerate makes none."""
    return together(trainings.work("ignored"), ACCELERATE_USE_FSDP="true", FSDP_VERSION="2")


if __name__ == "__main__":
    work: dict[str, Callable[[Trainings], object]] = {
        "killed": killed,
        "stopped": stopped,
        "accumulated": accumulated,
        "distributed": distributed,
        "sharded": sharded,
        "ignored_launcher": ignored_launcher,
    }
    trainings = Trainings(Path(sys.argv[1]))
    results = Path(sys.argv[1]) / "results.json"
    found: dict[str, object] = {}
    for name in sys.argv[2:] or work:
        found[name] = work[name](trainings)
        results.write_text(json.dumps(found), encoding="utf-8")
