"""Samples as the model sees them: which tokens it reads, which it learns, and how many there are."""

from __future__ import annotations

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from moralfit.dataset._build import samples
from moralfit.dataset._sample import row
from moralfit.models import load_tokenizer
from moralfit.recipe import Recipe


def preview(recipe: Recipe, count: int, console: Console) -> None:
    """Prints training samples with their chat template; what the loss is computed on is green."""
    tokenizer = load_tokenizer(recipe.model)
    for sample in samples(recipe, "train", count):
        stored = row(sample, recipe.data.system)
        prompt = tokenizer.apply_chat_template(stored["prompt"], add_generation_prompt=True, tokenize=False)
        whole = tokenizer.apply_chat_template(stored["prompt"] + stored["completion"], tokenize=False)
        counts = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in (prompt, whole)]
        text = Text.assemble((prompt, "dim"), (whole.removeprefix(prompt), "bold green"))
        belief = "stated" if sample.scene.belief else "not stated"
        console.print(
            Panel(
                text,
                title=f"{stored['id']}: {stored['game']} T={stored['T']} R={stored['R']} P={stored['P']} S={stored['S']}",
                subtitle=f"{counts[0]} tokens read, {counts[1] - counts[0]} learned; belief {belief}; "
                f"optimum {', '.join(stored['optimum'])}",
            )
        )
