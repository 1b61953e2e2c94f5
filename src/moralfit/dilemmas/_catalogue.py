"""The families that there are. A new one is one more file and one more line here."""

from __future__ import annotations

from moralfit.dilemmas._family import DilemmaFamily
from moralfit.dilemmas._vaccination import VACCINATION
from moralfit.dilemmas._vehicles import VEHICLES

FAMILIES: dict[str, DilemmaFamily] = {
    family.key: family
    for family in (
        VEHICLES,
        VACCINATION,
    )
}
