"""The emulator's own price file, so that its bill is a witness and not an echo of whoever it bills."""

import json
import math
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One charge: the figure told to the caller, in the provider's unit, and what it is worth."""

    units: Decimal
    unit: str
    amount_usd: Decimal


class Prices:
    """The price table times a factor: the told figure is scaled and rounded up to its unit, and billed at its worth."""

    def __init__(self, table: dict[str, Any] | None = None) -> None:
        source = resources.files("videotask_emulators").joinpath("prices.json")
        self.table: dict[str, Any] = table or json.loads(source.read_text("utf-8"))
        self.factor = Decimal(1)

    def image_models(self) -> dict[str, Any]:
        """Return Gemini's image models with their tokens by image size."""
        return dict(self.table["gemini"]["image_models"])

    def text_models(self) -> dict[str, Any]:
        """Return Gemini's text models."""
        return dict(self.table["gemini"]["text_models"])

    def video_models(self) -> dict[str, Any]:
        """Return Kling's models with their dollars a second by resolution."""
        return dict(self.table["kling"]["usd_per_second"])

    def voice_models(self) -> dict[str, str]:
        """Return ElevenLabs' speech models with their credits a character."""
        return dict(self.table["elevenlabs"]["credits_per_character"])

    def image(self, model: str, image_size: str, factor: Decimal) -> Charge:
        """Return the charge of one image in output tokens; its prompt's tokens are in the price."""
        entry = self.image_models()[model]
        tokens = _scaled(Decimal(entry["tokens"][image_size]), factor * self.factor)
        worth = tokens * Decimal(entry["usd_per_million_tokens"]) / 1_000_000
        return Charge(units=Decimal(tokens), unit="output_tokens", amount_usd=worth)

    def text(self, model: str, prompt_tokens: int, output_tokens: int, factor: Decimal) -> tuple[int, int, Charge]:
        """Return the prompt and output tokens to tell, and their charge."""
        entry = self.text_models()[model]
        told_in = _scaled(Decimal(prompt_tokens), factor * self.factor)
        told_out = _scaled(Decimal(output_tokens), factor * self.factor)
        worth = told_in * Decimal(entry["usd_per_million_input_tokens"])
        worth += told_out * Decimal(entry["usd_per_million_output_tokens"])
        return told_in, told_out, Charge(units=Decimal(told_in + told_out), unit="tokens", amount_usd=worth / 1_000_000)

    def clip(self, model: str, resolution: str, seconds: int, factor: Decimal) -> Charge:
        """Return the charge of one clip, in dollars as Kling's billing tells them."""
        worth = Decimal(self.video_models()[model][resolution]) * seconds * factor * self.factor
        rounded = worth.quantize(Decimal("0.000001"))
        return Charge(units=Decimal(seconds), unit="seconds", amount_usd=rounded)

    def speech(self, model: str, characters: int, factor: Decimal) -> Charge:
        """Return the charge of one spoken text, in credits."""
        return self._credits(Decimal(self.voice_models()[model]) * characters, factor)

    def sound_effect(self, factor: Decimal) -> Charge:
        """Return the charge of one sound effect, in credits."""
        return self._credits(Decimal(self.table["elevenlabs"]["credits_per_sound_effect"]), factor)

    def _credits(self, credits_: Decimal, factor: Decimal) -> Charge:
        told = Decimal(_scaled(credits_, factor * self.factor))
        worth = told * Decimal(self.table["elevenlabs"]["usd_per_credit"])
        return Charge(units=told, unit="credits", amount_usd=worth)


def _scaled(units: Decimal, factor: Decimal) -> int:
    return math.ceil(units * factor)
