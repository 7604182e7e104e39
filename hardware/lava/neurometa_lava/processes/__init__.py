"""Lava processes of our own. Lava's compiler imports every file of this folder, so nothing here does anything when it is imported."""
