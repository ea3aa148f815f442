"""What the base for Kubernetes must be beside valid: closed, enough for its plan, and of one piece with the rest."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.cli import COMMANDS, _load
from deploy.cluster.existing.spec import NODE_NPUS
from deploy.cluster.ports import HTTP_PORT
from deploy.dashboards.files import FOLDER as DASHBOARDS
from deploy.dashboards.prometheus_api import SCRAPE_INTERVAL_S
from deploy.http.spec import KEY_VARIABLE
from deploy.pages.prometheus_rule import PATH as RULE_PATH
from deploy.pages.prometheus_rule import text as rule_text
from deploy.settings.plan import parse_plan
from tests.unit.deploy.kubernetes.rendering import render
from tests.unit.deploy.kubernetes.schemas import pod_templates

ROOT = Path(__file__).parents[4]
RESOURCES = {f"{one['kind']}/{one['metadata']['name']}": one for one in render(ROOT / "deploy" / "kubernetes")}
CLUSTER = RESOURCES["RayCluster/supernode"]["spec"]
CONTROL_PLANE = RESOURCES["Deployment/supernode-control-plane"]["spec"]["template"]
PODS = [template for resource in RESOURCES.values() for template in pod_templates(resource)]
CONTAINERS = [
    (template["spec"], container)
    for template in PODS
    for container in (*template["spec"]["containers"], *template["spec"].get("initContainers", ()))
]
MAX_ANNOTATION_BYTES = 262_144
"""What `kubectl apply` may note of a resource in an annotation of it."""


def test_there_are_pods_at_all() -> None:
    assert (len(PODS), len(CONTAINERS)) == (3, 4)


@pytest.mark.parametrize(("pod", "container"), CONTAINERS)
def test_pods_are_such_as_a_restricted_namespace_takes(pod: dict[str, Any], container: dict[str, Any]) -> None:
    labels = RESOURCES["Namespace/supernode"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert {next(iter(volume.keys() - {"name"})) for volume in pod["volumes"]} == {"emptyDir"}
    assert pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize(("pod", "container"), CONTAINERS)
def test_every_container_says_what_it_needs_and_is_the_image_of_this_version(
    pod: dict[str, Any], container: dict[str, Any]
) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert container["image"] == f"supernode:{version}"
    assert all(container["resources"][kind].keys() == {"cpu", "memory"} for kind in ("requests", "limits"))
    uid = re.search(r"--uid (\d+)", (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8"))
    assert uid is not None
    assert pod["securityContext"]["runAsUser"] == int(uid[1])


@pytest.mark.parametrize("pod", [template["spec"] for template in PODS])
def test_ray_has_shared_memory(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume["emptyDir"] for volume in pod["volumes"]}
    assert volumes[mounted["/dev/shm"]]["medium"] == "Memory"
    assert "/tmp" in mounted


def test_keys_come_from_secrets_which_are_not_here() -> None:
    assert "Secret" not in {resource["kind"] for resource in RESOURCES.values()}
    (container,) = CONTROL_PLANE["spec"]["containers"]
    key = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in container["env"] if "valueFrom" in one}
    assert key[KEY_VARIABLE] == {"name": "supernode-http", "key": "key"}
    # KubeRay makes the token in a Secret of the cluster's name.
    assert CLUSTER["authOptions"] == {"mode": "token"}
    assert key["RAY_AUTH_TOKEN"] == {"name": "supernode", "key": "auth_token"}
    assert {"name": "RAY_AUTH_MODE", "value": "token"} in container["env"]


def test_the_cluster_is_large_enough_for_the_plan() -> None:
    command = _up_command()
    plan = parse_plan(command[command.index("--plan") + 1], 384, 48)
    offered = sum(
        group["replicas"] * json.loads(json.loads(group["rayStartParams"]["resources"]))["NPU"]
        for group in CLUSTER["workerGroupSpecs"]
    )
    # A bundle is an emulated node, and so is a pod.
    assert {
        json.loads(json.loads(group["rayStartParams"]["resources"]))["NPU"] for group in CLUSTER["workerGroupSpecs"]
    } == {NODE_NPUS}
    assert offered == plan.num_npus > 0


def test_the_command_joins_the_cluster_and_serves() -> None:
    program, name, *arguments = _up_command()
    assert (program, name) == ("supernode", "up")
    _load(name, COMMANDS[name]).make_context("supernode up", list(arguments))
    assert arguments[arguments.index("--address") + 1] == "auto"
    assert arguments[arguments.index("--http") + 1] == f"0.0.0.0:{HTTP_PORT}"


def _up_command() -> list[str]:
    (container,) = CONTROL_PLANE["spec"]["containers"]
    last = container["args"][-1].strip().splitlines()[-1]
    return shlex.split(last.removeprefix("exec "))


def test_who_speaks_to_whom() -> None:
    service = RESOURCES["Service/supernode"]
    labels = CONTROL_PLANE["metadata"]["labels"].items()
    (container,) = CONTROL_PLANE["spec"]["containers"]
    (port,) = container["ports"]
    assert service["spec"]["selector"].items() <= labels
    assert service["spec"]["ports"] == [{"name": "http", "port": HTTP_PORT, "targetPort": port["name"]}]
    assert port["containerPort"] == HTTP_PORT
    monitor = RESOURCES["ServiceMonitor/supernode"]["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    inner, http = (RESOURCES[f"NetworkPolicy/{name}"]["spec"] for name in ("supernode", "supernode-http"))
    assert all(
        inner["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items() for template in PODS
    )
    selects_http = http["podSelector"]["matchLabels"].items()
    assert [selects_http <= template["metadata"]["labels"].items() for template in PODS].count(True) == 1
    assert selects_http <= labels
    (ingress,) = http["ingress"]
    assert ingress["ports"] == [{"protocol": "TCP", "port": port["name"]}]


def test_it_is_scraped_as_on_one_machine() -> None:
    (endpoint,) = RESOURCES["ServiceMonitor/supernode"]["spec"]["endpoints"]
    assert (endpoint["path"], endpoint["honorLabels"]) == ("/metrics", True)
    assert endpoint["interval"] == f"{SCRAPE_INTERVAL_S:.0f}s"
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    # The operator names a job by the Service.
    assert RESOURCES["Service/supernode"]["metadata"]["name"] == config["scrape_configs"][0]["job_name"]


def test_every_dashboard_is_in_a_config_map_that_can_be_applied() -> None:
    maps = [resource for resource in RESOURCES.values() if resource["kind"] == "ConfigMap"]
    assert all(one["metadata"]["labels"] == {"grafana_dashboard": "1"} for one in maps)
    assert {name for one in maps for name in one["data"]} == {path.name for path in DASHBOARDS.glob("*.json")}
    assert max(len(json.dumps(one)) for one in maps) < MAX_ANNOTATION_BYTES


def test_the_rules_are_those_of_prometheus() -> None:
    assert RULE_PATH.read_text(encoding="utf-8") == rule_text()
    assert len(RESOURCES["PrometheusRule/supernode"]["spec"]["groups"]) > 5


def test_ray_is_the_locked_one() -> None:
    assert f"ray=={CLUSTER['rayVersion']}" in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
