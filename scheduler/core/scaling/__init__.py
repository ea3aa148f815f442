"""Fleets whose instances come and go: who has which NPUs, who starts, drains and stops, and who decides it."""
