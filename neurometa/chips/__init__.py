"""Chips: what is published about them, number by number, and how a network is laid out on their cores."""
