"""Parts of the fabric broken and mended by hand while a replay runs, and by a file: all is seen, nothing is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.live.standing import ROOT, SMALL, Standing

pytestmark = pytest.mark.live

DEMO = str(ROOT / "examples" / "demo.jsonl")
LIMIT = 300
SOON_S = 60.0
SCRAPE_S = 5.0
"""How often Prometheus looks, and so how long a fault may stay unseen."""


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """A cluster that is up for all tests of this file; leaf/0 has both prefill instances below it."""
    cluster = Standing(tmp_path_factory.mktemp("standing") / "run")
    cluster.run("up", "--detach", *SMALL)
    yield cluster
    cluster.run("down")


def gauge(cluster: Standing, family: str, label: str, value: str) -> float:
    """One sample of the endpoint."""
    with urlopen(f"http://{cluster.state().metrics_address}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    (found,) = (
        sample.value
        for one in text_string_to_metric_families(text)
        for sample in one.samples
        if sample.name == family and sample.labels[label] == value
    )
    return found


def until(is_true: Callable[[], bool], within_s: float = SOON_S) -> None:
    deadline_s = time.monotonic() + within_s
    while not is_true():
        assert time.monotonic() < deadline_s
        time.sleep(0.2)


def test_what_breaks_is_seen_at_the_next_scrape_and_loses_no_request(standing: Standing) -> None:
    replay = standing.start("replay", DEMO, "--live", "--speed", "2", "--limit", str(LIMIT), "--json")
    until(lambda: standing.status()["progress"].get("num_requests", 0) >= LIMIT // 8)
    for part, kind, words in (
        ("l2/03/7", "l2", "1 of 112 L2 switches"),
        ("npu/20/nic", "nic", "1 of 384 NICs"),
        ("leaf/0", "leaf", "1 of 12 leaf switches"),
    ):
        assert words in standing.run("fail", part)
        until(lambda kind=kind: gauge(standing, "supernode_fabric_failed_parts", "kind", kind) == 1, SCRAPE_S)
    assert standing.status()["fabric"]["failed_parts"] == ["l2/3/7", "leaf/0", "npu/20/nic"]
    assert "broken: l2/3/7, leaf/0, npu/20/nic; lost: UB 0.89%, RDMA 8.33%" in standing.run("status")
    whole, lost = (
        gauge(standing, f"supernode_fabric_{name}_bytes_per_second", "plane", "rdma") for name in ("capacity", "lost")
    )
    assert lost == pytest.approx(whole * 32 / 384)
    assert standing.run("repair", "leaf/0").startswith("broken: 1 of 112 L2 switches, 1 of 384 NICs; lost: UB 0.89 %")
    assert standing.run("repair", "--all") == "no part of the fabric is broken\n"
    until(lambda: gauge(standing, "supernode_fabric_failed_parts", "kind", "leaf") == 0, SCRAPE_S)
    out, err = replay.communicate(timeout=3 * SOON_S)
    assert replay.returncode == 0, err
    result = json.loads(out)
    assert result["requests"]["finished"] == LIMIT, result["requests"]
    assert result["fabric"]["rdma"]["availability"] < 1


def test_what_is_broken_between_replays_is_broken_in_the_next(standing: Standing) -> None:
    standing.run("fail", "ub/2")
    standing.run("replay", DEMO, "--live", "--speed", "20", "--limit", "20")
    until(lambda: standing.status()["fabric"]["failed_parts"] == ["ub/2"], SCRAPE_S)
    standing.run("repair", "--all")


def test_a_part_that_is_not_there_is_one_line(standing: Standing) -> None:
    assert "cloudmatrix384 has no part 'l2/9/7'; did you mean l2/" in standing.fail("fail", "l2/9/7", code=2)
    assert standing.status()["phase"] == "idle"


def test_a_file_of_faults_is_followed_live(standing: Standing, tmp_path: Path) -> None:
    faults = tmp_path / "faults.yaml"
    faults.write_text("schedule:\n  - {at: 1s, part: leaf/0, for: 2s}\n  - {at: 900s, part: l2/0/0}\n")
    run = ("replay", DEMO, "--live", "--speed", "4", "--limit", "40", "--faults", str(faults), "--json")
    result = json.loads(standing.run(*run))
    assert result["requests"]["finished"] == 40
    lost = 2 * 32 / 384 / result["simulated_s"]
    assert result["fabric"]["rdma"]["availability"] == pytest.approx(1 - lost, rel=0.02)
    assert result["fabric"]["ub"]["availability"] == 1
    assert result["simulated_s"] < 60
