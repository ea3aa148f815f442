"""Trace formats, one module each: whatever module stands here is found, and the format it registers is known."""
