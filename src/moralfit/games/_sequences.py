"""Games in which a role moves more than once: centipede, and games played several times."""

from __future__ import annotations

from moralfit.errors import GameError
from moralfit.games._catalogue import trust_game
from moralfit.games._parameters import ordered, positive, whole
from moralfit.games._tree import Chance, Decision, Game, Node, Number, Terminal, exact


def centipede(moves: int = 4, large: Number = 4, small: Number = 1, factor: Number = 2) -> Game:
    """Two players take turns to take or pass; each pass multiplies what there is.

    Who takes at move k = 1, 2, ... gets large factor^(k - 1) points, the other small factor^(k - 1). If all pass, the next
    player gets large factor^moves and the other small factor^moves.

    Args:
        moves: 2 to 8. large, small: Points at the first move. factor: What each pass multiplies them by.

    Raises:
        GameError: A number is out of range, or not 1 < factor and factor small < large: else passing pays at once.
    """
    name = "centipede"
    moves = whole(name, "moves", moves, 2, 8)
    large, small, factor = (
        positive(name, what, number) for what, number in (("large", large), ("small", small), ("factor", factor))
    )
    if factor <= 1 or factor * small >= large:
        raise GameError(
            f"{name}: needs 1 < factor and factor x small < large, got factor = {factor}, small = {small}, large = {large}"
        )

    def end(number: int) -> Terminal:
        piles = (large * factor**number, small * factor**number)
        return Terminal(piles if number % 2 == 0 else piles[::-1])

    node: Node = end(moves)
    for number in reversed(range(moves)):
        node = Decision(number % 2, f"move {number + 1}", ("take", "pass"), (end(number), node))
    return Game(name, node, parameters={"moves": moves, "large": large, "small": small, "factor": factor})


def repeat(stage: Game, rounds: int, name: str | None = None) -> Game:
    """A game with perfect information played `rounds` times in a row with payoffs added up; everybody sees all earlier rounds.

    Decisions are named by round and by what happened before: `round 1: first`, `round 2 (I G): first`.

    Args:
        stage: What is played each round. rounds: 2 or more. name: What to call it; `repeated_` and the stage's name if None.

    Raises:
        GameError: The stage hides information or has moves of nature, or the result has more than 1,024 outcomes.
    """
    name = name or f"repeated_{stage.name}"
    rounds = whole(name, "rounds", rounds, 2, 10)
    if not _perfect_information(stage):
        raise GameError(f"{name}: {stage.name} hides information or has moves of nature; only perfect information is repeated")
    if len(stage.outcomes) ** rounds > 1024:
        raise GameError(f"{name}: {stage.name} {rounds} times has more than 1,024 outcomes; take fewer rounds")

    def play(node: Node, number: int, before: str, here: tuple[str, ...], earned: tuple[Number, ...]) -> Node:
        if isinstance(node, Decision):
            children = tuple(
                play(child, number, before, (*here, action), earned)
                for action, child in zip(node.actions, node.children, strict=True)
            )
            return Decision(node.role, f"round {number}{before}: {node.information}", node.actions, children)
        assert isinstance(node, Terminal)
        total = tuple(exact(a) + exact(b) for a, b in zip(earned, node.payoffs, strict=True))
        if number == rounds:
            return Terminal(total)
        earlier = f"{before[2:-1]}; " if before else ""
        return play(stage.root, number + 1, f" ({earlier}{' '.join(here)})", (), total)

    root = play(stage.root, 1, "", (), (0,) * len(stage.roles))
    return Game(name, root, stage.roles, {**stage.parameters, "rounds": rounds})


def repeated_trust_game(T: Number, R: Number, P: Number, S: Number, rounds: int = 2) -> Game:
    """The trust game `rounds` times in the same roles: with two rounds 8 decisions and 256 plans. Payoffs add up.

    Raises:
        GameError: As :func:`trust_game` and :func:`repeat`.
    """
    return repeat(trust_game(T, R, P, S), rounds)


def repeated_prisoners_dilemma(T: Number, R: Number, P: Number, S: Number) -> Game:
    """The simultaneous prisoner's dilemma twice: in round 2 both know what both did in round 1. Payoffs add up.

    Both roles share each decision: `round 1`, and `round 2 (a b)` after one's own a and the other's b.

    Raises:
        GameError: The payoffs do not satisfy T > R > P > S.
    """
    name = "repeated_prisoners_dilemma"
    parameters = ordered(name, "T > R > P > S", {"T": T, "R": R, "P": P, "S": S})
    actions = ("C", "D")
    pays = {("C", "C"): (R, R), ("C", "D"): (S, T), ("D", "C"): (T, S), ("D", "D"): (P, P)}

    def second(a: str, b: str) -> Node:
        def ends(c: str) -> tuple[Node, ...]:
            return tuple(
                Terminal((exact(pays[a, b][0]) + exact(pays[c, d][0]), exact(pays[a, b][1]) + exact(pays[c, d][1])))
                for d in actions
            )

        replies = tuple(Decision(1, f"round 2 ({b} {a})", actions, ends(c)) for c in actions)
        return Decision(0, f"round 2 ({a} {b})", actions, replies)

    first = tuple(Decision(1, "round 1", actions, tuple(second(a, b) for b in actions)) for a in actions)
    return Game(name, Decision(0, "round 1", actions, first), ("player 1", "player 2"), parameters)


def _perfect_information(game: Game) -> bool:
    """Whether every decision is one node and nature does not move."""

    def decisions(node: Node) -> int:
        if isinstance(node, Terminal):
            return 0
        if isinstance(node, Chance):
            return len(game.information_sets) + 1
        return 1 + sum(decisions(child) for child in node.children)

    return decisions(game.root) == len(game.information_sets)
