"""A load as a few numbers, where there is no trace: `rate=20,prompt=4000,output=300`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from scheduler.protocol.errors import ConfigError
from scheduler.protocol.quantity import QuantityError, read_quantity

KEYS: Final = ("rate", "prompt", "output")
FORM: Final = "give a trace, or a load such as rate=20,prompt=4000,output=300 (requests/s, tokens, tokens)"

SPAN_S: Final = 600.0
MIN_REQUESTS: Final = 1000
MAX_REQUESTS: Final = 20_000


def is_load(text: str) -> bool:
    """Whether this is a load rather than the path of a trace."""
    return text.partition("=")[0].strip() in KEYS and not Path(text).exists()


@contextmanager
def workload_of(text: str) -> Generator[str]:
    """The path of a workload of it while the body runs: Poisson arrivals for ten minutes, of at least 1,000 and at most
    20,000 requests, lengths log-normal with a coefficient of variation of 1, nothing shared."""
    numbers: dict[str, float] = {}
    for term in text.split(","):
        key, _, value = (part.strip() for part in term.partition("="))
        if key not in KEYS or key in numbers:
            raise ConfigError(f"load {text!r}: {key or 'nothing'} is not expected there; {FORM}")
        numbers[key] = _number(text, key, value)
    if missing := [key for key in KEYS if key not in numbers]:
        raise ConfigError(f"load {text!r}: {missing[0]} is missing; {FORM}")
    num_requests = min(MAX_REQUESTS, max(MIN_REQUESTS, round(numbers["rate"] * SPAN_S)))
    with TemporaryDirectory(prefix="supernode-load-") as folder:
        path = Path(folder) / "load.yaml"
        path.write_text(
            f"num_requests: {num_requests}\n"
            f"arrivals: {{process: poisson, rate_per_s: {numbers['rate']}}}\n"
            f"prompt_tokens: {{mean: {numbers['prompt']}, cv: 1.0}}\n"
            f"output_tokens: {{mean: {numbers['output']}, cv: 1.0}}\n"
        )
        yield str(path)


def _number(text: str, key: str, value: str) -> float:
    try:
        number = read_quantity(value, "")
    except QuantityError:
        number = 0.0
    if not number > 0:
        raise ConfigError(f"load {text!r}: {key} is {value or 'nothing'}; {FORM}")
    return number
