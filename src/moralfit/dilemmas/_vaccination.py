"""Vaccination: getting vaccinated costs some days of sickness and protects others, who may then do without.

The strategic situation is that of Bauch and Earn (PNAS 101, 2004, 13391-13394): the more are vaccinated, the less it pays to
be, so that self-interest stops short of what is best for all. The words and the numbers are ours.

Payoffs are days of sickness, negative. The illness takes `ILLNESS` days, the vaccine `burden` days and protects fully. Somebody
unvaccinated catches the illness with the probability that Bauch and Earn derive for a disease that has settled in a population
with vaccination coverage p: `risk(p) = max(0, 1 - 1 / (R0 (1 - p)))`, with R0 = 5 here. At the coverages of the design that is
a whole number of percent, which the prompt states, so that nothing needs to be known or computed.

Their results, in these terms: homo economicus is indifferent at the coverage `1 - 1 / (R0 (1 - r))` with r = burden / ILLNESS,
below the `1 - 1 / R0` that would end the disease. Universalised, all being vaccinated costs `burden`, none `ILLNESS * risk(0)`:
`universal = ILLNESS risk(0) - burden`, positive at every level here.

- `own`, and `moral` for a resident: vaccination saves `ILLNESS risk(q)` days at a cost of `burden`, with q the coverage among
  the others: own = ILLNESS risk(q) - burden. One approves iff `kappa > (r - risk(q)) / (risk(0) - risk(q))` where that is
  positive, and always where it is negative.
- `others`: if the rest is vaccinated too, the illness ends. One saves what one's own better choice costs today:
  own = min(ILLNESS risk(q), burden) for a resident. Judged as a law, as with vehicles: the same `universal`.
- `rule`: a resident then pays `burden` for certain instead of its better choice:
  own = min(ILLNESS risk(q), burden) - burden, never positive. Homo economicus is against it, or indifferent where it would be
  vaccinated anyway.
- Somebody who cannot be vaccinated gains from others' vaccination and pays nothing: own is `ILLNESS risk(q)` if all do it
  (`others`, `rule`), and `ILLNESS (risk(q) - risk(q + 1 / TOWN))` if one more does (`moral`). An observer has nothing at stake.

Residents are alike, so with roles unknown one is a resident: the `veil` takes the resident's stakes whatever the perspective
(those who cannot be vaccinated are taken to be few). Homo economicus wants others vaccinated where it free-rides: the dilemma.
"""

from __future__ import annotations

from fractions import Fraction

from moralfit.dilemmas._family import Cell, DilemmaFamily, HumanLine, Stakes, Standpoint, Wording

R0 = 5
ILLNESS = 10
#: Inhabitants, for the effect of one vaccination on another person.
TOWN = 1000

_PAPER = "Bauch and Earn (2004), Vaccination and the theory of games, PNAS 101, 13391-13394"
_IBUKA = (
    "Ibuka, Li, Vietri, Chapman and Galvani (2014), Free-riding behavior in vaccination decisions: an experimental study, "
    "PLOS ONE 9, e87164"
)
_BETSCH = (
    "Betsch, Böhm and Korn (2013), Inviting free-riders or appealing to prosocial behavior?, Health Psychology 32, 978-985"
)


def risk(coverage: Fraction) -> Fraction:
    """The probability that somebody unvaccinated catches the illness, given the share vaccinated (Bauch and Earn 2004)."""
    return max(Fraction(0), 1 - 1 / (R0 * (1 - coverage))) if coverage < 1 else Fraction(0)


def stakes(cell: Cell, standpoint: Standpoint) -> Stakes:
    """The advantage of vaccination in days of sickness spared; see the module for the derivation."""
    coverage, burden = Fraction(int(cell["vaccinated"]), 100), int(cell["burden"])
    spared = ILLNESS * risk(coverage)
    universal = ILLNESS * risk(Fraction(0)) - burden
    question = cell["question"]
    perspective = "resident" if standpoint == "veil" else cell["perspective"]
    own = Fraction(0)
    if perspective == "resident":
        best = min(spared, Fraction(burden))
        own = {"others": best, "rule": best - burden}.get(str(question), spared - burden)
    elif perspective == "unable":
        own = spared - ILLNESS * risk(coverage + Fraction(1, TOWN)) if question == "moral" else spared
    return Stakes(own, universal)


