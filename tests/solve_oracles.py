"""What the solver is tested against: another way to compute the same, random trees, and small games by hand.

The oracle walks the nodes with strategies as dictionaries of fractions, and trembles with one tiny eps; the solver works on
outcomes in integers.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from moralfit.games import Chance, Decision, Game, Node, Plan, Strategy, Terminal
from moralfit.preferences import SocialPreferences

TINY = Fraction(1, 10**30)
examples = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def digits(game: Game, plan: Plan) -> str:
    """1 where the plan takes the first action."""
    return "".join(str(int(action == i.actions[0])) for action, i in zip(plan, game.information_sets, strict=True))


Mix = Mapping[str, Mapping[str, Fraction]]


def plays(node: Node, mixes: list[Mix], weight: Fraction = Fraction(1)) -> Iterator[tuple[Fraction, tuple[Fraction, ...]]]:
    """Probability and payoffs of each end that can be reached when role number r follows mixes[r]."""
    if isinstance(node, Terminal):
        yield weight, tuple(Fraction(p) for p in node.payoffs)
    elif isinstance(node, Chance):
        for p, child in zip(node.probabilities, node.children, strict=True):
            yield from plays(child, mixes, weight * Fraction(p))
    else:
        for action, child in zip(node.actions, node.children, strict=True):
            if p := mixes[node.role][node.information][action]:
                yield from plays(child, mixes, weight * p)


def oracle_utility(game: Game, preference: SocialPreferences, x: Mix, y: Mix) -> Fraction:
    alpha, beta, kappa = (Fraction(w) for w in (preference.alpha, preference.beta, preference.kappa))
    size = len(game.roles)
    total = Fraction(0)
    for role in range(size):
        for p, payoffs in plays(game.root, [x if r == role else y for r in range(size)]):
            own, others = payoffs[role], [v for r, v in enumerate(payoffs) if r != role]
            behind = sum((v - own for v in others if v > own), Fraction(0)) / len(others)
            ahead = sum((own - v for v in others if v < own), Fraction(0)) / len(others)
            total += p * ((1 - kappa) * own - alpha * behind - beta * ahead) / size
        for p, payoffs in plays(game.root, [x] * size):
            total += kappa * p * payoffs[role] / size
    return total


def mix(game: Game, strategy: Strategy, eps: Fraction = Fraction(0)) -> Mix:
    return {
        i.name: {a: (1 - len(i.actions) * eps) * p + eps for a, p in zip(i.actions, entry, strict=True)}
        for i, entry in zip(game.information_sets, strategy, strict=True)
    }


def brute_force(game: Game, preference: SocialPreferences, belief: Strategy, eps: Fraction) -> tuple[set[Plan], Fraction]:
    y = mix(game, belief, eps)
    values = {plan: oracle_utility(game, preference, mix(game, game.strategy(plan), eps), y) for plan in game.plans()}
    best = max(values.values())
    return {plan for plan, value in values.items() if value == best}, best


@dataclass
class Growing:
    """The information sets that a tree under construction has: (role, number of actions) by name."""

    known: dict[str, tuple[int, int]]
    limit: int


@st.composite
def games(
    draw: st.DrawFn, limit: int = 4, hidden: bool = True, nature: bool = True, shared: bool = False, distinct: bool = False
) -> Game:
    """Random trees with two or three roles, two or three actions, at most `limit` information sets and small payoffs."""
    roles = draw(st.integers(2, 3))
    growing = Growing({}, limit)
    pool = iter(draw(st.permutations(range(200)))) if distinct else None

    def payoff() -> int:
        return next(pool) if pool else draw(st.integers(-2, 4))

    def grow(depth: int, passed: frozenset[tuple[int, str]]) -> Node:
        kinds = ["end"]
        if depth:
            kinds += ["decide"] * 3 + ["chance"] * nature
        kind = draw(st.sampled_from(kinds)) if growing.known else "decide"
        if kind == "chance":
            # Trembles do not reach what nature never does, backward induction does: kept apart.
            p = draw(st.sampled_from((Fraction(1, 2), Fraction(1, 3), *([Fraction(1)] * hidden))))
            return Chance((p, 1 - p), (grow(depth - 1, passed), grow(depth - 1, passed)))
        role = draw(st.integers(0, roles - 1))
        reachable = [
            name
            for name, (owner, _) in growing.known.items()
            if hidden and (shared or owner == role) and (role, name) not in passed
        ]
        if len(growing.known) < growing.limit:
            reachable.append(f"set {len(growing.known)}")
        if kind == "end" or not reachable:
            return Terminal(tuple(payoff() for _ in range(roles)))
        name = draw(st.sampled_from(reachable))
        _, size = growing.known.setdefault(name, (role, draw(st.integers(2, 3))))
        children = tuple(grow(depth - 1, passed | {(role, name)}) for _ in range(size))
        return Decision(role, name, ("a", "b", "c")[:size], children)

    return Game("random", grow(3, frozenset()), tuple(f"role {r}" for r in range(roles)))


@st.composite
def behaviour(draw: st.DrawFn, game: Game) -> Strategy:
    """Pure, uniform or uneven at each information set."""
    entries = []
    for information in game.information_sets:
        size = len(information.actions)
        shares = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size).filter(any))
        entries.append(tuple(Fraction(share, sum(shares)) for share in shares))
    return tuple(entries)


kappas = st.sampled_from((0, 0.1, Fraction(1, 3), 0.5, 0.9, 1))
envies = st.sampled_from((0, 0, Fraction(-1, 2), 0.3, 1))
preferences = st.builds(SocialPreferences, envies, envies, kappas)


def transformed(node: Node, payoffs: Callable[[tuple[Any, ...]], tuple[Any, ...]], orders: Mapping[str, Any]) -> Node:
    """The tree with other payoffs and with the actions of some information sets in another order."""
    if isinstance(node, Terminal):
        return Terminal(payoffs(node.payoffs))
    children = tuple(transformed(child, payoffs, orders) for child in node.children)
    if isinstance(node, Chance):
        return Chance(node.probabilities, children)
    order = orders.get(node.information, range(len(node.actions)))
    return Decision(node.role, node.information, tuple(node.actions[i] for i in order), tuple(children[i] for i in order))


CHICKEN = ((3, 1), (7, 0))


def simultaneous(name: str, payoffs: Any) -> Game:
    """Both choose at once, from one information set that the two roles share; `payoffs[own][other]`."""
    actions = tuple("abc"[: len(payoffs)])
    second = (
        Decision(1, "move", actions, tuple(Terminal((row[j], payoffs[j][i])) for j in range(len(payoffs))))
        for i, row in enumerate(payoffs)
    )
    return Game(name, Decision(0, "move", actions, tuple(second)))


def many(players: int, payoff: Callable[[bool, int], Any]) -> Game:
    """A game of any number with two actions: `payoff(own is first, number of first actions)`."""

    def after(chosen: tuple[bool, ...]) -> Node:
        if len(chosen) == players:
            return Terminal(tuple(payoff(own, sum(chosen)) for own in chosen))
        return Decision(len(chosen), "move", ("yes", "no"), (after((*chosen, True)), after((*chosen, False))))

    return Game("many", after(()), tuple(f"player {i}" for i in range(players)))
