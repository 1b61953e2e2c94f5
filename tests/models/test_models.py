"""Loading bases and adapters: what fits, what does not, and that adapters over one base stay apart."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from moralfit.errors import ModelError
from moralfit.models import Base, add_adapter, choose_machine, end_ids, environment, load_base, load_tokenizer
from moralfit.recipe import ModelSection

IDS = torch.tensor([[5, 9, 30, 44, 7]])
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def base(workplace: Path) -> Base:
    return load_base(ModelSection(base="tiny-llama", device="cpu", dtype="float32"))


@pytest.fixture
def make_adapter(workplace: Path) -> Callable[..., Path]:
    """Writes an adapter with random weights (scale zero: without effect)."""

    def make(name: str, scale: float = 0.3, names: str = "tiny-llama") -> Path:
        base = load_base(ModelSection(base="tiny-llama", device="cpu", dtype="float32"))
        torch.manual_seed(sum(name.encode()))
        model = get_peft_model(base.model, LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear"))
        for key, p in model.named_parameters():
            if "lora_B" in key:
                p.data.normal_(std=scale) if scale else p.data.zero_()
        model.peft_config["default"].base_model_name_or_path = names
        model.save_pretrained(workplace / name, save_embedding_layers=False)
        return workplace / name

    return make


def logits(base: Base, adapter: str | None = None) -> torch.Tensor:
    with torch.no_grad():
        if adapter is not None:
            base.model.set_adapter(adapter)
        elif base.adapters:
            with base.model.disable_adapter():
                plain: torch.Tensor = base.model(input_ids=IDS).logits
                return plain
        found: torch.Tensor = base.model(input_ids=IDS).logits
    return found


def test_adapters_over_one_base_do_not_leak(base: Base, make_adapter: Callable[..., Path]) -> None:
    plain = logits(base)
    alone = {}
    for name in ("one", "two"):
        single = load_base(ModelSection(base="tiny-llama", device="cpu", dtype="float32"))
        add_adapter(single, make_adapter(name), name)
        alone[name] = logits(single, name)
    assert (alone["one"] - alone["two"]).abs().max() > 0.1
    for name in ("one", "two"):
        add_adapter(base, Path(name), name)
    assert torch.equal(logits(base), plain)
    for name in ("two", "one", "two"):
        assert torch.equal(logits(base, name), alone[name])
    assert torch.equal(logits(base), plain)
    assert set(base.adapters) == {"one", "two"}
    assert min(base.adapters.values()) > 0.01


def test_a_base_goes_by_its_name_not_its_place(base: Base, tiny: Path) -> None:
    assert (base.name, base.revision) == ("tiny-llama", None)
    assert load_base(ModelSection(base=str(tiny), device="cpu", dtype="float32")).name == "tiny-llama"
    assert {p.dtype for p in base.model.parameters()} == {torch.float32}
    assert end_ids(base.model, base.tokenizer) == [base.tokenizer.convert_tokens_to_ids("<|im_end|>")]


def test_adapter_without_effect(base: Base, make_adapter: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match=r"idle: loads but changes no logit"):
        add_adapter(base, make_adapter("idle", scale=0), "idle")


def test_adapter_for_another_base(base: Base, make_adapter: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match=r"other: made for someone/else, not for tiny-llama"):
        add_adapter(base, make_adapter("other", names="someone/else"), "other")


def _no_config(folder: Path) -> None:
    (folder / "adapter_config.json").unlink()


def _broken_config(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model')


def _nameless_config(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"r": 4}')


def _odd_config(folder: Path) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "peft_type": "MAGIC"}))


def _other_rank(folder: Path) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "r": 3}))


def _cut_weights(folder: Path) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])


def _pickle_only(folder: Path) -> None:
    torch.save(load_file(folder / WEIGHTS), folder / "adapter_model.bin")
    (folder / WEIGHTS).unlink()


def _one_missing(folder: Path) -> None:
    stored = load_file(folder / WEIGHTS)
    stored.pop(sorted(stored)[0])
    save_file(stored, folder / WEIGHTS)


def _one_nan(folder: Path) -> None:
    stored = load_file(folder / WEIGHTS)
    stored[sorted(stored)[0]][0, 0] = float("nan")
    save_file(stored, folder / WEIGHTS)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "no such adapter folder"),
        (_no_config, "not an adapter"),
        (_broken_config, r"adapter_config\.json: damaged"),
        (_nameless_config, "names no base model"),
        (_odd_config, "cannot be loaded"),
        (_other_rank, "cannot be loaded"),
        (_cut_weights, "cannot be loaded"),
        (_pickle_only, "pickled weights are not loaded"),
        (_one_missing, "1 weights are missing or do not belong"),
        (_one_nan, "NaN"),
    ],
)
def test_damaged_adapter(damage: Callable[[Path], Any], message: str, base: Base, make_adapter: Callable[..., Path]) -> None:
    folder = make_adapter("hurt")
    damage(folder)
    with pytest.raises(ModelError, match=message) as error:
        add_adapter(base, folder, "hurt")
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_base_and_missing_template(workplace: Path, tiny: Path) -> None:
    for load in (load_base, load_tokenizer):
        with pytest.raises(ModelError, match=r"model\.base: no/such cannot be loaded .*model\.base=embedded needs no download"):
            load(ModelSection(base="no/such"))
    shutil.copytree(tiny, workplace / "mute")
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        file = workplace / "mute" / name
        if name.endswith("jinja"):
            file.unlink(missing_ok=True)
        else:
            config = json.loads(file.read_text())
            config.pop("chat_template", None)
            file.write_text(json.dumps(config))
    with pytest.raises(ModelError, match="mute has no chat template"):
        load_tokenizer(ModelSection(base="mute"))


def test_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for amx, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        assert (choose_machine(ModelSection()).device, choose_machine(ModelSection()).dtype) == ("cpu", expected)
    assert choose_machine(ModelSection(dtype="bfloat16")).dtype == "bfloat16"
    with pytest.raises(ModelError, match=r"model\.device: cuda is not available on this machine, only cpu"):
        choose_machine(ModelSection(device="cuda"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    for native, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, native=native: native)
        machine = choose_machine(ModelSection())
        assert (machine.device, machine.dtype, machine.reason) == ("cuda", expected, "Some GPU")


def test_environment_names_no_person_or_host() -> None:
    import getpass
    import socket

    text = json.dumps(environment(choose_machine(ModelSection(device="cpu"))))
    assert socket.gethostname() not in text
    assert str(Path.home()) not in text.replace('"/"', "")
    assert f'"{getpass.getuser()}"' not in text


@pytest.mark.slow
def test_embedded_model_is_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from moralfit.models import embedded_model

    monkeypatch.setenv("MORALFIT_CACHE", str(tmp_path))
    folder = embedded_model()
    written = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert embedded_model() == folder
    assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == written
    (folder / "model.safetensors").write_bytes(b"cut off")
    base = load_base(ModelSection(base="embedded", device="cpu"))
    assert base.name == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert sum(p.numel() for p in base.model.parameters()) == 134_515_008
