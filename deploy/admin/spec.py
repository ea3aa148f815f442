"""What the admin port of a cluster is told, as plain data, and the path that all of it is under."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

PATH: Final = "/admin/v1"


class AdminSpec(Struct, frozen=True):
    """The file that holds the token, and the port on 127.0.0.1; 0 takes any that is free."""

    token_path: str
    port: int = 0

    def at(self, address: str) -> AdminSpec:
        """The same on the port of an address that it was found to listen on."""
        return replace(self, port=int(address.rpartition(":")[2]))
