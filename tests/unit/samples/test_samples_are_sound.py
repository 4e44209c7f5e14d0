"""The samples are valid, within their price and fit to be spoken; what people copy must work."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from videotask_contract.prices import PriceTable, clip_usd, image_usd, narration_usd
from videotask_contract.resources import ChannelSpec, VideoTaskSpec
from videotask_contract.steps import Provider
from videotask_contract.storyboard import Storyboard
from videotask_contract.timing import LEAD_SECONDS, TAIL_SECONDS, estimated_narration_seconds

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
TASKS = sorted(path.name for path in SAMPLES.glob("videotask*.yaml"))


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((SAMPLES / name).read_text(encoding="utf-8")))


def spec_of(name: str) -> VideoTaskSpec:
    (document,) = documents(name)
    return VideoTaskSpec.model_validate(document["spec"])


def storyboard_of(name: str) -> Storyboard:
    storyboard = spec_of(name).storyboard
    assert storyboard is not None
    return storyboard


def channel() -> ChannelSpec:
    (document,) = documents("channel.yaml")
    return ChannelSpec.model_validate(document["spec"])


def price(storyboard: Storyboard) -> Decimal:
    table, quality = PriceTable(), channel().quality
    images = len(storyboard.assets) * image_usd(table, model=quality.image_model, size=quality.image_size)
    clip = clip_usd(table, model=quality.video_model, resolution=quality.video_resolution, seconds=quality.clip_seconds)
    characters = sum(len(scene.narration) for scene in storyboard.scenes)
    narrations = narration_usd(table, model=channel().voice.model, characters=characters)
    return images + len(storyboard.scenes) * (clip + table.elevenlabs_effect_usd) + narrations


@pytest.mark.parametrize("name", TASKS)
def test_a_sample_task_is_valid_and_belongs_to_the_sample_channel(name):
    (document,) = documents("channel.yaml")
    assert spec_of(name).channel_ref.name == document["metadata"]["name"]


def test_the_house_film_has_22_assets_18_scenes_and_costs_6_to_13_dollars():
    storyboard = storyboard_of("videotask.yaml")
    assert (len(storyboard.assets), len(storyboard.scenes)) == (22, 18)
    assert {asset.kind.value for asset in storyboard.assets} == {"character", "environment", "prop"}
    assert Decimal(6) < price(storyboard) < Decimal(13)


def test_the_demo_film_is_four_scenes_of_the_house_film():
    demo, house = storyboard_of("videotask-demo.yaml"), storyboard_of("videotask.yaml")
    assert len(demo.scenes) == 4
    assert set(demo.scenes) <= set(house.scenes)
    assert set(demo.assets) <= set(house.assets)


@pytest.mark.parametrize("name", ["videotask.yaml", "videotask-demo.yaml"])
def test_every_asset_is_used(name):
    storyboard = storyboard_of(name)
    used = {used for scene in storyboard.scenes for used in (scene.environment, *scene.characters)}
    assert {asset.name for asset in storyboard.assets} == used


def test_each_narration_is_spoken_in_3_5_to_5_seconds_and_the_film_lasts_about_90():
    lengths = [estimated_narration_seconds(scene.narration) for scene in storyboard_of("videotask.yaml").scenes]
    assert all(3.5 <= seconds <= 5.0 for seconds in lengths)
    assert 80 < sum(lengths) + len(lengths) * (LEAD_SECONDS + TAIL_SECONDS) < 100


def test_no_budget_of_a_sample_is_below_its_price_with_the_margin():
    for name in ("videotask.yaml", "videotask-demo.yaml"):
        upper_bound = price(storyboard_of(name)) * PriceTable().reservation_margin
        assert spec_of(name).budget > upper_bound
        assert Decimal(channel().budget.per_day_usd) > upper_bound


def test_the_channel_s_secrets_and_volume_are_among_the_samples():
    credentials = channel().credentials
    wanted = {
        (account.secret_ref.name, account.secret_ref.key)
        for account in (credentials.gemini, credentials.kling, credentials.elevenlabs)
    }
    for name in ("secrets.example.yaml", "emulators-keys.yaml"):
        assert {
            (secret["metadata"]["name"], key) for secret in documents(name) for key in secret["stringData"]
        } == wanted
    assert channel().volume.claim_name == documents("volume.yaml")[0]["metadata"]["name"]


def test_the_examples_hold_no_key():
    for secret in documents("secrets.example.yaml"):
        assert all(value.startswith("REPLACE-WITH-YOUR-") for value in secret["stringData"].values())


def test_the_emulators_values_lead_every_provider_to_the_emulators_service():
    (values,) = documents("values-emulators.yaml")
    (service,) = [document for document in documents("emulators.yaml") if document["kind"] == "Service"]
    address = f"http://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    assert {provider.value: values["providers"][provider.value]["baseURL"] for provider in Provider} == {
        provider.value: address for provider in Provider
    }
