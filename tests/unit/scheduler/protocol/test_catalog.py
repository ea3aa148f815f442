"""Entries by name, found in a package without a list, and the sentence about names that are not known."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scheduler.protocol.catalog import Catalog, unknown
from scheduler.protocol.errors import ConfigError


def test_entries_keep_the_order_of_registration_and_are_registered_once() -> None:
    catalog = Catalog[int]("shape")
    assert catalog.register("square", 4) == 4
    catalog.register("circle", 0)
    assert catalog.names == ("square", "circle")
    assert catalog.find("circle") == catalog["circle"] == 0
    assert "cube" not in catalog
    assert len(catalog) == 2
    with pytest.raises(ValueError, match="shape 'square' is registered twice"):
        catalog.register("square", 5)


@pytest.mark.parametrize(
    ("name", "place", "text"),
    [
        ("sqare", "", "unknown shape 'sqare'; did you mean square? known: square, circle, or a drawing"),
        ("x", "--shape", "--shape: unknown shape 'x'; known: square, circle, or a drawing"),
        ("y" * 99, "", f"unknown shape '{'y' * 36}...; known: square, circle, or a drawing"),
    ],
)
def test_an_unknown_name_is_a_config_error(name: str, place: str, text: str) -> None:
    catalog = Catalog[int]("shape", besides="or a drawing")
    catalog.register("square", 4)
    catalog.register("circle", 0)
    with pytest.raises(ConfigError) as caught:
        catalog.find(name, place)
    assert str(caught.value) == text


def test_the_known_may_be_listed_otherwise() -> None:
    assert unknown("option", "a", ["b", "c"], "b=1, c=2") == "unknown option 'a'; known: b=1, c=2"


def test_modules_of_a_package_are_imported_when_a_name_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "shapes_found"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from scheduler.protocol.catalog import Catalog\nSHAPES = Catalog('shape', package=__name__)\n"
    )
    for name in ("square", "circle"):
        (package / f"{name}.py").write_text(f"from shapes_found import SHAPES\nSHAPES.register('{name}', 1)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import shapes_found  # pyright: ignore[reportMissingImports]

    catalog: Catalog[int] = shapes_found.SHAPES  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    catalog.register("point", 0)
    assert catalog.find("point") == 0
    assert "shapes_found.square" not in sys.modules
    assert catalog.find("square") == 1
    assert catalog.names == ("circle", "point", "square")
