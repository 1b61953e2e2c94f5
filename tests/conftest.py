"""A language model small enough to be made, trained and evaluated within a test, and recipes for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_model import CHAT, TINY, VALUES, Recipes

# No test may reach the Hub, and the libraries read these when they are imported.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a two-layer Llama with random weights, a tokenizer trained on our own prompts, and a ChatML template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from moralfit.dataset import samples
    from moralfit.recipe import parse_recipe

    recipe = parse_recipe(VALUES, "tiny")
    texts = [text for sample in samples(recipe, "train", 30) for text in (sample.prompt, sample.reply)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=512, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    folder = tmp_path_factory.mktemp("models") / TINY
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>", chat_template=CHAT
    ).save_pretrained(folder)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        # Larger than usual, so that what comes out depends on what goes in.
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id("<|im_end|>"),
        pad_token_id=tokenizer.token_to_id("<|im_end|>"),
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def workplace(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder in which the tiny model goes by its relative name."""
    import torch

    torch.set_num_threads(1)
    (tmp_path / TINY).symlink_to(tiny)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write_recipe(workplace: Path) -> Recipes:
    """Writes a recipe for the tiny model; keywords such as `training={"epochs": 1}` change the sections they name."""

    def write(file: str = "recipe.yaml", **changes: Any) -> Path:
        values = dict(VALUES)
        for key, change in changes.items():
            values[key] = {**values[key], **change} if isinstance(change, dict) and key in values else change
        path = workplace / file
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return path

    return write
