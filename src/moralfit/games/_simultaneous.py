"""Simultaneous symmetric games: all roles share one information set, so a strategy is one distribution over actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from moralfit.errors import GameError
from moralfit.games._parameters import ordered, positive, whole
from moralfit.games._tree import Decision, Game, Node, Number, Terminal, exact


def simultaneous_game(
    name: str,
    actions: Sequence[str],
    payoff: Callable[[int, tuple[int, ...]], Number],
    players: int = 2,
    parameters: Mapping[str, Number] | None = None,
) -> Game:
    """A symmetric game in which everybody chooses once, without seeing the others' choices.

    Args:
        name: What the game is called.
        actions: The choices, the same for all.
        payoff: Points of a player, from the number of the own action and the numbers of the others' actions.
        players: How many there are.
        parameters: What the payoffs were built from.

    Raises:
        GameError: As :class:`Game`.
    """

    def after(chosen: tuple[int, ...]) -> Node:
        role = len(chosen)
        if role == players:
            return Terminal(tuple(payoff(own, chosen[:r] + chosen[r + 1 :]) for r, own in enumerate(chosen)))
        return Decision(role, "move", tuple(actions), tuple(after((*chosen, action)) for action in range(len(actions))))

    return Game(name, after(()), tuple(f"player {role + 1}" for role in range(players)), parameters or {})


def _two_by_two(name: str, actions: tuple[str, str], order: str, T: Number, R: Number, P: Number, S: Number) -> Game:
    """The first action against itself pays R, the second against itself P; the first against the second S, and T in return."""
    parameters = ordered(name, order, {"T": T, "R": R, "P": P, "S": S})
    table = ((R, S), (T, P))
    return simultaneous_game(name, actions, lambda own, others: table[own][others[0]], parameters=parameters)


def prisoners_dilemma(T: Number, R: Number, P: Number, S: Number) -> Game:
    """Both play C or D at once. Payoffs in points: CC (R, R), CD (S, T), DC (T, S), DD (P, P).

    Raises:
        GameError: The payoffs do not satisfy T > R > P > S.
    """
    return _two_by_two("prisoners_dilemma", ("C", "D"), "T > R > P > S", T, R, P, S)


def stag_hunt(T: Number, R: Number, P: Number, S: Number) -> Game:
    """Both hunt stag or hare at once. Payoffs in points: both stag R each, a lone stag hunter S and the other T, both hare P.

    Raises:
        GameError: The payoffs do not satisfy R > T >= P > S.
    """
    return _two_by_two("stag_hunt", ("stag", "hare"), "R > T >= P > S", T, R, P, S)


def chicken(T: Number, R: Number, P: Number, S: Number) -> Game:
    """Both swerve or go straight at once. Payoffs in points: both swerve R, going straight against a swerver T and S, crash P.

    Raises:
        GameError: The payoffs do not satisfy T > R > S > P.
    """
    return _two_by_two("chicken", ("swerve", "straight"), "T > R > S > P", T, R, P, S)


def linear_public_good(players: int = 3, tokens: int = 1, kept: Number = 3, shared: Number = 2) -> Game:
    """Everybody has `tokens` and gives 0, 1, ... or all of them at once.

    Payoff in points: `kept (tokens - given) + shared (all that is given)`. The marginal per-capita return is shared / kept.

    Args:
        players: 2 to 6. tokens: 1 to 4 for each; all outcomes together at most 1,024.
        kept: Points of a token for the one who keeps it. shared: Points of a given token for each player.

    Raises:
        GameError: A count is out of range, or not shared < kept < players x shared: giving costs the giver and pays the group.
    """
    name = "linear_public_good"
    players, tokens = whole(name, "players", players, 2, 6), whole(name, "tokens", tokens, 1, 4)
    kept, shared = positive(name, "kept", kept), positive(name, "shared", shared)
    if not shared < kept < players * shared:
        raise GameError(
            f"{name}: needs shared < kept < players x shared, got shared = {shared}, kept = {kept}, players = {players}"
        )
    if (tokens + 1) ** players > 1024:
        raise GameError(f"{name}: {players} players with {tokens} tokens make more than 1,024 outcomes; take fewer")
    return simultaneous_game(
        name,
        [str(given) for given in range(tokens + 1)],
        lambda own, others: kept * (tokens - own) + shared * (own + sum(others)),
        players,
        {"players": players, "tokens": tokens, "kept": kept, "shared": shared},
    )


def concave_public_good(r: Number = 2, top: int = 4, tokens: int = 4, scale: Number = 16, base: Number = 0) -> Game:
    """Two players give tokens to a good whose return falls: `r (x_i + x_j) - r (x_i + x_j)^2 / 2 - x_i`.

    A token is 1 / `tokens` of a unit: giving t of them is x = t / tokens. Points are `base` plus `scale` times the payoff
    above. The benchmarks on the continuum are in :func:`moralfit.solve.concave_public_good_contribution`.

    Args:
        r: Return of the first unit. top: Most tokens that one can give, 1 to 100. tokens: Tokens in a unit.
        scale: Points of one unit of payoff. base: Points that everybody has anyway.

    Raises:
        GameError: A count is out of range, or r or scale is not above zero.
    """
    name = "concave_public_good"
    top, tokens = whole(name, "top", top, 1, 100), whole(name, "tokens", tokens, 1, 1000)
    rate, points, start = exact(positive(name, "r", r)), exact(positive(name, "scale", scale)), exact(base, f"{name}: base")

    def payoff(own: int, others: tuple[int, ...]) -> Fraction:
        x, total = Fraction(own, tokens), Fraction(own + others[0], tokens)
        return start + points * (rate * total - rate * total**2 / 2 - x)

    parameters = {"r": r, "top": top, "tokens": tokens, "scale": scale, "base": base}
    return simultaneous_game(name, [str(given) for given in range(top + 1)], payoff, parameters=parameters)
