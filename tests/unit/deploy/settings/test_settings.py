"""Settings as values and as plain data: derived from the same fields, and the same on both sides of a process."""

from __future__ import annotations

import json
import pickle

import pytest

from deploy.settings.settings import DEFAULTS, MODELS, SETTINGS, Settings
from scheduler.core.config import CacheMode
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.fabric_messages import Plane

DEFAULT = Settings.from_plain({})


def test_every_field_of_every_model_is_one_setting() -> None:
    assert len(SETTINGS) == sum(len(model.__struct_fields__) for model in MODELS.values())
    told = {name: default for name, default in DEFAULTS.items() if not SETTINGS[name].is_extra}
    assert DEFAULT.to_plain() == told
    assert all(all(one.flag) for one in SETTINGS.values() if one.flag is not None)


def test_a_setting_comes_after_those_it_needs() -> None:
    names = list(SETTINGS)
    assert all(names.index(other) < names.index(one.name) for one in SETTINGS.values() for other in one.needs)


def test_the_digest_of_the_defaults_changes_only_on_purpose() -> None:
    # By it runs are told to be of one configuration; whoever adds a setting pins it anew.
    assert DEFAULT.digest() == "2de870eba34a9816"


def test_plain_data_make_the_same_settings_again() -> None:
    told = {"plan": "2x16p+1x32d+4c", "slo": "ttft=2s", "price": "rented=2", "pue": 1.5, "cache_plane": "vpc"}
    settings = Settings.from_plain(told)
    again = Settings.from_plain(json.loads(json.dumps(settings.to_plain())))
    assert again == settings == pickle.loads(pickle.dumps(settings))
    assert again.digest() == settings.digest() != DEFAULT.digest()
    assert settings.changed(cache_plane="ub").cache.plane is Plane.UB
    assert settings.changed(**DEFAULTS) == DEFAULT


def test_plan_and_cache_are_by_default_those_of_the_cluster() -> None:
    settings = Settings.from_plain({"cluster": "h800-cluster"})
    assert settings.hardware.plan.text == settings.hardware.cluster.defaults.plan == settings.flat["plan"]
    assert settings.cache.mode is CacheMode.LOCAL
    assert Settings.from_plain({"cluster": "h800-cluster", "cache": "none"}).cache.mode is CacheMode.NONE


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ({"plan": "16p"}, "--plan '16p': cannot read the term '16p'; write"),
        ({"power_cap": "much"}, "--power_cap: cannot read 'much'; write watts such as 350kW"),
        ({"cache_block_tokens": 100}, "--cache_block_tokens: 100 is no size of a cache block; known: 0, 128"),
        ({"view_age_s": -1.0}, "--view_age_s: -1.0 is out of range; give a number from 0 to 1,000,000"),
        ({"tariff": "free"}, "--tariff: unknown tariff 'free'"),
    ],
)
def test_what_cannot_be_used_is_one_line_with_its_place(told: dict[str, object], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_plain(told, {name: f"--{name}" for name in told})
    assert str(caught.value).startswith(line)


def test_a_name_that_is_no_setting_is_a_defect() -> None:
    with pytest.raises(TypeError, match="no such settings: speed"):
        Settings.from_plain({"speed": 1})
