"""The estimator beside published measurements: fits, whose constants came from these very points, and predictions, which alone validate."""

import tomllib
from importlib import resources
from typing import Literal, NamedTuple

import msgspec

from neurometa.chips.quantity import ENERGY, Quantity, hull, quantity, zero
from neurometa.chips.read import shipped
from neurometa.energy.counts import Counts
from neurometa.energy.estimate import Settings, census, estimate


class Point(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One published measurement and the workload behind it, as validation.toml explains."""

    column: Literal["fit", "prediction"]
    title: str
    cards: list[str]
    source: str
    unit: str
    measured: float
    allowed: float
    counts: dict[str, float]
    steps: int = 1
    step: float | None = None
    chips: int | None = None
    batch: int = 1
    conventional: bool = False
    without: list[str] = []


class Checked(NamedTuple):
    """A point, the estimate of all its cards together, and estimate / measurement."""

    point: Point
    estimated: Quantity
    ratio: float

    @property
    def inside(self) -> bool:
        """Whether the measurement lies between low and high."""
        ends = self.estimated.to(self.point.unit)
        return ends["low"] <= self.point.measured <= ends["high"]

    @property
    def close(self) -> bool:
        """Whether the value lies within the allowed factor."""
        return 1 / self.point.allowed <= self.ratio <= self.point.allowed


def points() -> dict[str, Point]:
    """The published points, by name."""
    text = (resources.files("neurometa.energy") / "validation.toml").read_text(encoding="utf-8")
    return {name: msgspec.convert(point, Point) for name, point in tomllib.loads(text).items()}


def check(point: Point) -> Checked:
    """Estimate a point with every card that it names; static power counts only where the measurement held it, in a step of given length."""
    together = hull([_energy(point, name) for name in point.cards])
    return Checked(point, together, together.to(point.unit)["value"] / point.measured)


def _energy(point: Point, name: str) -> Quantity:
    work = census(point.steps, **Counts(**point.counts)._asdict())._replace(spiking=not point.conventional)
    step = None if point.step is None else quantity(point.step, "s")
    found = estimate(shipped()[name], work, Settings(point.step is not None, step, point.batch, point.chips))
    energy = zero(ENERGY)
    for part, amount in found.parts.items():
        if part not in point.without:
            energy = energy + amount
    return energy
