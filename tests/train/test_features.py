"""Packing, 4-bit bases, batches that fit, thinking templates, and what is said where a feature lacks something."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from datasets import Dataset
from rich.console import Console
from safetensors.torch import load_file
from tiny_model import TINY, Recipes
from tokenizers import Regex, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM
from trl import SFTTrainer

from moralfit.errors import ModelError, RunError, TrainingError
from moralfit.models import Machine, add_adapter, load_base
from moralfit.models import _machine as machine_module
from moralfit.recipe import LoraSection, ModelSection, TrainingSection, load_recipe
from moralfit.train import Run, _options, _ranks, _trainer, dry_run
from moralfit.train._options import check_options, sft_config
from moralfit.train._supervision import check_supervision
from moralfit.train._trainer import CompletionTrainer, build_trainer

BRIEF: dict[str, Any] = {"evaluation": {"prompts": 1, "compare": ["random"], "probabilities": False}}
FOLDER = Path("runs/tiny-moralis-1")
ROWS = [
    {
        "prompt": [{"role": "user", "content": "Payoffs in coins: " + "A gives 3 and 4. " * length}],
        "completion": [{"role": "assistant", "content": "B is larger. " * (1 + n % 3) + f"\nAnswer: {'AB'[n % 2]}"}],
    }
    for n, length in enumerate((1, 9, 3, 6, 2, 2, 7, 4))
]
PACKED = TrainingSection(batch_size=1, packing=True, max_length=256, log_every=1, warmup=0, schedule="constant")
PADDED = PACKED.model_copy(update={"packing": False, "batch_size": 4})


def base_of(workplace: Path, **section: Any) -> Any:
    return load_base(ModelSection(**{"base": TINY, "device": "cpu", "dtype": "float32", **section}))


def built(base: Any, tmp: Path, training: TrainingSection, rows: list[Any] = ROWS) -> CompletionTrainer:
    return build_trainer(base, LoraSection(r=4), training, 0, Dataset.from_list(rows), tmp / "out", [])


def only_train(recipe: Path, *overrides: str) -> str:
    console = Console(width=200, record=True, file=StringIO())
    run = Run(load_recipe(recipe, overrides), console)
    assert run._begin(False)
    run._train()
    return console.export_text()


def loss_of_all(trainer: SFTTrainer) -> tuple[float, dict[str, torch.Tensor]]:
    """Summed over all supervised tokens, with its gradients."""
    size, total = trainer.args.per_device_train_batch_size, 0.0
    trainer.model.zero_grad()
    for n, p in trainer.model.named_parameters():
        if "lora_B" in n:
            # From zero, the first factor would get no gradient.
            p.data.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())) * 0.1)
    rows = list(trainer.train_dataset)
    for start in range(0, len(rows), size):
        batch = trainer.data_collator(rows[start : start + size])
        loss = trainer.compute_loss(trainer.model, batch, num_items_in_batch=torch.tensor(1))
        loss.backward()
        total += loss.item()
    return total, {n: p.grad for n, p in trainer.model.named_parameters() if p.requires_grad}


class TestPacking:
    @pytest.mark.parametrize("attention", ["eager", "sdpa"])
    def test_losses_and_gradients_are_those_of_single_samples(self, attention: str, workplace: Path, tmp_path: Path) -> None:
        found = []
        for training in (PADDED, PACKED):
            trainer = built(base_of(workplace, attention=attention), tmp_path, training)
            found.append(loss_of_all(trainer))
        packs = trainer.train_dataset
        assert len(packs) < len(ROWS)
        assert max(len(lengths) for lengths in packs["seq_lengths"]) >= 2, "samples share rows"
        assert max(len(ids) for ids in packs["input_ids"]) <= 256
        assert found[1][0] == pytest.approx(found[0][0], rel=1e-5)
        for name, gradient in found[0][1].items():
            torch.testing.assert_close(found[1][1][name], gradient, rtol=1e-3, atol=1e-5)

    def test_loss_is_that_of_trl(self, workplace: Path, tmp_path: Path) -> None:
        ours = built(base_of(workplace), tmp_path, PACKED)
        loss, gradients = loss_of_all(ours)
        # As on a GPU, where the loss is left to TRL. It would pack the packs again.
        stock = SFTTrainer(model=ours.model, args=ours.args, train_dataset=ours.train_dataset, processing_class=ours._tokenizer)
        stock.train_dataset = ours.train_dataset
        theirs, their_gradients = loss_of_all(stock)
        assert loss == pytest.approx(theirs, rel=1e-5)
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, their_gradients[name], rtol=1e-3, atol=1e-5)

    def test_samples_that_see_each_other_stop_it(
        self, workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trainer = built(base_of(workplace), tmp_path, PACKED)
        batch = trainer.data_collator([trainer.train_dataset[0]])
        trainer.compute_loss(trainer.model, dict(batch))
        assert trainer._isolated
        base = trainer.model.get_base_model()
        whole = base.model.forward

        def one_sample(*args: Any, **kwargs: Any) -> Any:
            boundaries = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "seq_idx", "position_ids")
            return whole(*args, **{k: v for k, v in kwargs.items() if k not in boundaries})

        monkeypatch.setattr(base.model, "forward", one_sample)
        trainer._isolated = False
        with pytest.raises(TrainingError, match=r"training\.packing: with \w+ attention the samples of a pack see each other"):
            trainer.compute_loss(trainer.model, dict(batch))

    def test_supervision_is_decoded_sample_by_sample(self, workplace: Path, tmp_path: Path) -> None:
        base = base_of(workplace)
        trainer = built(base, tmp_path, PACKED)
        count = sum(
            len(base.tokenizer(f"{row['completion'][0]['content']}<|im_end|>\n", add_special_tokens=False)["input_ids"])
            for row in ROWS
        )
        assert check_supervision(trainer, ROWS, base.tokenizer) == count

    @pytest.mark.parametrize("fault", ["swapped", "one less", "missing", "cut"])
    def test_wrong_supervision(self, fault: str, workplace: Path, tmp_path: Path) -> None:
        base, rows = base_of(workplace), ROWS
        training = PACKED.model_copy(update={"max_length": 90}) if fault == "cut" else PACKED
        trainer = built(base, tmp_path, training)
        collate = trainer.data_collator
        if fault == "swapped":
            rows = [{**row, "completion": other["completion"]} for row, other in zip(ROWS, ROWS[1:] + ROWS[:1], strict=True)]
        elif fault == "missing":
            rows = [*ROWS, ROWS[0]]
        elif fault == "one less":

            def wrong(packs: list[Any]) -> Any:
                batch = collate(packs)
                batch["labels"][0, int((batch["labels"][0] != -100).nonzero()[-1])] = -100
                batch["labels"][0, int((batch["labels"][0] != -100).nonzero()[-1])] = -100
                return batch

            trainer.data_collator = wrong
        if fault != "cut":
            check_supervision(built(base_of(workplace), tmp_path, PACKED), ROWS, base.tokenizer)
        with pytest.raises(TrainingError, match=r"not computed on the completion|samples lost|cut into several"):
            check_supervision(trainer, rows, base.tokenizer)

    def test_a_whole_training(self, write_recipe: Recipes) -> None:
        recipe = write_recipe(
            **BRIEF, training={"packing": True, "batch_size": 1, "max_length": 1024}, data={"train_samples": 24}
        )
        text = only_train(recipe)
        packs = int(next(line for line in text.splitlines() if "packs of up to" in line).split()[0])
        assert packs < 24
        lines = [json.loads(line) for line in (FOLDER / "metrics.jsonl").read_text().splitlines()]
        assert len(lines) == 2 * packs
        assert lines[-1]["loss"] < lines[0]["loss"]
        console = Console(width=120, record=True, file=StringIO())
        dry_run(load_recipe(recipe), console)
        steps = next(line for line in console.export_text().splitlines() if "optimizer steps" in line)
        said = int(next(word for word in steps.replace("│", " ").split() if word.isdigit()))
        assert 0.7 * 2 * packs <= said <= 2 * packs


class TestFourBits:
    @pytest.fixture(autouse=True)
    def wide(self, workplace: Path, tiny: Path) -> Path:
        """The tiny model with rows of 64, which is how many weights share a scale."""
        config = AutoConfig.from_pretrained(tiny, hidden_size=64, intermediate_size=128, head_dim=16)
        torch.manual_seed(0)
        shutil.copytree(tiny, workplace / "wide")
        AutoModelForCausalLM.from_config(config).save_pretrained(workplace / "wide")
        return workplace / "wide"

    def test_weights(self, workplace: Path) -> None:
        base = base_of(workplace, base="wide", quantize="nf4")
        layer = base.model.model.layers[0].self_attn.q_proj
        assert type(layer).__name__ == "Linear4bit"
        assert layer.weight.quant_type == "nf4"
        assert layer.weight.quant_state.nested, "the scales are quantized too"
        assert base.model.lm_head.weight.dtype == torch.float32

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_training(self, dtype: str, write_recipe: Recipes, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: dict[str, Any] = {}
        fit = _trainer.fit

        def watched(trainer: Any, checkpoint: Any) -> None:
            seen["trained"] = {p.dtype for p in trainer.model.parameters() if p.requires_grad}
            frozen = [p for p in trainer.model.parameters() if not p.requires_grad]
            before = [p.clone() for p in frozen]
            fit(trainer, checkpoint)
            seen["same"] = all(torch.equal(p, old) for p, old in zip(frozen, before, strict=True))

        monkeypatch.setattr("moralfit.train._run.fit", watched)
        recipe = write_recipe(**BRIEF, model={"base": "wide", "quantize": "nf4", "dtype": dtype})
        text = only_train(recipe)
        assert "in nf4" in text
        assert seen == {"trained": {torch.float32}, "same": True}
        lines = [json.loads(line) for line in (FOLDER / "metrics.jsonl").read_text().splitlines()]
        assert lines[-1]["loss"] < lines[0]["loss"] - 0.05
        for quantize in ("nf4", None):
            base = load_base(ModelSection(base="wide", device="cpu", dtype="float32", quantize=quantize))
            add_adapter(base, FOLDER / "adapter", "tuned")
            assert base.adapters["tuned"] > 0.01
        config = json.loads((FOLDER / "adapter/adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == "wide"

    def test_optimizer(self, tmp_path: Path) -> None:
        def optimizer(device: str, quantized: bool, **training: Any) -> str:
            return str(sft_config(TrainingSection(**training), 0, tmp_path, device, "float32", quantized).optim.value)

        plain = optimizer("cpu", False)
        assert plain.startswith("adamw_torch")
        assert optimizer("cuda", True) == "paged_adamw_8bit"
        assert optimizer("cuda", True, trl={"optim": "adafactor"}) == "adafactor"
        assert optimizer("cpu", True) == plain, "paging needs CUDA"
        assert optimizer("cpu", True, optimizer="adamw_8bit") == "adamw_bnb_8bit"
        with pytest.raises(TrainingError, match=r"training\.trl\.optim: say training\.optimizer instead"):
            optimizer("cpu", False, optimizer="adamw", trl={"optim": "adafactor"})


class TestLacking:
    CPU, GPU = Machine("cpu", "float32", ""), Machine("cuda", "float32", "")

    @pytest.mark.parametrize(
        ("change", "machine", "problem"),
        [
            ({"training": {"liger": True}}, CPU, "training.liger: these kernels need a GPU"),
            ({"training": {"liger": True}}, GPU, "training.liger: needs the package liger-kernel"),
            ({"training": {"optimizer": "paged_adamw_8bit"}}, CPU, "training.optimizer: paged_adamw_8bit needs an NVIDIA GPU"),
            ({"training": {"optimizer": "adamw_8bit"}}, GPU, "training.optimizer: adamw_8bit needs the package bitsandbytes"),
            ({"model": {"attention": "flash_attention_2"}}, CPU, "model.attention: flash_attention_2 needs an NVIDIA GPU"),
            (
                {"model": {"attention": "flash_attention_3"}},
                GPU,
                "model.attention: flash_attention_3 needs the package flash-attn-3",
            ),
            ({"model": {"quantize": "nf4"}}, CPU, "model.quantize: nf4 needs the package bitsandbytes"),
        ],
    )
    def test_each_is_named_with_its_remedy(
        self, change: dict[str, Any], machine: Machine, problem: str, write_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recipe = load_recipe(write_recipe(**change))
        for module in (machine_module, _options):
            monkeypatch.setattr(module, "installed", lambda *modules: False)
        with pytest.raises(TrainingError) as caught:
            check_options(recipe, machine)
        assert str(caught.value).startswith(problem)
        assert any(word in str(caught.value) for word in ("=", "pip install", "false")), "a remedy"
        check_options(recipe)

    def test_all_at_once_and_before_the_folder_is_claimed(self, write_recipe: Recipes) -> None:
        recipe = write_recipe(
            training={"liger": True, "optimizer": "paged_adamw_8bit"}, model={"attention": "flash_attention_2"}
        )
        with pytest.raises(TrainingError) as caught:
            Run(load_recipe(recipe), Console(file=StringIO())).go(False)
        assert str(caught.value).startswith("3 problems in the recipe's options\n")
        assert not FOLDER.exists()

    def test_loading_alone_says_it_too(self, workplace: Path) -> None:
        with pytest.raises(ModelError, match=r"model\.attention: flash_attention_2 needs an NVIDIA GPU"):
            base_of(workplace, attention="flash_attention_2")

    def test_launches(self, write_recipe: Recipes, monkeypatch: pytest.MonkeyPatch) -> None:
        recipe = load_recipe(write_recipe(training={"fit_batch": True}, model={"quantize": "nf4"}))
        monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
        monkeypatch.setenv("FSDP_VERSION", "1")
        monkeypatch.setattr(_options, "rank_and_count", lambda: (0, 2))
        with pytest.raises(TrainingError) as caught:
            check_options(recipe, self.CPU)
        keys = [line.split(":")[0].strip(" -") for line in str(caught.value).splitlines()[1:]]
        assert keys == ["training.fit_batch", "model.quantize", "accelerate"]


class TestBatchThatFits:
    @pytest.fixture
    def small(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """A machine whose memory holds two samples; gives the sizes that were tried."""
        tried: list[int] = []
        compute = CompletionTrainer.compute_loss

        def limited(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            size = inputs["input_ids"].shape[0]
            if not tried or tried[-1] != size:
                tried.append(size)
            if size > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return compute(self, model, inputs, *args, **kwargs)

        monkeypatch.setattr(CompletionTrainer, "compute_loss", limited)
        return tried

    def test_steps_stay_the_same(self, small: list[int], write_recipe: Recipes) -> None:
        changes = {**BRIEF, "data": {"train_samples": 24}}
        text = only_train(write_recipe(**changes, training={"batch_size": 12, "fit_batch": True}))
        assert "again with 6 at once, 2 times a step" in text
        assert "again with 3 at once, 4 times a step" in text
        assert small == [12, 6, 3, 1]
        assert json.loads((FOLDER / "environment.json").read_text())["fitted_batch_size"] == 1
        only_train(write_recipe("whole.yaml", **changes, name="whole", training={"batch_size": 1, "gradient_accumulation": 12}))
        found, expected = (load_file(Path(f"runs/{n}-moralis-1/adapter/adapter_model.safetensors")) for n in ("tiny", "whole"))
        for name, weight in expected.items():
            assert torch.equal(found[name], weight), name

    def test_unless_asked_for_it_is_an_error(self, small: list[int], write_recipe: Recipes) -> None:
        with pytest.raises(TrainingError, match=r"out of GPU memory; lower training\.batch_size .*training\.fit_batch=true"):
            only_train(write_recipe(**BRIEF))
        assert small == [4]


def test_a_run_from_before_a_key_existed_goes_on(write_recipe: Recipes) -> None:
    recipe = write_recipe(**BRIEF)
    only_train(recipe)
    stored = yaml.safe_load((FOLDER / "recipe.yaml").read_text())
    for section, key in (("model", "quantize"), ("training", "packing"), ("training", "optimizer")):
        del stored[section][key]
    (FOLDER / "recipe.yaml").write_text(yaml.safe_dump(stored))
    run = Run(load_recipe(recipe), Console(file=StringIO()))
    assert not run._begin(False), "its adapter is there"
    with pytest.raises(RunError, match=r"differs in training\.packing\)"):
        Run(load_recipe(recipe, ["training.packing=true"]), Console(file=StringIO()))._begin(False)


def test_a_checkpoint_of_more_processes_is_not_continued(write_recipe: Recipes) -> None:
    run = Run(load_recipe(write_recipe(**BRIEF)), Console(file=StringIO()))
    run._claim(False)
    (FOLDER / "environment.json").write_text('{"processes": 2, "seconds": {}}')
    run._claim(False)
    (FOLDER / "checkpoints/checkpoint-1").mkdir(parents=True)
    with pytest.raises(RunError, match="begun by 2 processes, this is 1"):
        run._claim(False)


def test_another_job_in_the_same_folder_is_kept_out(write_recipe: Recipes) -> None:
    recipe = load_recipe(write_recipe(**BRIEF))
    Run(recipe, Console(file=StringIO()))._claim(False)
    # The same process may go on where it was interrupted, also after starting anew.
    Run(recipe, Console(file=StringIO()))._claim(True)
    _ranks.let_go(FOLDER)
    code = f"import fcntl, os; fcntl.flock(os.open({str(FOLDER)!r}, 0), fcntl.LOCK_EX); print('held', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        for overwrite in (False, True):
            with pytest.raises(RunError, match="another process is at work in it"):
                Run(recipe, Console(file=StringIO()))._claim(overwrite)
        other.kill()
    Run(recipe, Console(file=StringIO()))._claim(False)


def test_other_ranks_speak_later_and_say_who_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(_ranks.time, "sleep", waited.append)
    for rank, said in (("0", "no such thing"), ("1", "process 1 of 2: no such thing")):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(RunError) as caught, _ranks.one_message():
            raise RunError("no such thing")
        assert str(caught.value) == said
    assert len(waited) == 1


#: How Qwen's tokenizers split text, line breaks above all.
QWEN_SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


@pytest.mark.parametrize("name", ["qwen2_5", "qwen3", "qwen3_instruct_2507", "qwen3_5_think", "qwen3_5_nothink"])
def test_published_templates_fit(name: str, tiny: Path, tmp_path: Path) -> None:
    """The templates of the Qwen models as TRL keeps them; those that can think are told not to."""
    from transformers import AutoTokenizer

    shutil.copytree(tiny, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.chat_template = (files("trl") / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")
    tokenizer.save_pretrained(tmp_path / "model")
    base = load_base(ModelSection(base=str(tmp_path / "model"), device="cpu", dtype="float32"))
    asked = base.tokenizer.apply_chat_template(ROWS[0]["prompt"], add_generation_prompt=True, tokenize=False)
    assert asked.endswith("<|im_start|>assistant\n" if name in ("qwen2_5", "qwen3_instruct_2507") else "</think>\n\n")
    assert check_supervision(built(base, tmp_path, PADDED), ROWS, base.tokenizer) > 0
