"""`supernode replay`: equal runs give equal bytes, a journal replays, and bad input is one line before the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import main
from deploy.run.replay import LiveCost, empty_document
from deploy.settings.settings import Settings
from tests.unit.scheduler.sources.trace_rows import mooncake_line, write_lines

Captured = pytest.CaptureFixture[str]
Run = Callable[..., tuple[int, str, str]]

DEMO = str(Path(__file__).parents[4] / "examples" / "demo.jsonl")


@pytest.fixture
def run(capsys: Captured) -> Run:
    """Runs `supernode replay ...`; answers exit code, stdout and stderr."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        code = main(["replay", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with one file of each kind that does not belong where it is named."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text("")
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    (tmp_path / "folder").mkdir()
    (tmp_path / "trace.jsonl").write_bytes(Path(DEMO).read_bytes())
    (tmp_path / "none.yaml").write_text("cache: none\ncache_plane: vpc\n")
    (tmp_path / "big.yaml").write_text("kv_reserve_share: 0.9\n")
    return tmp_path


def test_equal_runs_give_equal_bytes_apart_from_wall_time(run: Run) -> None:
    documents: list[dict[str, Any]] = []
    for _ in range(2):
        code, out, err = run(DEMO, "--limit", "300", "--json")
        assert (code, err) == (0, "")
        documents.append(json.loads(out))
        assert documents[-1].pop("wall_s") > 0
    assert json.dumps(documents[0]) == json.dumps(documents[1])
    assert documents[0]["requests"] == {"arrived": 300, "finished": 300, "rejected": 0, "failed": 0, "retried": 0}
    assert documents[0]["partial"] is False
    assert "live" not in documents[0]


def test_a_journal_replays_to_the_same_commands(run: Run, folder: Path, capsys: Captured) -> None:
    assert run(DEMO, "--limit", "300", "--journal", "journal", "--policy", "least_loaded", "--seed", "3")[0] == 0
    assert main(["journal", "check", "journal", "--json"]) == 0
    checked = json.loads(capsys.readouterr().out)
    assert (checked["sound"], checked["seed"]) == (True, 3)
    assert main(["journal", "replay", "journal", "--json"]) == 0
    replayed = json.loads(capsys.readouterr().out)
    assert (replayed["same"], replayed["first_difference"]) == (True, "")
    assert (folder / "journal").stat().st_size > 0


def test_out_holds_what_stdout_says(run: Run, folder: Path) -> None:
    code, out, _ = run(DEMO, "--limit", "20", "--json", "--out", "new/run")
    assert code == 0
    assert (folder / "new/run/summary.json").read_text() == out
    assert (folder / "new/run/requests.csv").read_text().count("\n") == 21
    assert run(DEMO, "--limit", "5", "--out", "new/run")[0] == 0
    assert (folder / "new/run/requests.csv").read_text().count("\n") == 6


def test_bounds_decide_the_exit_code(run: Run) -> None:
    met = run(DEMO, "--limit", "20", "--json", "--fail-if", "requests.finished<20", "--fail-if", "ttft_s.p99>1e6")
    assert (met[0], met[2]) == (0, "")
    code, out, err = run(DEMO, "--limit", "20", "--json", "--fail-if", "requests.finished>19")
    assert (code, err) == (1, "bound broken: fail-if requests.finished>19\n")
    assert json.loads(out)["requests"]["finished"] == 20


def test_the_paths_of_bounds_are_known_before_the_run(run: Run) -> None:
    _, out, _ = run(DEMO, "--limit", "5", "--json", "--slo", "ttft=2s")
    foreseen = empty_document(Settings.from_plain({"slo": "ttft=2s"}), live=False)
    assert _paths(foreseen) == _paths(json.loads(out))
    live = empty_document(Settings.from_plain({}), live=True)["live"]
    assert live == LiveCost().to_json()
    assert _paths(live) == ["speed", "startup_s", "hop_wall_s.p50", "hop_wall_s.p99", "hop_share_of_ttft"]


