"""What `supernode validate` prints: published points beside their predictions, sums by chip and engine, and claims."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from deploy.hardware.quantities import quantity
from deploy.terminal.table import table
from sim_hw.validation.calibration_points import MODEL_CACHING, calibration_points
from sim_hw.validation.claims import Claim
from sim_hw.validation.published_points import NOT_PREDICTED, PublishedRow
from sim_hw.validation.validate import Validation, ValidationRow

_CHIPS = {"cm": "ascend-910c", "h800": "h800", "gb200": "gb200"}
"""By the beginning of the id of a calibration point."""


class _Met(Struct, frozen=True):
    """One point that was predicted, of either kind."""

    chip: str
    engine: str
    stage: str
    error: float
    is_inside: bool
    """Its error bar; operators that are a fitted number themselves have none, and count as inside."""


def validation_document(
    validation: Validation, published: Sequence[PublishedRow], claimed: Sequence[Claim]
) -> dict[str, Any]:
    """All of it as plain values; sums at the top are over the calibration points."""
    return {
        "mape": validation.mape,
        "max_error": validation.max_error,
        "num_points": len(validation.rows),
        "num_not_predicted": _num_not_predicted(),
        "fitted": _errors([row for row in validation.rows if row.is_fitted]),
        "not_fitted": _errors([row for row in validation.rows if not row.is_fitted]),
        "points": {row.id: _point(row) for row in validation.rows},
        "published": {row.point.id: _published(row) for row in published},
        "published_sums": _sums_by_use(published),
        "by_chip": [
            dict(
                zip(("chip", "engine", "class", "num_points", "mape", "max_error", "num_inside_bar"), one, strict=True)
            )
            for one in _sums(validation, published)
        ],
        "claims": [asdict(claim) for claim in claimed],
    }


def validation_page(validation: Validation, published: Sequence[PublishedRow], claimed: Sequence[Claim]) -> str:
    """The same for people, ending in a newline."""
    caching = (
        f"{_num_not_predicted()} more points are about loading models from storage: runs predict these, by their "
        "fabric (docs/caching.md), not this model."
    )
    blocks = [
        "Calibration points\n" + _calibration_table(validation),
        _calibration_sums(validation),
        caching,
        "Published elsewhere\n" + _published_table(published),
        _published_sums(published),
        "Assumed of these, or against them\n" + _remarks(published),
        "Not predicted\n" + _open_table(published),
        "By chip, engine and class\n" + _sums_table(validation, published),
        "Claimed by the press of CloudMatrix384\n" + claims_table(claimed),
    ]
    return "\n\n".join(blocks) + "\n"


def claims_table(claimed: Sequence[Claim]) -> str:
    """Claims beside the catalog, under a head."""
    head = ("  of", "claimed", "catalogue", "why they differ")
    rows = [(f"  {one.what}", one.claimed, _catalogue(one), one.why) for one in claimed]
    return table([head, *rows])


def _catalogue(claim: Claim) -> str:
    if claim.unit == "bit/s":
        return f"{claim.catalogue / 1e9:,.0f}G"
    if claim.unit == "1":
        return f"{claim.catalogue:.2f} times"
    return quantity(claim.catalogue, claim.unit)


def _point(row: ValidationRow) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if name != "id"}


def _published(row: PublishedRow) -> dict[str, Any]:
    point = row.point
    return {
        "chip": row.chip,
        "engine": point.engine,
        "stage": point.stage,
        "unit": point.unit,
        "published": [point.low, point.high],
        "predicted": row.predicted,
        "error": row.error,
        "error_bar": row.error_bar,
        "use": point.use,
        "error_when_blind": row.blind_error,
        "source": point.source,
        "note": point.note,
    }


def _errors(rows: Sequence[ValidationRow]) -> dict[str, Any]:
    return _sum([row.error for row in rows])


def _sum(signed: Sequence[float]) -> dict[str, Any]:
    errors = [abs(error) for error in signed]
    return {
        "num_points": len(errors),
        "mape": sum(errors) / len(errors) if errors else None,
        "max_error": max(errors, default=None),
    }


def _num_not_predicted() -> int:
    return sum(point.group == MODEL_CACHING for point in calibration_points())


def _calibration_table(validation: Validation) -> str:
    rows = [
        (
            row.id,
            f"{row.published:,.5g}",
            f"{row.predicted:,.5g}",
            row.unit,
            _percent(row.error),
            # Kernels by themselves are what the constants were read off, and have no bar.
            f"+- {100 * row.error_bar:.1f} %" if row.error_bar else "-",
            "fitted" if row.is_fitted else "",
        )
        for row in validation.rows
    ]
    return table([("point", "published", "predicted", "unit", "error", "error bar", ""), *rows], right=(1, 2, 4, 5))


def _calibration_sums(validation: Validation) -> str:
    groups = {
        "all": validation.rows,
        "fitted on": [row for row in validation.rows if row.is_fitted],
        "not fitted on": [row for row in validation.rows if not row.is_fitted],
    }
    sums = [(name, *_cells(_errors(rows))) for name, rows in groups.items()]
    return table([("", "points", "mean absolute error", "largest"), *sums], right=(1, 2, 3))


def _cells(errors: dict[str, Any]) -> tuple[str, str, str]:
    if not errors["num_points"]:
        return "0", "-", "-"
    return str(errors["num_points"]), f"{100 * errors['mape']:.2f} %", f"{100 * errors['max_error']:.1f} %"


def _published_table(published: Sequence[PublishedRow]) -> str:
    head = ("  point", "chip", "engine", "published", "predicted", "unit", "error", "error bar", "use", "once blind")
    rows = [
        (
            f"  {row.point.id}",
            row.chip,
            row.point.engine,
            _range(row),
            f"{row.predicted:,.5g}",
            row.point.unit,
            _percent(row.error or 0.0),
            f"+- {100 * (row.error_bar or 0.0):.0f} %",
            row.point.use,
            "" if row.blind_error is None else _percent(row.blind_error),
        )
        for row in published
        if row.predicted is not None
    ]
    return table([head, *rows], right=(3, 4, 6, 7, 9))


def _remarks(published: Sequence[PublishedRow]) -> str:
    """What was assumed of a point, or speaks against it."""
    return table(
        (f"  {row.point.id}", row.point.note) for row in published if row.point.note and row.predicted is not None
    )


def _sums_by_use(published: Sequence[PublishedRow]) -> dict[str, dict[str, Any]]:
    """Of the points that are predicted: all, by what they were good for, and those that were once predicted blind, as
    they are predicted now and as they were then."""
    found = [row for row in published if row.error is not None]
    groups = {
        "all": found,
        "fitted": [row for row in found if row.point.use == "fitted"],
        "checked": [row for row in found if row.point.use != "fitted"],
        "once_blind": [row for row in found if row.blind_error is not None],
    }
    sums = {
        name: _sum([row.error or 0.0 for row in rows])
        | {"num_inside_bar": sum(abs(row.error or 0.0) <= (row.error_bar or 0.0) for row in rows)}
        for name, rows in groups.items()
    }
    return sums | {"when_blind": _sum([row.blind_error or 0.0 for row in groups["once_blind"]])}


def _published_sums(published: Sequence[PublishedRow]) -> str:
    titles = {
        "all": "all",
        "fitted": "fitted on",
        "checked": "not fitted on",
        "once_blind": "once blind, now",
        "when_blind": "once blind, then",
    }
    rows = [
        (f"  {titles[name]}", *_cells(found), str(found.get("num_inside_bar", "")))
        for name, found in _sums_by_use(published).items()
    ]
    return table([("", "points", "mean absolute error", "largest", "inside the bar"), *rows], right=(1, 2, 3, 4))


def _open_table(published: Sequence[PublishedRow]) -> str:
    return table(
        (f"  {row.point.id}", row.chip, row.point.engine, f"{_range(row)} {row.point.unit}", row.point.note)
        for row in published
        if row.point.use == NOT_PREDICTED
    )


def _range(row: PublishedRow) -> str:
    low, high = row.point.low, row.point.high
    return f"{low:,.5g}" if low == high else f"{low:g}-{high:g}"


def _sums_table(validation: Validation, published: Sequence[PublishedRow]) -> str:
    head = ("  chip", "engine", "class", "points", "mean absolute error", "largest", "inside the bar")
    rows = [
        (
            f"  {chip}",
            engine,
            stage,
            str(count),
            f"{100 * mean:.1f} %",
            f"{100 * largest:.1f} %",
            f"{inside} of {count}",
        )
        for chip, engine, stage, count, mean, largest, inside in _sums(validation, published)
    ]
    return table([head, *rows], right=(3, 4, 5, 6))


def _sums(
    validation: Validation, published: Sequence[PublishedRow]
) -> Iterator[tuple[str, str, str, int, float, float, int]]:
    groups: dict[tuple[str, str, str], list[_Met]] = {}
    for one in _met(validation, published):
        groups.setdefault((one.chip, one.engine, one.stage), []).append(one)
    for (chip, engine, stage), found in sorted(groups.items()):
        errors = [abs(one.error) for one in found]
        inside = sum(one.is_inside for one in found)
        yield chip, engine, stage, len(found), sum(errors) / len(errors), max(errors), inside


def _met(validation: Validation, published: Sequence[PublishedRow]) -> Iterator[_Met]:
    for row in validation.rows:
        chip = _CHIPS[row.id.partition("_")[0]]
        is_inside = not row.error_bar or abs(row.error) <= row.error_bar
        yield _Met(chip, row.system, row.group, row.error, is_inside)
    for row in published:
        if row.error is not None and row.error_bar is not None:
            is_inside = abs(row.error) <= row.error_bar
            yield _Met(row.chip, row.point.engine, row.point.stage, row.error, is_inside)


def _percent(error: float) -> str:
    return f"{100 * error:+.1f} %"
