"""The file of a calibration: it says the same wherever it is read, and what cannot be read is refused with a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.calibration.calibrate import calibrate
from deploy.calibration.profile import Profile, profile_of, read_profile
from deploy.cli import main
from deploy.settings.settings import Settings
from scheduler.protocol.errors import ConfigError
from sim_hw.chips.calibration import CalibratedChip
from sim_hw.chips.sheet import fit_of

Captured = pytest.CaptureFixture[str]

ROWS = """
npus: 16
overlap: none
rows:
  - {batch: 2, context: 4096, tpot_s: 30ms}
  - {batch: 38, context: 4250, reserve: 0.03, tpot_s: 70ms}
"""


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written by the command."""
    folder = tmp_path_factory.mktemp("calibration")
    (folder / "rows.yaml").write_text(ROWS)
    assert main(["calibrate", str(folder / "rows.yaml"), "--out", str(folder / "own.json")]) == 0
    return folder / "own.json"


def test_a_profile_is_read_as_it_was_written(profile: Path) -> None:
    read = read_profile(str(profile))
    assert isinstance(read, Profile)
    assert read == profile_of(calibrate([str(profile.with_name("rows.yaml"))]))
    assert read_profile(read.text()) == read
    document = json.loads(profile.read_text())
    assert document["kind"] == "supernode calibration"
    assert document["version"] == 1
    assert document["measurements"] == read.measurements
    assert set(document["values"]["ascend-910c"]) >= {"request_s", "block_s"}


def test_settings_carry_what_the_file_says(profile: Path) -> None:
    settings = Settings.from_plain({"calibration": str(profile)})
    chip = settings.hardware.cluster.chip
    assert isinstance(chip, CalibratedChip)
    again = Settings.from_plain(settings.to_plain())
    assert again.hardware.cluster.chip == chip
    assert again.digest() == settings.digest() != Settings.from_plain({}).digest()
    assert "calibration" not in Settings.from_plain({}).flat
    assert fit_of(chip).request_s.value > 4.31e-6


def test_a_replay_takes_longer_steps(profile: Path, capsys: Captured) -> None:
    asked = ["replay", "examples/demo.jsonl", "--limit", "50", "--json"]
    assert main(asked) == 0
    before = json.loads(capsys.readouterr().out)
    assert main([*asked, "--calibration", str(profile)]) == 0
    after = json.loads(capsys.readouterr().out)
    assert after["tpot_s"]["mean"] > 1.2 * before["tpot_s"]["mean"]


def test_another_chip_is_refused(profile: Path, capsys: Captured) -> None:
    assert main(["replay", "examples/demo.jsonl", "--cluster", "gb200-nvl72", "--calibration", str(profile)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the calibration is of ascend-910c" in line
    assert "gb200-nvl72 has gb200" in line


def _changed(profile: Path, **values: Any) -> str:
    return json.dumps({**json.loads(profile.read_text()), **values})


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_other_versions_are_refused_with_a_line(profile: Path, tmp_path: Path, version: object) -> None:
    path = tmp_path / "other.json"
    path.write_text(_changed(profile, version=version))
    with pytest.raises(ConfigError, match=r"other.json: version .* reads 1; calibrate anew"):
        read_profile(str(path))


def test_what_is_no_profile_is_refused_with_a_line(profile: Path) -> None:
    document = json.loads(profile.read_text())
    chip = document["chips"][0]
    negative = [
        [-float(row == column) for column in range(len(chip["covariance"]))] for row in range(len(chip["covariance"]))
    ]
    for text, message in [
        ("{", "not JSON"),
        ("{}", "no calibration"),
        (_changed(profile, chips=3), "chips"),
        (_changed(profile, more=3), "more"),
        (_changed(profile, chips=[{**chip, "covariance": [[1.0]]}]), "covariance"),
        (_changed(profile, chips=[{**chip, "covariance": negative}]), "covariance"),
        (_changed(profile, chips=[{**chip, "deviations": []}]), "covariance"),
        (_changed(profile, chips=[{**chip, "constants": [{**chip["constants"][0], "name": "colour"}]}]), "colour"),
    ]:
        with pytest.raises(ConfigError, match=message):
            read_profile(text)


def test_an_engine_with_published_rows_is_named_in_place_of_a_file(capsys: Captured) -> None:
    plain = Settings.from_plain({})
    told = Settings.from_plain({"calibration": "sglang"})
    again = Settings.from_plain(told.to_plain())
    chip = again.hardware.cluster.chip
    assert isinstance(chip, CalibratedChip)
    assert fit_of(chip).request_s.value > 3 * fit_of(plain.hardware.cluster.chip).request_s.value
    assert again.digest() == told.digest() != plain.digest()
    assert main(["model", "decode", "--cluster", "h20-cluster", "--calibration", "sglang"]) == 2
    assert "is an engine on ascend-910c, h20-cluster has h20" in capsys.readouterr().err


def test_validate_takes_an_engine_and_leaves_other_chips_as_they_are(capsys: Captured) -> None:
    assert main(["validate", "--calibration", "sglang-part-1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["published"]
    assert found["gb200-part2-fp8-decode"]["error"] < -0.15
    assert abs(found["cm-decode-2048-256"]["error"]) < 0.05
