"""What a call costs by the price table: each formula to the last digit, in decimals, and unknown models by name."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import ValidationError

from videotask_contract.prices import (
    PriceTable,
    TokenPrice,
    clip_usd,
    image_usd,
    narration_usd,
    storyboard_usd,
    upper_bound_usd,
)

TABLE = PriceTable(
    gemini_texts={"writer": TokenPrice(input_usd_per_million=Decimal("0.50"), output_usd_per_million=Decimal("4.00"))},
    kling_usd_per_second={"kling": {"720p": Decimal("0.03"), "1080p": Decimal("0.05")}},
    elevenlabs_usd_per_thousand_characters={"voice": Decimal("0.10")},
    reservation_margin=Decimal("1.5"),
)


def test_an_image_costs_what_its_model_and_size_cost():
    assert image_usd(PriceTable(), model="gemini-nano-banana-2.1", size="1K") == Decimal("0.0336")
    assert image_usd(PriceTable(), model="gemini-nano-banana-2.1", size="4K") == Decimal("0.113")


def test_a_storyboard_costs_its_tokens_in_and_out():
    assert storyboard_usd(TABLE, model="writer", input_tokens=1_000_000, output_tokens=0) == Decimal("0.50")
    assert storyboard_usd(TABLE, model="writer", input_tokens=0, output_tokens=500_000) == Decimal("2.00")
    assert storyboard_usd(TABLE, model="writer", input_tokens=2_000, output_tokens=1_000) == Decimal("0.005")


def test_a_storyboard_of_unknown_length_costs_6000_tokens_in_and_24000_out():
    assert storyboard_usd(TABLE, model="writer") == Decimal("0.099")


def test_a_clip_costs_its_seconds():
    assert clip_usd(TABLE, model="kling", resolution="720p", seconds=10) == Decimal("0.30")
    assert clip_usd(TABLE, model="kling", resolution="1080p", seconds=5) == Decimal("0.25")


def test_a_narration_costs_its_characters():
    assert narration_usd(TABLE, model="voice", characters=1000) == Decimal("0.10")
    assert narration_usd(TABLE, model="voice", characters=1) == Decimal("0.0001")


def test_more_is_reserved_than_the_table_says():
    assert upper_bound_usd(TABLE, Decimal("0.42")) == Decimal("0.63")


@pytest.mark.parametrize(
    ("price", "unknown"),
    [
        (lambda: image_usd(TABLE, model="none", size="1K"), "none"),
        (lambda: image_usd(TABLE, model="gemini-nano-banana-2.1", size="9K"), "9K"),
        (lambda: storyboard_usd(TABLE, model="none"), "none"),
        (lambda: clip_usd(TABLE, model="none", resolution="720p", seconds=5), "none"),
        (lambda: clip_usd(TABLE, model="kling", resolution="360p", seconds=5), "360p"),
        (lambda: narration_usd(TABLE, model="none", characters=1), "none"),
    ],
)
def test_what_the_table_does_not_know_is_named(price, unknown):
    with pytest.raises(KeyError, match=unknown):
        price()


def test_no_price_is_negative_and_no_margin_below_one():
    with pytest.raises(ValidationError):
        PriceTable(elevenlabs_effect_usd=Decimal("-0.01"))
    with pytest.raises(ValidationError):
        PriceTable(reservation_margin=Decimal("0.99"))
