"""`supernode doctor` prints what it found, and its exit code says whether anything is bad."""

from __future__ import annotations

import json

import pytest

from deploy.cli import main
from deploy.commands import doctor as cli_doctor
from deploy.doctor.findings import Finding, Verdict


def looks(monkeypatch: pytest.MonkeyPatch, *verdicts: Verdict) -> None:
    findings = [Finding(f"Check {number}", one, "found", "mend") for number, one in enumerate(verdicts)]
    monkeypatch.setattr(cli_doctor, "examine", lambda: findings)


@pytest.mark.parametrize(("verdicts", "code"), [(("ok", "warn"), 0), (("ok", "bad", "warn"), 1)])
def test_only_what_is_bad_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verdicts: tuple[Verdict, ...], code: int
) -> None:
    looks(monkeypatch, *verdicts)
    assert main(["doctor"]) == code
    assert capsys.readouterr().out.startswith("ok    Check 0  found\n")
    assert main(["doctor", "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert [check["verdict"] for check in document["checks"]] == list(verdicts)
    assert document["counts"]["bad"] == code
    assert document["checks"][0] == {"name": "Check 0", "verdict": "ok", "found": "found", "mend": "mend"}
