"""`supernode model`: answers have the promised names and add up, pages show them, and nonsense is one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import main
from sim_hw.models.published import MODELS
from tests.unit.sim_hw.configs import QWEN3_MOE_JSON
from tests.unit.sim_hw.known import SUPERNODES

Captured = pytest.CaptureFixture[str]
Run = Callable[..., str]
Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def run(capsys: Captured) -> Run:
    """Runs `supernode model ...`, which must succeed; answers stdout."""

    def call(*arguments: str) -> str:
        assert main(["model", *arguments]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return out

    return call


@pytest.fixture
def ask(run: Run) -> Ask:
    """As `run`, with --json."""
    return lambda *arguments: json.loads(run(*arguments, "--json"))


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "deepseek-r1",
            ["671.0 B", "36.6 B", "70,272 B", "71,424 B", "latent"],
        ),
        ("qwen3-235b-a22b", ["235.1 B", "21.6 B", "grouped-query", "40,960"]),
        ("llama-3.1-70b", ["70.6 B", "69.5 B", "327,680 B"]),
    ],
)
def test_show_prints_what_follows_from_the_shape(run: Run, name: str, lines: list[str]) -> None:
    page = run("show", name)
    assert all(line in page for line in lines)


def test_show_reads_a_file(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(QWEN3_MOE_JSON))
    document = ask("show", str(path))
    assert document["derived"] == ask("show", "qwen3-235b-a22b")["derived"]
    assert document["shape"]["experts"] == {
        "routed": 128,
        "routed_per_token": 8,
        "shared": 0,
        "intermediate": 1536,
    }


def test_list_names_all_that_is_built_in_with_its_sizes(run: Run, ask: Ask) -> None:
    models = ask("list")["models"]
    assert [one["name"] for one in models] == [shape.name for shape in MODELS]
    page = run("list")
    for one in models:
        derived = ask("show", one["name"])["derived"]
        for name in ("total_parameters", "active_parameters", "kv_bytes_per_token"):
            assert one[name] == derived[name]
        (line,) = (line for line in page.splitlines() if line.split()[0:1] == [one["name"]])
        assert f"{one['kv_bytes_per_token']:,} B" in line
        assert f"{one['name']}: {one['source']}" in page


def test_what_was_assumed_of_a_model_is_said(capsys: Captured, tmp_path: Path) -> None:
    path = tmp_path / "new.json"
    path.write_text(json.dumps({**QWEN3_MOE_JSON, "architectures": ["NewForCausalLM"], "sliding_window": 4096}))
    assert main(["model", "show", str(path)]) == 0
    page = capsys.readouterr().out
    assert "NewForCausalLM is not known by name" in page
    assert main(["model", "decode", "--model", str(path), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["tpot_s"] > 0
    assert [line.split(": ")[0] for line in err.splitlines()] == ["new", "new"]
    assert "sliding_window of 4,096 tokens is not modelled" in err


@pytest.mark.parametrize("cluster", [one.name for one in SUPERNODES])
def test_decode_answers_under_the_promised_names(ask: Ask, cluster: str) -> None:
    answer = ask("decode", "--cluster", cluster, "--batch", "32")
    assert sum(answer["exposed_s"].values()) == pytest.approx(answer["iteration_s"])
    assert answer["iteration_s"] == pytest.approx(1.7 * answer["tpot_s"])
    assert answer["tokens_per_s_per_npu"] == pytest.approx(32 / answer["tpot_s"])
    assert answer["joules_per_token"] == pytest.approx(answer["watts_per_npu"] / answer["tokens_per_s_per_npu"])
    assert answer["layer_s"] < answer["iteration_s"]
    assert set(answer["exposed_s"]) <= set(answer["operators_s"])
    assert sum(answer["memory_bytes_per_die"].values()) > 0
    assert answer["error_bar"] >= 0
    assert answer["point"]["batch"] == 32


@pytest.mark.parametrize("cluster", [one.name for one in SUPERNODES])
def test_prefill_answers_under_the_promised_names(ask: Ask, cluster: str) -> None:
    answer = ask("prefill", "--cluster", cluster, "--reuse", "0.5", "--cache-plane", "vpc")
    assert sum(answer["exposed_s"].values()) == pytest.approx(answer["pass_s"])
    assert answer["tokens_per_s_per_npu"] == pytest.approx(16_384 / answer["pass_s"])
    assert answer["ttft_s"] >= answer["pass_s"]
    assert answer["joules_per_token"] > 0
    assert answer["point"]["cache_plane"] == "vpc"


@pytest.mark.parametrize("cluster", [one.name for one in SUPERNODES])
def test_aggregated_answers_under_the_promised_names(ask: Ask, cluster: str) -> None:
    answer = ask("aggregated", "--cluster", cluster, "--prompt", "2048", "--output", "512", "--reuse", "0.25")
    point, num_npus = answer["point"], answer["point"]["npus"]
    assert (point["prompt"], point["output"], point["token_budget"], point["context"]) == (2048, 512, 512, 2304)
    assert sum(answer["exposed_s"].values()) == pytest.approx(answer["iteration_s"])
    assert answer["decode_step_s"] < answer["iteration_s"] <= answer["mixed_step_s"]
    assert answer["tokens_per_s_per_npu"] * num_npus == pytest.approx(512 * answer["requests_per_s"])
    assert answer["prompt_tokens_per_s_per_npu"] == pytest.approx(4 * answer["tokens_per_s_per_npu"])
    assert answer["joules_per_token"] == pytest.approx(answer["watts_per_npu"] / answer["tokens_per_s_per_npu"])
    assert answer["interval_90"]["tpot_s"][0] < answer["tpot_s"] < answer["interval_90"]["tpot_s"][1]
    assert set(answer["exposed_s"]) <= set(answer["operators_s"])


def test_an_aggregated_instance_is_asked_for_its_largest_batch(run: Run, ask: Ask) -> None:
    found = ask("aggregated", "--tpot-slo", "50ms")
    assert found["tpot_s"] <= 0.050
    more = ask("aggregated", "--batch", str(found["point"]["batch"] + 2))
    assert more["tpot_s"] > 0.050
    page = run("aggregated", "--tpot-slo", "50ms")
    for line in ("steps with a chunk", "step with a full budget", "prompt tokens of a chunk", "Memory per die"):
        assert line in page


@pytest.mark.parametrize("name", ["dispatch", "combine"])
def test_op_answers_under_the_promised_names(ask: Ask, name: str) -> None:
    answer = ask("op", name, "--ep", "32", "--batch", "128")
    assert set(answer) == {"point", "latency_s", "bytes_per_s", "error_bar", "interval_90"}
    assert 1e-4 < answer["latency_s"] < 2e-4
    assert ask("op", name)["point"]["ep"] == 320


def test_a_limit_finds_the_largest_batch_within_it(ask: Ask) -> None:
    found = ask("decode", "--tpot-slo", "30ms")
    assert found["tpot_s"] <= 0.030
    more = ask("decode", "--batch", str(found["point"]["batch"] + 2))
    assert more["tpot_s"] > 0.030


@pytest.mark.parametrize("stage", ["prefill", "decode", "aggregated"])
@pytest.mark.parametrize("model", ["qwen3-235b-a22b", "llama-3.1-70b"])
def test_other_models_answer_on_defaults(ask: Ask, stage: str, model: str) -> None:
    assert ask(stage, "--model", model)["tokens_per_s_per_npu"] > 0


def test_equal_questions_give_equal_bytes(run: Run) -> None:
    assert run("decode", "--json") == run("decode", "--json")


def test_two_sides_have_a_memory_map_each(run: Run, ask: Ask) -> None:
    page, answer = run("decode", "--afd", "128:32"), ask("decode", "--afd", "128:32")
    assert answer["point"]["attention_npus"] == 4 * answer["point"]["ffn_npus"] == 128
    for line in ("Memory per die of attention", "Memory per die of experts", "a layer waits for"):
        assert line in page


def test_shared_layers_are_named_in_the_answer(ask: Ask) -> None:
    shared = ask("prefill", "--cluster", "h20-cluster", "--tp", "8", "--batch-tokens", "2048")
    assert (shared["point"]["tp"], shared["point"]["ep"]) == (8, 16)
    assert "tp" not in ask("prefill")["point"]
    assert shared["operators_s"]["attention_gather"] > 0


def test_the_page_lists_operators_by_their_time(run: Run, ask: Ask) -> None:
    page, answer = run("decode"), ask("decode")
    names = [line[2:20].strip() for line in page.split("Time by operator")[1].split("\n\n")[0].splitlines()[1:-1]]
    busy_s = {name.replace("_", " "): seconds for name, seconds in answer["operators_s"].items() if seconds > 0}
    assert names == sorted(busy_s, key=lambda name: -busy_s[name])
    assert "100.0 %" in page
    assert f"{answer['tokens_per_s_per_npu']:,.0f} tok/s" in page
    assert "latency" in run("op", "dispatch")
    assert "TTFT" in run("prefill")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["decode", "--npus", "0"], "an instance has at least 1 NPU"),
        (["decode", "--ep", "-3"], "expert parallelism over -3 ranks"),
        (["decode", "--batch", "2000"], "lower --batch to"),
        (["decode", "--context", "200000"], "200000 tokens are beyond the 163840 positions of deepseek-r1"),
        (["decode", "--ep", "100", "--slots-per-rank", "1"], "cannot hold 256 routed and 1 shared experts"),
        (
            ["decode", "--afd", "8:8", "--tpot-slo", "50ms"],
            "--afd 8:8 and --tpot-slo 50ms: a batch is not searched for",
        ),
        (["decode", "--afd", "200:200"], "cloudmatrix384 has 384: lower --afd"),
        (["decode", "--tp", "3"], "3 ranks cannot share the 128 heads of deepseek-r1 evenly: change --tp to 2"),
        (["prefill", "--pp", "0"], "--pp 0 shares nothing: give 1 or more"),
        (["decode", "--batch", "8", "--tpot-slo", "50ms"], "--batch 8 and --tpot-slo 50ms: the limit finds the batch"),
        (["aggregated", "--batch", "8", "--tpot-slo", "50ms"], "--batch 8 and --tpot-slo 50ms: the limit finds"),
        (["aggregated", "--batch", "96"], "lower --batch to 58 or raise --token-budget to 846"),
        (["aggregated", "--output", "1"], "raise --output, or ask model prefill"),
        (["aggregated", "--npus", "2"], "even with a batch of 1: raise --npus to"),
        (["aggregated", "--token-budget", "0"], "token budget per NPU is at least 1, not 0: raise"),
        (["decode", "--tpot-slo", "1ms"], "even at a batch of 1, 1.0 ms asked for"),
        (["decode", "--cluster", "h800"], "unknown cluster 'h800'; did you mean h800-cluster?"),
        (["decode", "--model", "r1"], "unknown model 'r1'"),
        (["prefill", "--reuse", "1.5"], "reuse 1.5 is no share of a prompt"),
        (["prefill", "--cache-plane", "rdma"], "--cache-plane: unknown value 'rdma'; known: ub, vpc"),
        (["op", "reduce"], "operator: unknown value 'reduce'; known: dispatch, combine"),
        (["op", "dispatch", "--ep", "1000"], "not 1000: change --ep"),
        (["show", "gpt"], "unknown model 'gpt'"),
        (["decode", "--batch", "many"], "'--batch': Input should be a valid integer"),
    ],
)
def test_nonsense_is_one_line(capsys: Captured, arguments: list[str], problem: str) -> None:
    assert main(["model", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert problem in err


def test_rows_by_drafts_are_the_points_themselves_and_tell_where_more_do_not_pay(ask: Ask, run: Run) -> None:
    rows = ask("decode", "--compare-drafts", "3")["by_drafts"]
    assert [row["drafts"] for row in rows] == [0, 1, 2, 3]
    for row in rows:
        alone = ask("decode", "--mtp", str(row["drafts"]))
        assert all(row[name] == alone[name] for name in ("iteration_s", "tpot_s", "tokens_per_s_per_npu"))
        assert row["tpot_s"] == pytest.approx(row["iteration_s"] / row["tokens_per_step"])
    (marked,) = [
        line for line in run("decode", "--compare-drafts", "3").splitlines() if line.endswith("more do not pay")
    ]
    assert marked.split()[0] == "1"
    assert "more do not pay" not in run("decode", "--compare-drafts", "2", "--batch", "8")


def test_rows_by_drafts_within_a_limit_have_each_their_batch(ask: Ask) -> None:
    rows = ask("decode", "--compare-drafts", "2", "--tpot-slo", "30ms")["by_drafts"]
    assert all(row["tpot_s"] <= 0.030 for row in rows)
    assert len({row["batch"] for row in rows}) > 1


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--compare-drafts", "0"], "--compare-drafts 0: give the most drafts to compare, 1 to 16"),
        (
            ["--compare-drafts", "3", "--mtp", "2"],
            "--compare-drafts 3 and --mtp 2: the latter is of one number of drafts; leave one out",
        ),
        (
            ["--compare-drafts", "3", "--accept-length", "2"],
            "--compare-drafts 3 and --accept-length 2.0: the latter is of one number",
        ),
        (["--compare-drafts", "2", "--model", "qwen3-32b"], "qwen3-32b has 0 MTP modules: --mtp 0 switches them off"),
    ],
)
def test_drafts_that_cannot_be_compared(capsys: Captured, options: list[str], line: str) -> None:
    assert main(["model", "decode", *options]) == 2
    err = capsys.readouterr().err
    assert line in err
    assert err.count("\n") == 1
