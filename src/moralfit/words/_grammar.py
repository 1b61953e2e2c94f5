"""How the lines of a derivation look: what the checker takes apart. A line of any other form is not part of a derivation."""

from __future__ import annotations

import re

from moralfit.words._read import NUMBER

_TERM = rf"(?:(?:[2-9]|[1-9]\d+)x)?{NUMBER}"
_EQUATION = rf"{_TERM}(?:\+{_TERM})*={NUMBER}|{NUMBER}"
LEAD = re.compile(
    r"(?P<own>Only my own payoff counts\.)"
    r"|(?P<all>If all act as I do, the sum for both counts\.)"
    r"|Own payoff counts (?P<w>[1-9]\d*), the sum for both if all act as I do counts (?P<a>[1-9]\d*)\."
    r"(?: Others act as I do: (?P<others>[^.]+)\.)?"
)
_SLIP = rf" \(slip {NUMBER}\)"
LINE = re.compile(
    rf"(?:First(?P<both>, both roles)?(?:, (?P<games>in|over) (?P<q>\d+) games)?"
    rf"|After (?P<history>[^:,]+?)(?P<slip> by a slip)?(?:, if I (?P<off>do not )?start (?P<start>[^:,]+))?)"
    rf": (?P<options>.+?)\. Larger: (?P<value>{NUMBER})(?: by (?P<by>[^.(]+?))?, so (?P<label>[^.(]+?)(?P<left>{_SLIP})?\."
)
OPTION = re.compile(r"(?:^|, )(?P<row>[^,=()]+?)(?: \((?P<pays>[^()]+)\))? gives ")
#: What a first mover who counts its own payoff alone gets.
OPTION_OWN = re.compile(r"(?:^|, )(?P<row>[^,=()]+?)(?P<pays>) gives me ")
WORTH = re.compile(rf"(?:me (?P<me>{_EQUATION}), )?(?:both (?P<both>{_EQUATION}), )?(?P<total>{_EQUATION})")
#: Where only the sum for both counts: a first move that ends the game, and first moves compared by what was derived before.
END = re.compile(rf"After (?P<start>[^:,]+): (?P=start) gives (?P<total>{_EQUATION})(?P<left>{_SLIP})\.")
_WITH_SLIP = rf"{NUMBER}{_SLIP} if [^,.()]+"
FIRST_ALL = re.compile(
    rf"First: (?P<options>{_WITH_SLIP}(?:, {_WITH_SLIP})*)\. Larger: (?P<larger>{_WITH_SLIP}), so (?P<label>[^,.()]+)\."
)
OPTION_ALL = re.compile(rf"(?P<value>{NUMBER})(?P<slip>{_SLIP}) if (?P<label>.+)")
