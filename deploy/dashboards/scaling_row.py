"""The row of scaling: how many instances there are and shall be, by role, and what was decided."""

from __future__ import annotations

from deploy.dashboards.panels import Query, Row, lines
from deploy.dashboards.promql import aggregate, rate

_SCALING = "supernode_scaling"


def scaling_row() -> Row:
    """All instances of the cluster; where nobody scales the plan stands."""
    return Row(
        "Scaling",
        (
            lines(
                "Instances by role",
                "Instances that have NPUs, and how many there shall be: as an autoscaler or an operator has decided, "
                "else those of the plan.",
                "none",
                Query(aggregate("sum", f"{_SCALING}_instances", "role"), "{{role}}"),
                Query(aggregate("sum", f"{_SCALING}_wanted_instances", "role"), "{{role}}, wanted"),
                width=12,
            ),
            lines(
                "Instances by state",
                "Instances that serve, that start and load the model, that drain and stop, and that are lost.",
                "none",
                Query(aggregate("sum", f"{_SCALING}_instances", "role, state"), "{{role}} {{state}}"),
                width=12,
            ),
            lines(
                "Changes of instances",
                "Since the cluster came up: instances that were told to start and to stop, by whom; switches are "
                "decisions by which NPUs go to another role.",
                "none",
                Query(aggregate("sum", f"{_SCALING}_changes_total", "role, kind"), "{{role}} {{kind}}"),
                width=12,
            ),
            lines(
                "NPUs that instances have",
                "NPUs of each role over the window: those that an instance has, whether it works or waits.",
                "none",
                Query(rate(f"{_SCALING}_npu_seconds_total", "role"), "{{role}}"),
                stacked=True,
                width=12,
            ),
        ),
    )
