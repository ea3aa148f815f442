"""Traffic of others stays on the NPUs on which it is: whoever starts there meets it, and nobody before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deploy.run.replay import ReplayJob, replay_virtual
from deploy.settings.load import load_settings
from scheduler.metrics.records import Records
from scheduler.sources.traces.options import TraceOptions

DEMO = str(Path(__file__).parents[3] / "examples" / "demo.jsonl")

GROWING = """
from scheduler.policies.scaling_view import Wanted

class Growing:
    def wanted(self, view):
        return Wanted({"prefill": 5}, "one more")
"""

# Between the first spare NPUs, where the first instance that is started stands.
FLOW = "{plane: ub, from: node/12, to: node/13, bytes_per_s: 1.0e+14, for_s: 100000}"
NEIGHBOURS = f"flows:\n  one: {FLOW}\n  two: {FLOW}\n  three: {FLOW}\n"


def prefill_s(folder: Path, background: str) -> dict[int, float]:
    """The mean time from the first pass of a prompt to its first token, by prefill instance."""
    scaler = folder / "growing.py"
    scaler.write_text(GROWING)
    told = {"plan": "4x16p+1x32d+48c", "policy": "round_robin", "background": background}
    scaling = {"autoscaler": f"{scaler}:Growing", "autoscaler_interval_s": 10, "autoscaler_start_s": 1}
    job = ReplayJob(DEMO, TraceOptions(1500, 1, 1.0, 0, False, None), load_settings(None, {**told, **scaling}))
    records: Records = replay_virtual(job).records
    by = records.prefill_instance
    return {int(index): float(records.prefill_s[by == index].mean()) for index in np.unique(by)}


def test_whoever_starts_beside_a_neighbour_meets_its_traffic_and_nobody_else_does(tmp_path: Path) -> None:
    flows = tmp_path / "background.yaml"
    flows.write_text(NEIGHBOURS)
    without, beside = prefill_s(tmp_path, ""), prefill_s(tmp_path, str(flows))
    (started,) = without.keys() - range(4)
    assert beside[started] > 1.05 * without[started]
    assert [beside[index] for index in range(4)] == pytest.approx([without[index] for index in range(4)], rel=0.01)
