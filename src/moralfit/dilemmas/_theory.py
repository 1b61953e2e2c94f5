"""What the types of theory answer in the cells of an experiment: approval, switching points, the social dilemma."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from moralfit.dilemmas._family import QUESTIONS, STANDPOINTS, DilemmaFamily


class Theory:
    """What the types of theory answer, averaged over the cells that the rows are about."""

    def __init__(self, family: DilemmaFamily, cells: pd.DataFrame, kappas: Sequence[Fraction]) -> None:
        self.family, self.kappas = family, kappas
        self.cells = list(cells["cell"])

    def mean(self, kappa: Fraction, standpoint: Any, question: str, level: Any = "all") -> float | None:
        """The mean answer to a question, at one level of the gradient or over all."""
        found = [
            self.family.stakes(cell, standpoint).answer(kappa)
            for cell in self.cells
            if cell["question"] == question and level in ("all", cell[self.family.gradient])
        ]
        return float(np.mean(found)) if found else None

    def rows(self, levels: Sequence[Any]) -> Iterator[dict[str, Any]]:
        for kappa in self.kappas:
            for standpoint in STANDPOINTS:
                for question in QUESTIONS:
                    for level in ("all", *levels):
                        yield {
                            "kappa": float(kappa),
                            "name": "homo economicus" if kappa == 0 else f"homo moralis (kappa = {float(kappa):g})",
                            "standpoint": standpoint,
                            "question": question,
                            "level": level,
                            "approval": self.mean(kappa, standpoint, question, level),
                        }

    def switching(self, levels: Sequence[Any]) -> Iterator[dict[str, Any]]:
        for standpoint in STANDPOINTS:
            for question in QUESTIONS:
                for level in levels:
                    stakes = [
                        self.family.stakes(cell, standpoint)
                        for cell in self.cells
                        if cell["question"] == question and cell[self.family.gradient] == level
                    ]
                    points = sorted({float(s.switch) for s in stakes if s.switch is not None})
                    yield {
                        "question": question,
                        "level": level,
                        "standpoint": standpoint,
                        "kappas": points,
                        "cells": len(stakes),
                        "beyond": sum(s.answer(1) < 1 for s in stakes),
                        "approves": list(dict.fromkeys(s.approves for s in stakes)),
                    }

    def gaps(self) -> dict[str, dict[str, float | None]]:
        """Others' doing it less one's own, by kappa and standpoint, over the scenarios in which both are asked."""
        return {f"{float(k):g}": {s: self._gap(k, s) for s in STANDPOINTS} for k in self.kappas}

    def _gap(self, kappa: Fraction, standpoint: Any) -> float | None:
        answers: dict[str, dict[str, float]] = {}
        for cell in self.cells:
            scenario = answers.setdefault(self.family.scenario(cell), {})
            scenario[cell["question"]] = self.family.stakes(cell, standpoint).answer(kappa)
        both = [found["others"] - found["own"] for found in answers.values() if {"others", "own"} <= set(found)]
        return float(np.mean(both)) if both else None

    def changes(self, question: str, levels: Sequence[Any]) -> dict[str, dict[str, float | None]]:
        """The last level's approval less the first's, by kappa and standpoint."""
        found: dict[str, dict[str, float | None]] = {}
        for kappa in self.kappas:
            found[f"{float(kappa):g}"] = {}
            for standpoint in STANDPOINTS:
                ends = [self.mean(kappa, standpoint, question, level) for level in (levels[0], levels[-1])]
                low, high = ends
                found[f"{float(kappa):g}"][standpoint] = None if low is None or high is None else high - low
        return found
