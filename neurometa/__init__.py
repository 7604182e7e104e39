"""Spiking networks that learn to learn: plasticity rules as fast inner loops over meta-trained slow weights."""

__version__ = "0.1.0"
