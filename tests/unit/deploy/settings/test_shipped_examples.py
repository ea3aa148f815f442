"""A shipped example is found by its name from anywhere; what the user has goes before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.cli import main
from deploy.settings.shipped_examples import examples_folder, find_input
from scheduler.protocol.errors import InputError

ROOT = Path(__file__).parents[4]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_checkout_finds_its_own_and_a_package_what_it_carries(tmp_path: Path) -> None:
    assert examples_folder() == ROOT / "examples"
    package = tmp_path / "site-packages" / "deploy"
    package.mkdir(parents=True)
    (package.parent / "examples").mkdir()
    assert examples_folder(package) is None, "that of another package"
    (package / "examples").mkdir()
    assert examples_folder(package) == package / "examples"


@pytest.mark.usefixtures("elsewhere")
def test_names_lead_to_examples_and_a_line_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("demo.jsonl", "examples/demo.jsonl", "./demo.jsonl"):
        assert find_input(name) == str(ROOT / "examples" / "demo.jsonl")
        err = capsys.readouterr().err
        assert err.startswith(f"{name}: no such file here")
        assert err.count("\n") == 1


def test_what_is_there_is_taken_without_a_word(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (elsewhere / "demo.jsonl").touch()
    assert find_input("demo.jsonl") == "demo.jsonl"
    (elsewhere / "examples").mkdir()
    (elsewhere / "examples" / "demo.jsonl").symlink_to("nowhere")
    assert find_input("examples/demo.jsonl") == "examples/demo.jsonl"
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("path", ["demos.jsonl", "examples/demo.json", "data/demo.jsonl", "DEMO/demo.jsonl.gz"])
def test_a_near_name_is_offered(path: str) -> None:
    with pytest.raises(InputError, match=r"did you mean examples/demo\.jsonl"):
        find_input(path)


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("path", ["", "mooncake.jsonl", "other/demon/x.csv", "nul\0"])
def test_all_else_is_left_to_who_opens_it(path: str) -> None:
    assert find_input(path) == path


def test_the_demo_runs_from_anywhere(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "examples/demo.jsonl", "--limit", "5"]) == 0
    assert capsys.readouterr().out.startswith("demo.jsonl: ")
    assert main(["trace", "describe", "demo.jsonl", "--json"]) == 0
    assert main(["trace", "convert", "demo.jsonl", "out.csv", "--limit", "5"]) == 0
    assert main(["trace", "generate", "--workload", "demo.yaml", "--num-requests", "5", "--out", "new.jsonl"]) == 0
    lengths = ["--lengths-from", "demo.jsonl", "--process", "poisson", "--rate-per-s", "1", "--num-requests", "5"]
    assert main(["trace", "generate", *lengths, "--out", "b.jsonl"]) == 0
    assert (elsewhere / "out.csv").is_file()
    assert main(["replay", "demo.jsonl", "--journal", str(ROOT / "examples" / "demo.jsonl")]) == 2
