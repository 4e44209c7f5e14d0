"""Every price of the table, against the providers' own lists as of its date: none may be another by mistake."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from pydantic import BaseModel

from videotask_contract.prices import PriceTable

PRICE_LIST = {
    # Gemini: images, each, by size.
    "gemini_images.gemini-nano-banana-2.1.usd_by_size.1K": "0.0336",
    "gemini_images.gemini-nano-banana-2.1.usd_by_size.2K": "0.0504",
    "gemini_images.gemini-nano-banana-2.1.usd_by_size.4K": "0.113",
    "gemini_images.gemini-3-pro-image.usd_by_size.1K": "0.134",
    "gemini_images.gemini-3-pro-image.usd_by_size.2K": "0.134",
    # Gemini: output tokens of image models, by the million: an image of 1K is 1,120 of them, so 30 gives 0.0336.
    "gemini_images.gemini-nano-banana-2.1.output_usd_per_million": "30",
    "gemini_images.gemini-3-pro-image.output_usd_per_million": "120",
    # Gemini: text, by the million tokens.
    "gemini_texts.gemini-3.8-flash.input_usd_per_million": "0.75",
    "gemini_texts.gemini-3.8-flash.output_usd_per_million": "3.75",
    # Kling: a second of a silent clip.
    "kling_usd_per_second.kling-2.5-turbo.720p": "0.042",
    "kling_usd_per_second.kling-2.5-turbo.1080p": "0.07",
    "kling_usd_per_second.kling-2.6.720p": "0.042",
    "kling_usd_per_second.kling-2.6.1080p": "0.07",
    "kling_usd_per_second.kling-3.0.720p": "0.084",
    "kling_usd_per_second.kling-3.0.1080p": "0.112",
    "kling_usd_per_second.kling-3.0-turbo.720p": "0.112",
    "kling_usd_per_second.kling-3.0-turbo.1080p": "0.14",
    # ElevenLabs: speech by the thousand characters, effects each.
    "elevenlabs_usd_per_thousand_characters.eleven_multilingual_v2": "0.10",
    "elevenlabs_usd_per_thousand_characters.eleven_v3": "0.10",
    "elevenlabs_usd_per_thousand_characters.eleven_flash_v2_5": "0.05",
    "elevenlabs_effect_usd": "0.12",
    # ElevenLabs: a credit is a character of multilingual v2, so 1,000 of them cost what 1,000 characters do.
    "elevenlabs_usd_per_credit": "0.0001",
    # Ours, above every list: what is reserved for a call, over its price.
    "reservation_margin": "1.25",
}


def prices_of(table: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Decimal]]:
    """Yield every figure of a table with the way to it."""
    match table:
        case Decimal():
            yield ".".join(path), table
        case BaseModel():
            for name in type(table).model_fields:
                yield from prices_of(getattr(table, name), (*path, name))
        case dict():
            for name, value in table.items():
                yield from prices_of(value, (*path, name))


def test_every_price_is_the_one_of_the_providers_list_and_none_is_missing():
    assert dict(prices_of(PriceTable())) == {name: Decimal(price) for name, price in PRICE_LIST.items()}


def test_the_table_says_of_which_day_its_prices_are():
    assert PriceTable().as_of == date(2026, 11, 21)
