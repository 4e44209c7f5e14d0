"""Step 1: the storyboard where none is given, and one image for each asset; pays Gemini and nobody else."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from videotask_contract import layout
from videotask_contract.errors import BadInputError
from videotask_contract.prices import ImagePrice
from videotask_contract.steps import Provider, Step
from videotask_contract.storyboard import Asset, AssetKind
from videotask_contract.task_file import TaskFile
from videotask_steps.clients.gemini import GeminiClient, Usage
from videotask_steps.context import StepContext
from videotask_steps.credentials import provider_key, provider_settings
from videotask_steps.items import Call, Wanted, make_items
from videotask_steps.runner import main
from videotask_steps.storyboard_edits import edited_storyboard
from videotask_steps.storyboard_writer import write_storyboard
from videotask_steps.takes import asked_key, wanted_take

MIN_SIDE_PIXELS: Final = 480
"""The smaller side of a 1K image is 768 at 16:9; much less is not what was asked for."""


SIGNATURES: Final = {b"\x89PNG\r\n\x1a\n": ".png", b"\xff\xd8\xff": ".jpg"}
"""How a file of each kind begins (PNG specification 5.2; JPEG, ITU-T T.81 B.1.1.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """How a kind of asset is pictured."""

    aspect_ratio: str
    words: str
    """Added to the prompt."""

    @property
    def ratio(self) -> float:
        """Width divided by height."""
        width, height = self.aspect_ratio.split(":")
        return int(width) / int(height)


# The words match what composite_creation needs: a whole subject on a plain background can be cut out.
_PLAIN: Final = "Plain light grey background, solid background, soft even light, nothing cut off."
FRAMINGS: Final[dict[AssetKind, Framing]] = {
    AssetKind.CHARACTER: Framing(aspect_ratio="3:4", words=f"Full body, the entire subject in view. {_PLAIN}"),
    AssetKind.PROP: Framing(aspect_ratio="1:1", words=f"The entire object in view. {_PLAIN}"),
    AssetKind.ENVIRONMENT: Framing(aspect_ratio="16:9", words="No people, empty scene."),
}


async def work(context: StepContext) -> None:
    """Write storyboard.json, then make every image of it that is missing; no image where a person must look first."""
    task = context.task
    image_price(task)
    if task.storyboard is not None:
        context.save_storyboard(edited_storyboard(task, task.storyboard))
        if task.storyboard_only:
            return
    async with GeminiClient(provider_settings(task, Provider.GEMINI), provider_key(Provider.GEMINI)) as client:
        if task.storyboard is None:
            context.progress.start(0 if task.storyboard_only else task.asset_count, "writing the storyboard")
            context.save_storyboard(edited_storyboard(task, await write_storyboard(context, client)))
            if task.storyboard_only:
                return
        assets = context.storyboard.assets
        context.progress.start(len(assets), "making images")
        await make_items(context, [_wanted(context, asset, client) for asset in assets])


def image_prompt(asset: Asset, *, style: str) -> str:
    """Return what is asked of the image model for this asset."""
    style_words = f" Style: {style.strip()}" if style.strip() else ""
    return f"{asset.prompt.strip()}{style_words}\n{FRAMINGS[asset.kind].words}"


def image_price(task: TaskFile) -> ImagePrice:
    """Return the price of the images asked for; BadInputError names a model or size the table does not know."""
    quality = task.quality
    price = task.prices.gemini_images.get(quality.image_model)
    if price is None or quality.image_size not in price.usd_by_size:
        raise BadInputError(
            f"quality: the price table knows no image of {quality.image_model} at {quality.image_size}; "
            f"it knows {', '.join(sorted(task.prices.gemini_images))}",
        )
    return price


def suffix_of(content: bytes) -> str:
    """Return the suffix by what the bytes are, whatever they were said to be; the probe refuses what is neither."""
    return next((suffix for start, suffix in SIGNATURES.items() if content.startswith(start)), ".png")


def _wanted(context: StepContext, asset: Asset, client: GeminiClient) -> Wanted:
    task = context.task
    quality, framing, price = task.quality, FRAMINGS[asset.kind], image_price(task)
    prompt = image_prompt(asset, style=task.look.style)

    async def make(call: Call) -> str:
        def on_usage(usage: Usage) -> None:
            # Input tokens are not charged for images in our table.
            call.charged(usage.output_tokens * price.output_usd_per_million / Decimal(1_000_000))

        content = await client.make_image(
            model=quality.image_model,
            prompt=prompt,
            aspect_ratio=framing.aspect_ratio,
            size=quality.image_size,
            on_usage=on_usage,
        )
        return call.keep(content, suffix_of(content))

    def probe(path: Path) -> None:
        from videotask_steps.media.image_probe import check_image  # noqa: PLC0415  slow: the calls go first

        check_image(
            path,
            item=asset.name,
            aspect_ratio=framing.ratio,
            min_width=MIN_SIDE_PIXELS,
            min_height=MIN_SIDE_PIXELS,
        )

    return Wanted(
        item=asset.name,
        label=f"{asset.kind.value} {asset.name}",
        key=asked_key(
            context,
            asset.name,
            prompt=prompt,
            model=quality.image_model,
            size=quality.image_size,
            aspect=framing.aspect_ratio,
        ),
        model=quality.image_model,
        price_usd=price.usd_by_size[quality.image_size],
        path=lambda take, suffix: _path(asset, take, suffix),
        suffixes=tuple(SIGNATURES.values()),
        make=make,
        probe=probe,
        chosen_take=wanted_take(context, asset.name),
    )


def _path(asset: Asset, take: int, suffix: str) -> str:
    return layout.asset_stem(asset) + ("" if take == 1 else f".take{take}") + suffix


if __name__ == "__main__":
    main(Step.ASSET_GENERATION, work)
