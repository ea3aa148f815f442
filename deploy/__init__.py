"""The composition root: everything that launches, and the only package that knows all others.

Reading order: `cli` (the command line and its table of commands), `cli_replay` (the main job).
Nothing imports `deploy`.
"""
