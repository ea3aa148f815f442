"""The composition root: everything that launches, and the only package that knows all others. Nothing imports it.

Reading order: `cli` (the command line and its table of commands), `commands.replay` (the main job), `settings.models`
and `settings.settings` (what a run is told, as values), `system.blueprint` (which parts there are, and how each is
made), `run.replay` (a run on the virtual clock), `live.replay` (the same on Ray). Then, each on its own: `calibration`,
`compare`, `faults`, `run_folder` and who reads it (`report`), `cluster` (one that stays up), `dashboards`, `doctor`,
`hardware`.
"""
