"""A node with another program is told in one line, and a copy that is sent is the same program."""

from __future__ import annotations

import subprocess
import sys

from deploy.cluster.existing.program import staged, why_other_program
from workers.ray_shell.identity import PACKAGES, Program, own_program

OURS = own_program("supernode-serve")


def test_the_same_program_at_another_place_is_the_same() -> None:
    moved = Program(OURS.version, {name: ("elsewhere", digest) for name, (_, digest) in OURS.identity.items()})
    assert why_other_program({"a": OURS, "b": moved}, OURS, ships=False) == ""


def test_another_digest_names_the_node_and_both_programs() -> None:
    other = Program("0.1", {**OURS.identity, "workers": ("w", "0123456789")})
    line = why_other_program({"a": OURS, "b": other}, OURS, ships=False)
    assert line.startswith("node b has supernode 0.1 (digest ")
    assert "-0123-" in line
    assert line.endswith("send this one with --ship")


def test_another_version_counts_unless_the_program_was_sent() -> None:
    other = Program("0.1", OURS.identity)
    assert why_other_program({"b": other}, OURS, ships=False)
    assert not why_other_program({"b": other}, OURS, ships=True)


def test_what_is_sent_is_the_same_program_and_nothing_else() -> None:
    with staged() as folder:
        code = "from workers.ray_shell.identity import identity; print({k: d for k, (_, d) in identity().items()})"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True
        )
        assert {one.name for one in folder.iterdir()} >= set(PACKAGES)
    assert done.stdout.strip() == str({name: digest for name, (_, digest) in OURS.identity.items()}), done.stderr
    assert not folder.exists()
