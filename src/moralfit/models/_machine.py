"""What this machine can do, and the device and number format that follow from it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from moralfit.errors import ModelError
from moralfit.recipe import ModelSection

_PACKAGES = (
    "moralfit", "torch", "transformers", "trl", "peft", "datasets", "accelerate", "bitsandbytes", "flash-attn", "liger-kernel",
    "deepspeed", "numpy", "scipy", "huggingface_hub",
)  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """Where the model runs and in which format its weights are held; `reason` is for people."""

    device: str
    dtype: str
    reason: str


def choose_machine(model: ModelSection) -> Machine:
    """Device and dtype as the recipe says, or the fastest that this machine computes natively.

    Raises:
        ModelError: The recipe asks for a device that is not there.
    """
    import torch

    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    device = next(name for name, there in available.items() if there) if model.device == "auto" else model.device
    if not available[device]:
        there = ", ".join(name for name, yes in available.items() if yes)
        raise ModelError(f"model.device: {device} is not available on this machine, only {there}; use model.device=auto")
    if device == "cuda":
        name = torch.cuda.get_device_name()
        native, why = torch.cuda.is_bf16_supported(including_emulation=False), name
    elif device == "cpu":
        native = bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
        why = f"{os.cpu_count()} cores {'with' if native else 'without'} bf16 instructions"
    else:
        native, why = False, "Apple GPU"
    if model.dtype != "auto":
        return Machine(device, model.dtype, f"{why}; dtype from the recipe")
    return Machine(device, "bfloat16" if native else "float32", why)


def unmet(model: ModelSection, machine: Machine) -> list[str]:
    """What the recipe asks of the model and this machine lacks: each with its key and a remedy."""
    problems = []
    if model.quantize is not None and not installed("bitsandbytes"):
        problems.append(
            f"model.quantize: {model.quantize} needs the package bitsandbytes (pip install bitsandbytes); model.quantize=null "
            "loads the base as it is"
        )
    if model.attention in _KERNELS:
        module, package = _KERNELS[model.attention]
        if machine.device != "cuda":
            problems.append(
                f"model.attention: {model.attention} needs an NVIDIA GPU; model.attention=auto runs on a {machine.device}"
            )
        elif not installed(module, "kernels"):
            problems.append(
                f"model.attention: {model.attention} needs the package {package}, or kernels, which fetches it from the Hub; "
                "model.attention=auto needs neither"
            )
    return problems


#: Attention -> the module that computes it, and the package that this comes in.
_KERNELS = {
    "flash_attention_2": ("flash_attn", "flash-attn"),
    "flash_attention_3": ("flash_attn_interface", "flash-attn-3"),
}


def installed(*modules: str) -> bool:
    """Whether one of these modules could be imported."""
    return any(find_spec(module) is not None for module in modules)


def environment(machine: Machine) -> dict[str, Any]:
    """Hardware and versions for the record of a run: no path, user or host name."""
    import torch

    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "device": machine.device,
        "dtype": machine.dtype,
        "packages": versions,
    }


def cpu_name() -> str:
    """The processor, as Linux or the platform names it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
