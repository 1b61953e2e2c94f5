"""Estimates of several agents side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING

from moralfit.errors import EstimationError
from moralfit.estimate._estimate import Estimate
from moralfit.preferences import SocialPreferences

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_estimates(
    estimates: Mapping[str, Estimate],
    parameters: Sequence[str] = ("alpha", "beta", "kappa"),
    targets: Mapping[str, SocialPreferences | Mapping[str, float]] | None = None,
) -> Figure:
    """One panel for each parameter, one line for each agent.

    A filled dot with a bar is an estimate with its interval. Where there is none, a light band shows the values that explain
    all choices and a hollow dot the penalised estimate; an agent without either says so. A cross is what it was trained for.

    Args:
        estimates: By the name to show. parameters: Panels, from left to right. targets: What was intended.

    Raises:
        EstimationError: There is nothing to draw, or a parameter is not in an estimate.
    """
    from matplotlib.figure import Figure

    if not estimates or not parameters:
        raise EstimationError("draw_estimates needs at least one estimate and one parameter")
    for label, one in estimates.items():
        if unknown := [name for name in parameters if name not in one.parameters]:
            raise EstimationError(f"{label}: no parameter {', '.join(unknown)}; there are {', '.join(one.parameters)}")
    height = 1.2 + 0.42 * len(estimates)
    figure = Figure(figsize=(2.1 + 2.3 * len(parameters), height), layout="constrained")
    axes = figure.subplots(1, len(parameters), sharey=True, squeeze=False)[0]
    for axis, name in zip(axes, parameters, strict=True):
        axis.axvline(0, color="0.8", linewidth=1, zorder=0)
        for place, (label, one) in enumerate(estimates.items()):
            value, (low, high) = one.parameters[name], one.intervals[name]
            if isfinite(value):
                if isfinite(low):
                    axis.plot([low, high], [place, place], color="#2f5d8a", linewidth=2)
                face = "#2f5d8a" if name in one.free else "0.6"
                axis.plot(value, place, "o", color=face, markersize=6)
            else:
                _draw_other(axis, place, one, name)
            if targets and label in targets:
                target = targets[label]
                aim = target.get(name) if isinstance(target, Mapping) else getattr(target, name, None)
                if aim is not None:
                    axis.plot(float(aim), place, "x", color="#b5482f", markersize=8, markeredgewidth=2)
        axis.set_title(name)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(estimates)), list(estimates))
    axes[0].set_ylim(len(estimates) - 0.5, -0.5)
    return figure


def _draw_other(axis: object, place: int, one: Estimate, name: str) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axis, Axes)
    region = one.region.limits.get(name) if one.region is not None else None
    drawn = False
    if region is not None and all(map(isfinite, region)):
        axis.plot(region, [place, place], color="#2f5d8a", alpha=0.25, linewidth=7, solid_capstyle="butt")
        drawn = True
    if one.penalised is not None:
        axis.plot(one.penalised[name], place, "o", color="#2f5d8a", markerfacecolor="white", markersize=6)
        drawn = True
    if not drawn:
        axis.text(0, place, one.status, ha="left", va="center", color="0.4", fontsize=8)
