"""What a chip card holds: published numbers, each with its range, its kind and its place in a source. No number stands alone."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from neurometa.chips.quantity import Quantity, quantity

Kind = Literal["measured", "simulated", "vendor", "derived", "assumed"]
Text = Annotated[str, Meta(min_length=1)]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]*$")]

EVENTS = {
    "synaptic_event": "one spike at one synapse",
    "synaptic_event_dense": "the same, in a dense matrix",
    "synaptic_event_sparse": "the same, in a list of synapses",
    "synaptic_event_conv": "the same, in a shared kernel",
    "neuron_update": "one neuron in one time step",
    "neuron_update_active": "the same, where its potential changes",
    "neuron_update_inactive": "the same, where it does not",
    "neuron_access": "one neuron in one time step, before what it does there is added",
    "neuron_change": "added where its potential changes",
    "spike": "added where it fires",
    "axon_out": "one spike sent to one core",
    "axon_in": "one spike received by one core",
    "hop_east_west": "one spike carried to the next tile in a row",
    "hop_north_south": "one spike carried to the next tile in a column",
    "synaptic_update": "one plastic synapse visited by the learning engine",
    "trace_update": "one trace in one time step",
    "learning_signal": "one learning signal delivered",
    "weight_write": "one cell programmed",
    "cell_read": "one cell read",
    "array_read": "one crossbar read in one time step",
    "adc": "one column converted",
    "tree": "the wires around one array that is read",
    "buffer": "the buffer around one array that is read",
    "reset": "the state of one chip cleared, once an inference",
    "cycle": "one clock cycle",
    "mac": "one multiplication and addition",
    "flop": "one floating-point operation",
    "add": "one addition",
    "multiply": "one multiplication",
    "address": "the address of one access",
    "memory_8kb": "one access to a memory of 8 KB",
    "memory_32kb": "one access to a memory of 32 KB",
    "memory_1mb": "one access to a memory of 1 MB",
    "dram": "one access to memory outside",
    "overhead": "starting one batch",
    "each": "one example of a batch",
}
"""What an energy or a duration may belong to; `sync_<tiles>` is also a duration: the barrier that ends a time step."""


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One published number.

    Attributes:
        value, low, high: in `unit`; the range is the source's own, or the convention of docs/energy.md for its kind.
        unit: a name of `quantity.UNITS`.
        kind: how the number was come by. What we did not read, but recall or set, is "assumed".
        source: a name in sources.toml; several are separated by commas.
        locator: where in the source: table, figure, section, or how it follows.
        note: what a reader must know.
    """

    value: float
    low: float
    high: float
    unit: Text
    kind: Kind
    source: Text
    locator: Text
    note: str = ""

    @property
    def quantity(self) -> Quantity:
        """The number with its dimension, in SI units."""
        return quantity(self.value, self.unit, self.low, self.high)


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One chip, or one profile of it.

    Attributes:
        chip: name of the chip; several cards may share it, each with a `profile`, and then their spread is reported.
        profile: whose numbers these are.
        title: name for people.
        about: what the numbers are and what they leave out.
        model: "event" (energy an event, cores in step), "digital" (arithmetic and memory of a conventional circuit),
            "board" (a batch-latency law), "mac" (energy a multiplication), "bound" (a lower bound from peak numbers).
        precision: of weights and states, as the numbers hold for it.
        node: process node.
        energy: energies, of the events that `EVENTS` names.
        time: durations of the same events, and of a step's synchronisation by the number of tiles (`sync_<tiles>`).
        power: `static` of a whole chip, `static_core` of a core in use; `idle` and `dynamic` of a board.
        limits: what fits: `cores`, `neurons_per_core`, `synapse_bytes_per_core`, `axons_in_per_core`, `axons_out_per_core`, ...
        device: constants of analog memory, for weight models; not used by the estimator.
        validation: published points of whole networks, kept for comparison; not used by the estimator.
    """

    chip: Name
    title: Text
    about: Text
    model: Literal["event", "digital", "board", "mac", "bound"]
    precision: Text
    profile: Annotated[str, Meta(pattern=r"^[a-z0-9-]*$")] = ""
    node: Figure | None = None
    energy: dict[str, Figure] = {}
    time: dict[str, Figure] = {}
    power: dict[str, Figure] = {}
    limits: dict[str, Figure] = {}
    device: dict[str, Figure] = {}
    validation: dict[str, Figure] = {}

    @property
    def name(self) -> str:
        """`chip`, or `chip-profile`."""
        return f"{self.chip}-{self.profile}" if self.profile else self.chip

    def limit(self, name: str) -> int | None:
        """A limit as a whole number, in bytes where it is a memory; None where the card has none."""
        return round(self.limits[name].quantity.value) if name in self.limits else None


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where numbers come from.

    Attributes:
        title, authors, year: of the work.
        read: "primary" where we read the work itself, "secondary" where a work that quotes it, "recalled" where neither.
        doi, arxiv, url: whichever is known.
        note: which secondary work, what to beware of.
    """

    title: Text
    authors: Text
    year: int
    read: Literal["primary", "secondary", "recalled"]
    doi: str = ""
    arxiv: str = ""
    url: str = ""
    note: str = ""
