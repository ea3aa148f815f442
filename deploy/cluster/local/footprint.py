"""How much memory a local Ray node takes, and where its files go: measured figures, known without importing Ray."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

MB: Final = 10**6
GB: Final = 10**9

NODE_BYTES: Final = 500 * MB
"""Memory of a Ray 2.60 node without actors or dashboard (measured as PSS: 439 MB bare, 522 MB as installed here)."""

ACTOR_BYTES: Final = 50 * MB
"""Memory that an actor takes off what is available (measured with 16, 48 and 96 actors: 45 to 50 MB)."""

DEFAULT_ACTORS: Final = 17
"""Actors of the default plan: 14 prefill instances, a decode instance, the network and the control plane."""

OBJECT_STORE_BYTES: Final = 200 * 2**20
"""Ray's shared memory; messages do not go through it, only a run's result does."""

FOLDER_PREFIX: Final = "supernode-"
"""How the folder of a local node's files begins."""

MAX_BASE_LENGTH: Final = 24
"""Longer temporary directories leave no room for the names of Ray's sockets (107 bytes on Linux, 103 on macOS)."""


def default_cluster_bytes() -> int:
    """Memory of a node with the actors of the default plan."""
    return NODE_BYTES + DEFAULT_ACTORS * ACTOR_BYTES


def base_folder() -> Path:
    """In which directory a local node's folder is made."""
    base = tempfile.gettempdir()
    return Path(base if len(base) <= MAX_BASE_LENGTH else "/tmp")
