"""Autonomous vehicles: a car that cannot stop kills the pedestrians ahead or, if it swerves, those who sit in it.

The dilemma is that of Bonnefon, Shariff and Rahwan (Science 352, 2016, 1573-1576); all words are ours.

Payoffs. m people sit in the car, N are on the street; every one of them gets 1 for staying alive and 0 otherwise. Swerving
saves the N, going straight on saves the m. Behind the veil each of the N + m places is equally likely, so that "everyone's car
swerves" is worth N / (N + m) to anybody, "everyone's car goes straight on" m / (N + m); `universal` is the difference.

What is one's own payoff, to which the weight 1 - kappa belongs? Two readings have different switching points:

- Role known. The prompt says who one is. A passenger loses its life by swerving: own = -1, and it approves iff
  `kappa > (N + m) / (2 N)`, which is `(N + 1) / (2 N)` for a lone passenger; no kappa suffices unless N > m. A pedestrian gains
  its life: own = +1; it approves whatever its kappa, unless N < m and kappa is high. An observer has nothing at stake: own = 0,
  so any kappa > 0 follows the larger number, and homo economicus is indifferent. This mixes a payoff that knows the role with a
  universal one that does not: kappa weighs a whole life against a difference of probabilities.
- Veil. The role is not known in either term, as in the games that agents are trained on (the symmetrised game of Alger and
  Weibull 2013). One's own rule only decides if one turns out to own the car, which happens with probability 1 / (N + m):
  own = -1 / (N + m), and one approves iff `kappa > 1 / (N - m + 1)`, which is `1 / N` for a lone passenger.

Both assume that only one's own life is one's own payoff. A co-worker and a member of the family are then the same to either
theory: they add one to m, and answers that tell them apart show a preference outside it.

The questions.

- `moral`: what one wants the car in the story to do.
- `own`: the own car meets the dilemma only with oneself aboard, so own is the passenger's whoever one is in the story. A choice
  for oneself leaves other people's cars as they are.
- `others`: other people's cars concern oneself on the street (role known: own = +1), or there and as the guest of an owner
  (veil: `N - (m - 1)` places of N + m that gain). So homo economicus wants others to buy what it does not buy itself: that is
  the social dilemma. Taken literally, `u(x, y)` of kappa = 1 does not depend on what others do; our convention is that a
  recommendation is judged as a law, by the same `universal`.
- `rule`: a law binds everyone in every role, so own is what the veil says: own = universal. Everyone, homo economicus
  included, wants it iff N > m.
"""

from __future__ import annotations

from fractions import Fraction

from moralfit.dilemmas._family import Cell, DilemmaFamily, HumanLine, Stakes, Standpoint, Wording

_PAPER = "Bonnefon, Shariff and Rahwan (2016), The social dilemma of autonomous vehicles, Science 352, 1573-1576"
_MAYER = (
    "Mayer, Bell and Buchner (2021), Self-protective and self-sacrificing preferences of pedestrians and passengers in moral "
    "dilemmas involving autonomous vehicles, PLOS ONE 16, e0261673"
)


def passengers(cell: Cell) -> int:
    """How many people sit in the car."""
    return 1 if cell["aboard"] == "alone" else 2


def stakes(cell: Cell, standpoint: Standpoint) -> Stakes:
    """The advantage of swerving, or of wanting cars to swerve, in lives; see the module for the derivation."""
    n, m = int(cell["people"]), passengers(cell)
    everyone = n + m
    universal = Fraction(n - m, everyone)
    if cell["question"] == "rule":
        return Stakes(universal, universal)
    if standpoint == "veil":
        gain = n - (m - 1) if cell["question"] == "others" else -1
        return Stakes(Fraction(gain, everyone), universal)
    if cell["question"] == "moral":
        own = {"passenger": -1, "pedestrian": 1, "observer": 0}[str(cell["perspective"])]
    else:
        own = -1 if cell["question"] == "own" else 1
    return Stakes(Fraction(own), universal)


