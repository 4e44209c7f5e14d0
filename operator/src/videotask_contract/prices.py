"""The dated price table and the upper bounds it gives; a setting everywhere, since vendors change prices."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Usd = Annotated[Decimal, Field(ge=0, max_digits=14, decimal_places=8)]
"""US dollars; never a float."""


class TokenPrice(BaseModel):
    """Dollars per million tokens of a text model."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    input_usd_per_million: Usd
    output_usd_per_million: Usd


class ImagePrice(BaseModel):
    """Dollars of one image by size, and what one output token costs (the provider's usage is in tokens)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    usd_by_size: dict[str, Usd]
    output_usd_per_million: Usd


class PriceTable(BaseModel):
    """What we expect to pay; what was paid comes from the provider's own figures.

    Source: third-party price lists as of `as_of`; every figure can be overridden in the chart's values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    as_of: date = date(2026, 11, 21)
    gemini_images: dict[str, ImagePrice] = {
        "gemini-nano-banana-2.1": ImagePrice(
            usd_by_size={"1K": Decimal("0.0336"), "2K": Decimal("0.0504"), "4K": Decimal("0.113")},
            output_usd_per_million=Decimal(30),
        ),
        "gemini-3-pro-image": ImagePrice(
            usd_by_size={"1K": Decimal("0.134"), "2K": Decimal("0.134")},
            output_usd_per_million=Decimal(120),
        ),
    }
    gemini_texts: dict[str, TokenPrice] = {
        "gemini-3.8-flash": TokenPrice(input_usd_per_million=Decimal("0.75"), output_usd_per_million=Decimal("3.75")),
    }
    kling_usd_per_second: dict[str, dict[str, Usd]] = {
        "kling-2.5-turbo": {"720p": Decimal("0.042"), "1080p": Decimal("0.07")},
        "kling-2.6": {"720p": Decimal("0.042"), "1080p": Decimal("0.07")},
        "kling-3.0": {"720p": Decimal("0.084"), "1080p": Decimal("0.112")},
        "kling-3.0-turbo": {"720p": Decimal("0.112"), "1080p": Decimal("0.14")},
    }
    elevenlabs_usd_per_thousand_characters: dict[str, Usd] = {
        "eleven_multilingual_v2": Decimal("0.10"),
        "eleven_v3": Decimal("0.10"),
        "eleven_flash_v2_5": Decimal("0.05"),
    }
    elevenlabs_effect_usd: Usd = Decimal("0.12")
    elevenlabs_usd_per_credit: Usd = Decimal("0.0001")
    """The plan's dollars per credit; character-cost headers are in credits."""
    reservation_margin: Decimal = Field(default=Decimal("1.25"), ge=1)
    """Upper bound of a call = its table price times this: providers may bill off our table."""


def image_usd(table: PriceTable, *, model: str, size: str) -> Decimal:
    """Return the table price of one image; KeyError names an unknown model or size."""
    return table.gemini_images[model].usd_by_size[size]


def storyboard_usd(table: PriceTable, *, model: str, input_tokens: int = 6_000, output_tokens: int = 24_000) -> Decimal:
    """Return the price of one storyboard, by default its upper bound (an 18-scene board is about 9,000 tokens)."""
    price = table.gemini_texts[model]
    per_million = input_tokens * price.input_usd_per_million + output_tokens * price.output_usd_per_million
    return per_million / 1_000_000


def clip_usd(table: PriceTable, *, model: str, resolution: str, seconds: int) -> Decimal:
    """Return the table price of one clip; KeyError names an unknown model or resolution."""
    return table.kling_usd_per_second[model][resolution] * seconds


def narration_usd(table: PriceTable, *, model: str, characters: int) -> Decimal:
    """Return the table price of one narration of so many characters."""
    return table.elevenlabs_usd_per_thousand_characters[model] * characters / 1000


def upper_bound_usd(table: PriceTable, price_usd: Decimal) -> Decimal:
    """Return what is reserved for a call of this table price."""
    return price_usd * table.reservation_margin
