"""What this machine can do, and the device and number format that follow from it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from moralfit.errors import ModelError
from moralfit.recipe import ModelSection

_PACKAGES = (
    "moralfit", "torch", "transformers", "trl", "peft", "datasets", "accelerate", "bitsandbytes", "numpy", "scipy",
    "huggingface_hub",
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
