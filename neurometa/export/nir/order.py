"""A graph as a row of nodes: subgraphs opened, recurrent weights set aside, everything else refused by name."""

from typing import Any, NamedTuple

import nir

from neurometa.errors import UserError

NEURONS = (nir.LIF, nir.CubaLIF, nir.IF)


class Row(NamedTuple):
    """Nodes from the input to the output, and the recurrent weights of neurons by their name."""

    nodes: tuple[tuple[str, Any], ...]
    recurrent: dict[str, Any]


def row(graph: nir.NIRGraph) -> Row:
    """Order a graph.

    Raises:
        UserError: a branch, a cycle that is no recurrent population, an edge to a node that is not there, several inputs.
    """
    nodes, edges = _flat(graph, "")
    for a, b in edges:
        for end in (a, b):
            if end not in nodes:
                raise UserError(f"NIR: edge {a} -> {b} names {end}, which is no node: the file is damaged")
    loops = {}
    for name, node in nodes.items():
        if isinstance(node, nir.Linear | nir.Affine):
            before, behind = ([a for a, b in edges if b == name], [b for a, b in edges if a == name])
            if len(before) == 1 and before == behind and isinstance(nodes[before[0]], NEURONS):
                loops[before[0]] = name
    kept = [(a, b) for a, b in edges if a not in loops.values() and b not in loops.values()]
    starts = [name for name, node in nodes.items() if isinstance(node, nir.Input)]
    if len(starts) != 1:
        raise UserError(f"NIR: {len(starts)} input nodes ({', '.join(starts) or 'none'}), expected one")
    at, order = starts[0], []
    while True:
        order.append(at)
        following = [b for a, b in kept if a == at]
        if not following:
            break
        if len(following) > 1:
            raise UserError(f"NIR: node {at} leads to {', '.join(following)}: expected a row of nodes without branches")
        if following[0] in order:
            raise UserError(
                f"NIR: nodes {at} -> {following[0]} close a cycle: expected recurrent weights between one population and itself"
            )
        at = following[0]
    missed = [name for name in nodes if name not in order and name not in loops.values()]
    if missed:
        raise UserError(f"NIR: node {missed[0]} does not lie on the way from {starts[0]}: expected a row of nodes")
    return Row(tuple((name, nodes[name]) for name in order), {name: nodes[weights] for name, weights in loops.items()})


def _flat(graph: nir.NIRGraph, prefix: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Nodes and edges with subgraphs opened: an edge to a subgraph leads to what its input leads to."""
    nodes: dict[str, Any] = {}
    edges = [(prefix + a, prefix + b) for a, b in graph.edges]
    for name, node in graph.nodes.items():
        if not isinstance(node, nir.NIRGraph):
            nodes[prefix + name] = node
            continue
        inner, within = _flat(node, f"{prefix}{name}.")
        ends = {kind: [n for n, one in inner.items() if isinstance(one, kind)] for kind in (nir.Input, nir.Output)}
        if any(len(found) != 1 for found in ends.values()):
            raise UserError(
                f"NIR: subgraph {prefix}{name} has {len(ends[nir.Input])} inputs and {len(ends[nir.Output])} outputs, expected one of each"
            )
        first, last = ends[nir.Input][0], ends[nir.Output][0]
        into, out = [b for a, b in within if a == first], [a for a, b in within if b == last]
        nodes |= {n: one for n, one in inner.items() if n not in (first, last)}
        outer = [(a, b) for a, b in edges if prefix + name not in (a, b)]
        outer += [(a, b) for a, whole in edges if whole == prefix + name for b in into]
        outer += [(a, b) for whole, b in edges if whole == prefix + name for a in out]
        edges = outer + [(a, b) for a, b in within if a != first and b != last]
    return nodes, edges
