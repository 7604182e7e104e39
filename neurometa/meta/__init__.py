"""Outer loops: how the query loss after adaptation becomes a gradient on the slow weights."""
