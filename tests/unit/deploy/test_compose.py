"""What can be held of the container files without a container engine: paths, ports, and commands that our CLI takes."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.cli import COMMANDS, _load
from deploy.cluster.ports import GRAFANA_PORT, METRICS_PORT, PROMETHEUS_PORT
from tests.unit.deploy.dockerfile import image_command, image_health_check

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "deploy" / "compose.yaml"
WITH_COMMANDS = (COMPOSE, ROOT / "docs" / "monitoring.md")

COMMAND = re.compile(rf"\bsupernode ((?:{'|'.join(COMMANDS)})\b[^#`\n]*)")


def _services() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]


def _commands() -> list[str]:
    texts = [path.read_text(encoding="utf-8") for path in WITH_COMMANDS]
    texts.append(" ".join(image_command()))
    return [found.strip() for text in texts for found in COMMAND.findall(text)]


@pytest.mark.parametrize("command", _commands())
def test_every_command_line_is_taken_by_the_cli(command: str) -> None:
    name, *arguments = shlex.split(command)
    _load(name, COMMANDS[name]).make_context(f"supernode {name}", arguments)


def test_commands_are_found_at_all() -> None:
    assert {command.split()[0] for command in _commands()} >= {"up", "replay", "status", "down"}


def test_ports_are_ours_and_open_on_this_machine_only() -> None:
    services = _services()
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert sorted(published) == sorted(f"127.0.0.1:{port}:{port}" for port in (PROMETHEUS_PORT, GRAFANA_PORT))
    checks = {name: str(one.get("healthcheck", "")) for name, one in services.items()}
    # An image may bring its own.
    checks["supernode"] += " ".join(image_health_check())
    asked = {name: re.findall(r"127\.0\.0\.1:(\d+)", check) for name, check in checks.items()}
    assert asked == {
        "supernode": [str(METRICS_PORT)],
        "prometheus": [str(PROMETHEUS_PORT)],
        "grafana": [str(GRAFANA_PORT)],
    }


def test_loopback_stays_loopback() -> None:
    services = _services()
    assert all(services[name]["network_mode"] == "service:supernode" for name in ("prometheus", "grafana"))


def test_every_mounted_path_exists_and_is_read_only() -> None:
    mounts = [mount for service in _services().values() for mount in service.get("volumes", ())]
    from_here = [mount.split(":") for mount in mounts if mount.startswith(".")]
    assert len(from_here) == 3
    for source, _, mode in from_here:
        assert (COMPOSE.parent / source).exists(), source
        assert mode == "ro"


def test_grafana_finds_dashboards_where_they_are_mounted() -> None:
    grafana = _services()["grafana"]
    places = {mount.split(":")[0]: mount.split(":")[1] for mount in grafana["volumes"]}
    provider = yaml.safe_load(
        (ROOT / "deploy/grafana/provisioning/dashboards/supernode.yaml").read_text(encoding="utf-8")
    )
    assert provider["providers"][0]["options"]["path"] == places["./grafana/dashboards"]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.parent == Path(places["./grafana/dashboards"])
    assert (ROOT / "deploy/grafana/dashboards" / home.name).exists()


def test_every_image_has_a_tag_and_every_service_is_closed() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    services = _services()
    assert services["supernode"]["image"] == f"supernode:{version}"
    for service in services.values():
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"])
        assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])


def test_the_client_of_docker_reads_the_file() -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        pytest.skip("needs the program docker with its plugin compose; no engine")
    check = subprocess.run(
        ["docker", "compose", "-f", COMPOSE, "config", "-q"], capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stderr
