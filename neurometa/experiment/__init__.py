"""Experiments: a TOML file comes in, a run folder comes out."""
