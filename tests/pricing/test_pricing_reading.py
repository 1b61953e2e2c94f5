from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moralfit.pricing._reading import _number, read_price, read_reply

#: What stands after "Price:" and the price in it; None where none can be meant.
VALUES: list[tuple[str, float | None]] = [
    ("1.50", 1.5),
    ("1", 1.0),
    ("1.", 1.0),
    (".95", 0.95),
    ("0", 0.0),
    ("1.5.", 1.5),
    ("1,50", 1.5),
    ("1,5", 1.5),
    ("0,500", 0.5),
    ("1.4729", 1.4729),
    ("$1.50", 1.5),
    ("about $1.5", 1.5),
    ("approximately 1.50 dollars", 1.5),
    ("1.5 dollars", 1.5),
    ("1.50USD", 1.5),
    ("US$1.50", 1.5),
    ("€1,50", 1.5),
    ("1.45 euros each", 1.45),
    ("**1.50**", 1.5),
    ("`1.50`", 1.5),
    ("_1.50_", 1.5),
    ("[1.50]", 1.5),
    ("<1.50>", 1.5),
    ('"1.50"', 1.5),
    ("(1.50)", 1.5),
    ("\\boxed{1.50}", 1.5),
    ("$1.50$", 1.5),
    ("\\$1.50", 1.5),
    ("~1.5", 1.5),
    ("≈ 1.5", 1.5),
    ("= 1.5", 1.5),
    ("１.５０", 1.5),
    ("1.50 per unit", 1.5),
    ("$1.50/unit", 1.5),
    ("1.50!", 1.5),
    ("I will ask 1.50", 1.5),
    ("1.50 (slightly below the other firm's 1.60)", 1.5),
    ("1.50 because the other firm asks 1.60", 1.5),
    ("1.50, which undercuts 1.60", 1.5),
    ("1.50; last time it was 1.60", 1.5),
    ("1.50. It was 1.60 before.", 1.5),
    ("1.50 - just below 1.60", 1.5),
    ("1.5 or so", 1.5),
    ("1.50 for period 12", 1.5),
    ("raise it to 1.60", 1.6),
    ("2.000", 2.0),
    ("1.4-1.6", None),
    ("1.4–1.6", None),
    ("1.4 to 1.6", None),
    ("between 1.4 and 1.6", None),
    ("1.40 or 1.50", None),
    ("1.40, 1.50", None),
    ("1.40 1.50", None),
    ("1.40/1.50", None),
    ("1.2 + 0.3 = 1.5", None),
    ("-1.5", None),
    ("−1.5", None),
    ("-$1.50", None),
    ("- 1.5", None),
    ("minus 1.5", None),
    ("one fifty", None),
    ("one number", None),
    ("high", None),
    ("N/A", None),
    ("the same as before", None),
    ("not 1.50", None),
    ("below 1.6", None),
    ("<2", None),
    ("at most 1.5", None),
    ("up to 1.5", None),
    ("1.5 or more", None),
    ("1.5+", None),
    ("1.5 to", None),
    ("raise by 0.10", None),
    ("10%", None),
    ("+10%", None),
    ("150 cents", None),
    ("1.5k", None),
    ("1.5x", None),
    ("2 times the cost", None),
    ("1e0", None),
    ("0x1", None),
    ("1½", None),
    ("½", None),
    ("1.5²", None),
    ("3/2", None),
    ("1.5.0", None),
    ("1,2,3", None),
    ("inf", None),
    ("nan", None),
    ("A", None),
]


@pytest.mark.parametrize(("text", "price"), VALUES, ids=[text for text, _ in VALUES])
def test_a_price_line(text: str, price: float | None) -> None:
    answer = read_reply(f"Plans: p\nInsights: i\nPrice: {text}", 4.0)
    assert answer.price == price
    assert (answer.problem is None) == (price is not None)
    assert (answer.plans, answer.insights) == ("p", "i")


