"""Commands that have instances of a standing cluster come and go."""
