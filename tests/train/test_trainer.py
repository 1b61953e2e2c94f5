"""The trainer against TRL's own, and the check of what is supervised."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from moralfit.errors import TrainingError
from moralfit.models import Base, load_base
from moralfit.recipe import LoraSection, ModelSection, TrainingSection
from moralfit.train._options import LORA_NAMES, SFT_NAMES, lora_config, sft_config
from moralfit.train._supervision import check_supervision
from moralfit.train._trainer import build_trainer

LENGTHS = (1, 40, 3, 12, 25, 2, 7, 18)
ROWS = [
    {
        "prompt": [{"role": "user", "content": "Payoffs in coins: " + "A gives 3 and 4. " * length}],
        "completion": [{"role": "assistant", "content": "B is larger. " * (1 + n % 3) + "\nAnswer: A"}],
    }
    for n, length in enumerate(LENGTHS)
]
PLAIN = TrainingSection(epochs=1, batch_size=4, learning_rate=1e-2, log_every=1, warmup=0, schedule="constant")


@pytest.fixture
def base(workplace: Path) -> Base:
    return load_base(ModelSection(base="tiny-llama", device="cpu", dtype="float32"))


def built(base: Base, tmp: Path, training: TrainingSection = PLAIN, rows: list[Any] | None = None) -> Any:
    return build_trainer(base, LoraSection(r=4), training, 0, Dataset.from_list(rows or ROWS), tmp / "out", [])


@pytest.mark.parametrize("names", [SFT_NAMES, LORA_NAMES])
def test_every_mapped_name_exists(names: dict[str, str]) -> None:
    config, section = (SFTConfig, TrainingSection) if names is SFT_NAMES else (LoraConfig, LoraSection)
    assert set(names.values()) <= {field.name for field in dataclasses.fields(config)}
    assert set(names) <= set(section.model_fields)


def test_every_recipe_key_arrives(tmp_path: Path) -> None:
    section = TrainingSection(
        epochs=3, batch_size=5, gradient_accumulation=2, learning_rate=3e-4, schedule="linear", warmup=0.2, weight_decay=0.1,
        max_grad_norm=0.5, max_length=333, group_by_length=False, save_every=7, log_every=9,
    )  # fmt: skip
    config = sft_config(section, 11, tmp_path, "cpu", "float32")
    assert {ours: getattr(config, theirs) for ours, theirs in SFT_NAMES.items()} == {
        ours: getattr(section, ours) for ours in SFT_NAMES
    }
    assert config.seed == 11
    assert config.train_sampling_strategy == "random"
    assert not config.bf16
    assert config.use_cpu
    assert config.get_warmup_steps(100) == 20, "a share of the steps, not a number of them"
    lora = lora_config(LoraSection(r=3, alpha=5, dropout=0.25, target_modules=("q_proj", "v_proj")))
    assert (lora.r, lora.lora_alpha, lora.lora_dropout, lora.target_modules) == (3, 5, 0.25, {"q_proj", "v_proj"})


@pytest.mark.parametrize("accumulation", [1, 2])
def test_losses_and_gradients_equal_those_of_trl(accumulation: int, base: Base, tmp_path: Path) -> None:
    training = PLAIN.model_copy(update={"gradient_accumulation": accumulation, "group_by_length": False})
    ours = built(base, tmp_path, training)
    start = {name: p.detach().clone() for name, p in ours.model.named_parameters() if p.requires_grad}
    for name, p in ours.model.named_parameters():
        if "lora_B" in name:
            # From zero, the first factor would get no gradient.
            start[name] = torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())) * 0.1
    found = {}
    # The rows as tokenized already, so that both are fed the same.
    stock = SFTTrainer(model=ours.model, args=ours.args, train_dataset=ours.train_dataset, processing_class=base.tokenizer)
    for trainer in (ours, stock):
        for name, p in ours.model.named_parameters():
            if p.requires_grad:
                p.data.copy_(start[name])
        seen: list[dict[str, torch.Tensor]] = []
        losses: list[float] = []

        class Watch(TrainerCallback):  # type: ignore[misc]
            def on_pre_optimizer_step(
                self, args: Any, state: Any, control: Any, model: Any = None, into: Any = seen, **kwargs: Any
            ) -> None:
                into.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})

            def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, into: Any = losses, **kwargs: Any) -> None:
                if "loss" in logs:
                    into.append(logs["loss"])

        trainer.add_callback(Watch())
        trainer.train()
        found[type(trainer).__name__] = (losses, seen)
    (our_losses, our_gradients), (their_losses, their_gradients) = found["CompletionTrainer"], found["SFTTrainer"]
    assert len(our_losses) == len(their_losses) == 2 // accumulation
    assert our_losses == pytest.approx(their_losses, abs=1e-5)
    for mine, other in zip(our_gradients, their_gradients, strict=True):
        assert mine.keys() == other.keys() == start.keys()
        for name in mine:
            assert mine[name].abs().max() > 0
            torch.testing.assert_close(mine[name], other[name], atol=1e-5, rtol=1e-4)


def test_only_the_supervised_columns_get_logits(base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = built(base, tmp_path)
    widths = []
    head = base.model.lm_head
    hook = head.register_forward_hook(lambda module, inputs, output: widths.append(output.shape[1]))
    batch = trainer.data_collator([trainer.train_dataset[n] for n in (1, 4)])
    trainer.compute_loss(trainer.model, dict(batch))
    hook.remove()
    labels = batch["labels"]
    first = int((labels != -100).any(0).nonzero()[0])
    assert widths == [labels.shape[1] - first + 1]
    assert widths[0] < labels.shape[1] / 2


def test_bf16_weights_are_trained_under_autocast(workplace: Path, tmp_path: Path) -> None:
    base = load_base(ModelSection(base="tiny-llama", device="cpu", dtype="bfloat16"))
    trainer = built(base, tmp_path)
    adapter = [p for p in trainer.model.parameters() if p.requires_grad]
    assert {p.dtype for p in adapter} == {torch.float32}
    assert next(base.model.parameters()).dtype == torch.bfloat16
    seen = []
    layer = next(m for name, m in trainer.model.named_modules() if name.endswith("q_proj.lora_A.default"))
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    loss = trainer.compute_loss(trainer.model, dict(trainer.data_collator([trainer.train_dataset[0]])))
    loss.backward()
    hook.remove()
    assert seen == [torch.bfloat16]
    assert loss.dtype == torch.float32
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in adapter)


class TestSupervision:
    def test_counts_the_supervised_tokens(self, base: Base, tmp_path: Path) -> None:
        trainer = built(base, tmp_path)
        count = 0
        for row in ROWS:
            completion = f"{row['completion'][0]['content']}<|im_end|>\n"
            count += len(base.tokenizer(completion, add_special_tokens=False)["input_ids"])
        assert check_supervision(trainer, ROWS, base.tokenizer) == count

    def test_truncation_inside_the_completion(self, base: Base, tmp_path: Path) -> None:
        rows = ROWS[:1]
        whole = len(built(base, tmp_path, rows=rows).train_dataset[0]["input_ids"])
        short = PLAIN.model_copy(update={"max_length": whole - 3})
        trainer = built(load_base(ModelSection(base="tiny-llama", device="cpu", dtype="float32")), tmp_path, short, rows)
        with pytest.raises(TrainingError, match=r"Raise training\.max_length"):
            check_supervision(trainer, rows, base.tokenizer)

    def test_rows_that_lost_their_completion(self, base: Base, tmp_path: Path) -> None:
        trainer = built(base, tmp_path, PLAIN.model_copy(update={"max_length": 100}))
        lost = len(ROWS) - len(trainer.train_dataset)
        assert lost > 0
        with pytest.raises(TrainingError, match=rf"training\.max_length: {lost} samples lost"):
            check_supervision(trainer, ROWS, base.tokenizer)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("{{ message['content'] }}", "{{ message['content'] | upper }}"),
            ("{{ message['content'] }}<|im_end|>", "{{ message['content'] }}"),
            ("{{ message['content'] }}<|im_end|>", "{{ message['content'] }} by the way<|im_end|>"),
            ("<|im_start|>assistant\n{% endif %}", "<|im_start|>bot\n{% endif %}"),
        ],
    )
    def test_broken_template(self, old: str, new: str, base: Base, tmp_path: Path) -> None:
        assert base.tokenizer.chat_template.count(old) == 1
        base.tokenizer.chat_template = base.tokenizer.chat_template.replace(old, new)
        trainer = built(base, tmp_path)
        with pytest.raises(TrainingError, match="not computed on the completion"):
            check_supervision(trainer, ROWS, base.tokenizer)

    @pytest.mark.parametrize("fault", ["one more", "one less", "all", "none", "shifted"])
    def test_wrong_mask(self, fault: str, base: Base, tmp_path: Path) -> None:
        trainer = built(base, tmp_path)
        collate = trainer.data_collator

        def wrong(rows: list[Any]) -> Any:
            batch = collate(rows)
            labels, ids = batch["labels"], batch["input_ids"]
            first = int((labels[0] != -100).nonzero()[0])
            if fault == "one more":
                labels[0, first - 1] = ids[0, first - 1]
            elif fault == "one less":
                labels[0, first] = -100
            elif fault == "all":
                labels.copy_(ids)
            elif fault == "none":
                labels.fill_(-100)
            else:
                labels[0, first:-1] = ids[0, first + 1 :]
            return batch

        check_supervision(trainer, ROWS, base.tokenizer)
        trainer.data_collator = wrong
        with pytest.raises(TrainingError, match="not computed on the completion"):
            check_supervision(trainer, ROWS, base.tokenizer)
