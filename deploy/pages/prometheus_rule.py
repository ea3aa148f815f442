"""`python -m deploy.pages.prometheus_rule` writes the rules of Prometheus as a resource of its operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

_DEPLOY: Final = Path(__file__).parents[1]
RULES_FOLDER: Final = _DEPLOY / "prometheus" / "rules"
PATH: Final = _DEPLOY / "kubernetes" / "prometheus-rule.yaml"

HEAD: Final = """\
# Written from deploy/prometheus/rules by `python -m deploy.pages.prometheus_rule`; a test holds it.

"""
WIDTH: Final = 120


def prometheus_rule() -> dict[str, Any]:
    """A PrometheusRule (monitoring.coreos.com/v1) with the groups of all files, in the order of their names."""
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(RULES_FOLDER.glob("*.yml"))]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "supernode", "labels": {"app.kubernetes.io/part-of": "supernode"}},
        "spec": {"groups": [group for file in files for group in file["groups"]]},
    }


def text() -> str:
    """The file as it is committed."""
    return HEAD + yaml.safe_dump(prometheus_rule(), sort_keys=False, allow_unicode=True, width=WIDTH)


def main() -> None:
    """Write the file and tell which."""
    PATH.write_text(text(), encoding="utf-8")
    print(PATH)


if __name__ == "__main__":
    main()
