"""Scaling policies, one file per family: how many instances of each role there shall be."""
