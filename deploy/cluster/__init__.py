"""A local cluster that stays: who keeps it, where its state lies, how others find it.

Reading order: `runtime_folder`, `state`, `processes`, `up_down` (what the commands do), `keeper` (the process between),
`local_cluster` (the Ray node), `attach` (work on a cluster that stands).
"""
