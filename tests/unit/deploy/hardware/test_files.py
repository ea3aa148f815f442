"""Hardware and models from files: what is wrong in one is one line with file, line, field and fix."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from deploy.hardware.lookup import load_cluster, load_hardware, load_model
from scheduler.protocol.errors import InputError
from sim_hw.chips.sheet import find_chip
from sim_hw.clusters.sheet import find_supernode
from sim_hw.description import describe
from sim_hw.models.published import DEEPSEEK_V3
from tests.unit.sim_hw.configs import DEEPSEEK_V3_JSON, MINDFORMERS_DEEPSEEK

EXAMPLE = Path(__file__).parents[4] / "examples" / "h20-cluster.yaml"


def refusal(load: Callable[[str], object], path: Path | str) -> str:
    """The one line with which a name or file is refused."""
    with pytest.raises(InputError) as caught:
        load(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def cluster_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes h100-cluster as YAML, with some of its fields changed."""

    def write(**change: Any) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({**describe(find_supernode("h100-cluster")), **change}, sort_keys=False))
        return path

    return write


def test_a_file_of_a_built_in_cluster_is_that_cluster(cluster_file: Callable[..., Path]) -> None:
    assert load_cluster(str(cluster_file())) == find_supernode("h100-cluster")
    assert load_hardware(str(cluster_file(chip="h200"))) == replace(
        find_supernode("h100-cluster"), chip=find_chip("h200")
    )


def test_the_example_is_a_cluster_of_a_known_chip() -> None:
    cluster = load_cluster(str(EXAMPLE))
    assert (cluster.chip, cluster.num_npus) == (find_chip("h20"), 128)
    assert (cluster.price_usd.value, cluster.provisioned_w.value) == (2.5e6, 150e3)


def test_figures_of_a_cluster_may_have_units(cluster_file: Callable[..., Path]) -> None:
    chip = describe(find_chip("h100"))
    chip |= {"tdp_w": "0.7kW", "num_dies": "1", "price_usd": "25k"}
    chip["die"] |= {"hbm_bytes": "80GB", "hbm_bytes_per_s": "3.35TB/s", "peak": {"bf16": "989TFLOP/s"}}
    cluster = load_cluster(str(cluster_file(chip=chip, price_usd="8.2M", provisioned_w="600KW")))
    die = cluster.chip.die
    assert (cluster.chip.tdp_w.value, cluster.price_usd.value, cluster.provisioned_w.value) == (700, 8.2e6, 600e3)
    assert (die.hbm_bytes.value, die.hbm_bytes_per_s.value, die.peak.bf16.value) == (80e9, 3.35e12, 989e12)
    problem = "provisioned_w is '600kw'; write kW, in that case of letters"
    assert problem in refusal(load_cluster, cluster_file(provisioned_w="600kw"))
    assert "is 1.6 B/s; give a number from 1e+08 B/s" in refusal(
        load_cluster, cluster_file(chip={**chip, "die": {**chip["die"], "hbm_bytes_per_s": 1.6}})
    )


def test_a_file_with_a_die_is_a_chip(tmp_path: Path) -> None:
    path = tmp_path / "chip.yml"
    path.write_text(yaml.safe_dump(describe(find_chip("gb300"))))
    assert load_hardware(str(path)) == find_chip("gb300")


@pytest.mark.parametrize("name", ["config.json", "v3.json"])
def test_a_config_json_is_named_after_its_folder_or_itself(tmp_path: Path, name: str) -> None:
    path = tmp_path / "DeepSeek-V3" / name
    path.parent.mkdir()
    path.write_text(json.dumps(DEEPSEEK_V3_JSON, indent="\t"))
    shape = load_model(str(path))
    assert shape == replace(DEEPSEEK_V3, name=shape.name, source=shape.source)
    assert shape.name == ("DeepSeek-V3" if name == "config.json" else "v3")


