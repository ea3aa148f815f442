"""`make clients [CLIENTS="curl openai"]`: brings a cluster up, runs each client against it, prints both accounts."""

from __future__ import annotations

import json
import os
import sys
from typing import Final

from tests.clients.cases import CASES, SUPERNODE, NotRunError, Report, run
from tests.clients.environments import FOLDER
from tests.clients.figures import counted, means_ms

PLAN: Final = "4x16p+1x16d+2c"
COLUMNS: Final = ("requests", "ttft_ms", "tpot_ms", "itl_ms", "e2e_ms")

MAX_DIFFERENCE: Final = 0.05
"""Of a client's means from the service's, as a share, in the `HELD` columns of the clients that are held to it."""

HELD: Final = {"aiperf": COLUMNS[1:]}


def main() -> int:
    """1 if a client failed, or differs by more than it may."""
    wanted = os.environ.get("CLIENTS", "").split() or [case.__name__ for case in CASES]
    FOLDER.mkdir(parents=True, exist_ok=True)
    os.environ["SUPERNODE_RUNTIME_DIR"] = str((FOLDER / "run").resolve())
    run(f"{SUPERNODE} up --detach --plan {PLAN} --metrics-port 0 --http 127.0.0.1:0")
    is_good = True
    try:
        url = f"http://{json.loads(run(f'{SUPERNODE} status --json'))['cluster']['http_address']}"
        print(f"{'means':<24}{''.join(f'{name:>12}' for name in COLUMNS)}", flush=True)
        for case in CASES:
            if case.__name__ not in wanted:
                continue
            before = counted(url)
            try:
                told = case(url)
            except NotRunError as error:
                print(f"{case.__name__}: not run: {error}", flush=True)
                continue
            except Exception as error:  # noqa: BLE001 - the others are run all the same
                print(f"{case.__name__}: failed: {error}", flush=True)
                is_good = False
                continue
            is_good &= _compare(case.__name__, told, means_ms(before, counted(url)))
    finally:
        run(f"{SUPERNODE} down")
    return 0 if is_good else 1


def _compare(name: str, told: Report, served: Report) -> bool:
    """Print both accounts; whether they agree as far as they have to."""
    off = {key: told[key] / served[key] - 1 for key in COLUMNS[1:] if key in told and key in served}
    for label, row in ((name, told), ("  the service", served)):
        print(f"{label:<24}{''.join(_cell(row.get(key)) for key in COLUMNS)}")
    shares = [f"{100 * off[key]:+.2f} %" if key in off else "" for key in COLUMNS]
    print(f"{'  off by':<24}{''.join(f'{share:>12}' for share in shares)}".rstrip(), flush=True)
    too_far = [key for key in HELD.get(name, ()) if key not in off or abs(off[key]) > MAX_DIFFERENCE]
    if too_far:
        print(f"{name}: more than {100 * MAX_DIFFERENCE:.0f} % apart: {', '.join(too_far)}", flush=True)
    return not too_far


def _cell(value: float | None) -> str:
    return f"{'-' if value is None else f'{value:,.2f}'.removesuffix('.00'):>12}"


if __name__ == "__main__":
    sys.exit(main())
