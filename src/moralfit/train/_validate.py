"""Which recipes say something that only the libraries can judge."""

from __future__ import annotations

from moralfit.recipe import Recipe, TrainingSection


def asks_libraries(recipe: Recipe) -> bool:
    """Whether the recipe says something that only TRL or PEFT can judge. To load them takes seconds, and few recipes do."""
    usual = TrainingSection.model_fields["schedule"].default
    return bool(recipe.training.trl or recipe.lora.peft) or recipe.training.schedule != usual
