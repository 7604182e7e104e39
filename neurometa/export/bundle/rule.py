"""Loihi's grammar of learning rules: a sum of products, each `[+-] [m *] [2^e *] dependency * factor * ...`.

A dependency says when a product counts: x0 at a presynaptic spike, y0 at a postsynaptic one, uk every 2**k steps. Factors are the traces
x1, x2, y1, y2, y3, the weight w and the tag t The numbers of a product multiply to m 2**e with m in -8..7 and e in -7..8; an even m that
is larger gives factors of two to e.

Source:
    Davies et al. 2018, doi:10.1109/MM.2018.112130359 (sums of products); limits as lava-nc 0.10 enforces them. Its bracketed constants,
    `(y1-4)`, and `sgn(w)` are not known here.
"""

import re
from typing import NamedTuple

from neurometa.errors import UserError

FACTORS = ("x1", "x2", "y1", "y2", "y3", "w", "t")
_NUMBER = re.compile(r"[+-]?\d+")
_POWER = re.compile(r"2\^([+-]?\d+)")
_EPOCH = re.compile(r"u(\d)")


class Product(NamedTuple):
    """One product: mantissa times 2**exponent times its factors, where the dependency holds ("x0", "y0", or "u" every 2**every steps)."""

    mantissa: int
    exponent: int
    dependency: str
    every: int
    factors: tuple[str, ...]


def parse(text: str, where: str) -> tuple[Product, ...]:
    """Read a rule; "" has no products.

    Raises:
        UserError: it is not in the grammar; the message names the product and what is wrong with it.
    """
    plain = "".join(text.split())
    if not plain:
        return ()
    split = [part for part in re.split(r"(?<!\^)(?=[+-])", plain) if part]
    products = tuple(_product(part, where) for part in split)
    if len({product.every for product in products if product.dependency == "u"}) > 1:
        raise UserError(f"{where}: {text!r} has dependencies u of several k, expected one k in a rule")
    return products


def _product(text: str, where: str) -> Product:
    mantissa, exponent, dependency, every, factors = -1 if text[0] == "-" else 1, 0, "", 0, []
    for word in text.lstrip("+-").split("*"):
        if power := _POWER.fullmatch(word):
            exponent += int(power[1])
        elif _NUMBER.fullmatch(word):
            mantissa *= int(word)
        elif word in ("x0", "y0") and dependency:
            factors.append(word)
        elif word in ("x0", "y0") or _EPOCH.fullmatch(word):
            if dependency:
                raise UserError(f"{where}: {text} has two dependencies, expected one of x0, y0, u0..u9, which stands first")
            dependency, every = (word, 0) if word[0] != "u" else ("u", int(word[1]))
        elif word in FACTORS:
            factors.append(word)
        else:
            raise UserError(f"{where}: {word!r} in {text} is not known, expected numbers, 2^e, x0, y0, u0..u9 and {', '.join(FACTORS)}")
    while abs(mantissa) > 7 and mantissa % 2 == 0 and exponent < 8:
        mantissa, exponent = mantissa // 2, exponent + 1
    if not dependency:
        raise UserError(f"{where}: {text} has no dependency, expected x0, y0 or u0..u9 in every product")
    if not -8 <= mantissa < 8 or not -7 <= exponent <= 8:
        raise UserError(f"{where}: {text} is {mantissa} * 2^{exponent}, expected -8..7 times 2^-7..2^8: put the rest into the traces")
    return Product(mantissa, exponent, dependency, every, tuple(factors))