def test_a_mindformers_file_may_refer_to_its_own_values(tmp_path: Path) -> None:
    text = yaml.safe_dump(MINDFORMERS_DEEPSEEK).replace("num_layers: 61", "num_layers: &layers 61")
    path = tmp_path / "v3.yaml"
    path.write_text(f"{text}parallel:\n  stages: *layers\n")
    assert load_model(str(path)).layers == 61


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("num_layers: 61", "num_layers: 0", "num_layers is 0; give an integer from 1 to 10,000"),
        ("expert_num: 256", "expert_num: 4", "num_experts_chosen is 8, but there are 4 routed experts"),
        ("type: DeepseekV3Config", "type: GLM", "model.model_config.type is 'GLM', which is not supported"),
    ],
)
def test_a_field_of_mindformers_has_its_line(tmp_path: Path, old: str, new: str, problem: str) -> None:
    text = yaml.safe_dump(MINDFORMERS_DEEPSEEK)
    assert old in text
    path = tmp_path / "v3.yaml"
    path.write_text(text.replace(old, new))
    message = refusal(load_model, path)
    place, line, rest = message.split(":", 2)
    assert (place, rest.strip()[: len(problem)]) == (str(path), problem)
    assert problem.split()[0].split(".")[-1] in path.read_text().splitlines()[int(line) - 1]


@pytest.mark.parametrize(
    ("change", "key", "problem"),
    [
        ({"num_nodes": 0}, "num_nodes", "num_nodes is 0; give a number above 0"),
        ({"chip": "h10"}, "chip", "chip names an unknown chip 'h10'; did you mean h100?"),
        ({"chip": {"name": "x"}}, "name", "chip.title is missing; give it"),
        ({"colour": 1}, "colour", "colour is not known here; known: name, title, chip"),
        ({"price_usd": {"value": 1, "unit": "EUR"}}, "unit", "price_usd.unit is 'EUR'; give USD"),
    ],
)
def test_a_field_of_a_cluster_has_its_line(
    cluster_file: Callable[..., Path], change: dict[str, Any], key: str, problem: str
) -> None:
    path = cluster_file(**change)
    message = refusal(load_cluster, path)
    assert problem in message
    line = int(message.removeprefix(f"{path}:").split(":")[0])
    assert path.read_text().splitlines()[line - 1].strip().startswith(f"{key}:")


def test_a_default_plan_is_held_against_the_cluster(cluster_file: Callable[..., Path]) -> None:
    defaults = {**describe(find_supernode("h100-cluster").defaults), "plan": "50x32p+1x8d"}
    message = refusal(load_cluster, cluster_file(defaults=defaults))
    assert "defaults.plan '50x32p+1x8d': takes 1600 NPUs, the cluster has 384" in message


@pytest.mark.parametrize(
    ("load", "name", "problem"),
    [
        (load_cluster, "cloudmatrix", "did you mean cloudmatrix384?"),
        (load_cluster, "h100", "did you mean h100-cluster? known: "),
        (load_hardware, "tpu", "unknown hardware 'tpu'; known: "),
        (load_model, "deepseek", "qwen3-235b-a22b, qwen3-32b; or a Hugging Face"),
        (load_model, "none/config.json", "none/config.json: no such file; give the path of a Hugging Face config.json"),
        (load_model, "none.yaml", "none.yaml: no such file; give the path of a mindformers configuration"),
        (load_hardware, "none.yaml", "none.yaml: no such file; give the path of a supernode or chip"),
    ],
)
def test_a_name_that_leads_nowhere_is_one_line(load: Callable[[str], object], name: str, problem: str) -> None:
    assert problem in refusal(load, name)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", ":1: not JSON (Expecting value); fix the syntax"),
        (b'{\n"a": 1,\n}', "not JSON ("),
        (b"[1]", ": no JSON object; give a Hugging Face config.json"),
        (b"\xff\xfe\xff", ": not JSON in UTF-8"),
        (b"[" * 100_000, ": not JSON in UTF-8"),
        (b" " * (2**20 + 1), ": longer than 1 MiB"),
        (b"{}", ": architectures is missing; give one of DeepseekV3ForCausalLM"),
    ],
)
def test_what_is_no_config_json_is_one_line(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    message = refusal(load_model, path)
    assert message.startswith(str(path))
    assert problem in message
