"""Cover stories for the games of the transfer test: each suits some games, one suits all.

No label, unit, name or opening sentence is used in training. As there, labels say nothing about who gains and stand for actions
at random. A new story is one more entry here.
"""

from __future__ import annotations

from moralfit.games import Game
from moralfit.words._frames import Deed, Frame

_BOTH_AT_ONCE = ("prisoners_dilemma", "repeated_prisoners_dilemma")
_PUBLIC_GOODS = ("linear_public_good", "concave_public_good")
_WORK = Deed("work", "works", "worked", "hours")
_PAY = Deed("pay", "pays", "paid")

TRANSFER_FRAMES: tuple[Frame, ...] = (
    Frame(
        "plain",
        ("{Count} participants take part in a study.", "{Count} strangers meet in an experiment."),
        (("Participant 1", "Participant 2"), ("Person 1", "Person 2")),
        (("J", "V"), ("G", "Z"), ("plain", "striped"), ("oval", "cross")),
        ("florins", "marbles"),
        held_out=True,
        crowd="Participant",
    ),
    Frame(
        "traders",
        ("Two traders swap sealed parcels.", "Two traders exchange goods unseen."),
        (("Trader 1", "Trader 2"), ("Amir", "Bela")),
        (("silk", "wool"), ("cedar", "pine"), ("brass", "zinc")),
        ("rupees", "florins"),
        held_out=True,
        games=_BOTH_AT_ONCE,
    ),
    Frame(
        "shops",
        ("Two shops sell umbrellas on one street.", "Two shops compete for the same customers."),
        (("Shop 1", "Shop 2"), ("Corner Shop", "Arcade Shop")),
        (("poster", "leaflet"), ("window", "counter"), ("radio", "paper")),
        ("pesos", "talers"),
        held_out=True,
        games=_BOTH_AT_ONCE,
    ),
    Frame(
        "hunters",
        ("Two hunters leave camp before sunrise.", "Two hunters set out from different huts."),
        (("Hunter 1", "Hunter 2"), ("Ivo", "Jan")),
        (("ridge", "marsh"), ("bow", "snare"), ("creek", "meadow")),
        ("pelts", "meals"),
        held_out=True,
        games=("stag_hunt",),
    ),
    Frame(
        "weavers",
        ("Two weavers each make one half of a carpet.", "Two weavers supply one tailor."),
        (("Weaver 1", "Weaver 2"), ("Lena", "Mira")),
        (("knot", "twill"), ("linen", "hemp"), ("fringe", "border")),
        ("rupees", "talers"),
        held_out=True,
        games=("stag_hunt",),
    ),
    Frame(
        "drivers",
        ("Two drivers meet on a narrow lane.", "Two drivers reach the same crossing."),
        (("Driver 1", "Driver 2"), ("Oscar", "Petra")),
        (("honk", "flash"), ("wave", "nod"), ("lamp", "horn")),
        ("pesos", "rupees"),
        held_out=True,
        games=("chicken",),
    ),
    Frame(
        "airlines",
        ("Two airlines plan flights for the same evening.", "Two airlines apply for slots at one airport."),
        (("Airline 1", "Airline 2"), ("Aero", "Volar")),
        (("gate", "stand"), ("noon", "midnight"), ("jet", "prop")),
        ("talers", "florins"),
        held_out=True,
        games=("chicken",),
    ),
    Frame(
        "raffle",
        ("One of two friends wins a raffle.", "One of two friends finds a purse that nobody claims."),
        (("Winner", "Friend"), ("Eve", "Tom")),
        (),
        ("pesos", "tickets"),
        held_out=True,
        games=("dictator_game",),
        deeds=(Deed("give", "gives", "gave", "{unit} to the other"),),
    ),
    Frame(
        "siblings",
        ("One of two siblings is handed the pocket money of the two.", "One of two siblings divides a present."),
        (("Sister", "Brother"), ("Nora", "Sam")),
        (),
        ("sweets", "pennies"),
        held_out=True,
        games=("dictator_game",),
        deeds=(Deed("hand over", "hands over", "handed over"),),
    ),
    Frame(
        "heirs",
        ("Two heirs divide a legacy.", "Two heirs settle an estate."),
        (("Heir 1", "Heir 2"), ("Uma", "Vic")),
        (("oak", "elm"), ("seal", "stamp"), ("white", "black")),
        ("florins", "talers"),
        held_out=True,
        games=("ultimatum_amounts",),
        deeds=(Deed("offer", "offers", "offered"),),
    ),
    Frame(
        "flatmates",
        ("Two flatmates split a refund.", "Two flatmates sell a sofa and share what it brings."),
        (("Flatmate 1", "Flatmate 2"), ("Pia", "Ron")),
        (("kitchen", "balcony"), ("thumb", "fist"), ("purple", "orange")),
        ("pesos", "pennies"),
        held_out=True,
        games=("ultimatum_amounts",),
        deeds=(Deed("offer", "offers", "offered"),),
    ),
    Frame(
        "bankers",
        ("A saver meets a banker.", "A saver has heard of a banker in the next town."),
        (("Saver", "Banker"), ("Hana", "Igor")),
        (),
        ("florins", "talers"),
        held_out=True,
        games=("trust_amounts",),
        deeds=(Deed("send", "sends", "sent"), Deed("return", "returns", "returned")),
    ),
    Frame(
        "bakers",
        ("A lender helps a baker to open a shop.", "A lender visits a baker."),
        (("Lender", "Baker"), ("Olga", "Paul")),
        (),
        ("pesos", "pennies"),
        held_out=True,
        games=("trust_amounts",),
        deeds=(Deed("lend", "lends", "lent"), Deed("pay back", "pays back", "paid back")),
    ),
    Frame(
        "employers",
        ("An employer hires a worker for a day.", "A workshop needs a hand for a day."),
        (("Employer", "Worker"), ("Mr Reed", "Mr Ward")),
        (),
        ("florins", "pesos"),
        held_out=True,
        games=("gift_exchange",),
        deeds=(_PAY, _WORK),
    ),
    Frame(
        "innkeepers",
        ("An innkeeper takes on a gardener.", "An innkeeper asks a gardener in."),
        (("Innkeeper", "Gardener"), ("Mrs Bell", "Mrs Cole")),
        (),
        ("talers", "pennies"),
        held_out=True,
        games=("gift_exchange",),
        deeds=(_PAY, _WORK),
    ),
    Frame(
        "tenants",
        ("{Count} tenants share a staircase.", "{Count} tenants have one courtyard."),
        (("Tenant 1", "Tenant 2"), ("Tenant A", "Tenant B")),
        (),
        ("pesos", "talers"),
        held_out=True,
        crowd="Tenant",
        games=_PUBLIC_GOODS,
        deeds=(Deed("clean for", "cleans for", "cleaned for", "hours"),),
    ),
    Frame(
        "beekeepers",
        ("{Count} beekeepers use one meadow.", "{Count} beekeepers keep their hives side by side."),
        (("Beekeeper 1", "Beekeeper 2"), ("Wendy", "Xaver")),
        (),
        ("jars", "florins"),
        held_out=True,
        crowd="Beekeeper",
        games=_PUBLIC_GOODS,
        deeds=(Deed("plant", "plants", "planted", "rows of flowers"),),
    ),
    Frame(
        "collectors",
        ("Two collectors open a cabinet.", "Two collectors go through a chest of drawers."),
        (("Collector 1", "Collector 2"), ("Rosa", "Stan")),
        (("amber", "violet"), ("key", "latch"), ("bell", "gong")),
        ("medals", "florins"),
        held_out=True,
        games=("centipede",),
    ),
    Frame(
        "divers",
        ("Two divers bring up a treasure.", "Two divers explore a wreck."),
        (("Diver 1", "Diver 2"), ("Tara", "Udo")),
        (("rope", "whistle"), ("mask", "fin"), ("pearl", "coral")),
        ("talers", "rupees"),
        held_out=True,
        games=("centipede",),
    ),
    Frame(
        "merchants",
        ("Two merchants trade by mail.", "Two merchants do business across a border."),
        (("Merchant 1", "Merchant 2"), ("Quinn", "Rae")),
        (("crate", "barrel"), ("wax", "twine"), ("camel", "mule")),
        ("rupees", "talers"),
        held_out=True,
        games=("repeated_trust_game",),
    ),
    Frame(
        "publishers",
        ("A publisher and a printer work on several books.", "A publisher and a printer bring out a magazine."),
        (("Publisher", "Printer"), ("Greta", "Hugo")),
        (("leather", "cloth"), ("serif", "italic"), ("velvet", "satin")),
        ("florins", "pennies"),
        held_out=True,
        games=("repeated_trust_game",),
    ),
)


def transfer_frames(game: Game) -> tuple[Frame, ...]:
    """The stories that suit a game: those written for it by name, and the plain one."""
    return tuple(
        frame
        for frame in TRANSFER_FRAMES
        if (not frame.games or game.name in frame.games) and (frame.crowd or len(game.roles) == 2)
    )
