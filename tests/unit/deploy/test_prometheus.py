"""The configuration of Prometheus is valid and agrees with the ports and intervals that others rely on.

`alerts_test.yml` says when each alert fires and what each recorded figure comes to; promtool holds the rules to it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.cluster.ports import METRICS_PORT, PROMETHEUS_PORT
from deploy.cluster.prometheus_server import CONFIG_PATH, RULES_PATH, config_path
from deploy.dashboards.prometheus_api import SCRAPE_INTERVAL_S
from scheduler.metrics.family import HistogramFamily
from scheduler.metrics.subject import own_families

RULE_TESTS = Path(__file__).parent / "alerts_test.yml"
NEEDS_PROMTOOL = pytest.mark.skipif(shutil.which("promtool") is None, reason="needs the program promtool")


def _promtool(*arguments: str | Path) -> str:
    check = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stdout + check.stderr
    return check.stdout


def _rules() -> list[dict[str, Any]]:
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(RULES_PATH.glob("*.yml"))]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


@NEEDS_PROMTOOL
def test_promtool_finds_no_fault_and_sees_all_rules() -> None:
    said = _promtool("check", "config", CONFIG_PATH)
    seen = sum(map(int, re.findall(r"(\d+) rules found", said)))
    assert seen == len(_rules()) > 0


@NEEDS_PROMTOOL
def test_the_rules_do_as_their_tests_say() -> None:
    _promtool("test", "rules", RULE_TESTS)


@NEEDS_PROMTOOL
def test_a_copy_for_other_ports_still_finds_the_rules(tmp_path: Path) -> None:
    copy = config_path(tmp_path, "127.0.0.1:19384", "127.0.0.1:19090")
    assert copy.parent == tmp_path
    assert "127.0.0.1:19384" in copy.read_text(encoding="utf-8")
    assert "rules found" in _promtool("check", "config", copy)
    assert config_path(tmp_path, f"127.0.0.1:{METRICS_PORT}", f"127.0.0.1:{PROMETHEUS_PORT}") == CONFIG_PATH


def test_every_rule_has_a_test() -> None:
    text = RULE_TESTS.read_text(encoding="utf-8")
    names = {rule.get("alert") or rule["record"] for rule in _rules()}
    asked = set(re.findall(r"alertname: (\w+)|expr: \"?(supernode:[\w:]+)", text))
    others = {"supernode:slo_missed:ratio30m", "supernode:slo_missed:ratio1h", "supernode:slo_missed:ratio6h"}
    assert names == {alert or record for alert, record in asked} | others, "others: tested by what is built on them"


def test_rules_ask_only_for_what_there_is() -> None:
    known = {rule["record"] for rule in _rules() if "record" in rule}
    for family in own_families():
        is_histogram = isinstance(family, HistogramFamily)
        known |= {f"{family.name}_{end}" for end in ("bucket", "sum", "count")} if is_histogram else {family.name}
    for rule in _rules():
        assert set(re.findall(r"\bsupernode[_:][\w:]+", rule["expr"])) <= known, rule


def test_every_alert_says_what_and_how_urgent() -> None:
    for rule in _rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("page", "ticket")
            assert rule["annotations"]["description"].endswith(".")
            assert rule["annotations"]["summary"]


def test_it_scrapes_our_ports_at_the_interval_that_rates_are_made_for() -> None:
    config = yaml.safe_load(CONFIG_PATH.read_text(encoding="utf-8"))
    assert config["global"]["scrape_interval"] == f"{SCRAPE_INTERVAL_S:.0f}s"
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    assert targets == {"supernode": [f"127.0.0.1:{METRICS_PORT}"], "prometheus": [f"127.0.0.1:{PROMETHEUS_PORT}"]}
    assert config["scrape_configs"][0]["honor_labels"] is True