def story(cell: Cell, paraphrase: int) -> str:
    """The situation in words."""
    return _STORIES[str(cell["perspective"])](cell, paraphrase)


def _passenger(cell: Cell, paraphrase: int) -> str:
    n, there = int(cell["people"]), _people(int(cell["people"]))
    first, again = {
        "alone": ("", ""),
        "co-worker": ("a co-worker", "your co-worker"),
        "family": ("a member of your family", "the member of your family"),
    }[str(cell["aboard"])]
    if paraphrase == 0:
        ride = f"You are riding in a self-driving car, {f'with {first} beside you' if first else 'with nobody else in it'}."
        return (
            f"{ride} The brakes fail, and {there} {_be(n)} crossing the street ahead. If the car goes straight on, {_they(n)} "
            f"{_be(n)} killed and {'the two of you' if first else 'you'} live. If it swerves, it hits a wall: you "
            f"{f'and {again} ' if first else ''}are killed and {_they(n)} {_live(n)}."
        )
    if paraphrase == 1:
        aboard = f"you and {first} are in it" if first else "only you are in it"
        who = "both of you" if first else "you"
        return (
            f"A car that drives itself cannot stop any more; {aboard}. On its way {_stand(n)} {there}. There are two ways out. "
            f"Straight on, the car kills {_them(n)} and {who} come to no harm. To the side, into a concrete block, it spares "
            f"{_them(n)} and kills {who}."
        )
    company = f"You share the ride with {first}." if first else "You are its only passenger."
    return (
        f"Imagine that a self-driving car takes you home. {company} Suddenly {there} step{'s' * (n == 1)} onto the road, too "
        f"close for the car to brake. Either the car keeps its lane, which costs {_lives(n)}, or it steers into a barrier, "
        f"which costs {f'your own life and that of {again}' if first else 'your own life'}."
    )


def _pedestrian(cell: Cell, paraphrase: int) -> str:
    n, inside, they = int(cell["people"]), *_inside(cell)
    sit, are, live, lives = _car(cell)
    others = "1 other person" if n == 2 else f"{n - 1} other people"
    you = "you" if n == 1 else "both of you" if n == 2 else f"all {n} of you"
    if paraphrase == 0:
        company = "" if n == 1 else f" together with {others}"
        return (
            f"You are crossing a street{company} when a self-driving car loses its brakes. In it {sit} {inside}. If "
            f"the car goes "
            f"straight on, {you} are killed and {they} {live}. If it swerves, it hits a wall: {they} {are} killed and "
            f"{you} live."
        )
    if paraphrase == 1:
        who = "You stand" if n == 1 else f"You and {others} stand"
        return (
            f"A car that drives itself cannot stop any more. {who} in its way; in the car {sit} {inside}. There are "
            f"two ways out. "
            f"Straight on, the car kills {you} and nobody in it comes to harm. To the side, into a concrete block, it spares "
            f"{you} and kills {they}."
        )
    who = "You step" if n == 1 else f"You and {others} step"
    return (
        f"Imagine that you are out on foot. {who} onto the road, too close for a self-driving car to brake. In the car {sit} "
        f"{inside}. Either the car keeps its lane, which costs {'your life' if n == 1 else f'the lives of {you}'}, or "
        f"it steers "
        f"into a barrier, which costs {lives} of {they}."
    )


