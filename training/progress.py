"""What a person and a file see while a model trains, and how Ctrl-C ends it between two steps."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from agri_llm.errors import BadInput

Tell = Callable[[str], None]


class Progress(TrainerCallback):  # type: ignore[misc]
    """Tells loss, tokens a second and time left now and then, and writes every figure to a file."""

    def __init__(self, tell: Tell, losses: Path, every_seconds: float = 5.0) -> None:
        self.tell, self.losses, self.every_seconds = tell, losses, every_seconds
        self.begun_at, self.begun_step, self.begun_tokens, self.told_at = 0.0, 0, 0.0, 0.0
        self.tokens_per_second: float | None = None  # of all processes, evaluations and checkpoints included

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Begin to count; figures of steps that a resume repeats are not kept twice."""
        self.begun_at, self.begun_step, self.begun_tokens = time.monotonic(), state.global_step, 0.0
        if state.is_world_process_zero:
            self.losses.write_text("".join(f"{json.dumps(each)}\n" for each in state.log_history), encoding="utf-8")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Write the figures, stop where the loss is no number, tell now and then. Raises BadInput."""
        logs = logs or {}
        for name in ("loss", "grad_norm", "eval_loss"):
            if not math.isfinite(float(logs.get(name, 0.0))):
                raise BadInput(
                    f"{name} is {logs[name]} at step {state.global_step}",
                    "the weights are spoiled from here on",
                    "lower learning_rate or max_grad_norm and begin again",
                )
        if not state.is_world_process_zero:
            return
        with self.losses.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**logs, "step": state.global_step}) + "\n")
        if not self.begun_tokens and "num_tokens" in logs:
            self.begun_at, self.begun_step = time.monotonic(), state.global_step  # the first step loads and warms up
            self.begun_tokens = logs["num_tokens"]
        elif "num_tokens" in logs:
            self.tokens_per_second = (logs["num_tokens"] - self.begun_tokens) / max(1e-9, time.monotonic() - self.begun_at)
        if "eval_loss" in logs:
            self.tell(f"step {state.global_step}: held-out loss {logs['eval_loss']:.4f}")
        elif "loss" in logs and time.monotonic() - self.told_at >= self.every_seconds:
            self.told_at = time.monotonic()
            self.tell(self._line(logs, state))

    def _line(self, logs: dict[str, Any], state: TrainerState) -> str:
        seconds = max(1e-9, time.monotonic() - self.begun_at)
        done = state.global_step - self.begun_step
        line = f"step {state.global_step} of {state.max_steps}, loss {logs['loss']:.4f}"
        if done == 0:
            return line
        left = (state.max_steps - state.global_step) * seconds / done
        return f"{line}, {self.tokens_per_second or 0:,.0f} tokens/s, {clock(left)} left"


class Stopper(TrainerCallback):  # type: ignore[misc]
    """Ends training after the present step, with a checkpoint, when the program is asked to stop; a second time at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Forget that the checkpoint was written because of a stop, and listen."""
        control.should_training_stop = control.should_save = False
        self._before = {each: signal.signal(each, self._stop) for each in (signal.SIGINT, signal.SIGTERM)}

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Save and stop where that was asked for."""
        if self.asked:
            control.should_save = control.should_training_stop = True

    def restore(self) -> None:
        """Give signals back to whom they belonged."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


def clock(seconds: float) -> str:
    """Return a time as hours, minutes and seconds."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
