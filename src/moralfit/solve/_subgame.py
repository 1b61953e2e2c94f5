"""Subgame-perfect play by backward induction."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import product

from moralfit.errors import GameError
from moralfit.games import Chance, Decision, Game, Node, Plan, Terminal, exact
from moralfit.preferences import HomoEconomicus, SocialPreferences


def subgame_perfect(game: Game, preference: SocialPreferences | None = None) -> tuple[Plan, ...]:
    """Every pure subgame-perfect plan of a game with perfect information, by backward induction.

    Args:
        game: A game in which every information set is one node.
        preference: Homo economicus if None. Inequity aversion is applied to the payoffs at each end of the tree.

    Raises:
        GameError: kappa is positive (what everyone would do is not a property of one subgame) or the game hides information.
    """
    preference = preference or HomoEconomicus()
    if preference.kappa:
        raise GameError("subgame-perfect play is defined here for kappa = 0; use equilibrium_strategies for homo moralis")
    names = [information.name for information in game.information_sets]
    if len(names) != _decision_nodes(game.root):
        raise GameError(f"{game.name}: backward induction needs perfect information")
    continuations = _continuations(game.root, preference, range(len(game.roles)))
    return tuple(dict.fromkeys(tuple(actions[name] for name in names) for actions, _ in continuations))


def _continuations(
    node: Node, preference: SocialPreferences, roles: range
) -> list[tuple[dict[str, str], tuple[Fraction, ...]]]:
    """All subgame-perfect ways to go on from a node: the action at each information set, and the utilities by role."""
    if isinstance(node, Terminal):
        return [({}, tuple(_utility_at_end(preference, [exact(p) for p in node.payoffs], role) for role in roles))]
    found: list[tuple[dict[str, str], tuple[Fraction, ...]]] = []
    for branches in product(*(_continuations(child, preference, roles) for child in node.children)):
        actions = {name: action for below, _ in branches for name, action in below.items()}
        values = [utilities for _, utilities in branches]
        if isinstance(node, Chance):
            weights = [exact(p) for p in node.probabilities]
            mean = [sum((w * v[role] for w, v in zip(weights, values, strict=True)), Fraction(0)) for role in roles]
            found.append((actions, tuple(mean)))
        else:
            best = max(utilities[node.role] for utilities in values)
            found += [
                ({**actions, node.information: action}, utilities)
                for action, utilities in zip(node.actions, values, strict=True)
                if utilities[node.role] == best
            ]
    return found


def _utility_at_end(preference: SocialPreferences, payoffs: Sequence[Fraction], role: int) -> Fraction:
    gaps = [payoff - payoffs[role] for payoff in payoffs]
    behind = sum((gap for gap in gaps if gap > 0), Fraction(0)) / (len(gaps) - 1)
    ahead = sum((-gap for gap in gaps if gap < 0), Fraction(0)) / (len(gaps) - 1)
    return payoffs[role] - exact(preference.alpha) * behind - exact(preference.beta) * ahead


def _decision_nodes(node: Node) -> int:
    if isinstance(node, Terminal):
        return 0
    return isinstance(node, Decision) + sum(_decision_nodes(child) for child in node.children)
