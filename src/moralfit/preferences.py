"""What an agent wants: homo economicus, homo moralis, and both with inequity aversion.

`u(x, y) = (1 - kappa) pi(x, y) + kappa pi(x, x) - alpha E[max(0, other - own)] - beta E[max(0, own - other)]`

`x` is the agent's own strategy and `y` its belief about the others'. The expectations use actual play (x, y); only the material
payoff is universalised. Source: Alger and Weibull (2013); van Leeuwen and Alger (2024).

With more than two roles, "everyone" is everyone at once: with weight kappa all the others do as oneself, with weight 1 - kappa
none of them. That is one of the morality profiles of Alger and Weibull (2016), and our choice; in another, each of the others
is replaced independently. For two roles they are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from moralfit.errors import GameError
from moralfit.games import Game, Number, Strategy, exact


@dataclass(frozen=True)
class SocialPreferences:
    """The full model. The weights are stored as exact fractions: a kappa of 0.1 is 1/10.

    Args:
        alpha: Weight on behindness (positive: aversion to being behind; negative: liking it).
        beta: Weight on aheadness (positive: aversion to being ahead; negative: spite).
        kappa: Degree of morality in [0, 1], the weight on "what if everyone did this?".

    Raises:
        GameError: A weight is not a finite number, or kappa lies outside [0, 1].
    """

    alpha: Number = 0
    beta: Number = 0
    kappa: Number = 0

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "kappa"):
            object.__setattr__(self, name, exact(getattr(self, name), name))
        if not 0 <= self.kappa <= 1:
            raise GameError(f"kappa must lie between 0 and 1, got {float(self.kappa)}")

    def utility(self, game: Game, x: Any, y: Any) -> Any:
        """u(x, y) in payoff points; `x` and `y` as :meth:`Game.strategy` takes them. Exact."""
        return self.of_strategies(game, game.strategy(x), game.strategy(y))

    def of_strategies(self, game: Game, x: Strategy, y: Strategy) -> Any:
        """The same for strategies that :meth:`Game.strategy` has already checked."""
        actual = game.expectation(x, y)
        total = (1 - self.kappa) * actual.payoff - self.alpha * actual.behindness - self.beta * actual.aheadness
        return total + self.kappa * game.material(x, x) if self.kappa else total

    @property
    def name(self) -> str:
        """A short name for tables: the model and its weights."""
        weights = {"alpha": self.alpha, "beta": self.beta, "kappa": self.kappa}
        return "social preferences (" + ", ".join(f"{k} = {float(v):g}" for k, v in weights.items()) + ")"


@dataclass(frozen=True)
class HomoMoralis(SocialPreferences):
    """Weight `1 - kappa` on the own payoff, `kappa` on the payoff if everyone did as oneself; 1 is *homo kantiensis*."""

    alpha: Number = field(default=0, init=False, repr=False)
    beta: Number = field(default=0, init=False, repr=False)
    kappa: Number = field()

    @property
    def name(self) -> str:
        """A short name for tables."""
        return f"homo moralis (kappa = {float(self.kappa):g})"


@dataclass(frozen=True)
class HomoEconomicus(SocialPreferences):
    """Only the own material payoff counts."""

    alpha: Number = field(default=0, init=False, repr=False)
    beta: Number = field(default=0, init=False, repr=False)
    kappa: Number = field(default=0, init=False, repr=False)

    @property
    def name(self) -> str:
        """A short name for tables."""
        return "homo economicus"
