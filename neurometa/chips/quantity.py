"""Physical quantities that know their dimension and their uncertainty: a pJ never meets a nJ unconverted, nor a joule a second."""

from dataclasses import dataclass
from typing import NamedTuple

from neurometa.errors import InternalError, UserError


class Dimension(NamedTuple):
    """Exponents of joule, second and siemens; a pure number has none."""

    joule: int = 0
    second: int = 0
    siemens: int = 0

    def __str__(self) -> str:
        """`J s^-1`, or `1` for a pure number."""
        names = {"J": self.joule, "s": self.second, "S": self.siemens}
        return " ".join(name if power == 1 else f"{name}^{power}" for name, power in names.items() if power) or "1"


NUMBER = Dimension()
ENERGY = Dimension(joule=1)
TIME = Dimension(second=1)
POWER = Dimension(joule=1, second=-1)
RATE = Dimension(second=-1)
CONDUCTANCE = Dimension(siemens=1)

UNITS: dict[str, tuple[float, Dimension]] = {
    **{unit: (scale, ENERGY) for unit, scale in {"J": 1, "mJ": 1e-3, "uJ": 1e-6, "nJ": 1e-9, "pJ": 1e-12, "fJ": 1e-15}.items()},
    **{unit: (scale, TIME) for unit, scale in {"s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}.items()},
    **{unit: (scale, POWER) for unit, scale in {"W": 1, "mW": 1e-3, "uW": 1e-6}.items()},
    **{unit: (scale, RATE) for unit, scale in {"Hz": 1, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9, "TFLOP/s": 1e12, "TB/s": 1e12}.items()},
    **{unit: (scale, CONDUCTANCE) for unit, scale in {"S": 1, "uS": 1e-6}.items()},
    "uW/MHz": (1e-12, ENERGY),
    "1": (1, NUMBER),
    "%": (1e-2, NUMBER),
    "bit": (1, NUMBER),
    "byte": (1, NUMBER),
    "KB": (1024, NUMBER),
    "nm": (1, NUMBER),
    "cycle": (1, NUMBER),
}
"""Scale to joule, second or siemens, and dimension. `uW/MHz` is an energy a clock cycle; `nm` names a process and is not a length here."""


@dataclass(frozen=True)
class Quantity:
    """A number with its range, in SI units: low <= value <= high.

    Sums add the ends and products multiply them, so that nothing here may be negative.

    Attributes:
        low, value, high: in joule, second, siemens and their products.
        dimension: which of them.
    """

    low: float
    value: float
    high: float
    dimension: Dimension

    def __post_init__(self) -> None:
        """Refuse a range that is none."""
        if not 0 <= self.low <= self.value <= self.high < float("inf"):
            raise InternalError(f"quantity with low {self.low}, value {self.value}, high {self.high}: 0 <= low <= value <= high expected")

    def __add__(self, other: "Quantity") -> "Quantity":
        """Add what has the same dimension."""
        if self.dimension != other.dimension:
            raise InternalError(f"a quantity in {self.dimension} was added to one in {other.dimension}")
        return Quantity(self.low + other.low, self.value + other.value, self.high + other.high, self.dimension)

    def __mul__(self, other: "Quantity | float") -> "Quantity":
        """Multiply by a count or another quantity."""
        if not isinstance(other, Quantity):
            return Quantity(self.low * other, self.value * other, self.high * other, self.dimension)
        dimension = Dimension(*(a + b for a, b in zip(self.dimension, other.dimension, strict=True)))
        return Quantity(self.low * other.low, self.value * other.value, self.high * other.high, dimension)

    def to(self, unit: str) -> dict[str, float]:
        """`{"low", "value", "high"}` in a unit of the same dimension."""
        scale, dimension = scale_of(unit)
        if dimension != self.dimension:
            raise InternalError(f"a quantity in {self.dimension} was asked for in {unit}")
        return {"low": self.low / scale, "value": self.value / scale, "high": self.high / scale}


def scale_of(unit: str) -> tuple[float, Dimension]:
    """Scale and dimension of a unit by name.

    Raises:
        UserError: it is not known.
    """
    if unit not in UNITS:
        raise UserError(f"unit {unit!r} is not known: expected one of {', '.join(UNITS)}")
    return UNITS[unit]


def quantity(value: float, unit: str, low: float | None = None, high: float | None = None) -> Quantity:
    """Make a quantity from numbers in one unit; without `low` and `high` it is exact."""
    scale, dimension = scale_of(unit)
    ends = (value if low is None else low, value, value if high is None else high)
    low_si, value_si, high_si = (end * scale for end in ends)
    return Quantity(low_si, value_si, high_si, dimension)


def zero(dimension: Dimension) -> Quantity:
    """Nothing, of a dimension."""
    return Quantity(0.0, 0.0, 0.0, dimension)


def largest(quantities: "list[Quantity]") -> Quantity:
    """The largest of several, end by end: what waits for all of them."""
    dimension = quantities[0].dimension
    if any(q.dimension != dimension for q in quantities):
        raise InternalError("quantities of several dimensions were compared")
    low, value, high = (max(getattr(q, end) for q in quantities) for end in ("low", "value", "high"))
    return Quantity(low, value, high, dimension)


def hull(quantities: "list[Quantity]") -> Quantity:
    """The range that covers several; its value is the geometric mean of theirs, because they differ by factors."""
    dimension = quantities[0].dimension
    if any(q.dimension != dimension for q in quantities):
        raise InternalError("quantities of several dimensions were joined")
    product = 1.0
    for q in quantities:
        product *= q.value ** (1 / len(quantities))
    low, high = min(q.low for q in quantities), max(q.high for q in quantities)
    return Quantity(low, min(max(product, low), high), high, dimension)
