"""Lets lava-nc 0.10 run on Python 3.11 and NumPy 2, without changing its files. Import it before anything of Lava; harmless elsewhere.

Python 3.11 refuses three dataclass defaults in lava/magma/compiler/var_model.py; NumPy 2.4 no longer knows `reshape(newshape=)`.
"""

import dataclasses
import inspect
import sys

import numpy as np


def apply() -> None:
    """Do what this Python and this NumPy need."""
    if sys.version_info >= (3, 11):
        _defaults()
    if "newshape" not in inspect.signature(np.reshape).parameters:
        _reshape()


def _defaults() -> None:
    """Turn a default that cannot be hashed into a factory, while Lava's dataclasses are made."""
    plain = dataclasses.field
    process = dataclasses._process_class

    def process_class(cls, *args, **kwargs):  # noqa: ANN001, ANN002, ANN003, ANN202
        for name in cls.__dict__.get("__annotations__", {}):
            value = cls.__dict__.get(name)
            if type(value).__hash__ is None and type(value).__module__.startswith("lava."):
                setattr(cls, name, plain(default_factory=type(value)))
        return process(cls, *args, **kwargs)

    dataclasses._process_class = process_class
    import lava.magma.compiler.var_model  # noqa: F401

    dataclasses._process_class = process


def _reshape() -> None:
    plain = np.reshape

    def reshape(a, shape=None, order="C", **words):  # noqa: ANN001, ANN003, ANN202
        return plain(a, words.pop("newshape", shape), order=order, **words)

    np.reshape = reshape
