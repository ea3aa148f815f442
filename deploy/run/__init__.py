"""A replay on the virtual clock, from an opened trace to a summary."""