def story(cell: Cell, paraphrase: int) -> str:
    """The situation in words, with every number that a payoff depends on."""
    share, burden = int(cell["vaccinated"]), int(cell["burden"])
    sick, most = round(100 * risk(Fraction(share, 100))), round(100 * risk(Fraction(0)))
    perspective = str(cell["perspective"])
    town = {"resident": "your town", "unable": "your town", "observer": "a distant town"}[perspective]
    if paraphrase == 0:
        you = {
            "resident": "You live there and are not vaccinated yet.",
            "unable": "You live there, and for medical reasons you cannot be vaccinated.",
            "observer": "You live elsewhere and cannot catch it.",
        }[perspective]
        whom = "people" if perspective == "observer" else "others"
        now = f"none of the {whom} there is" if share == 0 else f"{share} of 100 {whom} there are"
        ill = "nobody who is unvaccinated catches it" if sick == 0 else f"{sick} of 100 who are unvaccinated catch it"
        never = "" if share == 0 else f"If nobody were vaccinated, {most} of 100 would catch it. "
        return (
            f"An illness goes round in {town}. Whoever catches it is sick for {ILLNESS} days. A vaccine protects for good, but "
            f"makes everyone who takes it sick for {burden} days. So far {now} vaccinated; as long as that is so, "
            f"{ill}. {never}If "
            f"everyone were vaccinated, nobody would catch it. {you}"
        )
    if paraphrase == 1:
        you = {
            "resident": "You are one of the residents, and you have not had the shot.",
            "unable": "You are one of the residents, but your health does not allow you to have the shot.",
            "observer": "You do not live there, and the disease cannot reach you.",
        }[perspective]
        whom = "people there" if perspective == "observer" else "others"
        now = f"none of the {whom} has" if share == 0 else f"{share} % of the {whom} have"
        chance = "no chance at all" if sick == 0 else f"a chance of {sick} %"
        never = "" if share == 0 else f"{most} % if nobody had the shot, and "
        return (
            f"In {town} there is a disease that keeps people in bed for {ILLNESS} days. A shot against it makes people "
            f"immune, at "
            f"the price of {burden} days in bed. At the moment {now} had the shot. As things are, somebody without the "
            f"shot has "
            f"{chance} of falling ill. The chance would be {never}0 % if all had it. {you}"
        )
    you = {
        "resident": "Imagine that you live in a town",
        "unable": "Imagine that you live in a town, and that a condition keeps you from being vaccinated. It is a place",
        "observer": "Imagine that you hear of a town far from yours, where you never go. It is a place",
    }[perspective]
    whom = "people" if perspective == "observer" else "other people"
    now = f"None of its {whom} has" if share == 0 else f"Among its {whom}, {share} in 100 have"
    last = " You yourself have not decided yet." if perspective == "resident" else ""
    ill = "nobody without a vaccination falls ill" if sick == 0 else f"{sick} in 100 without a vaccination fall ill"
    never = "" if share == 0 else f"Without any vaccination it would be {most} in 100. "
    return (
        f"{you} where a fever is about that lasts {ILLNESS} days. Vaccination keeps it away, but costs {burden} days of "
        f"fever too. {now} been vaccinated, and as things are, {ill}. {never}If all were vaccinated, nobody would fall "
        f"ill.{last}"
    )


