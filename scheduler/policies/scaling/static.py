"""No scaling."""

from __future__ import annotations

from scheduler.policies.registry import scaling_policy
from scheduler.policies.scaling_view import ScalingView, Wanted


@scaling_policy("static", formula="as many as the plan has", source="what all others are compared with")
class Static:
    """The plan stands; a run with this one knows nothing of scaling."""

    def wanted(self, view: ScalingView) -> Wanted:
        """As it is."""
        return Wanted({}, "the plan stands")
