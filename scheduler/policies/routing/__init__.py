"""Routing policies, one module per family: whatever module stands here is found, and what it registers is known."""
