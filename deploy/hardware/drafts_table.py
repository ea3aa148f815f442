"""What each further draft of a decode step brings and costs: where more of them stop paying."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from deploy.hardware.quantities import count, quantity
from deploy.terminal.table import table
from scheduler.protocol.errors import ConfigError
from sim_hw.operators.operating_point import MOST_DRAFTS, DecodePoint

Answer = dict[str, Any]


def check_drafts(drafts: int, told: Mapping[str, object]) -> None:
    """`ConfigError` for a number of drafts up to which nobody can compare, and for options that fix one."""
    if not 1 <= drafts <= MOST_DRAFTS:
        raise ConfigError(f"--compare-drafts {drafts}: give the most drafts to compare, 1 to {MOST_DRAFTS}")
    for option, value in told.items():
        if value is not None:
            raise ConfigError(
                f"--compare-drafts {drafts} and {option} {value}: the latter is of one number of drafts; leave one out"
            )


def by_drafts(point: DecodePoint, most: int, answer_of: Callable[[DecodePoint], Answer]) -> list[Answer]:
    """The main numbers without drafts, and with each number of them up to `most`."""
    rows: list[Answer] = []
    for drafts in range(1 + most):
        at = replace(point, mtp_k=drafts)
        answer = answer_of(at)
        rows.append(
            {
                "drafts": drafts,
                "batch": answer["point"]["batch"],
                "tokens_per_step": at.tokens_per_iteration,
                **{name: answer[name] for name in ("iteration_s", "tpot_s", "tokens_per_s_per_npu")},
            }
        )
    return rows


def drafts_block(rows: Sequence[Answer]) -> str:
    """For people; who yields most for an NPU is marked."""
    best = max(rows, key=lambda row: row["tokens_per_s_per_npu"])
    head = ("By drafts", "batch", "tokens a step", "iteration", "TPOT", "throughput per NPU", "")
    cells = [
        (
            f"  {row['drafts']}",
            count(row["batch"]),
            f"{row['tokens_per_step']:.3g}",
            quantity(row["iteration_s"], "s"),
            quantity(row["tpot_s"], "s"),
            quantity(row["tokens_per_s_per_npu"], "tok/s"),
            "more do not pay" if row is best and row is not rows[-1] else "",
        )
        for row in rows
    ]
    return table([head, *cells], right=(1, 2, 3, 4, 5))
