"""Conventional networks with the interface of the spiking ones."""
