"""Train a photo model: a probe on frozen features, fine-tuning from there, calibration; `agri train photos CONFIG`.

The probe (logistic regression on the features of the pretrained network) is the baseline, and where the last layer starts;
fine-tuning then moves the network. It ends with epochs at a constant rate whose weights are averaged, and with a last layer by
linear discriminant analysis where that one is better. All randomness comes from one seed; a stopped run goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy.special import softmax
from sklearn.metrics import f1_score
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from agri_llm import vision
from agri_llm.errors import BadInput
from agri_llm.vision import Seen
from training import calibration, corrections, grounds, outsiders, photo_data, photo_heads, run_files
from training.photo_config import PhotoConfig
from training.photo_data import LabelledPhoto

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Values = NDArray[np.float32]
TOGETHER = 16  # photos looked at at once where nothing is learned; more are slower on a processor


@dataclass(frozen=True, kw_only=True)
class Photos:
    """Photos with their pixels (photos, 3, side, side) and the numbers of their labels."""

    listed: list[LabelledPhoto]
    pixels: NDArray[np.uint8]
    labels: tuple[str, ...]

    @property
    def targets(self) -> NDArray[np.int64]:
        """The number of the label of each photo."""
        number = {label: at for at, label in enumerate(self.labels)}
        return np.array([number[photo.label] for photo in self.listed])

    def rows(self, split: str) -> NDArray[np.int64]:
        """Which photos belong to a split."""
        return np.array([at for at, photo in enumerate(self.listed) if photo.split == split], dtype=np.int64)


def load(folder: Path, leave_out: str = "", corrected: Path | None = None) -> Photos:
    """Read the photos of a folder, and those people `corrected`; of crops or sources that are left out none is read.

    Raises BadInput where a label has none to learn from, or fewer than two labels or no validation are there.
    """
    left = {name.strip() for name in leave_out.split(",")} - {""}  # photos without a source have "" there
    more = photo_data.read(corrected) if corrected is not None and corrected.is_dir() else []
    listed = [photo for photo in (*photo_data.read(folder), *more) if not {photo.crop, photo.source} & left]
    taught = {photo.label for photo in listed if photo.split == "train"}
    missing = sorted({photo.label for photo in listed} - taught)
    if missing or len(taught) < 2:
        raise BadInput(
            f"{folder} has {len(taught)} labels with photos to learn from" + (f", none for {missing[0]}" if missing else ""),
            "a classifier needs at least two labels, each with photos in the split train",
            "add photos, or correct the splits",
        )
    if not any(photo.split == "validation" for photo in listed):
        raise BadInput(
            f"{folder} has no photos in the split validation",
            "nothing could tell when to stop and how sure the model is",
            "add photos, or correct the splits",
        )
    return Photos(listed=listed, pixels=photo_data.pixels(listed), labels=tuple(sorted(taught)))


def start(config: PhotoConfig, labels: Sequence[str]) -> PreTrainedModel:
    """Load the pretrained network in single precision, with a new last layer for these labels. Raises ModelMissing."""
    model: PreTrainedModel = vision.loaded(
        transformers.AutoModelForImageClassification.from_pretrained,
        config.model,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: at for at, label in enumerate(labels)},
        ignore_mismatched_sizes=True,
        use_safetensors=True,
        dtype=torch.float32,
    )
    return model


def restore_statistics(model: PreTrainedModel, batches: Iterable[Tensor]) -> None:
    """Give each batch normalisation the statistics of real photos, without changing what the network computes.

    Weights exported with folded normalisation (as those of TensorFlow Lite are) carry none: in training, such a network would
    normalise by other numbers than it was made with, and its features would all be zero.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    sums: dict[torch.nn.Module, list[Any]] = {layer: [0, 0.0, 0.0] for layer in layers}

    def count(layer: torch.nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        values, kept = inputs[0].double(), sums[layer]
        kept[0] += values.numel() // values.shape[1]
        kept[1], kept[2] = kept[1] + values.sum((0, 2, 3)), kept[2] + values.square().sum((0, 2, 3))

    hooks = [layer.register_forward_hook(count) for layer in layers]
    model.eval()
    with torch.no_grad():
        for batch in batches:
            model(pixel_values=batch)
    for hook in hooks:
        hook.remove()
    for layer in layers:
        number, total, squares = sums[layer]
        mean = total / number
        _renormalise(layer, mean, (squares / number - mean.square()).clamp(min=1e-6))


@torch.no_grad()
def _renormalise(layer: torch.nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    scale = layer.weight.double() / torch.sqrt(layer.running_var.double() + layer.eps)
    layer.bias.copy_(layer.bias.double() + (mean - layer.running_mean.double()) * scale)
    layer.weight.copy_(scale * torch.sqrt(variance + layer.eps))
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(variance)
    layer.momentum = 0.05  # some files carry 0.997, which in torch means: forget all but the last batch


class Eyes:
    """A network with the way its pixels are scaled; looks at stored photos without learning."""

    def __init__(self, model: PreTrainedModel, config: PhotoConfig) -> None:
        reading = vision.PhotoModel(config.model).reading
        self.model, self.size = model, config.size
        self.mean, self.std = (torch.tensor(each).view(1, 3, 1, 1) for each in (reading.mean, reading.std))

    def scaled(self, photos: Tensor) -> Tensor:
        """Bring photos in 0–1 to the scale of the network."""
        return (photos - self.mean) / self.std

    def prepared(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Return stored photos as the network takes them when it is used."""
        photos = torch.from_numpy(pixels).float() / 255
        photos = functional.interpolate(photos, (self.size, self.size), mode="bilinear", antialias=True)
        return self.scaled(photos).to(self.model.device)

    def look(self, pixels: NDArray[np.uint8], *, exactly: bool = True) -> Seen:
        """Return features and logits of stored photos; four times as fast in bfloat16, where not `exactly`."""
        self.model.eval()
        parts, found = [pixels[begin : begin + TOGETHER] for begin in range(0, len(pixels), TOGETHER)], list[Seen]()
        with torch.inference_mode(), torch.autocast(self.model.device.type, torch.bfloat16, enabled=not exactly and has_bf16()):
            for part in parts:
                views, logits = vision.views_and_logits(self.model, self.prepared(part))
                found.append(Seen(views=tuple(view.cpu().numpy() for view in views), logits=logits.cpu().numpy()))
        return Seen.joined(found)


def has_bf16() -> bool:
    """Whether this machine multiplies bfloat16 numbers faster than longer ones."""
    return torch.cuda.is_available() or bool(torch.cpu._is_avx512_bf16_supported())


class _Rows(torch.utils.data.Dataset[dict[str, int]]):
    """Numbers of photos; the collator turns them into pixels, so that a whole batch is varied at once."""

    def __init__(self, rows: NDArray[np.int64], learned: bool) -> None:
        self._rows, self._learned = rows, learned

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: int) -> dict[str, int]:
        return {"row": int(self._rows[at]), "learned": int(self._learned)}


def balanced(rows: NDArray[np.int64], targets: NDArray[np.int64], balance: float) -> NDArray[np.int64]:
    """Repeat photos of rare labels: with balance 1 all labels come equally often, with 0 all photos once."""
    counts = np.bincount(targets[rows])
    times = (counts.max() / np.maximum(counts, 1)) ** balance
    repeated = []
    for label in np.unique(targets[rows]):
        own = rows[targets[rows] == label]
        whole, rest = divmod(round(times[label] * len(own)), len(own))
        repeated += [np.tile(own, whole), own[:rest]]
    return np.concatenate(repeated)


class _Collator:
    """Turns numbers of photos into what the network takes: varied and mixed where it learns, as they are where it is tested."""

    def __init__(self, photos: Photos, eyes: Eyes, config: PhotoConfig) -> None:
        self.photos, self.eyes, self.config = photos, eyes, config
        self._leaves = grounds.leaves(photos.pixels) if config.swap > 0 else None
        rows = photos.rows("train")
        self._scenes = photos.pixels[[row for row in rows if photos.listed[row].label == vision.BACKGROUND]]

    def _swapped(self, pixels: Tensor, rows: NDArray[np.int64]) -> Tensor:
        if self._leaves is None:
            return pixels
        chosen = torch.randint(0, max(1, len(self._scenes)), (len(pixels),))[: len(self._scenes)].numpy()
        scenes = torch.from_numpy(self._scenes[chosen]).float() / 255
        return grounds.swapped(pixels, torch.from_numpy(self._leaves[rows]).float(), scenes, self.config.swap)

    def __call__(self, batch: list[dict[str, int]]) -> dict[str, Tensor]:
        rows = np.array([each["row"] for each in batch])
        pixels = torch.from_numpy(self.photos.pixels[rows]).float() / 255
        targets = functional.one_hot(torch.from_numpy(self.photos.targets[rows]), len(self.photos.labels)).float()
        if batch[0]["learned"]:
            pixels = self._swapped(pixels, rows)
            pixels = photo_data.varied(pixels, self.config.train_size, self.config.smallest, self.config.colour)
            pixels, targets = photo_data.mixed(pixels, targets, self.config.mixup)
        else:
            size = (self.config.size, self.config.size)
            pixels = functional.interpolate(pixels, size, mode="bilinear", antialias=True)
        return {"pixel_values": self.eyes.scaled(pixels), "labels": targets}


def fine_tune(model: PreTrainedModel, photos: Photos, eyes: Eyes, config: PhotoConfig) -> None:
    """Train the network from the probe on; an earlier run in the same folder is taken up where it stopped."""
    freeze(model, config.frozen)
    steps = config.out / "steps"
    trainer = _trainer(model, photos, eyes, config, _arguments(config, steps))
    trainer.add_callback(transformers.EarlyStoppingCallback(config.patience))
    trainer.train(resume_from_checkpoint=last_step(steps))


def average(model: PreTrainedModel, photos: Photos, eyes: Eyes, config: PhotoConfig) -> None:
    """Train on at a constant rate; the network gets the mean of its weights before and at the end of each of these epochs.

    Stochastic weight averaging: Izmailov et al., 2018, arXiv 1803.05407. A stopped run goes on where it was, too.
    """
    steps = config.out / "averaged"
    arguments = _arguments(config, steps)
    arguments.num_train_epochs, arguments.learning_rate = config.average_epochs, config.average_rate
    arguments.lr_scheduler_type = transformers.SchedulerType.CONSTANT_WITH_WARMUP
    arguments.load_best_model_at_end, arguments.save_total_limit = False, None
    before = {name: values.clone() for name, values in model.state_dict().items()}
    _trainer(model, photos, eyes, config, arguments).train(resume_from_checkpoint=last_step(steps))
    ends = [load_file(path / "model.safetensors") for path in steps.glob("checkpoint-*")]
    mean = {name: torch.stack([each[name].double() for each in (before, *ends)]).mean(dim=0) for name in before}
    model.load_state_dict({name: values.to(before[name].dtype) for name, values in mean.items()})
    rows = np.random.default_rng(config.seed).permutation(photos.rows("train"))[: 64 * TOGETHER]
    looked_at = [eyes.prepared(photos.pixels[part]) for part in np.array_split(rows, len(rows) // TOGETHER + 1)]
    update_bn(looked_at, model)  # statistics of mean weights are not the mean of statistics


def _trainer(
    model: PreTrainedModel, photos: Photos, eyes: Eyes, config: PhotoConfig, arguments: transformers.TrainingArguments
) -> transformers.Trainer:
    smoothing, targets = config.label_smoothing, photos.targets

    def loss(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        return functional.cross_entropy(outputs.logits.float(), labels, label_smoothing=smoothing)

    def measures(found: Any) -> dict[str, float]:
        best, right = found.predictions.argmax(axis=1), found.label_ids.argmax(axis=1)
        return {"accuracy": float((best == right).mean()), "macro_f1": float(f1_score(right, best, average="macro"))}

    return transformers.Trainer(
        model=model,
        args=arguments,
        data_collator=_Collator(photos, eyes, config),
        train_dataset=_Rows(balanced(photos.rows("train"), targets, config.balance), learned=True),
        eval_dataset=_Rows(photos.rows("validation"), learned=False),
        compute_loss_func=loss,
        compute_metrics=measures,
    )


def last_step(steps: Path) -> str | None:
    """Return the newest checkpoint that was written to its end, as the trainer takes it; one whose writing was killed goes."""
    found = run_files.newest(steps, run_files.written)
    return str(found) if found else None


def freeze(model: PreTrainedModel, share: float) -> None:
    """Let the first tensors of a network stay as they are: edges and colours look alike on all photos."""
    weights = list(model.parameters())
    for number, weight in enumerate(weights):
        weight.requires_grad_(number >= share * len(weights))


def _arguments(config: PhotoConfig, steps: Path) -> transformers.TrainingArguments:
    on_gpu = torch.cuda.is_available()
    return transformers.TrainingArguments(
        output_dir=str(steps),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=TOGETHER,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        bf16=has_bf16(),
        use_cpu=not on_gpu,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="macro_f1",
        greater_is_better=True,
        logging_steps=20,
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=on_gpu,
        restore_callback_states_from_checkpoint=True,  # else a run that goes on would be patient from the start again
        report_to=[],
        seed=config.seed,
        data_seed=config.seed,
    )


def train(config: PhotoConfig) -> Path:
    """Train, calibrate and write a photo model into `config.out`; returns its folder. Raises BadInput, ModelMissing."""
    photos = load(config.data, config.leave_out, config.out / corrections.FOLDER)
    transformers.set_seed(config.seed)
    model = start(config, photos.labels)
    eyes = Eyes(model, config)
    rows, targets = photos.rows("train"), photos.targets
    some = np.random.default_rng(config.seed).permutation(rows)[: 20 * TOGETHER]
    restore_statistics(model, (eyes.prepared(photos.pixels[part]) for part in np.array_split(some, 20)))
    photo_heads.probe(model, eyes.look(photos.pixels[rows], exactly=False), targets[rows], config.seed)
    fine_tune(model, photos, eyes, config)
    if config.average_epochs:
        average(model, photos, eyes, config)
    return finish(model, photos, eyes, config)


def finish(model: PreTrainedModel, photos: Photos, eyes: Eyes, config: PhotoConfig) -> Path:
    """Calibrate a trained network on the validation photos and write everything that using it needs."""
    rows, targets = photos.rows("validation"), photos.targets
    taught, held = (eyes.look(photos.pixels[each], exactly=False) for each in (photos.rows("train"), rows))
    photo_heads.discriminate(model, taught, targets[photos.rows("train")], held, targets[rows])
    model.half().float()  # the figures are those of the weights as they are written
    held = eyes.look(photos.pixels[rows])
    warmth = calibration.temperature(held.logits, targets[rows])
    shares = softmax(held.logits / warmth, axis=1)
    is_crop = np.array([photos.listed[row].label != vision.BACKGROUND for row in rows])
    outside = [held.of(~is_crop), eyes.look(outsiders.drawn(60, config.seed))]
    # Pictures without a plant are a label, but nothing that is known: near to them is out of scope.
    learned = np.array([row for row, at in enumerate(photos.rows("train")) if photos.listed[at].label != vision.BACKGROUND])
    views = calibration.views(taught.of(learned), targets[photos.rows("train")][learned], config.seed)
    reading = vision.Reading(
        size=config.size,
        mean=tuple(eyes.mean.flatten().tolist()),
        std=tuple(eyes.std.flatten().tolist()),
        temperature=warmth,
        certain_at=calibration.certain_from(shares, targets[rows]),
    )
    folder = config.out / "model"
    model.half().save_pretrained(folder)
    calibration.fit_scope(views, held.of(is_crop), outside).save(folder)
    trained = {**asdict(config), "model": Path(config.model).name}  # where folders lie on this machine is nobody's business
    trained = {name: value for name, value in trained.items() if not isinstance(value, Path)}
    about = {"reading": asdict(reading), "trained": trained}
    (folder / vision.ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")
    return folder
