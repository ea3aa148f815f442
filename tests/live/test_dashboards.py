"""Every panel and choice of every dashboard is answered by a real Prometheus that scrapes our exporter; no Ray here."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median

import pytest

from deploy.dashboards.files import UIDS, load_dashboard
from deploy.dashboards.page import FIGURES, dashboards_page
from deploy.dashboards.prometheus_api import Prometheus, Window
from deploy.dashboards.queries import fill, panel_queries, panels
from scheduler.protocol.errors import ClusterError
from tests.dashboard_check import Answer, check_dashboard
from tests.live.moving_cluster import (
    CACHED_TOKENS,
    DECODE,
    DECODE_WATTS,
    FLOW_BYTES,
    INPUT_SHARE,
    INSTANCES,
    OTHER_WATTS,
    OUTPUT_TOKENS,
    PREDICTED_OVER_ACTUAL,
    PREFILL,
    PREFILL_WATTS,
    PROMPT_TOKENS,
    PUE,
    QUEUE_S,
    REQUESTS_PER_S,
    SLO_MET_SHARE,
    SPEED,
    USD_PER_J,
    USD_PER_S,
    moving_exporter,
)
from tests.live.others_names import unanswered
from tests.live.quick_prometheus import SCRAPE_INTERVAL_S, quick_prometheus

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs the program prometheus")

WATCH_S = 7.0
"""More than the four scrapes of which a rate is made: the last three values are of whole windows."""

ROLES = 2

NPU_WATTS = DECODE.num_npus * DECODE_WATTS + sum(one.num_npus * PREFILL_WATTS for one in PREFILL)
METER_WATTS = PUE * (NPU_WATTS + sum(OTHER_WATTS.values()))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Window]]:
    """A Prometheus that has scraped a moving cluster for some seconds, and the window of those."""
    folder = tmp_path_factory.mktemp("prometheus")
    with moving_exporter() as address, quick_prometheus(folder, address) as url:
        started_s = time.time()
        time.sleep(WATCH_S)
        yield url, Window(started_s, started_s + WATCH_S, SCRAPE_INTERVAL_S)


def _answers(watched: tuple[str, Window], uid: str) -> list[Answer]:
    url, window = watched
    return check_dashboard(load_dashboard(uid), url, window, SCRAPE_INTERVAL_S)


@pytest.mark.parametrize("uid", UIDS)
def test_every_panel_and_choice_is_answered_with_numbers(watched: tuple[str, Window], uid: str) -> None:
    answers = _answers(watched, uid)
    dashboard = load_dashboard(uid)
    num_queries = sum(len(panel_queries(panel)) for panel in panels(dashboard))
    assert (
        len(answers) == num_queries + len(dashboard["templating"]["list"]) - 1
    )  # the choice of data source asks nothing
    faults = [answer.fault for answer in answers if answer.fault]
    assert not faults, "\n" + "\n".join(faults)


def test_dashboards_made_for_others_are_answered(watched: tuple[str, Window]) -> None:
    assert not unanswered(*watched, SCRAPE_INTERVAL_S)


def test_recorded_figures_are_there(watched: tuple[str, Window]) -> None:
    """The rules that are shipped are loaded, also from a configuration that lies elsewhere."""
    url, window = watched
    (speed,) = Prometheus(url).over_time("supernode:speed:rate1m", window)
    assert speed.values[-1] > 0  # a minute has not passed


def test_choices_and_nodes_come_out_as_the_cluster_has_them(watched: tuple[str, Window]) -> None:
    by_place = {answer.place: answer.num_series for answer in _answers(watched, "supernode")}
    assert by_place["variable instance"] == len(INSTANCES)
    assert by_place["variable role"] == ROLES
    assert next(count for place, count in by_place.items() if "Power of the nodes" in place) == 48


@pytest.mark.parametrize(
    ("panel", "letter", "expected", "tolerance"),
    [
        # The cluster runs at 5 times real speed; none of these figures may be 5 times too high.
        ("serving: Requests", "A", REQUESTS_PER_S, 0.25),
        ("serving: Tokens", "A", PROMPT_TOKENS * REQUESTS_PER_S, 0.25),
        ("serving: Tokens", "C", OUTPUT_TOKENS * REQUESTS_PER_S, 0.25),
        ("serving: SLO attainment", "A", SLO_MET_SHARE, 0.02),
        ("serving: Goodput and throughput", "B", SLO_MET_SHARE * REQUESTS_PER_S, 0.25),
        ("serving: Queue", "D", mean(QUEUE_S), 0.1),
        (": Cache hit rate", "A", CACHED_TOKENS / PROMPT_TOKENS, 1e-6),
        ("scheduler: Decisions for decode", "A", REQUESTS_PER_S, 0.25),
        ("scheduler: Prefill, decode and cache", "B", 48, 0),
        ("scheduler: Predicted over actual", "A", mean(PREDICTED_OVER_ACTUAL), 0.02),
        ("scheduler: Speed", "B", SPEED, 0.25),
        ("fabric: Bytes moved", "A", max(FLOW_BYTES.values()) * REQUESTS_PER_S, 0.25),
        ("energy: Energy per output token", "A", METER_WATTS / (OUTPUT_TOKENS * REQUESTS_PER_S), 0.25),
        ("energy: Energy per output token", "B", NPU_WATTS / (OUTPUT_TOKENS * REQUESTS_PER_S), 0.25),
        ("energy: Power by part", "A", NPU_WATTS, 0.25),
        ("energy: What NPUs draw it for", "A", 0.75 * DECODE.num_npus * DECODE_WATTS, 0.25),
        ("energy: Power at the feeds and its cap", "A", METER_WATTS / PUE, 0.25),
        ("energy: Dollars per hour", "A", 3600 * USD_PER_S, 0.25),
        (
            "energy: Dollars per million tokens",
            "A",
            1e6 * INPUT_SHARE * (USD_PER_S + USD_PER_J * METER_WATTS) / (PROMPT_TOKENS * REQUESTS_PER_S),
            0.25,
        ),
    ],
)
def test_figures_are_per_emulated_second(
    watched: tuple[str, Window], panel: str, letter: str, expected: float, tolerance: float
) -> None:
    """Loose where traffic swings and scrapes come late: what is looked for is a factor of the speed."""
    url, window = watched
    board, _, title = panel.partition(": ")
    dashboard = load_dashboard(f"supernode-{board}" if board else "supernode")
    wanted = next(one for one in panels(dashboard) if one["title"] == title)
    query = next(query for query in panel_queries(wanted) if query.place.endswith(f" {letter}"))
    found = Prometheus(url).over_time(fill(query.expression, window, SCRAPE_INTERVAL_S), window)
    assert max(median(series.values[-3:]) for series in found) == pytest.approx(expected, rel=tolerance)


def test_a_query_that_is_refused_or_finds_nothing_is_told_with_its_place(watched: tuple[str, Window]) -> None:
    url, window = watched
    dashboard = load_dashboard("supernode")
    first, second, third, *_ = (panel for panel in dashboard["panels"] if panel.get("targets"))
    first["targets"][0]["expr"] = "sum by ("
    second["targets"][0]["expr"] = "supernode_no_such_family"
    third["targets"][0]["expr"] = "supernode_run_active * NaN"
    dashboard["templating"]["list"][1]["definition"] = "label_values(supernode_run_active, role)"
    faults = [fault for one in check_dashboard(dashboard, url, window, SCRAPE_INTERVAL_S) if (fault := one.fault)]
    assert len(faults) == 4
    assert "variable role: no data" in faults[0]
    assert f"panel {first['id']} " in faults[1]
    assert "parse error" in faults[1]
    assert f"panel {second['id']} ({second['title']}) A: no data" in faults[2]
    assert "only NaN" in faults[3]
    assert "parse error" in dashboards_page([dashboard], url, window.start_s, window.end_s, SCRAPE_INTERVAL_S)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the program chromium")
def test_a_browser_draws_every_plot_of_the_page(watched: tuple[str, Window], tmp_path: Path) -> None:
    url, window = watched
    dashboards = [load_dashboard(uid) for uid in UIDS]
    page = tmp_path / "page.html"
    text = dashboards_page(dashboards, url, window.start_s, window.end_s, SCRAPE_INTERVAL_S)
    page.write_text(text, encoding="utf-8")
    assert "No data" not in text
    browser = ["chromium", "--headless", "--no-sandbox", f"--user-data-dir={tmp_path}/profile"]
    shown = subprocess.run(
        [*browser, "--virtual-time-budget=8000", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    all_panels = [panel for one in dashboards for panel in panels(one)]
    num_plots = sum(
        panel["type"] in FIGURES or panel.get("options", {}).get("graphMode") == "area" for panel in all_panels
    )
    assert shown.count('class="plot js-plotly-plot"') == num_plots


def test_nobody_at_the_address_is_one_line() -> None:
    with pytest.raises(
        ClusterError, match=r"no Prometheus answers at http://127\.0\.0\.1:1 .*supernode up --prometheus"
    ):
        check_dashboard(load_dashboard("supernode"), "http://127.0.0.1:1", Window(0.0, 60.0, 5.0), 5.0)
