"""What `kubectl kustomize` makes of a base, for the few features that ours uses; anything else is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

KNOWN = {"apiVersion", "kind", "namespace", "resources", "configMapGenerator", "generatorOptions"}

Resource = dict[str, Any]


def render(folder: Path) -> list[Resource]:
    """The resources of the kustomization in `folder`; a `ValueError` for one that asks for more than is known here."""
    base = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    if unknown := base.keys() - KNOWN:
        raise ValueError(f"{folder}: this renderer does not know {', '.join(sorted(unknown))}")
    resources = [one for name in base.get("resources", ()) for one in _resources(folder / name)]
    resources += [_config_map(folder, one, base["generatorOptions"]) for one in base.get("configMapGenerator", ())]
    if "namespace" in base:
        for resource in resources:
            if resource["kind"] == "Namespace":
                resource["metadata"]["name"] = base["namespace"]
            else:
                resource["metadata"]["namespace"] = base["namespace"]
    return resources


def _resources(path: Path) -> list[Resource]:
    return render(path) if path.is_dir() else read_all(path.read_text(encoding="utf-8"))


def read_all(text: str) -> list[Resource]:
    """Of YAML in which aliases are spelt out: no two places are one object."""
    return [_copied(one) for one in yaml.safe_load_all(text) if one]


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(its) for key, its in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return [_copied(one) for one in value] if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType]


def _config_map(folder: Path, generator: dict[str, Any], options: dict[str, Any]) -> Resource:
    if generator.keys() != {"name", "files"} or options.keys() != {"disableNameSuffixHash", "labels"}:
        raise ValueError(f"{folder}: this renderer knows ConfigMaps of files, labelled, without a hash in the name")
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": generator["name"], "labels": dict(options["labels"])},
        "data": {Path(name).name: (folder / name).read_text(encoding="utf-8") for name in generator["files"]},
    }
