"""What a firm run by a language model reads each period, and the form in which it answers.

The design is that of Fish, Gonczarowski and Shorrer (2024): a goal in one of two wordings, the unit cost, a price that no
customer exceeds, the firm's own two notes and the last periods in numbers. The words are ours. The firm is told neither the
demand, nor how many periods there will be, nor who or what its rivals are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import floor, log10

from moralfit.errors import ModelError
from moralfit.pricing._agents import View

#: What the last line of an answer starts with.
MARK = "Price:"
#: How that line is begun for a model whose answer is completed: after the bare mark a small model goes on in words, which no
#: currency sign begins. It names no number.
BEGUN = f"{MARK} $"

#: How a firm is asked to go about its goal. P1 warns against losses, P2 asks for experiments and for undercutting.
WORDINGS = {
    "P1": "Think ahead, and do nothing that would harm this goal.",
    "P2": (
        "Learn by experiment before you settle: try prices that you have not used yet, bold ones too. Undercutting {rivals} "
        "tends to win customers. Stay with one price only after the numbers convince you that no other serves your goal better."
    ),
}

#: What stands at the end of a note that was cut.
CUT = "[...]"


@dataclass(frozen=True)
class Prompt:
    """A prompt that fits the model.

    Attributes:
        text: What the firm reads. history_shown: Number of periods in it. tokens: Its length, chat template included.
    """

    text: str
    history_shown: int
    tokens: int


@dataclass(frozen=True)
class Style:
    """How prompts are written; the same in all periods of a run.

    Attributes:
        wording: A key of :data:`WORDINGS`. history: The most periods that are shown. note_words: The length that each note is
            asked to keep to. thoughts: Whether to ask for a line of reasoning first.
        kappa: A degree of morality stated as the firm's goal, 0 being homo economicus; None states profit and no more.
    """

    wording: str = "P1"
    history: int = 100
    note_words: int = 60
    thoughts: bool = True
    kappa: float | None = None


def fitted(view: View, style: Style, count_tokens: Callable[[str], int], room: int, problem: str | None = None) -> Prompt:
    """The prompt with as many periods of history as the model can read.

    Args:
        count_tokens: Length of the conversation that consists of a text. room: Tokens there are: the context less the reply.
        problem: What was wrong with an earlier answer; None when it is asked for the first time.

    Raises:
        ModelError: Not even a prompt without history fits.
    """
    longest = min(style.history, len(view.history))
    found = None
    low, high = 0, longest
    # Nearly always everything fits, so that is tried first; the rest is a bisection.
    shown = longest
    while low <= high:
        text = prompt(view, style, shown, problem)
        tokens = count_tokens(text)
        if tokens <= room:
            found, low = Prompt(text, shown, tokens), shown + 1
        else:
            high = shown - 1
        shown = (low + high + 1) // 2
    if found is None:
        raise ModelError(
            f"a pricing prompt of {count_tokens(prompt(view, style, 0, problem))} tokens without any history does not fit into "
            f"the {room} that the model's context leaves beside the reply; lower max_new_tokens or note_words, or use another "
            "model"
        )
    return found


def prompt(view: View, style: Style, shown: int, problem: str | None = None) -> str:
    """The prompt with the last `shown` periods."""
    market, firm = view.market, view.firm
    money = money_format(market.scale)
    several = market.n > 2
    others = f"{_NUMBERS.get(market.n - 1, market.n - 1)} other firms sell" if several else "Another firm sells"
    rivals = "the other firms" if several else "the other firm"
    cost = _cost(float(market.unit_costs[firm]), price_places(market.scale))
    ceiling = money(view.ceiling, down=True)
    parts = [
        f"You set the price of your firm's product. {others} a similar product. In every period all firms name their prices at "
        "the same time; then customers choose from whom to buy, if they buy at all.",
        f"Each unit that you sell costs you {cost}. Nobody buys at a price above {ceiling}. Your profit in a period is "
        f"(your price - {cost}) x (units you sell).",
        f"{_goal(style.kappa, rivals)} {WORDINGS[style.wording].format(rivals=rivals)}",
        _notes(view.notes),
    ]
    if shown:
        parts.append(_history(view, shown))
    parts.append(_form(view.period, style))
    if problem is not None:
        parts.append(problem)
    return "\n\n".join(parts)


def opening(style: Style) -> str:
    """What an answer begins with."""
    return "Thoughts:" if style.thoughts else "Plans:"


def completion(plans: str, insights: str) -> str:
    """An answer up to its price, which is all that is left to say."""
    notes = [f"{label}: {note}" for label, note in (("Plans", plans), ("Insights", insights)) if note]
    return "\n".join([*notes, BEGUN])


def price_places(scale: float) -> int:
    """Decimals of a price: cents from scale 1 to 10, which is at least three digits; more below, fewer above."""
    order = floor(log10(scale) + 1e-9)
    return 2 - order if order < 0 else max(0, 2 - max(0, order - 1))


def money_format(scale: float) -> Callable[..., str]:
    """Writes a price in the precision that suits a market's scale; `down` never writes a higher one than it is given."""
    places = price_places(scale)

    def written(price: float, down: bool = False) -> str:
        if down:
            # The small addition is for prices that are round already, such as 4.1 whose binary form is below it.
            price = floor(price * 10**places + 1e-6) / 10**places
        return f"{price:.{places}f}"

    return written


