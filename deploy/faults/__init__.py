"""Broken parts of the fabric. `file`: what a faults file says; `parts`: what there is to break, and what it carries."""