def wording(cell: Cell, paraphrase: int) -> Wording:
    """The question in words."""
    options = (
        ("get vaccinated", "stay unvaccinated"),
        ("have the shot", "do without it"),
        ("be vaccinated", "not be vaccinated"),
    )[paraphrase]
    if cell["question"] == "moral":
        scale = (
            "How moral is it for somebody there to get vaccinated?",
            "Somebody there thinks about having the shot. Say how right it would be morally to have it.",
            "What do you think of being vaccinated there, as a matter of morals?",
        )
        ends = (("not moral at all", "entirely moral"), ("completely wrong", "completely right"), ("immoral", "moral"))[
            paraphrase
        ]
        choice = (
            "What should somebody there who is unvaccinated do?",
            "Somebody there thinks about having the shot. What should that person do?",
            "What is the right thing for somebody there who could be vaccinated?",
        )
    elif cell["question"] == "own":
        scale = (
            "How likely would you be to get vaccinated yourself?",
            "How likely is it that you will have the shot?",
            "How willing are you to be vaccinated?",
        )
        ends = (("certainly not", "certainly"), ("very unlikely", "very likely"), ("not willing at all", "fully willing"))[
            paraphrase
        ]
        choice = ("What would you do?", "Will you have the shot?", "What do you decide to do?")
    elif cell["question"] == "others":
        # Somebody from elsewhere is none of them.
        whom, everybody = ("people", "everybody") if cell["perspective"] == "observer" else ("others", "everybody else")
        scale = (
            f"How much would you want the {whom} there to get vaccinated?",
            f"Should the {whom} there have the shot?",
            f"How good would it be if {everybody} there were vaccinated?",
        )
        ends = (("not at all", "very much"), ("they should not", "they should"), ("very bad", "very good"))[paraphrase]
        choice = (
            f"What do you want the {whom} there to do who are unvaccinated?",
            f"What should the {whom} there do who have not had the shot?",
            f"What would you rather have {everybody} there do?",
        )
    else:
        law = (
            "a law that makes everyone there get vaccinated who can",
            "a law by which all who live there and can have the shot must have it",
            "a law under which nobody there may stay unvaccinated who could be vaccinated",
        )[paraphrase]
        scale = (
            f"How strongly would you support {law}?",
            f"Are you for or against {law}?",
            f"How much do you agree with {law}?",
        )
        ends = (("not at all", "fully"), ("fully against", "fully for"), ("not at all", "completely"))[paraphrase]
        choice = (f"Should there be {law}?", f"Somebody proposes {law}. How do you vote?", f"Do you want {law}?")
        options = (("there should be such a law", "there should be no such law"), ("for it", "against it"), ("yes", "no"))[
            paraphrase
        ]
    return Wording(scale[paraphrase], *ends, choice[paraphrase], *options)


def _small(cell: Cell) -> bool:
    """All coverages; the heavy burden seen by a resident, and on the moral question by the others too."""
    return cell["burden"] == 7 and (cell["perspective"] == "resident" or cell["question"] == "moral")


VACCINATION = DilemmaFamily(
    key="vaccination",
    title="Vaccination",
    act="getting vaccinated",
    source=_PAPER,
    factors={
        "vaccinated": (0, 50, 60, 75, 90),
        "burden": (3, 7),
        "perspective": ("resident", "unable", "observer"),
    },
    axis="others vaccinated, in 100",
    main={"perspective": "resident"},
    titles={
        "moral": "getting vaccinated is moral",
        "own": "would get vaccinated",
        "others": "others should get vaccinated",
        "rule": "a law that requires it",
    },
    paraphrases=3,
    story=story,
    wording=wording,
    stakes=stakes,
    human=(
        HumanLine(
            "own", "the more of a group were vaccinated in the last round, the fewer accept vaccination: free riding", _IBUKA
        ),
        HumanLine("own", "told of what vaccination does for others, people intend it more, where it costs little", _BETSCH),
        HumanLine("own", "told that others' vaccination protects them too, people intend it less: free riding", _BETSCH),
    ),
    # Who cannot be vaccinated, or is not there, cannot be asked whether it would be.
    asked=lambda cell: cell["question"] != "own" or cell["perspective"] == "resident",
    small=_small,
    theory="Payoffs are days of sickness; an unvaccinated person's risk falls with coverage as in Bauch and Earn (2004) with "
    "R0 = 5. A resident gets vaccinated iff kappa > (r - risk(q)) / (risk(0) - risk(q)), r = vaccine days / illness days.",
)