def _paths(document: dict[str, Any], prefix: str = "") -> list[str]:
    return [
        path
        for key, value in document.items()
        for path in (_paths(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"])
    ]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("--speed 2", "--speed is for --live; the virtual clock always runs as fast as it can"),
        *((f"--live --speed {speed}", "give a number from 0.001 to 1000") for speed in ("0", "-1", "nan", "inf")),
        ("--live --policy nope", "--policy: unknown value 'nope'"),
        ("--live --slo nonsense", "--slo 'nonsense': unknown limit"),
        ("--live --journal no/j", "--journal no/j: No such file or directory; give a file that can be written"),
        ("--live --fail-if live.hop<1", "no such path; near: live.speed"),
        ("--fail-if live.speed<1", "no such path"),
        ("--via http", "--via http asks a cluster that runs in real time: add --live, or leave it out"),
        ("--live --via grpc", "--via: unknown way 'grpc'; known: http"),
        ("--live --via http --speed 2", "--speed 2: clients over HTTP live in real time, at speed 1"),
        ("--live --via http --faults f.yaml", "--faults is not in the hands of a client"),
        ("--live --via http --journal j", "--journal is not in the hands of a client"),
        ("--live --via http --fail-if live.speed<1", "no such path"),
        ("--live --via http --fail-if queue_s.p50>1", "queue_s is null"),
        ("--fail-if nonsense", "fail-if 'nonsense' is no comparison"),
        ("--fail-if ttft_s.p99<=3", "'=3' is no number"),
        ("--fail-if ttft_s.p99<nan", "is no comparison"),
        ("--fail-if ttft_s<1", "names a group; take one of ttft_s.mean"),
        ("--fail-if ttft.p99<1", "no such path; near: ttft_s.p99"),
        ("--fail-if slo.attainment<1", "slo is null, it was not asked for"),
        ("--fail-if config_digest<1", "is no number; take a path that names one"),
        ("--plan 1x16p+1x160d", "has no cache servers for --cache pool; add 48c or use --cache none"),
        ("--plan 100x16p+1x160d", "takes 1600 NPUs, the cluster has 384"),
        ("--plan 0x16p+1x160d", "has no NPUs"),
        ("--plan foo", "cannot read the term 'foo'"),
        ("--plan 2x1p+1x160d+1c", "leave no room for KV in 64 GB; take more NPUs"),
        ("--plan 2x16p+1x1d+1c", "leave no room for KV in 64 GB; take more NPUs"),
        ("--config big.yaml", "leave no room for KV"),
        ("--cache none --cache-plane vpc", "nothing flows on it with cache none"),
        ("--cache-plane vpc --config none.yaml", "nothing flows on it with cache none"),
        ("--cache all", "--cache: unknown value 'all'; known: pool, local, none"),
        ("--cache-plane bus", "--cache-plane: unknown value 'bus'; known: ub, vpc"),
        ("--policy roundrobin", "did you mean round_robin?"),
        ("--cluster cloudmatrix", "did you mean cloudmatrix384?"),
        ("--model deepseek", "--model: unknown model 'deepseek'; did you mean deepseek-v3?"),
        ("--slo nonsense", "give limits such as ttft=2s,tpot=50ms"),
        ("--slo ttft=2", "ttft cannot be '2'"),
        ("--slo ttft=-1s", "it must be above 0"),
        ("--slo ttft=1s,ttft=2s", "ttft is given twice"),
        ("--limit 0", "limit is 0; give the number of rows to read, at least 1"),
        ("--limit many", "invalid value for '--limit'"),
        ("--limit " + "9" * 5000, "invalid value for '--limit'"),
        ("--superpose 0", "superpose is 0; give a number of copies from 1 to 10000"),
        ("--superpose 10001", "superpose is 10001"),
        *((f"--rate-scale {scale}", "give a factor from 1e-06 to 1e+06") for scale in ("0", "-1", "nan", "inf")),
        ("--seed -1", "--seed: -1 is out of range"),
        ("--seed 99999999999999999999999", "is out of range"),
        ("--format azur", "did you mean azure?"),
        ("--format azure", "TIMESTAMP: is not in the header"),
        ("--config no.yaml", "no.yaml: no such file; give the path of a configuration"),
        ("--config folder", "folder: is a directory"),
        ("--config binary", "binary: not UTF-8 text"),
        ("--config empty", "empty: no settings in it"),
        ("--config ''", "'': no such file"),
        ("--out empty", "--out empty: is no folder; give a folder that can be written"),
        ("--out empty/x", "--out empty/x: Not a directory"),
        ("--out ''", "--out is empty"),
        ("--journal folder", "--journal folder: Is a directory"),
        ("--journal ''", "--journal is empty"),
        ("--journal trace.jsonl", "would overwrite what is read; name another file"),
        ("--journal none.yaml --config none.yaml", "would overwrite what is read"),
        ("--concurrency 0", "--concurrency: '0' is no number of clients; give one from 1 to 1,000,000"),
        ("--concurrency 5,a=3", "'5' names no class; give a number, or CLASS=N,CLASS=N"),
        ("--concurrency a=3", "--concurrency a=N: no client asks for requests without a class; add default=N"),
        ("--concurrency default=1,a=3", "--concurrency a=N: the trace has requests of default only; leave a out"),
        ("--think-time 2s", "--think-time is of clients that wait: add --concurrency N, or leave it out"),
        ("--ramp 2s", "--ramp is of clients that wait: add --concurrency N, or leave it out"),
        ("--concurrency 5 --think-time -2s", "--think-time: '-2s' is out of range; give a time from 0s"),
        ("--concurrency 5 --think-time 2", "--think-time: cannot read '2', which has no unit"),
        ("--concurrency 5 --ramp 2", "--ramp: cannot read '2', which has no unit; write a time such as 30s"),
        ("--warmup -1", "--warmup: '-1' is no warm-up; give a number of requests, or a time such as 60s"),
        ("--lim 3", "no such option: --lim"),
        ("more", "got unexpected extra argument"),
    ],
)
def test_bad_usage_is_one_line_and_nothing_runs(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, problem: str
) -> None:
    monkeypatch.setattr("deploy.run.replay.VirtualRuntime", _never)
    before = sorted(path.name for path in folder.rglob("*"))
    code, out, err = run("trace.jsonl", *(word.replace("''", "") for word in arguments.split(" ")))
    assert (code, out) == (2, "")
    assert err.startswith("supernode: ")
    assert err.count("\n") == 1
    assert problem in err
    assert sorted(path.name for path in folder.rglob("*")) == before


