"""Observed choices, collapsed to counts of cells: what every estimator here works on.

A *situation* is a choice between alternatives with features, for a game: its pure plans, for one belief. A *cell* is a set of
alternatives of one situation that an observation is consistent with. A complete plan is a cell of one alternative; the answer
to a single decision is the cell of all plans that answer so, because utility and its noise are over plans. The likelihood needs
no more than how often each agent fell into each cell, so thousands of choices collapse into some hundred numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from moralfit.errors import EstimationError
from moralfit.games._catalogue import did_you_mean

Array: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.intp]

#: An agent, or None for all, and what is to be said.
Note: TypeAlias = tuple[str | None, str]


@dataclass(frozen=True, eq=False)
class Choices:
    """Counts of cells by unit. S situations, A alternatives in all, C cells, M members of cells in all, U units, F features.

    Attributes:
        names: The F features: the base, whose coefficient is 1/lambda, then one for each preference parameter.
        features: (A, F), payoff points; the alternatives of one situation follow each other.
        situation_starts: (S,), where the alternatives of each situation begin.
        cell_starts: (C,), where the members of each cell begin in `cell_members`.
        cell_members: (M,), rows of `features`.
        counts: (U, C), non-negative, fractional for choice probabilities.
        agents: (U,), whose choices they are. A unit is an agent, or part of its choices if clusters are finer.
        clusters: Other labels of the units, each (U,), for clustered standard errors.
        situations: (S,), what messages call them. games: (S,), the name of the game.
        notes: What happened on reading that an estimate should mention, with the agent that it concerns (None: all).
    """

    names: tuple[str, ...]
    features: Array
    situation_starts: Indices
    cell_starts: Indices
    cell_members: Indices
    counts: Array
    agents: tuple[str, ...]
    situations: tuple[str, ...]
    games: tuple[str, ...]
    clusters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()

    def __post_init__(self) -> None:
        if self.features.shape[1] != len(self.names):
            raise EstimationError(f"{self.features.shape[1]} columns of features for {len(self.names)} names")
        if not np.isfinite(self.features).all():
            bad = np.unique(self.situation_of_alternative[~np.isfinite(self.features).all(axis=1)])
            raise EstimationError(f"features are not finite in {named([self.situations[s] for s in bad])}")
        if self.counts.shape != (len(self.agents), len(self.cell_starts)):
            raise EstimationError(f"counts have shape {self.counts.shape}, not {(len(self.agents), len(self.cell_starts))}")
        if not (self.counts >= 0).all():
            raise EstimationError("counts must be numbers of at least zero")

    @cached_property
    def situation_of_alternative(self) -> Indices:
        """(A,), the situation of each alternative."""
        sizes = np.diff(self.situation_starts, append=len(self.features))
        return np.repeat(np.arange(len(sizes)), sizes)

    @cached_property
    def situation_of_cell(self) -> Indices:
        """(C,), the situation of each cell."""
        return self.situation_of_alternative[self.cell_members[self.cell_starts]]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the preference parameters."""
        return self.names[1:]

    @property
    def agent_names(self) -> tuple[str, ...]:
        """The agents, in order of first appearance."""
        return tuple(dict.fromkeys(self.agents))

    @property
    def cluster_names(self) -> tuple[str, ...]:
        """What standard errors can be clustered by."""
        return ("agent", "situation", "game", *self.clusters)

    @property
    def n(self) -> float:
        """Number of observations, fractional weights included."""
        return float(self.counts.sum())

    @property
    def complete(self) -> bool:
        """Whether every cell is a single alternative, so that the log-likelihood is concave."""
        return len(self.cell_members) == len(self.cell_starts)

    def of(self, *agents: str) -> Choices:
        """The choices of these agents only, without the situations that they did not face.

        Raises:
            EstimationError: An agent is unknown.
        """
        if unknown := [agent for agent in agents if agent not in self.agents]:
            raise EstimationError(f"no choices of {named(unknown)}; there are choices of {named(self.agent_names)}")
        return self.units([u for u, agent in enumerate(self.agents) if agent in agents])

    def units(self, keep: Sequence[int]) -> Choices:
        """The choices of these units only, without unobserved cells and situations."""
        counts = self.counts[list(keep)]
        cells = np.flatnonzero(counts.sum(axis=0) > 0)
        faced = np.unique(self.situation_of_cell[cells])
        kept = np.flatnonzero(np.isin(self.situation_of_alternative, faced))
        renumber = np.full(len(self.features), -1)
        renumber[kept] = np.arange(len(kept))
        ends = np.append(self.cell_starts[1:], len(self.cell_members))
        members = [renumber[self.cell_members[self.cell_starts[c] : ends[c]]] for c in cells]
        return replace(
            self,
            features=self.features[kept],
            situation_starts=renumber[self.situation_starts[faced]],
            cell_starts=_starts([len(m) for m in members]),
            cell_members=np.concatenate(members) if members else np.zeros(0, np.intp),
            counts=counts[:, cells],
            agents=tuple(self.agents[u] for u in keep),
            situations=tuple(self.situations[s] for s in faced),
            games=tuple(self.games[s] for s in faced),
            clusters={name: tuple(labels[u] for u in keep) for name, labels in self.clusters.items()},
            notes=tuple(note for note in self.notes if note[0] is None or note[0] in {self.agents[u] for u in keep}),
        )


def named(items: Sequence[Any], most: int = 5) -> str:
    """At most `most` of the items, and how many more there are."""
    shown = ", ".join(str(item) for item in items[:most])
    return f"{shown} and {len(items) - most} more" if len(items) > most else shown


def check_option(name: str, value: object, known: Sequence[str]) -> None:
    """Refuses a misspelt option before anything else is said about the choices.

    Raises:
        EstimationError: The value is none of the known ones, which the message lists with the nearest.
    """
    if value not in known:
        raise EstimationError(f"unknown {name} {value!r}; {did_you_mean(value, known)}Known are {', '.join(known)}")


def _starts(sizes: Sequence[int]) -> Indices:
    return np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp) if sizes else np.zeros(0, np.intp)


def collect(
    names: tuple[str, ...],
    features: Sequence[Array],
    cells: Sequence[tuple[int, tuple[int, ...]]],
    counts: Array,
    agents: Sequence[str],
    situations: Sequence[str],
    games: Sequence[str],
    clusters: Mapping[str, tuple[str, ...]] | None = None,
    notes: Sequence[Note] = (),
) -> Choices:
    """Choices from one feature matrix (alternatives, F) for each situation.

    Args:
        cells: For each cell its situation, and its alternatives by their number within the situation.
        counts: (U, C).
    """
    starts = _starts([len(f) for f in features])
    return Choices(
        names=names,
        features=np.concatenate(features).astype(np.float64),
        situation_starts=starts,
        cell_starts=_starts([len(members) for _, members in cells]),
        cell_members=np.array([starts[s] + m for s, members in cells for m in members], dtype=np.intp),
        counts=np.asarray(counts, dtype=np.float64),
        agents=tuple(agents),
        situations=tuple(situations),
        games=tuple(games),
        clusters=dict(clusters or {}),
        notes=tuple(notes),
    )
