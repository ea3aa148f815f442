"""All checks are made, whatever one of them meets."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from deploy.cluster.runtime_folder import RuntimeFolder
from deploy.doctor.examine import all_checks, examine
from deploy.doctor.findings import Finding

ROOT = Path(__file__).parents[4]


def test_every_check_answers_under_its_name_and_in_time(tmp_path: Path) -> None:
    checks = all_checks(RuntimeFolder(tmp_path / "run"))
    began_s = time.monotonic()
    findings = examine(checks)
    assert time.monotonic() - began_s < 1
    assert [finding.name for finding in findings] == list(checks)
    assert not [finding for finding in findings if "could not be looked at" in finding.found]
    assert all(line.isprintable() for finding in findings for line in (finding.found, finding.mend))


def test_a_check_that_fails_is_told_and_stops_no_other() -> None:
    def broken() -> Finding:
        raise ValueError("odd\nmachine")

    first, second = examine({"One": broken, "Two": lambda: Finding("Two", "ok", "well")})
    assert (first.name, first.verdict) == ("One", "warn")
    assert "ValueError: odd machine" in first.found
    assert second.verdict == "ok"


def test_neither_ray_nor_what_imports_it_is_loaded() -> None:
    program = (
        "import sys; from deploy.cli import main; main(['doctor', '--json'])\n"
        "sys.exit(' '.join({'ray', 'deploy.cluster.local.local_cluster'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stderr == "\n"
    assert len(json.loads(done.stdout)["checks"]) > 10
