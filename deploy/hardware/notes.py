"""What is told of a model beside its numbers."""

from __future__ import annotations

from deploy.terminal.output import tell
from sim_hw.models.shape import ModelShape


def tell_notes(shape: ModelShape) -> None:
    """On stderr, what was assumed when the configuration of a model was read; nothing of what is built in."""
    for note in shape.notes:
        tell(f"{shape.name}: {note}")
