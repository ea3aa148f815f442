"""Routing policies, one file per family."""
