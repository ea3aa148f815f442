"""Settings from a file and from flags: strict, typed, and each error names where the value was said."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.settings.load import load_settings
from deploy.settings.settings import Settings
from scheduler.protocol.errors import InputError

DEFAULT = Settings.from_plain({})


def load(folder: Path, text: str | bytes, **flags: object) -> Settings:
    path = folder / "run.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_settings(str(path), flags)


def test_a_file_changes_what_it_names_and_a_flag_wins_over_it(tmp_path: Path) -> None:
    config = load(tmp_path, "policy: round_robin\nmtp: no\nseed: 3\ncache_bytes_per_server: 512\n", seed=7, slo=None)
    assert (config.routing.policy.spec, config.instances.mtp, config.run.seed) == ("round_robin", False, 7)
    assert config.requests.slo is None
    assert type(config.cache.bytes_per_server) is float
    assert config.hardware == DEFAULT.hardware


def test_a_flag_saves_a_bad_value_of_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, "seed: -1\nslo: nonsense\n", seed=5, slo="ttft=1s").run.seed == 5


def test_equal_settings_have_equal_digests(tmp_path: Path) -> None:
    assert load(tmp_path, "seed: 0\ncache_bytes_per_server: 512000000000\n").digest() == DEFAULT.digest()
    assert load(tmp_path, "seed: 1").digest() != DEFAULT.digest()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("polcy: x", ":1: unknown key 'polcy'; did you mean policy?"),
        ("seed: 1\nnone: 1", ":2: unknown key 'none'; known: calibration, cluster, model,"),
        ("mtp: 1", ":1: mtp is 1; give a valid boolean"),
        ("seed: '3'", ":1: seed is '3'; give a valid integer"),
        ("seed: true", ":1: seed is True; give a valid integer"),
        ("seed: 1.5", ":1: seed is 1.5; give a valid integer"),
        ("seed: 2024-01-01", ":1: seed is datetime.date(2024, 1, 1); give a valid integer"),
        ("seed: 2024-99-01", ": not YAML (month must be in 1..12)"),
        ("seed: {a: 1}", ":1: seed is a section; give a valid integer"),
        ("seed: -1", ":1: seed: -1 is out of range; give a number from 0 to"),
        ("seed: 1" + "0" * 30, ":1: seed: 1000000000000000000000000000000 is out of range"),
        ("seed: 1" + "0" * 5000, ": not YAML (Exceeds the limit"),
        ("cache_bytes_per_server: 5Gb", ":1: cache_bytes_per_server is '5Gb'; b stands for bits: write B for bytes"),
        ("cache_bytes_per_server: much", ":1: cache_bytes_per_server is 'much'; write bytes such as 512GB or 512e9"),
        ("request_timeout_s: 5m", ":1: request_timeout_s is '5m'; m may be minutes or thousandths: write min or ms"),
        ("max_open_requests: 1.5", ":1: max_open_requests is 1.5; give a valid integer"),
        ("max_open_requests: 1.5x", ":1: max_open_requests is '1.5x'; write a number such as 20000, 2e4 or 20k"),
        ("cache_bytes_per_server: .nan", ": nan is out of range"),
        ("kv_reserve_share: 1", ":1: kv_reserve_share: 1.0 is out of range; give a number from 0 to 0.99"),
        ("kv_reserve_share: .inf", ": inf is out of range"),
        ("max_open_requests: 0", ": 0 is out of range; give a number from 1 to 1,000,000,000"),
        ("prefill_tokens_per_npu: 100000000", "is out of range"),
        ("kv_extent_blocks: 0", "is out of range"),
        ("cache: null", ":1: cache is None; give 'pool', 'local' or 'none'"),
        ("cache: [pool]", ":1: cache is ['pool']; give 'pool', 'local' or 'none'"),
        ("plan: 16", ":1: plan is 16; give a valid string"),
        ("policy: roundrobin", ":1: policy: unknown value 'roundrobin'; did you mean round_robin?"),
        ("\ncluster: gb300", ":2: cluster: unknown cluster 'gb300'"),
        ("slo: soon", ":1: slo 'soon': unknown limit 'soon'"),
        ("seed: 1\nseed: 2", ":2: seed is given twice"),
        ("a: &a [x]\nb: *a", ":2: *a is an alias"),
        ("? [a, b]\n: 1", ":1: a key is no word"),
        ("- a", ": no settings in it"),
        ("", ": no settings in it"),
        ("a: [1", ":1: not YAML"),
        (b"seed: \x01", ": not YAML"),
        (b"\xff\xfe\x00", ": not UTF-8 text; give a configuration file in YAML"),
        (b"#" * (2**20 + 1), ": longer than 1 MiB; give a configuration file"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line_with_its_place(tmp_path: Path, text: str | bytes, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'run.yaml'}:")
    assert problem in message
    assert "\n" not in message


def test_a_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    for path, problem in ((tmp_path / "no", "no such file; give the path of a con"), (tmp_path, "is a directory")):
        with pytest.raises(InputError, match=problem):
            load_settings(str(path), {})


def test_a_bad_flag_is_named_as_it_was_given() -> None:
    with pytest.raises(InputError, match=r"^--cache-plane: unknown value 'x'; known: ub, vpc$"):
        load_settings(None, {"cache_plane": "x"})
    with pytest.raises(InputError, match=r"^--slo 'x': unknown limit"):
        load_settings(None, {"slo": "x"})


def test_quantities_in_a_file_may_have_units(tmp_path: Path) -> None:
    text = "cache_bytes_per_server: 512e9\ncache_ssd_bytes_per_server: 2TB\nrequest_timeout_s: 0.5min\n"
    text += "max_open_requests: 20k\nview_age_s: 5ms\npower_cap: 300KW\nprice: bought=8.2M\n"
    text += "slo: ttft=0.5min\nparking: idle=0.5min\nclasses:\n  chat: {ttft_s: 500ms, tpot_ms: 0.05s}\n"
    settings = load(tmp_path, text)
    assert (settings.cache.bytes_per_server, settings.cache.ssd_bytes_per_server) == (512e9, 2e12)
    assert (settings.requests.request_timeout_s, settings.requests.max_open_requests) == (30.0, 20_000)
    assert (settings.routing.view_age_s, settings.power.cap_w, settings.money.price.usd) == (0.005, 300e3, 8.2e6)
    assert settings.requests.slo is not None
    assert settings.power.parking is not None
    assert (settings.requests.slo.ttft_s, settings.power.parking.idle_ns) == (30.0, 30_000_000_000)
    (chat,) = settings.requests.classes
    assert (chat.ttft_s, chat.tpot_ms) == (0.5, 50.0)