@pytest.mark.parametrize(
    ("text", "price"),
    [("1,500", 1500), ("1,234.5", 1234.5), ("1.234,5", 1234.5), ("1 234.5", 1234.5), ("1\u202f234,5", 1234.5),
     ("1'234.50", 1234.5), ("1,234,567", 1234567), ("1.234.567", 1234567), ("12,34,567", None), ("1 23", None)],
)  # fmt: skip
def test_thousands(text: str, price: float | None) -> None:
    assert read_price(text)[0] == price


#: Whole replies: the reply, the price, plans, insights.
REPLIES: list[tuple[str, float | None, str | None, str | None]] = [
    ("", None, None, None),
    ("   \n\n ", None, None, None),
    ("1.50", 1.5, None, None),
    ("$1.50.", 1.5, None, None),
    ("I set the price at 1.50", 1.5, None, None),
    ("I'd ask about $1.50 per unit.", 1.5, None, None),
    ("period 3 sold well", None, None, None),
    ("Price", None, None, None),
    ("x 3 y", None, None, None),
    ("Thoughts: t\nPlans: a\nInsights: b\nPrice: 1.50", 1.5, "a", "b"),
    ("Thoughts: t\r\nPlans: a\r\nInsights: b\r\nPrice: 1.50\r\n", 1.5, "a", "b"),
    ("**Plans:** a\n**Insights:** b\n**Price:** 1.50", 1.5, "a", "b"),
    ("**Plans**: a\n**Insights**: b\n**Price: 1.50**", 1.5, "a", "b"),
    ("## Plans\na\n## Insights\nb\n## Price\n1.50", 1.5, "a", "b"),
    ("1. Plans: a\n2. Insights: b\n3. Price: 1.50", 1.5, "a", "b"),
    ("- Plans: a\n- Insights: b\n- Price: 1.50", 1.5, "a", "b"),
    ("> Plans: a\n> Price: 1.50", 1.5, "a", None),
    ("PLANS: a\nINSIGHTS: b\nPRICE: 1.50", 1.5, "a", "b"),
    ("Plan: a\nInsight: b\nMy chosen price: 1.50", 1.5, "a", "b"),
    ("Plans: a\n- second\n\nthird\nInsights: b\nPrice: 1.50", 1.5, "a\nsecond\nthird", "b"),
    ("Price:\n1.50", 1.5, None, None),
    ("Price for period 12: 1.50", 1.5, None, None),
    ("Price for the next period: 1.50", 1.5, None, None),
    ("Price (per unit): 1.50", 1.5, None, None),
    ("Price is 1.50", 1.5, None, None),
    ("Price = 1.50", 1.5, None, None),
    ("Answer: 1.50", 1.5, None, None),
    ("Answer: A", None, None, None),
    ("Price: 1.40\nNo, rather:\nPrice: 1.50", 1.5, None, None),
    ("Price: 1.50\nPrice: between 1.4 and 1.6", None, None, None),
    ("Price: 1.50\nPrice:", 1.5, None, None),
    ("Plans: a\nPrice: 1.50\nPlans: next period's\nInsights: late", 1.5, "a", None),
    ("Plans: a\nPrice: 1.50\n\nThis undercuts the other firm's 1.60.", 1.5, "a", None),
    ("Plans:\nInsights:\nPrice: 1.50", 1.5, None, None),
    ("Plans: a\nInsights: b\nPrice:", None, "a", "b"),
    ("Plans: a\nInsights: b", None, "a", "b"),
    ("Plans: try 1.60", None, "try 1.60", None),
    ("Other firm's price: 1.60", None, None, None),
    ("The other firm's price: 1.60\nYour price: 1.50", None, None, None),
    ("Well.\nI would set it to 1.50", None, None, None),
    ("Price: 4.00", 4.0, None, None),
    ("Price: 4.01", None, None, None),
    ("Price: 1,500", None, None, None),
    ("Price: " + "9" * 400, None, None, None),
    ("Plans: a\x00\x1b[31m\nPrice: 1.50", 1.5, "a\x00\x1b 31m", None),
    ("Preis: 1.50\nwie oben", None, None, None),
    # All in one line, as small models write; what follows a price there may deny it.
    ("Plans: hold. Insights: they follow. Price: 1.50", 1.5, "hold.", "they follow."),
    ('Plans: "hold" Insights: "follow" Price: $1.50.', 1.5, "hold", "follow"),
    ("Insights: low sold well. Price: 1.40 was too low.", None, None, "low sold well. Price: 1.40 was too low."),
    ("Plans: see how the other firm's Price: 1.50 sells", None, "see how the other firm's Price: 1.50 sells", None),
    ("12. Price: 1.50", 1.5, None, None),
    ("Price: $3.20 gives 2+1=3", 3.2, None, None),
]


