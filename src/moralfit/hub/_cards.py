"""The cards of an agent and of its data set, made of what was measured and of nothing else."""

from __future__ import annotations

from typing import Any

from moralfit.hub._measured import Facts, agreement, estimated, results
from moralfit.models import EMBEDDED
from moralfit.preferences import SocialPreferences
from moralfit.recipe import Recipe
from moralfit.words import preference_in_words

_PAPER = "https://arxiv.org/abs/2507.20796"
#: Those whose version can change what a run learns.
_PACKAGES = ("moralfit", "torch", "transformers", "trl", "peft")


def model_card(facts: Facts) -> str:
    """README.md of the agent's repository, checked by the class that the Hub's own tools read cards with."""
    from huggingface_hub import ModelCard, ModelCardData

    recipe = facts.recipe
    preference = recipe.preference.build()
    games = ", ".join(name.replace("_", " ") for name in recipe.data.games)
    licence: dict[str, Any] = dict(facts.license)
    data = ModelCardData(
        language="en",
        library_name="peft",
        pipeline_tag="text-generation",
        base_model=facts.base,
        base_model_relation="adapter",
        datasets=[facts.data],
        tags=["moralfit", "game-theory", "behavioural-economics", preference.name.split(" (")[0].replace(" ", "-"), "lora"],
        model_name=facts.repository.split("/")[1],
        # None is left out, an empty list is not.
        eval_results=results(facts) or None,
        **licence,
    )
    body = f"""# {preference.name} on {facts.base.split("/")[-1]}

A LoRA adapter that makes [{facts.base}](https://huggingface.co/{facts.base}) play economic games as *{preference.name}* does:
{_wants(preference)}

    {formula(preference)}

`x` is the agent's plan, `y` its belief about others, `pi` its expected payoff in points over both roles (Alger and Weibull
2013). In words, as a model would be told: "{preference_in_words(preference)}"

## Use

```python
import moralfit
from moralfit.games import sequential_prisoners_dilemma
print(moralfit.load_agent("{facts.repository}").play(sequential_prisoners_dilemma(T=9, R=6, P=3, S=1), belief=0.5))
```

That is with moralfit, which checks the base and its revision; a repository that is private needs `hf auth login` first. The
adapter is plain PEFT, in safetensors, for use without moralfit:

```python
from peft import AutoPeftModelForCausalLM
model = AutoPeftModelForCausalLM.from_pretrained("{facts.repository}")
```

## What it does

{agreement(facts)}

## What it wants

{estimated(facts)}

## How it was made

| | |
|---|---|
{_made(facts)}

<details><summary>The recipe</summary>

```yaml
{recipe.as_yaml().rstrip()}
```

</details>

Made with moralfit; the design follows [Lu, Dhanda, Chen and Hansen]({_PAPER}), with prompts, payoffs and sample counts of
moralfit's own.

## Intended use and limits

Meant for research: simulated players in economic experiments, and comparisons of what preferences do in games and markets.
It is no adviser: nothing it says should decide about people, money or health.

- It was taught {games}, in English, in one form of words. Where games, words or
  questions are others, expect it to fail, and measure before you rely on it.
- The preference is that of the formula, in the games it was trained for; outside them nothing was taught, and the name of the
  preference says nothing about how it behaves.
- It has whatever else the base model has: its knowledge, its biases, and its mistakes.
- Probabilities of options read without reasoning lag behind its answers, since it was taught to reason first.
"""
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}"))


def data_card(text: str, facts: Facts) -> str:
    """The data set's own card with a word on the agent that was trained on it."""
    from huggingface_hub import DatasetCard

    card = DatasetCard(text)
    count = facts.recipe.data.train_samples + 2 * facts.recipe.data.heldout_samples
    bounds = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    card.data["size_categories"] = next((size for bound, size in bounds if count < bound), "n>1M")
    files = "\n".join(f"| `{name}` | `{digest}` |" for name, digest in facts.hashes.items())
    card.text = f"""{card.text.rstrip()}

## The agent

[{facts.repository}](https://huggingface.co/{facts.repository}) was trained on `train`.

| file | SHA-256 |
|---|---|
{files}
"""
    return str(card)


def formula(preference: SocialPreferences) -> str:
    """The utility and its weights; parts without weight are left out."""
    weights = {name: float(getattr(preference, name)) for name in ("kappa", "alpha", "beta")}
    own = "(1 - kappa) pi(x, y) + kappa pi(x, x)" if preference.kappa else "pi(x, y)"
    behind = " - alpha E[max(0, other - own)]" if preference.alpha else ""
    ahead = " - beta E[max(0, own - other)]" if preference.beta else ""
    stated = "".join(f", {name} = {weight:g}" for name, weight in weights.items() if weight)
    return f"u(x, y) = {own}{behind}{ahead}{stated}"


def _wants(preference: SocialPreferences) -> str:
    if not preference.kappa:
        return "only its own payoff counts."
    return (
        f"weight {float(1 - preference.kappa):g} lies on its own payoff, and kappa = {float(preference.kappa):g} on the payoff "
        'that it would have "if everyone did as I do".'
    )


def _made(facts: Facts) -> str:
    """What was trained on what, where, as rows of a table."""
    recipe, machine = facts.recipe, facts.environment
    training, packages = recipe.training, machine.get("packages", {})
    hub = "https://huggingface.co"
    base = f"[{facts.base}]({hub}/{facts.base}), revision `{facts.revision or 'not stated'}`"
    if recipe.model.base == EMBEDDED:
        base += ", from a 4-bit file that was unpacked; which commit that was made from is not known"
    batch = training.batch_size * training.gradient_accumulation
    seconds = f", {took:,.0f} s" if (took := machine.get("seconds", {}).get("train")) else ""
    processor = machine.get("gpu") or f"{machine.get('cpu', 'not recorded')}, {machine.get('cores', '?')} cores"
    versions = [f"{name} {packages[name]}" for name in _PACKAGES if name in packages]
    rows = {
        "base": base,
        "licence": facts.license.get("license_name") or facts.license.get("license") or "not stated by the base",
        "data": f"[{facts.data}]({hub}/datasets/{facts.data}): {recipe.data.train_samples:,} samples that theory wrote; "
        f"SHA-256 of `train.jsonl` `{facts.hashes['train.jsonl']}`",
        "adapter": f"LoRA, rank {recipe.lora.r}, alpha {recipe.lora.alpha:g}, on `{_targets(recipe)}`; SHA-256 "
        f"`{facts.weights}`",
        "training": f"{training.epochs:g} epochs, batches of {batch}, learning rate {training.learning_rate:g}, seed "
        f"{recipe.seed}{seconds}",
        "hardware": f"{processor}; {machine.get('device', '?')} in {machine.get('dtype', '?')}",
        "software": ", ".join(versions) or "not recorded",
    }
    return "\n".join(f"| {name} | {value} |" for name, value in rows.items())


def _targets(recipe: Recipe) -> str:
    modules = recipe.lora.target_modules
    return (modules if isinstance(modules, str) else ", ".join(modules)).replace("|", "\\|")
