"""What a run came to when it has ended.

Reading order: `collector` (the log), `ended_run` (what summaries see of it), `summary` (the JSON), `table` (the same
for people). `usage`, `energy`, `windows` and `gaps` are the sweeps over logged rows, `timeline` the course of a run.
"""
