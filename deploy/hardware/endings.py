"""How a path is told from a name."""

from __future__ import annotations

from typing import Final

YAML_ENDINGS: Final = (".yaml", ".yml")
FILE_ENDINGS: Final = (*YAML_ENDINGS, ".json")


def is_file(name: str) -> bool:
    """Whether it is a path rather than a name."""
    return name.endswith(FILE_ENDINGS) or "/" in name
