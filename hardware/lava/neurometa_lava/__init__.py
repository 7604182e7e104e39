"""Plays networks that neurometa exported for Loihi in Intel's Lava. `python -m neurometa_lava` is the way in."""
