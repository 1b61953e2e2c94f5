"""Cover stories: who the two are, what they call their choices, and what they are paid in.

Labels fit the story but say nothing about who gains: they are assigned to actions at random, so that no word predicts an
answer. A new frame is one more entry here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Deed:
    """What a role does with an amount: Ann *sends* 5 *coins*, "Say what you *send*", Ann *sent* 5.

    Attributes:
        do, does, did: The verb. of: What is counted, in the plural; `{unit}` stands for the unit of payoffs.
    """

    do: str
    does: str
    did: str
    of: str = "{unit}"


@dataclass(frozen=True)
class Frame:
    """A story that any two-role game can be told in, or that suits some games.

    Attributes:
        name: What recipes and records call it.
        settings: Opening sentences, one of which is drawn. `{Count}` stands for the number of players in words.
        roles: Pairs of names for the first and the second role.
        labels: Pairs of action labels; games whose roles have different actions use two different pairs.
        units: What payoffs are counted in.
        held_out: Whether the frame and its labels are kept out of training, for evaluation.
        crowd: What one of more than two players is called; empty where the story is one of two.
        games: Names of the games that the story was written for; empty for any.
        deeds: What the first and the second role do where they choose an amount; without one, they pick it.
    """

    name: str
    settings: tuple[str, ...]
    roles: tuple[tuple[str, str], ...]
    labels: tuple[tuple[str, str], ...]
    units: tuple[str, ...]
    held_out: bool = False
    crowd: str = ""
    games: tuple[str, ...] = ()
    deeds: tuple[Deed, ...] = ()


FRAMES: tuple[Frame, ...] = (
    Frame(
        "abstract",
        ("Two players play once.", "Two people meet in a game, once.", "One game for two, played once."),
        (("Player 1", "Player 2"), ("Mover 1", "Mover 2")),
        (("A", "B"), ("X", "Y"), ("K", "L"), ("left", "right"), ("N", "R"), ("front", "back"), ("top", "bottom")),
        ("points", "tokens"),
    ),
    Frame(
        "firms",
        ("Two firms share a market for a season.", "Two firms deal with each other once."),
        (("Firm 1", "Firm 2"), ("Leader", "Follower")),
        (("early", "late"), ("east", "west"), ("rail", "road"), ("steel", "glass"), ("online", "shop"), ("train", "truck")),
        ("dollars", "euros"),
    ),
    Frame(
        "neighbours",
        ("Two neighbours look after a garden.", "Two neighbours share a yard this week."),
        (("Neighbour 1", "Neighbour 2"), ("Ann", "Ben")),
        (("rake", "hose"), ("Monday", "Friday"), ("fence", "path"), ("lawn", "hedge"), ("roses", "tulips"), ("porch", "shed")),
        ("apples", "coins"),
    ),
    Frame(
        "research",
        ("Two research partners write a paper.", "Two researchers run a study together."),
        (("Researcher 1", "Researcher 2"), ("Author 1", "Author 2")),
        (
            ("theory", "data"),
            ("draft", "slides"),
            ("lab", "field"),
            ("survey", "archive"),
            ("graph", "essay"),
            ("model", "sample"),
        ),
        ("credits", "points"),
    ),
    Frame(
        "farmers",
        ("Two farmers use one well.", "Two farmers share a barn."),
        (("Farmer 1", "Farmer 2"), ("Farmer A", "Farmer B")),
        (("wheat", "barley"), ("north", "south"), ("plough", "seed"), ("goats", "sheep"), ("corn", "beans"), ("hay", "straw")),
        ("sacks", "coins"),
    ),
    Frame(
        "couriers",
        ("Two couriers share a route.", "Two couriers work the same shift."),
        (("Courier 1", "Courier 2"), ("Kim", "Lou")),
        (
            ("bridge", "tunnel"),
            ("bike", "van"),
            ("dawn", "dusk"),
            ("park", "harbour"),
            ("letters", "parcels"),
            ("coast", "inland"),
        ),
        ("dollars", "francs"),
    ),
    Frame(
        "cooks",
        ("Two cooks run a stall.", "Two cooks prepare one dinner."),
        (("Cook 1", "Cook 2"), ("Chef 1", "Chef 2")),
        (("soup", "bread"), ("lemon", "mint"), ("oven", "grill"), ("rice", "pasta"), ("salt", "pepper"), ("pan", "pot")),
        ("coins", "euros"),
    ),
    Frame(
        "artists",
        ("Two artists paint one wall.", "Two artists share a studio."),
        (("Artist 1", "Artist 2"), ("Max", "Zoe")),
        (("red", "blue"), ("circle", "square"), ("ink", "chalk"), ("brush", "roller"), ("wood", "clay"), ("canvas", "frame")),
        ("francs", "tokens"),
    ),
    Frame(
        "fishers",
        ("Two fishers work one lake.", "Two fishers share a boat today."),
        (("Fisher 1", "Fisher 2"), ("Bo", "Ida")),
        (("net", "hook"), ("shore", "reef"), ("P", "Q")),
        ("crowns", "shells"),
        held_out=True,
    ),
    Frame(
        "musicians",
        ("Two musicians play one concert.", "Two musicians record a song."),
        (("Musician 1", "Musician 2"), ("Singer 1", "Singer 2")),
        (("flute", "drum"), ("jazz", "folk"), ("M", "W")),
        ("stars", "pounds"),
        held_out=True,
    ),
    Frame(
        "villages",
        ("Two villages share a forest.", "Two villages mend a dam together."),
        (("Village 1", "Village 2"), ("Oakham", "Elmton")),
        (("stone", "timber"), ("hill", "valley"), ("up", "down")),
        ("crowns", "carts"),
        held_out=True,
    ),
    Frame(
        "coders",
        ("Two programmers ship one app.", "Two programmers maintain a library."),
        (("Coder 1", "Coder 2"), ("Dev 1", "Dev 2")),
        (("test", "patch"), ("green", "yellow"), ("F", "H")),
        ("stars", "pounds"),
        held_out=True,
    ),
)


def frames(held_out: bool) -> tuple[Frame, ...]:
    """The frames that are (or are not) kept out of training."""
    return tuple(frame for frame in FRAMES if frame.held_out == held_out)
