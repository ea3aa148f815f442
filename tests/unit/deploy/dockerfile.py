"""What deploy/Dockerfile says, instruction by instruction."""

from __future__ import annotations

import json
import re
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


class Instruction(Struct, frozen=True):
    """Such as COPY, and what follows it."""

    name: str
    rest: str


def stages() -> list[list[Instruction]]:
    """Each from its FROM on; what goes before the first is left out."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    found: list[list[Instruction]] = []
    for line in filter(None, text.splitlines()):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append(Instruction(name, " ".join(rest.split())))
    return found


def all_of(name: str, stage: list[Instruction]) -> list[str]:
    """What follows each instruction of that name."""
    return [one.rest for one in stage if one.name == name]


def copied() -> set[str]:
    """Paths that are copied into the image from the repository."""
    lines = [line.split() for stage in stages() for line in all_of("COPY", stage)]
    return {name.rstrip("/") for line in lines if not line[0].startswith("--from") for name in line[:-1]}


def image_command() -> list[str]:
    """What the image runs."""
    (command,) = all_of("CMD", stages()[-1])
    return json.loads(command)


def image_health_check() -> list[str]:
    """The command that tells whether a container of the image is well."""
    (check,) = all_of("HEALTHCHECK", stages()[-1])
    return json.loads(check.partition(" CMD ")[2])


def image_user() -> int:
    """By whom the command is run."""
    (user,) = all_of("USER", stages()[-1])
    return int(user)


def image_stop_signal() -> str:
    """What ends it."""
    (name,) = all_of("STOPSIGNAL", stages()[-1])
    return name