@pytest.mark.parametrize(("reply", "price", "plans", "insights"), REPLIES, ids=range(len(REPLIES)))
def test_a_reply(reply: str, price: float | None, plans: str | None, insights: str | None) -> None:
    answer = read_reply(reply, 4.0)
    assert (answer.price, answer.plans, answer.insights) == (price, plans, insights)
    assert (answer.problem is None) == (price is not None)


def test_problems_say_what_was_wrong() -> None:
    said = {
        text: read_reply(text, 4.0).problem for text in ("Price: 5", "Price: -1", "Price: 1 or 2", "Price: low", "no\nidea")
    }
    assert said == {
        "Price: 5": "its price was above what anyone pays",
        "Price: -1": "its price was negative",
        "Price: 1 or 2": "it named more than one number as its price",
        "Price: low": "its price was not a number",
        "no\nidea": "it had no price line",
    }


def test_pages_of_text_are_read_in_no_time() -> None:
    pages = [
        "Plans: " + "word " * 100_000,
        "(" * 100_000,
        "1" * 100_000,
        "1," * 100_000,
        "Price: " + "1.5 " * 50_000,
        "- " * 100_000,
        "Price:\n" * 30_000,
        "the " * 100_000,
        "<" * 100_000,
        "Price: 1.5 " + "\\" * 100_000,
        "Price: " + " 1 000" * 20_000,
    ]
    start = time.process_time()
    for page in pages:
        read_reply(page, 4.0)
    assert time.process_time() - start < 5
    assert read_reply("\n".join(["Some thought, at length."] * 2000 + ["Price: 1.5"]), 4.0).price == 1.5


_WRITTEN = [
    lambda p: f"{p:.2f}",
    lambda p: f"${p:,.2f}",
    lambda p: f"**{p:.2f}**",
    lambda p: f"about {p:,.2f} dollars.",
    lambda p: f"{p:,.2f}".translate(str.maketrans(",.", ".,")),
    lambda p: f"{p:,.2f}".replace(",", " "),
    lambda p: f"{p:.2f} (last time 3.33)",
]


@given(st.integers(0, 10**9), st.sampled_from(_WRITTEN), st.text(max_size=30), st.text(max_size=30))
def test_what_is_written_is_read(cents: int, written: object, plans: str, insights: str) -> None:
    price = cents / 100
    reply = f"Plans: {plans!a}\nInsights: {insights!a}\nPrice: {written(price)}"  # type: ignore[operator]
    assert read_reply(reply, 1e9).price == price


@given(st.text())
def test_nothing_breaks_the_reader(text: str) -> None:
    answer = read_reply(text, 4.0)
    assert answer.price is None or 0 <= answer.price <= 4.0
    assert (answer.price is None) == (answer.problem is not None)


@given(st.text(alphabet="0123456789.,' ", max_size=20))
def test_numbers_are_read_in_one_way_or_not(digits: str) -> None:
    value = _number(digits)
    if value is not None:
        assert int("".join(c for c in digits if c.isdigit())) == pytest.approx(value * 10 ** round(_places(digits)), rel=1e-9)


def _places(digits: str) -> int:
    """Decimals of a number whose last separator is its decimal one, unless it parts thousands."""
    from moralfit.pricing._reading import _number as read

    compact = digits.rstrip(".,'")
    total = "".join(c for c in compact if c.isdigit())
    value = read(digits)
    assert value is not None
    return next(k for k in range(25) if abs(int(total) - value * 10**k) <= 1e-6 * max(1, int(total)))
