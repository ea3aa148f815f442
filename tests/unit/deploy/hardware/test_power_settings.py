"""Site, PUE and phase: flags win over a file, and what cannot be is one line with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.hardware.power_settings import power_settings
from scheduler.protocol.errors import ConfigError
from sim_hw.power.phase_power import Phase
from sim_hw.power.sites import find_site


def test_without_a_word_it_is_the_first_site_and_prefill() -> None:
    settings = power_settings(None, None, None, None, None)
    assert (settings.site, settings.phase) == (find_site("china-average"), Phase.PREFILL)


def test_flags_win_over_the_file_and_settings_of_runs_are_let_be(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("site: us-texas\npue: 1.3\nphase: decode\nbatch: 16\nseed: 7\n")
    settings = power_settings(str(path), None, 1.1, None, 32)
    assert (settings.site.name, settings.site.pue.value) == ("us-texas", 1.1)
    assert (settings.phase, settings.batch) == (Phase.DECODE, 32)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("site: mars", "mine.yaml:1: site: unknown site 'mars'; known: china-average"),
        ("site: 3", "mine.yaml:1: site is no text"),
        ("pue: 0.9", "mine.yaml:1: pue is 0.9; give a number from 1 to 10"),
        ("pue: true", "mine.yaml:1: pue is True"),
        ("pue: .nan", "mine.yaml:1: pue is nan"),
        ("phase: sleep", "mine.yaml:1: phase is 'sleep'; give prefill or decode"),
        ("\nbatch: 1.5", "mine.yaml:2: batch is 1.5; give a whole number"),
        ("seeed: 3", "mine.yaml:1: unknown key 'seeed'; did you mean seed?"),
        ("puee: 3", "mine.yaml:1: unknown key 'puee'; did you mean pue?"),
    ],
)
def test_a_slip_in_a_file_is_one_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text + "\n")
    with pytest.raises(ConfigError) as caught:
        power_settings(str(path), None, None, None, None)
    assert problem in str(caught.value)


def test_a_flag_is_named_as_it_is_typed() -> None:
    with pytest.raises(ConfigError, match="--batch is 0; give a whole number from 1"):
        power_settings(None, None, None, None, 0)
