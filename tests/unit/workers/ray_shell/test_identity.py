"""Our packages are told from their doubles."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.ray_shell import identity as subject
from workers.ray_shell.identity import PACKAGES, find_stranger, identity


def test_this_process_is_what_it_is() -> None:
    found = identity()
    assert tuple(found) == PACKAGES
    assert all(folder and digest for folder, digest in found.values())
    assert find_stranger(found, identity()) == ""


def test_the_first_other_package_is_named_with_both_folders() -> None:
    expected = identity() | {"sim_hw": ("the/right/sim_hw", "0")}
    line = find_stranger(identity(), expected)
    assert "'sim_hw' in " in line
    assert "not that in the/right/sim_hw; take the other folder off PYTHONPATH" in line


def test_files_that_changed_under_way_are_told_as_that() -> None:
    expected = identity()
    folder, _ = expected["workers"]
    assert find_stranger(expected, expected | {"workers": (folder, "0")}) == (
        f"the files in {folder} changed since this process started; start the cluster again"
    )


def test_one_byte_makes_another_package_and_its_place_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[str, str]] = []
    for place, text in (("a", "x = 1\n"), ("b", "x = 1\n"), ("c", "x = 2\n")):
        (tmp_path / place / "double_of_ours").mkdir(parents=True)
        (tmp_path / place / "double_of_ours" / "__init__.py").write_text(text)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(tmp_path / place)
            found.append(subject._look_at("double_of_ours"))
    assert found[0][1] == found[1][1] != found[2][1]
    assert len({folder for folder, _ in found}) == 3
    assert subject._look_at("no_such_package_of_ours") == ("", "")