def _never(*_: object) -> None:
    raise AssertionError("the run began")


def test_a_setting_of_a_file_may_wait_for_its_use(run: Run, folder: Path) -> None:
    assert (folder / "none.yaml").exists()
    assert run(DEMO, "--limit", "5", "--config", "none.yaml")[0] == 0


@pytest.mark.parametrize(
    ("trace", "problem"),
    [
        ("", "the path of the trace is empty"),
        ("no.jsonl", "no.jsonl: no such file; give the path of a trace"),
        ("folder", "folder: no chunk-N-trace.csv in it"),
        ("empty", "empty: the file is empty; give a trace with at least one request"),
        ("binary", "binary:1: the line holds NUL bytes; give a text file"),
        ("none.yaml", "none.yaml:1: arrivals is missing"),
    ],
)
def test_what_is_no_trace_is_one_line(run: Run, folder: Path, trace: str, problem: str) -> None:
    code, out, err = run(trace)
    assert (code, out) == (2, "")
    assert err.startswith("supernode: ")
    assert err.count("\n") == 1
    assert problem in err
    assert folder.exists()


def test_an_error_late_in_the_trace_leaves_no_result(run: Run, folder: Path) -> None:
    rows = [mooncake_line(time, 600, 2) for time in range(5000)]
    path = write_lines(folder / "t.jsonl", *rows, "{broken", mooncake_line(5000, 600, 2))
    code, out, err = run(path, "--json", "--out", "run", "--journal", "journal")
    assert (code, out) == (2, "")
    assert err.startswith(f"supernode: {path}:5001: not JSON")
    assert err.count("\n") == 1
    assert not list((folder / "run").iterdir())
    code, out, err = run(path, "--json", "--skip-bad")
    assert code == 0
    assert json.loads(out)["requests"]["finished"] == 5001
    assert err.splitlines()[0] == "left out 1 bad rows:"


def test_a_result_that_cannot_be_kept_is_still_shown(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "run/summary.json")

    monkeypatch.setattr("deploy.run.replay.write_result", full)
    code, out, err = run(DEMO, "--limit", "5", "--json", "--out", "run")
    assert (code, err) == (2, "supernode: run/summary.json: No space left on device\n")
    assert json.loads(out)["requests"]["arrived"] == 5
    assert folder.exists()


def test_clients_that_wait_give_equal_bytes_and_a_journal_that_replays_without_them(
    run: Run, folder: Path, capsys: Captured
) -> None:
    arguments = ("trace.jsonl", "--limit", "120", "--concurrency", "7", "--think-time", "exponential:500ms")
    documents: list[dict[str, Any]] = []
    for _ in range(2):
        code, out, err = run(*arguments, "--ramp", "2s", "--journal", "j", "--out", "run", "--json")
        assert (code, err) == (0, "")
        documents.append(json.loads(out))
        assert documents[-1].pop("wall_s") > 0
    assert documents[0] == documents[1]
    assert documents[0]["requests"]["finished"] == 120
    assert documents[0]["clients"]["in_flight_peak"] == 7
    assert main(["journal", "replay", "j", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["same"] is True
    assert (folder / "run" / "requests.csv").exists()
    other = json.loads(run(*arguments, "--seed", "1", "--json")[1])
    assert other["simulated_s"] != documents[0]["simulated_s"]


def test_clients_that_a_workload_names_are_played_unless_flags_name_others(run: Run, folder: Path) -> None:
    workload = """
num_requests: 60
arrivals: {rate_per_s: 1}
prompt_tokens: {mean: 500, cv: 1}
output_tokens: {mean: 20, cv: 1}
classes: {chat: 0.8, batch: 0.2}
clients:
  chat: {count: 5, think_s: 1}
  batch: {count: 2}
"""
    (folder / "clients.yaml").write_text(workload, encoding="utf-8")
    code, out, _ = run("clients.yaml", "--json", "--fail-if", "clients.in_flight_peak>7")
    assert code == 0
    assert json.loads(out)["clients"]["concurrency"] == 7
    assert json.loads(run("clients.yaml", "--json", "--concurrency", "3")[1])["clients"]["in_flight_peak"] == 3
    code, _, err = run("trace.jsonl", "--fail-if", "clients.in_flight_peak>7")
    assert code == 2
    assert "fail-if clients.in_flight_peak>7: no such path" in err
