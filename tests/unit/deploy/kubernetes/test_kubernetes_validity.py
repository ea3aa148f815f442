"""The base for Kubernetes, rendered and validated: no cluster is here to run it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.unit.deploy.kubernetes.rendering import Resource, read_all, render
from tests.unit.deploy.kubernetes.schemas import VERSIONS, refusal

BASE = Path(__file__).parents[4] / "deploy" / "kubernetes"
RESOURCES = {f"{one['kind']}/{one['metadata']['name']}": one for one in render(BASE)}

Break = Callable[[Any], object]

BROKEN: dict[str, tuple[str, Break]] = {
    "a field of a pod, misspelt": (
        "Deployment/supernode-control-plane",
        lambda one: one["spec"]["template"]["spec"].update(terminationGracePeriod=60),
    ),
    "a field of a pod of Ray, misspelt": (
        "RayCluster/supernode",
        lambda one: one["spec"]["workerGroupSpecs"][0]["template"]["spec"].update(securitycontext={}),
    ),
    "an amount of NPUs that is no text": (
        "RayCluster/supernode",
        lambda one: one["spec"]["workerGroupSpecs"][0]["rayStartParams"].update(resources={"NPU": 8}),
    ),
    "a field that a RayCluster does not have": (
        "RayCluster/supernode",
        lambda one: one["spec"].update(headGroup={}),
    ),
    "no selector": ("ServiceMonitor/supernode", lambda one: one["spec"].pop("selector")),
    "an interval without a unit": (
        "ServiceMonitor/supernode",
        lambda one: one["spec"]["endpoints"][0].update(interval="5"),
    ),
    "a rule without an expression": (
        "PrometheusRule/supernode",
        lambda one: one["spec"]["groups"][0]["rules"][0].pop("expr"),
    ),
    "a port in quotation marks": (
        "Service/supernode",
        lambda one: one["spec"]["ports"][0].update(port="8000"),
    ),
    "a direction that no policy has": (
        "NetworkPolicy/supernode-http",
        lambda one: one["spec"].update(incoming=[]),
    ),
    "a dashboard that is no text": (
        "ConfigMap/supernode-dashboard-energy",
        lambda one: one["data"].update({"supernode-energy.json": {}}),
    ),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", RESOURCES)
def test_every_resource_is_one_that_kubernetes_takes(name: str, version: str) -> None:
    assert refusal(RESOURCES[name], version) == ""


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_resource_is_refused(what: str) -> None:
    name, spoil = BROKEN[what]
    resource = deepcopy(RESOURCES[name])
    spoil(resource)
    assert refusal(resource, VERSIONS[-1]).startswith(f"{resource['kind']} ")


def test_kubectl_renders_the_same() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("needs the program kubectl, of 1.21 or newer; no cluster")
    done = subprocess.run(["kubectl", "kustomize", str(BASE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert _by_name(read_all(done.stdout)) == _by_name(render(BASE))


def test_what_the_renderer_does_not_know_it_refuses(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: []\nnamePrefix: a-\n", encoding="utf-8")
    with pytest.raises(ValueError, match="does not know namePrefix"):
        render(tmp_path)


def _by_name(resources: list[Resource]) -> dict[tuple[str, str], Resource]:
    named = {(one["kind"], one["metadata"]["name"]): one for one in resources}
    assert len(named) == len(resources)
    return named
