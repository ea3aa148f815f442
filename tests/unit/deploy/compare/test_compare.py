"""Variants differ in what was asked for, and the page and the document tell of each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.cli import main
from deploy.compare.variants import variants_of
from scheduler.protocol.errors import ConfigError

DEMO = str(Path(__file__).parents[4] / "examples" / "demo.jsonl")


def test_every_cluster_with_every_policy() -> None:
    variants = variants_of(["cloudmatrix384", "gb200-nvl72"], ["round_robin", "least_loaded"], None, {})
    assert [one.name for one in variants] == [
        "cloudmatrix384 round_robin",
        "cloudmatrix384 least_loaded",
        "gb200-nvl72 round_robin",
        "gb200-nvl72 least_loaded",
    ]
    assert (
        variants[3].settings.hardware.plan != variants[0].settings.hardware.plan
    )  # each cluster in its own default plan
    with pytest.raises(ConfigError, match="policy round_robin is given twice; leave one out"):
        variants_of([], ["round_robin", "round_robin"], None, {})


def test_runs_stand_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--trace", DEMO, "--limit", "100", "--slo", "ttft=2s", "--jobs", "1"]
    assert main(["compare", "--policy", "round_robin,least_loaded", *options]) == 0
    page = capsys.readouterr().out
    assert "2 runs of 100 requests, deepseek-r1, SLO ttft=2s" in page
    for title in ("Runs ", "Served ", "Used "):
        rows = page.split(f"\n{title}")[1].splitlines()[1:3]
        assert [row.split()[0] for row in rows] == ["round_robin", "least_loaded"]
    assert max(map(len, page.splitlines())) <= 120
    assert main(["compare", "--policy", "round_robin", *options, "--goodput", "--json"]) == 0
    (variant,) = json.loads(capsys.readouterr().out)["variants"]
    curve = variant["goodput"]["curve"]
    assert [point["rate_scale"] for point in curve] == sorted(point["rate_scale"] for point in curve)
    assert variant["goodput"]["requests_per_s_per_npu"] == pytest.approx(
        variant["goodput"]["requests_per_s"] / variant["num_npus"], rel=1e-4
    )
    assert main(["compare", *options, "--fail-if", "requests.finished<1000"]) == 2  # a path of one run


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--policy", "rond_robin"], "--policy: unknown value 'rond_robin'; did you mean round_robin?"),
        (["--goodput"], "--goodput needs limits to attain: give --slo"),
        (["--attainment", "1.5"], "--attainment is 1.5; give a share above 0, at most 1"),
        (["--jobs", "0"], "--jobs is 0; give a number of runs, at least 1"),
        (["no-such-cluster"], "--cluster: unknown cluster"),
    ],
)
def test_bad_usage_is_one_line(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--trace", DEMO, *arguments]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1


def test_plans_are_compared_like_clusters_and_policies() -> None:
    variants = variants_of([], ["random", "mooncake"], None, {}, ["2x16p+1x32d+4c", "1x32p+1x32d+4c"])
    assert [one.name for one in variants] == [
        "2x16p+1x32d+4c random",
        "2x16p+1x32d+4c mooncake",
        "1x32p+1x32d+4c random",
        "1x32p+1x32d+4c mooncake",
    ]
    assert [one.settings.hardware.plan.text for one in variants[1:3]] == ["2x16p+1x32d+4c", "1x32p+1x32d+4c"]
    (one,) = variants_of([], [], None, {}, ["1x32p+1x32d+4c"])
    assert one.settings.hardware.plan.text == "1x32p+1x32d+4c"
    with pytest.raises(ConfigError, match="plan 1x32p is given twice"):
        variants_of([], [], None, {}, ["1x32p", "1x32p"])


def test_no_rate_is_searched_for_clients_that_wait(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["compare", "--trace", DEMO, "--policy", "round_robin,least_loaded", "--slo", "ttft=2s"]
    assert main([*options, "--concurrency", "4", "--goodput"]) == 2
    assert "--goodput searches a rate, and clients that wait keep none" in capsys.readouterr().err


def test_clients_have_a_block_where_they_wait(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["compare", "--trace", DEMO, "--limit", "50", "--policy", "round_robin,least_loaded"]
    assert main([*options, "--concurrency", "4"]) == 0
    clients, _, rest = capsys.readouterr().out.partition("\nClients ")[2].partition("\n\n")
    head, *rows = clients.splitlines()
    assert head.split() == ["in", "flight", "peak", "req/s", "E2E", "mean"]
    assert [row.split()[2] for row in rows] == ["4", "4"]
    assert rest.startswith("Used ")
    assert main(options) == 0
    assert "\nClients " not in capsys.readouterr().out
