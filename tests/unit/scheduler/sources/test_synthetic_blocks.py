"""Ids of generated prompts stand for as many tokens as was asked for: by the file, by the run, or 512."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from deploy.cli import main
from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_trace
from tests.unit.scheduler.sources.trace_rows import requests_of

SHORT_SYSTEM_PROMPT = """\
num_requests: 200
arrivals: {rate_per_s: 4}
prompt_tokens: {values: [447]}
output_tokens: {values: [20]}
sessions: {mean_turns: 1, max_turns: 1, system_groups: 4, system_tokens: 384}
"""


@pytest.fixture
def workload(tmp_path: Path) -> Path:
    path = tmp_path / "short.yaml"
    path.write_text(SHORT_SYSTEM_PROMPT)
    return path


@pytest.mark.parametrize("cache", ["pool", "local"])
def test_a_run_shares_what_its_own_blocks_can(
    workload: Path, cache: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """384 of 831 tokens are shared by all but the first of each of 4 groups, and so found if the cache is one."""
    (tmp_path / "run.yaml").write_text(f"cache_block_tokens: 128\ncache: {cache}\nplan: 1x16p+1x160d+48c\n")
    command = ["replay", str(workload), "--json"]
    assert main([*command, "--config", str(tmp_path / "run.yaml")]) == 0
    found = json.loads(capsys.readouterr().out)["cache"]
    assert (found["hit_tokens"], found["lookup_tokens"]) == (196 * 384, 200 * 831)
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["cache"]["hit_tokens"] == 0


def test_the_file_comes_before_the_run(workload: Path) -> None:
    assert open_trace(str(workload), options=TraceOptions()).block_tokens == 512
    assert open_trace(str(workload), options=TraceOptions(block_tokens=128)).block_tokens == 128
    workload.write_text(f"{SHORT_SYSTEM_PROMPT}block_tokens: 64\n")
    assert open_trace(str(workload), options=TraceOptions(block_tokens=128)).block_tokens == 64


@pytest.mark.parametrize("block_tokens", [16, 100, 128, 512])
def test_ids_are_chains_whatever_their_size(tmp_path: Path, block_tokens: int) -> None:
    path = tmp_path / "made.yaml"
    path.write_text(
        SHORT_SYSTEM_PROMPT.replace("mean_turns: 1, max_turns: 1", "mean_turns: 4, max_turns: 8")
        + f"block_tokens: {block_tokens}\n"
    )
    parents: dict[int, int | None] = {}
    shared = set[int]()
    for request in requests_of(open_trace(str(path), options=TraceOptions()).blocks):
        assert len(request.prefix) == -(-request.prompt_tokens // block_tokens)
        for parent, block in pairwise((None, *request.prefix)):
            assert block is not None
            shared |= {block} & parents.keys()
            assert parents.setdefault(block, parent) == parent
    assert len(shared) >= 4 * (384 // block_tokens)


def test_other_requests_do_not_change_with_the_size(workload: Path) -> None:
    def rows(block_tokens: int) -> list[tuple[int, int, int]]:
        opened = open_trace(str(workload), options=TraceOptions(block_tokens=block_tokens))
        return [(one.arrived_ns, one.prompt_tokens, one.output_tokens) for one in requests_of(opened.blocks)]

    assert rows(128) == rows(512)


def test_a_written_trace_says_what_its_ids_stand_for(
    workload: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["trace", "generate", "--workload", str(workload), "--out", str(tmp_path / "made.jsonl"), "--json"]
    assert main([*command, "--block-tokens", "128"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["tokens_per_id"] == 128
    assert "read it with --tokens-per-id 128" in said.err
    rows = [json.loads(line) for line in (tmp_path / "made.jsonl").read_text().splitlines()]
    assert {len(row["hash_ids"]) for row in rows} == {-(-831 // 128)}
    assert len({tuple(row["hash_ids"][:3]) for row in rows}) == 4
    assert main(command) == 0
    said = capsys.readouterr()
    assert (json.loads(said.out)["tokens_per_id"], said.err) == (512, "")


@pytest.mark.parametrize(("size", "problem"), [("7", "block_tokens is 7; give a number from 8"), ("1.5", "an integer")])
def test_sizes_that_cannot_be_are_one_line(workload: Path, size: str, problem: str) -> None:
    workload.write_text(f"{SHORT_SYSTEM_PROMPT}block_tokens: {size}\n")
    with pytest.raises(ConfigError, match=rf"short\.yaml:6: block_tokens.*{problem.removeprefix('block_tokens ')}"):
        open_trace(str(workload), options=TraceOptions())


def test_too_many_blocks_of_system_prompts_are_refused(workload: Path) -> None:
    text = SHORT_SYSTEM_PROMPT.replace("system_groups: 4", "system_groups: 50_000")
    workload.write_text(text)
    with pytest.raises(ConfigError, match="system_groups is 50000 of 384 tokens each; keep all within 1048576 blocks"):
        open_trace(str(workload), options=TraceOptions(block_tokens=16))
    workload.write_text(f"{text}block_tokens: 16\n")
    with pytest.raises(ConfigError, match="system_groups"):
        open_trace(str(workload), options=TraceOptions())
