"""YAML is read within bounds: a file of ours strictly, a file of others as its owner reads it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scheduler.protocol.errors import InputError
from scheduler.sources.bounded_file import MAX_FILE_BYTES, read_bounded
from scheduler.sources.synthetic.section import Section
from scheduler.sources.synthetic.settings_file import MAX_VALUES, read_settings
from scheduler.sources.traces.lines import read_batches

LAUGHS = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40))


def foreign(tmp_path: Path, text: str) -> Section:
    path = tmp_path / "theirs.yaml"
    path.write_text(text)
    return read_settings(str(path), "a configuration of others", is_foreign=True)


def refusal(tmp_path: Path, text: str, *, is_foreign: bool) -> str:
    path = tmp_path / "made.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_settings(str(path), "a configuration", is_foreign=is_foreign)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(path))


def test_anchors_aliases_and_merge_keys_of_others_unfold(tmp_path: Path) -> None:
    text = "base: &base {size: 2, kind: x}\nsame: *base\nother:\n  <<: *base\n  size: 3\nlist: [*base, *base]\n"
    section = foreign(tmp_path, text)
    same, other = section.section("same"), section.section("other")
    assert (same.integer("size"), same.text("kind")) == (2, "x")
    assert (other.integer("size"), other.text("kind")) == (3, "x")
    assert [one.integer("size") for one in section.sections("list")] == [2, 2]


def test_of_two_equal_keys_of_others_the_last_counts(tmp_path: Path) -> None:
    assert foreign(tmp_path, "size: 1\nsize: 2\n").integer("size") == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (LAUGHS, f": unfolds to more than {MAX_VALUES:,} values; write fewer aliases"),
        (MERGES, f": unfolds to more than {MAX_VALUES:,} values; write fewer aliases"),
        ("a: &a {b: *a}\n", ":1: contains itself; write the value out"),
        ("a: &a {b: 1, <<: *a}\n", ":1: contains itself; write the value out"),
    ],
)
def test_a_bomb_of_aliases_is_one_line(tmp_path: Path, text: str, problem: str) -> None:
    assert refusal(tmp_path, text, is_foreign=True) == problem
    assert "is an alias; write the value out" in refusal(tmp_path, text, is_foreign=False)


@pytest.mark.parametrize("is_foreign", [True, False])
@pytest.mark.parametrize("text", ["[" * 1_000_000, "{" * 1_000_000, "- " * 500_000, "a: " + "[" * 999_000])
def test_a_megabyte_of_brackets_is_one_line(tmp_path: Path, text: str, is_foreign: bool) -> None:
    message = refusal(tmp_path, text, is_foreign=is_foreign)
    assert message == ":1: not YAML (nested more than 64 deep); give plain settings"


@pytest.mark.parametrize("is_foreign", [True, False])
def test_more_values_than_any_settings_have_are_one_line(tmp_path: Path, is_foreign: bool) -> None:
    message = refusal(tmp_path, "a: [" + "1," * (4 * MAX_VALUES) + "]\n", is_foreign=is_foreign)
    assert message == f":1: more than {MAX_VALUES:,} values; give fewer settings"


def test_a_file_that_is_too_long_or_has_no_end_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    with pytest.raises(InputError, match=r"longer than 1 MiB; give a thing file$"):
        read_bounded(str(path), "a thing")
    path.write_bytes(b"x" * MAX_FILE_BYTES)
    assert len(read_bounded(str(path), "a thing")) == MAX_FILE_BYTES
    assert read_bounded(os.devnull, "a thing") == b""


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no such device here")
def test_a_device_is_no_input() -> None:
    with pytest.raises(InputError, match=r"^/dev/zero: is a device; give the path of a thing$"):
        read_bounded("/dev/zero", "a thing")
    with pytest.raises(InputError, match=r"^/dev/zero: is a device; give the path of a trace$"):
        next(read_batches("/dev/zero"))
