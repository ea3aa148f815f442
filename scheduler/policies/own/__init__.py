"""Policies of a user's own: what they are shown (`sealing`), and how the core asks them (`adapters`)."""