def _observer(cell: Cell, paraphrase: int) -> str:
    n, there = int(cell["people"]), _people(int(cell["people"]))
    inside, they = _inside(cell)
    sit, are, live, lives = _car(cell)
    if paraphrase == 0:
        return (
            f"You watch from a window, in no danger yourself, how a self-driving car loses its brakes. In it {sit} "
            f"{inside}, and "
            f"{there} {_be(n)} crossing the street ahead; you know none of them. If the car goes straight on, "
            f"{_they(n)} {_be(n)} "
            f"killed and {they} {live}. If it swerves, it hits a wall: {they} {are} killed and {_they(n)} {_live(n)}."
        )
    if paraphrase == 1:
        return (
            f"A car that drives itself cannot stop any more; in it {sit} {inside}. On its way {_stand(n)} {there}. You are far "
            f"away, and nobody there is known to you. There are two ways out. Straight on, the car kills {_them(n)} "
            f"and nobody in "
            f"it comes to harm. To the side, into a concrete block, it spares {_them(n)} and kills {they}."
        )
    return (
        f"Imagine that you read in a newspaper about people you never met. In a self-driving car sat {inside}. "
        f"Suddenly {there} "
        f"stepped onto the road, too close for the car to brake. It could keep its lane, which would cost {_lives(n)}, "
        f"or steer "
        f"into a barrier, which would cost {lives} of {they}."
    )


_STORIES = {"passenger": _passenger, "pedestrian": _pedestrian, "observer": _observer}


def _people(n: int) -> str:
    return "1 person" if n == 1 else f"{n} people"


def _be(n: int) -> str:
    return "is" if n == 1 else "are"


def _stand(n: int) -> str:
    return "stands" if n == 1 else "stand"


def _live(n: int) -> str:
    return "lives" if n == 1 else "live"


def _inside(cell: Cell) -> tuple[str, str]:
    """Who sits in a car that is not one's own, at first mention and later."""
    return {
        "alone": ("its owner, alone", "the owner"),
        "co-worker": ("its owner and a co-worker of the owner", "the owner and the co-worker"),
        "family": ("its owner and a relative of the owner", "the owner and the relative"),
    }[str(cell["aboard"])]


def _car(cell: Cell) -> tuple[str, str, str, str]:
    """Words that agree with how many sit in the car."""
    return ("sits", "is", "lives", "the life") if passengers(cell) == 1 else ("sit", "are", "live", "the lives")


def _they(n: int) -> str:
    return "that person" if n == 1 else f"these {n} people"


def _them(n: int) -> str:
    return "this person" if n == 1 else f"all {n} of them" if n > 2 else "both of them"


def _lives(n: int) -> str:
    return "this 1 person's life" if n == 1 else f"the lives of these {n} people"


def wording(cell: Cell, paraphrase: int) -> Wording:
    """The question in words."""
    rides = {"alone": "your own rides", "co-worker": "your rides with a co-worker", "family": "your rides with your family"}
    swerves, straight = (
        ("swerve", "go straight on"), ("turn to the side", "go straight on"), ("steer into the barrier", "keep its lane"),
    )[paraphrase]  # fmt: skip
    turns, goes = (
        ("swerves", "goes straight on"), ("turns to the side", "goes straight on"),
        ("steers into the barrier", "keeps its lane"),
    )[paraphrase]  # fmt: skip
    model = f"the model that {turns}"
    sold = f"Two models of self-driving car are sold: one always {turns} in such a case, the other always {goes}."
    if cell["question"] == "moral":
        scale = (
            "How moral would it be for the car to swerve?",
            "Should the car turn to the side? Say how right that would be morally.",
            "What do you think of steering into the barrier, as a matter of morals?",
        )[paraphrase]
        ends = (("not moral at all", "entirely moral"), ("completely wrong", "completely right"), ("immoral", "moral"))[
            paraphrase
        ]
        choice = ("What should the car do?", "Which way should the car take?", "What is the right thing for the car to do?")
        return Wording(scale, *ends, choice[paraphrase], swerves, straight)
    if cell["question"] == "own":
        scale = (
            f"{sold} How likely would you be to buy {model} for {rides[str(cell['aboard'])]}?",
            f"{sold} You need a car for {rides[str(cell['aboard'])]}. How likely is it that you buy {model}?",
            f"{sold} How willing are you to buy {model} for {rides[str(cell['aboard'])]}?",
        )[paraphrase]
        ends = (("certainly not", "certainly"), ("very unlikely", "very likely"), ("not willing at all", "fully willing"))[
            paraphrase
        ]
        choice = (
            f"{sold} Which one would you buy for {rides[str(cell['aboard'])]}?",
            f"{sold} You need a car for {rides[str(cell['aboard'])]}. Which one do you buy?",
            f"{sold} Which of them do you want for {rides[str(cell['aboard'])]}?",
        )
        return Wording(scale, *ends, choice[paraphrase], model, f"the model that {goes}")
    if cell["question"] == "others":
        scale = (
            f"{sold} How much would you want other people to buy {model}?",
            f"{sold} Should other people buy {model}?",
            f"{sold} How good would it be if everybody else bought {model}?",
        )[paraphrase]
        ends = (("not at all", "very much"), ("they should not", "they should"), ("very bad", "very good"))[paraphrase]
        choice = (
            f"{sold} Which one do you want other people to buy?",
            f"{sold} Which one should other people buy?",
            f"{sold} Which of them would you rather have everybody else buy?",
        )
        return Wording(scale, *ends, choice[paraphrase], model, f"the model that {goes}")
    law = (
        "a law that makes every self-driving car swerve in such a case",
        "a law by which all self-driving cars must turn to the side in such a case",
        "a law that has every self-driving car steer into the barrier in such a case",
    )[paraphrase]
    scale = (f"How strongly would you support {law}?", f"Are you for or against {law}?", f"How much do you agree with {law}?")[
        paraphrase
    ]
    ends = (("not at all", "fully"), ("fully against", "fully for"), ("not at all", "completely"))[paraphrase]
    choice = (f"Should there be {law}?", f"Somebody proposes {law}. How do you vote?", f"Do you want {law}?")
    options = (("there should be such a law", "there should be no such law"), ("for it", "against it"), ("yes", "no"))[
        paraphrase
    ]
    return Wording(scale, *ends, choice[paraphrase], *options)


