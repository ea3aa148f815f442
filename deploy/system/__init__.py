"""Builds the parts of an emulated system from settings."""
