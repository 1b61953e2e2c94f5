"""A language model small enough to be made, trained and evaluated within a test, and recipes for it."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from importlib.util import cache_from_source
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
import yaml
from tiny_model import CHAT, TINY, VALUES, Recipes

# No test may reach the Hub, and the libraries read these when they are imported.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def pytest_configure(config: pytest.Config) -> None:
    """Lets Python keep what it compiles, in pytest's own cache, where it is told to leave nothing beside the sources.

    Containers often tell it so. Each worker, and each process that a test starts, would then compile torch, transformers and
    TRL anew: two thirds of the time that importing them takes.
    """
    if sys.dont_write_bytecode and hasattr(config, "cache") and not Path(cache_from_source(pytest.__file__)).exists():
        sys.pycache_prefix = str(config.cache.mkdir("bytecode"))
        sys.dont_write_bytecode = False
        # For the workers, and for what tests start.
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_finish() -> None:
    """Takes what is there by now, a million objects of torch and its friends, out of what each garbage collection looks at."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Puts it back, or libraries would take it for leaked at the end."""
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """Nothing waits for the disk: a power failure would end the tests as well. Those of a full disk have it fail themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def piloted_once() -> Iterator[None]:
    """The pilots of equal data sets, which take most of the time of a small one, are run once for all tests of a process.

    What they find is a function of the key: `tests/dataset` compares it with another process, which has none of this.
    """
    from moralfit.dataset import Sampler, _sample

    pilot = Sampler._question
    found: dict[Any, Any] = {}

    def once(self: Sampler, name: str, decision: int | None) -> Any:
        data = self.data.model_dump_json(include={"payoffs", "beliefs"})
        # A test may put something else in the place of what draws and derives.
        code = tuple(value for value in vars(_sample).values() if isinstance(value, (FunctionType, int, float)))
        key = (self.seed, self.preference, data, name, decision, code)
        if key not in found:
            found[key] = pilot(self, name, decision)
        return found[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sampler, "_question", once)
        yield


@pytest.fixture(scope="session")
def drawn_once() -> Iterator[dict[str, Any]]:
    """Reports take equal drawings from what was drawn before, for drawing is most of what a page costs; gives these drawings.

    A drawing is a function of what it is called with, all of which its key shows.
    """
    from moralfit.report import _dilemmas, _evaluation, _market, _run, _wants

    drawn: dict[str, Any] = {}

    def once(draw: Callable[..., Any]) -> Callable[..., Any]:
        def drawing(*given: Any, **named: Any) -> Any:
            key = repr((draw.__name__, given, sorted(named.items())))
            assert " object at 0x" not in key
            if key not in drawn:
                drawn[key] = draw(*given, **named)
            return drawn[key]

        return drawing

    with pytest.MonkeyPatch.context() as patch:
        for module, names in (
            (_evaluation, ("forest", "ladder")),
            (_wants, ("forest",)),
            (_market, ("forest",)),
            (_dilemmas, ("forest",)),
            (_run, ("curve",)),
        ):
            for name in names:
                patch.setattr(module, name, once(getattr(module, name)))
        yield drawn


@pytest.fixture(scope="session")
def tiny(drawn_once: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
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
