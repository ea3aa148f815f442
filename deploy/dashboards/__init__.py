"""Dashboards for Grafana, written as rows of data.

Read `boards` first: what each dashboard shows, row by row. `promql` makes its queries, `panels` the parts it is made
of, `grafana` their JSON, and `files` the committed outcome, which `python -m deploy.dashboards` writes anew. `queries`
reads such JSON back for `page`, which runs its queries without Grafana; `plots` makes figures of what comes back.
"""
