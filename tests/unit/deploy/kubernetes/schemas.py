"""Is a resource one that Kubernetes takes? By the schemas of Kubernetes itself and, for those that operators define, by
closed ones of our own that hold the fields which we use, as their documentation has them:

- `RayCluster` (ray.io/v1): KubeRay 1.5.1, https://ray-project.github.io/kuberay/reference/api/
- `ServiceMonitor`, `PrometheusRule` (monitoring.coreos.com/v1): https://prometheus-operator.dev/docs/api-reference/api/
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

VERSIONS = ("1.30", "1.37")
"""Of Kubernetes: an old one, and the newest that is known here."""

# No types are shipped with them.
_CORE: Any = import_module("kubernetes_validate")
_JSON_SCHEMA: Any = import_module("jsonschema")

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"}
COUNT: Schema = {"type": "integer", "minimum": 0}
DURATION: Schema = {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}


def _closed(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
    }


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of, "minItems": 1}


def _resource(api_version: str, kind: str, spec: Schema) -> Schema:
    metadata = _closed({"name": NAME}, {"namespace": NAME, "labels": TEXTS})
    return _closed({"apiVersion": {"const": api_version}, "kind": {"const": kind}, "metadata": metadata, "spec": spec})


POD_TEMPLATE: Schema = {"type": "object"}  # held by the schema of Kubernetes

_HEAD = _closed({"rayStartParams": TEXTS, "template": POD_TEMPLATE})
_WORKERS = _closed(
    {"groupName": NAME, "rayStartParams": TEXTS, "template": POD_TEMPLATE},
    {"replicas": COUNT, "minReplicas": COUNT, "maxReplicas": COUNT},
)
_SECRET_KEY = _closed({"name": NAME, "key": TEXT})
_ENDPOINT = _closed(
    {"port": TEXT},
    {
        "path": TEXT,
        "interval": DURATION,
        "scrapeTimeout": DURATION,
        "honorLabels": {"type": "boolean"},
        "authorization": _closed({"credentials": _SECRET_KEY}, {"type": TEXT}),
    },
)
_RULE = _closed({"expr": TEXT}, {"alert": TEXT, "record": TEXT, "for": DURATION, "labels": TEXTS, "annotations": TEXTS})

OF_OPERATORS: dict[str, Schema] = {
    "RayCluster": _resource(
        "ray.io/v1",
        "RayCluster",
        _closed(
            {"headGroupSpec": _HEAD},
            {
                "rayVersion": TEXT,
                "authOptions": _closed({"mode": {"enum": ["disabled", "token"]}}),
                "workerGroupSpecs": _list(_WORKERS),
            },
        ),
    ),
    "ServiceMonitor": _resource(
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        _closed({"selector": _closed({"matchLabels": TEXTS}), "endpoints": _list(_ENDPOINT)}),
    ),
    "PrometheusRule": _resource(
        "monitoring.coreos.com/v1",
        "PrometheusRule",
        _closed({"groups": _list(_closed({"name": TEXT, "rules": _list(_RULE)}))}),
    ),
}


def pod_templates(resource: dict[str, Any]) -> list[dict[str, Any]]:
    """Of the pods that come of a resource."""
    spec = resource.get("spec", {})
    if resource["kind"] == "RayCluster":
        return [spec["headGroupSpec"]["template"], *(group["template"] for group in spec["workerGroupSpecs"])]
    return [spec["template"]] if "template" in spec else []


def refusal(resource: dict[str, Any], version: str) -> str:
    """Where and why a resource is not taken, in one line; empty if it is."""
    schema = OF_OPERATORS.get(resource["kind"])
    try:
        if schema is None:
            _CORE.validate(resource, version, strict=True)
            return ""
        _JSON_SCHEMA.Draft202012Validator(schema).validate(resource)
        for template in pod_templates(resource):
            _CORE.validate({"apiVersion": "v1", "kind": "PodTemplate", "template": template}, version, strict=True)
    except _JSON_SCHEMA.ValidationError as error:
        return f"{resource['kind']} {'.'.join(map(str, error.absolute_path))}: {error.message}"
    return ""
