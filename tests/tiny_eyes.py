"""Tiny CLIP and SigLIP models with tokenizers of their own, and tiny classifiers, made in seconds and saved in folders."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from drawn_leaves import HALF, SIZE, Drawn, scaled
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPConfig,
    CLIPModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipModel,
    SiglipTokenizer,
)

TOKENS = 64  # length of the longest text
TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
SPECIAL = {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
PROCESSOR = {
    "clip": {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": SIZE}, "crop_size": SIZE},
    "siglip": {"image_processor_type": "SiglipImageProcessor", "size": {"height": SIZE, "width": SIZE}},
}


def words_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Make a tokenizer that knows the words of some texts."""
    words = sorted({word for text in texts for word in text.split()})
    numbers = {word: at for at, word in enumerate([*SPECIAL.values(), *words])}
    inner = Tokenizer(models.WordLevel(numbers, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", numbers["<s>"]), ("</s>", numbers["</s>"])]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, **SPECIAL)


def clip(folder: Path, texts: list[str]) -> CLIPModel:
    """Save a random CLIP that knows the words of some texts, and return it."""
    tokenizer = words_tokenizer(texts)
    ends = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 1}
    said = {"vocab_size": len(tokenizer), "max_position_embeddings": TOKENS, **ends, **TOWER}
    torch.manual_seed(0)
    seen = {"image_size": SIZE, "patch_size": 8, **TOWER}
    model = CLIPModel(CLIPConfig(text_config=said, vision_config=seen, projection_dim=16))
    return _saved(model, tokenizer, folder, "clip")


def siglip(folder: Path, texts: list[str]) -> SiglipModel:
    """Save a random SigLIP with a SentencePiece tokenizer of its own, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=pieces, vocab_size=300, hard_vocab_limit=False, pad_id=3, minloglevel=2
    )
    (folder / "spiece.model").write_bytes(pieces.getvalue())
    tokenizer = SiglipTokenizer(str(folder / "spiece.model"), pad_token="</s>", model_max_length=TOKENS)
    said = {
        "vocab_size": len(tokenizer) + 1,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
        "max_position_embeddings": TOKENS,
        **TOWER,
    }
    torch.manual_seed(0)
    seen = {"image_size": SIZE, "patch_size": 8, **TOWER}
    model = SiglipModel(SiglipConfig(text_config=said, vision_config=seen))
    return _saved(model, tokenizer, folder, "siglip")


def teach_pairs(model: CLIPModel, folder: Path, photos: list[Drawn], texts: dict[str, str], epochs: int) -> None:
    """Teach a CLIP which text belongs to which photo, in the plainest way, and save it again."""
    tokens = PreTrainedTokenizerFast.from_pretrained(folder)(list(texts.values()), padding=True, return_tensors="pt")
    wanted = torch.tensor([list(texts).index(each.label) for each in photos])
    pixels, steps = scaled([each.photo for each in photos]), torch.optim.AdamW(model.parameters(), lr=2e-3)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(photos), generator=torch.Generator().manual_seed(0)).split(30):
            steps.zero_grad()
            names = {name: tokens[name] for name in ("input_ids", "attention_mask")}
            found = model(pixel_values=pixels[rows], **names).logits_per_image
            torch.nn.functional.cross_entropy(found, wanted[rows]).backward()
            steps.step()
    model.eval().save_pretrained(folder)


def _saved(model: PreTrainedModel, tokenizer: Any, folder: Path, kind: str) -> Any:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    means = {"image_mean": HALF, "image_std": HALF}
    (folder / "preprocessor_config.json").write_text(json.dumps({**PROCESSOR[kind], **means}), encoding="utf-8")
    return model
