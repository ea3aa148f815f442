"""The build hook of the compiled wheel (`make wheel`): mypyc makes extension modules of the hot rooms.

It runs only where `HATCH_BUILD_HOOKS_ENABLE=1` asks for it; every other build, and a checkout installed for development
without exception, is pure Python. Nothing is written beside the sources (`hatch-mypyc` builds in place), so that no
checkout can hold an extension module that is older than its source and goes before it.
"""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import chdir
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

GROUP: Final = "supernode"
"""All compiled modules are one library, `supernode__mypyc`, so that they call one another directly."""

OPT_LEVEL: Final = "2"
"""Against 3: as fast, and built in two thirds of the time."""


def compiled_sources(root: Path, compiled: Sequence[str], pure: Sequence[str]) -> list[str]:
    """Paths from `root` of the sources that match a pattern of `compiled` and none of `pure`, sorted."""
    found = {path.relative_to(root).as_posix() for pattern in compiled for path in root.glob(pattern)}
    return sorted(path for path in found if not any(fnmatchcase(path, pattern) for pattern in pure))


class CompiledModules(BuildHookInterface[BuilderConfig]):
    """Puts compiled modules beside their sources in a wheel: Python imports those first."""

    PLUGIN_NAME = "custom"

    _folder = ""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and tell the builder where the modules go; a `ValueError` refuses an editable install."""
        if version == "editable":
            raise ValueError(
                "an editable install stays pure Python, so that an edit counts: unset HATCH_BUILD_HOOKS_ENABLE, "
                "or run 'make wheel' for the compiled wheel"
            )
        self._folder = mkdtemp(prefix="supernode-wheel-")
        paths = compiled_sources(Path(self.root), self.config["compiled"], self.config["pure"])
        with chdir(self.root):  # mypyc takes a module's name from its path
            built = list(_compile(paths, Path(self._folder)))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"].update({str(path): target for path, target in built})
        self.app.display_info(f"{len(paths)} modules compiled")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """The wheel is written: what it was made of can go."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _compile(paths: list[str], folder: Path) -> Iterator[tuple[Path, str]]:
    """Each extension module made, and its place in the wheel."""
    # Needed by nobody who builds the pure wheel or installs either.
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    options = ["--config-file=", "--follow-imports=silent", "--explicit-package-bases"]
    extensions = mypycify(
        [*options, *paths], opt_level=OPT_LEVEL, debug_level="0", target_dir=str(folder / "c"), group_name=GROUP
    )
    command = build_ext(Distribution({"name": GROUP, "ext_modules": extensions}))
    command.build_lib, command.build_temp = str(folder / "lib"), str(folder / "objects")
    command.ensure_finalized()
    command.run()
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for path in sorted((folder / "lib").rglob(f"*{suffix}")):
        yield path, path.relative_to(folder / "lib").as_posix()
