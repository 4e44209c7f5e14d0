"""What a person gets at the end: the film, its sheets, its facts, times and price; it must never show a file unread."""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import av
from rich.console import Console
from rich.table import Table

from film_making.failure import FilmError
from film_making.places import FILMS, shown
from videotask_contract.prices import PriceTable
from videotask_contract.resources import ChannelSpec, VideoTaskSpec
from videotask_contract.steps import Step
from videotask_operator.cli.prices import price_table
from videotask_operator.cli.progress import StepView, format_seconds, view_status
from videotask_operator.core.estimate import estimate_by_step, quality_of, total_usd

AFTER_DEMO = (
    ("FULL=1 make demo", "the house film: 22 images, 18 scenes"),
    ("make film", "the same on a real Kubernetes cluster, which it brings up here"),
)


def present(console: Console, *, name: str, status: Mapping[str, Any], volume: Path, made_seconds: float) -> None:
    """Copy film and sheets out of the volume, check them, and tell what they are and how long each part took."""
    FILMS.mkdir(exist_ok=True)
    film = status["film"]
    target = FILMS / f"{name}.mp4"
    shutil.copyfile(volume / film["path"], target)
    check_film(target, film)
    console.print()
    console.print(time_table(status, title=f"  Made in {format_seconds(made_seconds)}"))
    console.print(f"\n  film   {shown(target)}   {describe_film(target)}", soft_wrap=True)


def check_film(path: Path, film: Mapping[str, Any]) -> None:
    """Raise FilmError unless the copy is the very file that the status names."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != film["sha256"] or path.stat().st_size != film["sizeBytes"]:
        raise FilmError(f"{shown(path)} is not the film the status names ({film['sha256']}); fetch it again")


def describe_film(path: Path) -> str:
    """Return length, picture, sound and size of a film, as its own streams say."""
    with av.open(str(path)) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        seconds = (container.duration or 0) / av.time_base
        return (
            f"{seconds:.1f} s, {picture.codec_context.width}x{picture.codec_context.height} "
            f"{picture.codec_context.name.upper()}, {sound.codec_context.name.upper()} "
            f"{sound.codec_context.sample_rate / 1000:g} kHz, {path.stat().st_size / 1e6:.1f} MB"
        )


def time_table(status: Mapping[str, Any], *, title: str, before: Sequence[tuple[str, float]] = ()) -> Table:
    """Return how long each part took: what came before the film, then the six steps."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=False, padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column(justify="right")
    for part, seconds in before:
        table.add_row(part, "", format_seconds(seconds), "")
    for step in view_status(status, now=datetime.now(UTC)).steps:
        cost = f"${step.cost_usd:.4f}" if step.cost_usd else ""
        table.add_row(step.name, _count(step), format_seconds(step.seconds or 0), cost)
    return table


def _count(step: StepView) -> str:
    return "" if step.step is Step.VIDEO_ASSEMBLY else str(step.total)


def price(channel: ChannelSpec, task: VideoTaskSpec, *, title: str) -> Table:
    """Return what a film costs with the real providers, by step, at the dated table's prices."""
    prices = PriceTable()
    return price_table(
        estimate_by_step(task, channel, prices),
        quality=quality_of(task, channel),
        title=f"{title} (prices of {prices.as_of:%d %B %Y})",
    )


def price_in_words(channel: ChannelSpec, task: VideoTaskSpec) -> str:
    """Return the sum alone."""
    return f"about ${price_usd(channel, task):.2f}"


def price_usd(channel: ChannelSpec, task: VideoTaskSpec) -> Decimal:
    """Return the estimate in dollars."""
    return total_usd(estimate_by_step(task, channel, PriceTable()))


def next_commands(console: Console, commands: Sequence[tuple[str, str]]) -> None:
    """Tell what to type next."""
    width = max(len(command) for command, _ in commands)
    console.print("\n  Next:", style="bold")
    for command, words in commands:
        console.print(f"    {command:<{width}}   {words}", markup=False, soft_wrap=True)