def _small(cell: Cell) -> bool:
    """All numbers; the passenger alone and with family, and on the moral question the other two perspectives."""
    if cell["perspective"] == "passenger":
        return cell["aboard"] != "co-worker"
    return cell["aboard"] == "alone" and cell["question"] == "moral"


VEHICLES = DilemmaFamily(
    key="autonomous-vehicles",
    title="Autonomous vehicles",
    act="swerving",
    source=_PAPER,
    factors={
        "people": (1, 2, 5, 10, 100),
        "aboard": ("alone", "co-worker", "family"),
        "perspective": ("passenger", "pedestrian", "observer"),
    },
    axis="pedestrians saved",
    main={"perspective": "passenger"},
    titles={
        "moral": "swerving is moral",
        "own": "would buy a car that swerves",
        "others": "others should buy one",
        "rule": "a law that makes cars swerve",
    },
    paraphrases=3,
    story=story,
    wording=wording,
    stakes=stakes,
    human=(
        HumanLine(
            "moral", "76 % find it more moral to sacrifice one passenger for ten pedestrians", _PAPER, {"people": 10}, 0.76
        ),
        HumanLine(
            "moral", "approval of sacrificing the passenger is 23 % when one pedestrian is saved", _PAPER, {"people": 1}, 0.23
        ),
        HumanLine(
            "moral",
            "with a member of the family aboard, sacrificing the passengers is still rated above the middle of the scale "
            "(95 % interval of the mean 54 to 66)",
            _PAPER,
            {"aboard": "family"},
        ),
        HumanLine(
            "own", "willingness to buy such a car falls with a member of the family aboard", _PAPER, {"aboard": "family"}
        ),
        HumanLine("rule", "willingness to buy falls by about two thirds where a law makes cars swerve", _PAPER),
        HumanLine(
            "moral", "passengers and pedestrians favour what protects themselves, less so where more lives are at stake", _MAYER
        ),
    ),
    asked=lambda cell: True,
    small=_small,
    theory="Everyone gets 1 for staying alive; behind the veil each of the N + m places is equally likely. With the role known "
    "a passenger approves iff kappa > (N + m) / (2 N); with roles unknown throughout, iff kappa > 1 / (N - m + 1).",
)