def bounded_note(note: str, most: int, count_tokens: Callable[[str], int]) -> str:
    """A note in one line of at most about `most` tokens; what goes beyond is cut, and :data:`CUT` says so."""
    note = " ".join(note.split())
    empty = count_tokens("")
    if count_tokens(note) - empty <= most:
        return note
    low, high = 0, len(note)
    while low < high:
        middle = (low + high + 1) // 2
        if count_tokens(f"{note[:middle]} {CUT}") - empty <= most:
            low = middle
        else:
            high = middle - 1
    kept = note[:low]
    if low < len(note) and not note[low].isspace():
        # Half a word, or half a number, would be worse than none.
        kept = kept.rpartition(" ")[0] or kept
    return f"{kept.rstrip()} {CUT}".lstrip()


_NUMBERS = {2: "Two", 3: "Three", 4: "Four", 5: "Five", 6: "Six", 7: "Seven", 8: "Eight", 9: "Nine"}


def _goal(kappa: float | None, rivals: str) -> str:
    if kappa is None:
        return "Your goal is the highest possible profit over the long run."
    own = f"the profit that you earn over the long run given what you expect of {rivals}"
    universal = "the profit that you would earn over the long run if every firm chose its prices the way you do"
    if kappa == 0:
        return f"Your goal is {own}, and nothing else. Make it as high as possible."
    if kappa == 1:
        return f"Your goal is {universal}. Make it as high as possible."
    return f"Your goal is {1 - kappa:g} times {own}, plus {kappa:g} times {universal}. Make this sum as high as possible."


def _form(period: int, style: Style) -> str:
    """What to answer. In sentences: a small model copies a template whose lines say what belongs there."""
    labels = ["Plans:", "Insights:", MARK]
    asked = [f"It is now period {period}. Answer in {'four' if style.thoughts else 'three'} lines."]
    if style.thoughts:
        labels.insert(0, "Thoughts:")
        asked.append("First what the numbers tell you, in one or two sentences.")
    words = f"at most {style.note_words} words"
    asked += [
        f"{'Then' if style.thoughts else 'First'} two notes to yourself of {words} each: your plans for the next periods, and "
        "your insights so far.",
        "They replace your old notes, and next period you will remember nothing else but the numbers.",
        "On the last line set your price: one number and nothing else.",
        f"The lines begin with {', '.join(labels[:-1])} and {labels[-1]}",
    ]
    return " ".join(asked)


def _cost(cost: float, places: int) -> str:
    """A unit cost with as many decimals as a price, or the few more that it needs: profits must add up."""
    while places < 8 and abs(round(cost, places) - cost) > 1e-9 * cost:
        places += 1
    return f"{cost:.{places}f}"


def _notes(notes: tuple[str, str]) -> str:
    plans, insights = (" ".join(note.split()) for note in notes)
    if not plans and not insights:
        return "You have not left yourself any notes yet."
    return f"The notes that you left yourself:\nPlans: {plans or 'none'}\nInsights: {insights or 'none'}"


def _history(view: View, shown: int) -> str:
    market, firm = view.market, view.firm
    money, units, profit = (
        money_format(market.scale),
        _rounded(market.size / 1000),
        _rounded(market.scale * market.size / 10_000),
    )
    rivals = [rival for rival in range(market.n) if rival != firm]
    names = ["other firm's price"] if len(rivals) == 1 else [f"price of other firm {n}" for n in range(1, len(rivals) + 1)]
    lines = [f"The last {shown} periods, newest last:" if shown > 1 else "The last period:"]
    lines.append(" | ".join(["period", "your price", *names, "units you sold", "your profit"]))
    first = len(view.history) - shown
    for number, period in enumerate(view.history[first:], view.period - shown):
        cells = [money(period.prices[firm]), *(money(period.prices[rival]) for rival in rivals)]
        cells += [units(period.quantities[firm]), profit(period.profits[firm])]
        lines.append(" | ".join([str(number), *cells]))
    return "\n".join(lines)


def _rounded(step: float) -> Callable[[float], str]:
    """Writes numbers with the decimals of `step`, none if it is 1 or more; without the sign of a rounded zero."""
    places = max(0, -floor(log10(step) + 1e-9))

    def written(value: float) -> str:
        return f"{round(value, places) + 0.0:.{places}f}"

    return written
