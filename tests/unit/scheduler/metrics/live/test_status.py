"""What `supernode status` says of a snapshot."""

from __future__ import annotations

import json

from scheduler.metrics.live.status import status
from tests.unit.scheduler.metrics.lived import DECODE, PREFILL, layout_of, made_up_snapshot


def test_status_is_plain_and_sums_up() -> None:
    seen = status(made_up_snapshot(layout_of(PREFILL, DECODE)))
    assert json.loads(json.dumps(seen)) == seen
    stand = {"cluster": "some-cluster", "chip": ""}
    assert seen["instances"] == [
        {"name": "prefill-0", "role": "prefill", "num_npus": 16, **stand, "first_npu": 0, "planned": True,
         "phase": "starting", "up": True, "utilization": 1.0, "watts": 1000.25, "kv_usage": None},
        {"name": "decode-0", "role": "decode", "num_npus": 160, **stand, "first_npu": 16, "planned": True,
         "phase": "draining", "up": False, "utilization": 0.5, "watts": 2000.5, "kv_usage": 1 / 4},
    ]  # fmt: skip
    assert seen["scaling"]["wanted"] == {"prefill": 1, "decode": 2}
    assert seen["scaling"]["instances"]["prefill"] == {"serving": 0, "starting": 1, "draining": 0, "lost": 0}
    assert seen["scaling"]["changes"]["decode"].keys() == {"start", "stop", "switch"}
    assert seen["scaling"]["decisions"] == [
        {"at_s": 5.0, "policy": "sla", "reason": "too few", "wanted": {"prefill": 2}, "actions": {"started": ["p"]}}
    ]
    assert seen["watts"] == 3000.75
    assert seen["stages"]["hand_over"] == {"running": 4, "waiting": 6}
    assert seen["requests"]["ended"]["stop"] == 14
    assert "pending" not in seen["requests"]["ended"]
    assert seen["restarts"] == {"network": 7, "prefill-0": 14, "decode-0": 21}
