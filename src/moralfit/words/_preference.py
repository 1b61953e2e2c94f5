"""A preference as an instruction, for a model that is told it instead of being trained on it."""

from __future__ import annotations

from moralfit.preferences import SocialPreferences


def preference_in_words(preference: SocialPreferences, players: int = 2) -> str:
    """The instruction for a model that is told its preference instead of being trained on it.

    Args:
        players: How many there are in the games that it is told before. With two, the words also hold for simultaneous games,
            in which roles are alike.
    """
    kappa, alpha, beta = (float(v) for v in (preference.kappa, preference.alpha, preference.beta))
    role = "in either role" if players == 2 else "in every role"
    own = "your own expected payoff given what you expect of others"
    universal = f"the payoff you would expect if everyone, {role}, followed the same plan as you"
    if 0 < kappa < 1:
        text = f"Your goal is {1 - kappa:g} times {own}, plus {kappa:g} times {universal}."
    elif alpha or beta:
        text = f"Your goal is {universal if kappa else own}."
    elif kappa:
        text = (
            f"Choose the plan that would give you the highest expected payoff if everyone, {role}, followed the same "
            "plan as you."
        )
    else:
        text = "You care only about your own expected payoff."
    text += " Each role is equally likely for you."
    amount = "amount by which the other gets" if players == 2 else "amount, over each of the others, by which that one gets"
    for weight, gap, otherwise in ((alpha, "more", "less"), (beta, "less", "more")):
        if weight:
            verb = "Subtract" if weight > 0 else "Add"
            text += f" {verb} {abs(weight):g} times the average {amount} {gap} than you, "
            text += f"counted as zero whenever it gets {otherwise}."
    return text + " Choose what reaches your goal best."
