"""Games about sharing, with several amounts: dictator, ultimatum, trust and gift exchange. Amounts name the actions."""

from __future__ import annotations

from moralfit.errors import GameError
from moralfit.games._parameters import label, positive, whole
from moralfit.games._tree import Decision, Game, Node, Number, Terminal, exact


def dictator_game(pie: Number = 8, step: Number = 2) -> Game:
    """The dictator gives away 0, step, 2 step, ... up to the whole pie; the receiver has no say.

    Payoffs in points (dictator, receiver): (pie - given, given).

    Raises:
        GameError: The step does not divide the pie into 1 to 20 parts.
    """
    name = "dictator_game"
    parts = _parts(name, "pie", pie, step)
    given = [step * part for part in range(parts + 1)]
    ends = tuple(Terminal((pie - amount, amount)) for amount in given)
    root = Decision(0, "give", tuple(label(amount) for amount in given), ends)
    return Game(name, root, ("dictator", "receiver"), {"pie": pie, "step": step})


def ultimatum_amounts(pie: Number = 10, step: Number = 1, offers: int = 5) -> Game:
    """The proposer offers step, 2 step, ...; the responder accepts or rejects each offer.

    Payoffs in points (proposer, responder): accepted (pie - offer, offer), rejected (0, 0). A plan is an offer and an answer to
    each offer, so that the smallest offer that it accepts can be read off.

    Args:
        pie: What there is to share. step: Smallest offer and distance between offers. offers: How many there are, 2 to 8.

    Raises:
        GameError: A number is out of range, or the highest offer is more than the pie.
    """
    name = "ultimatum_amounts"
    pie, step, offers = positive(name, "pie", pie), positive(name, "step", step), whole(name, "offers", offers, 2, 8)
    amounts = [step * number for number in range(1, offers + 1)]
    if amounts[-1] > pie:
        raise GameError(f"{name}: the highest offer is {offers} x {step} = {amounts[-1]}, more than the pie of {pie}")
    answers = tuple(
        Decision(1, f"after {label(amount)}", ("accept", "reject"), (Terminal((pie - amount, amount)), Terminal((0, 0))))
        for amount in amounts
    )
    root = Decision(0, "offer", tuple(label(amount) for amount in amounts), answers)
    return Game(name, root, ("proposer", "responder"), {"pie": pie, "step": step, "offers": offers})


def trust_amounts(endowment: Number = 4, step: Number = 2, factor: int = 3, returns: int = 3) -> Game:
    """The investor sends 0, step, ... or all; it grows by `factor`; the trustee sends back a multiple of the sum sent.

    Both start with `endowment`. Payoffs in points (investor, trustee), with s sent and b sent back:
    (endowment - s + b, endowment + factor s - b). The choices of b are 0, s, 2 s, ..., (returns - 1) s. With factor = 3,
    b = s repays and b = 2 s leaves both alike.

    Args:
        endowment: Points of each at the start. step: Divides it into 1 to 4 parts. factor: 2 to 10, what a sent point becomes.
        returns: 2 to factor + 1, how many choices the trustee has.

    Raises:
        GameError: A number is out of range.
    """
    name = "trust_amounts"
    parts = _parts(name, "endowment", endowment, step, most=4)
    factor = whole(name, "factor", factor, 2, 10)
    returns = whole(name, "returns", returns, 2, factor + 1)

    def answer(sent: Number) -> Decision:
        back = [sent * multiple for multiple in range(returns)]
        ends = tuple(Terminal((endowment - sent + b, endowment + factor * sent - b)) for b in back)
        return Decision(1, f"after {label(sent)}", tuple(label(b) for b in back), ends)

    sent = [step * part for part in range(parts + 1)]
    children: tuple[Node, ...] = (Terminal((endowment, endowment)), *(answer(amount) for amount in sent[1:]))
    root = Decision(0, "send", tuple(label(amount) for amount in sent), children)
    parameters = {"endowment": endowment, "step": step, "factor": factor, "returns": returns}
    return Game(name, root, ("investor", "trustee"), parameters)


def gift_exchange(
    value: Number = 5, cost: Number = 1, wages: int = 3, wage_step: Number = 3, efforts: int = 3, endowment: Number = 10
) -> Game:
    """The firm pays a wage; the worker sees it and chooses an effort, whose cost is convex.

    Payoffs in points (firm, worker), with wage w and effort e: (endowment + value e - w, endowment + w - cost e (e - 1) / 2).
    The first unit of effort is free, the next cost `cost`, 2 cost, ... A plan is a wage and an effort for each wage.

    Args:
        value: Points of a unit of effort for the firm. cost: See above.
        wages: How many wages there are, 2 to 4: 0, wage_step, 2 wage_step, ... wage_step: Points between wages.
        efforts: How many efforts there are, 2 to 4: 1, 2, ... endowment: Points that each starts with.

    Raises:
        GameError: A number is out of range, or not cost < value: a second unit of effort must be worth its cost.
    """
    name = "gift_exchange"
    value, cost, wage_step = (
        positive(name, what, number) for what, number in (("value", value), ("cost", cost), ("wage_step", wage_step))
    )
    wages, efforts = whole(name, "wages", wages, 2, 4), whole(name, "efforts", efforts, 2, 4)
    exact(endowment, f"{name}: endowment")
    if cost >= value:
        raise GameError(f"{name}: cost must be less than value, got cost = {cost}, value = {value}")
    levels = range(1, efforts + 1)
    paid = [wage_step * number for number in range(wages)]
    answers = tuple(
        Decision(
            1,
            f"after {label(wage)}",
            tuple(map(str, levels)),
            tuple(Terminal((endowment + value * e - wage, endowment + wage - cost * (e * (e - 1) // 2))) for e in levels),
        )
        for wage in paid
    )
    parameters = {
        "value": value,
        "cost": cost,
        "wages": wages,
        "wage_step": wage_step,
        "efforts": efforts,
        "endowment": endowment,
    }
    return Game(name, Decision(0, "wage", tuple(map(label, paid)), answers), ("firm", "worker"), parameters)


def _parts(game: str, what: str, whole_amount: Number, step: Number, most: int = 20) -> int:
    """How many steps make the whole."""
    parts = exact(positive(game, what, whole_amount)) / exact(positive(game, "step", step))
    if parts.denominator != 1 or parts > most:
        raise GameError(f"{game}: step must divide {what} into 1 to {most} parts, got {what} = {whole_amount}, step = {step}")
    return int(parts)
