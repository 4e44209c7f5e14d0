"""What a person gets at the end: the film, its sheets, its facts, times and price; it must never show a file unread."""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import av
from PIL import Image
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from film_making.failure import FilmError
from film_making.places import FILMS, shown
from videotask_contract.prices import PriceTable
from videotask_contract.resources import ChannelSpec, VideoTaskSpec
from videotask_contract.steps import Step
from videotask_operator.cli.prices import price_table
from videotask_operator.cli.progress import StepView, format_seconds, view_status
from videotask_operator.core.estimate import estimate_by_step, quality_of, total_usd
from videotask_steps.media.contact_sheet import before_after_sheet, contact_sheet, shots_of

AFTER_DEMO = (
    ("make demo FULL=1", "the house film, 22 images and 18 scenes"),
    ("make film", "the same on a real Kubernetes cluster, which is brought up here"),
)


def keep(
    film: Path, folder: Path, *, name: str, status: Mapping[str, Any], task: VideoTaskSpec, channel: ChannelSpec
) -> Path:
    """Copy the film to films/ once it is proved to be the one the status names, and draw its sheets from its folder."""
    target = copy_film(film, name=name, film=status["film"])
    frames_per_second = quality_of(task, channel).frame.frames_per_second
    shots = shots_of(folder, frames_per_second=frames_per_second)
    _save(contact_sheet(target, shots, title=task.title), sheet_of(target))
    _save(before_after_sheet(folder), composites_of(target))
    return target


def copy_film(source: Path, *, name: str, film: Mapping[str, Any]) -> Path:
    """Copy a film to films/ and return where it stands there; FilmError unless it is the one the status names."""
    FILMS.mkdir(exist_ok=True)
    # Under its name only when it is whole and proved: a bad copy that lies there looks like a film.
    with tempfile.TemporaryDirectory(dir=FILMS, prefix=".copy-") as folder:
        copy = Path(folder) / f"{name}.mp4"
        shutil.copyfile(source, copy)
        check_film(copy, film)
        return copy.replace(FILMS / copy.name)


def sheet_of(film: Path) -> Path:
    """Return where a film's contact sheet stands."""
    return film.with_name(f"{film.stem}-sheet.jpg")


def composites_of(film: Path) -> Path:
    """Return where a film's before-and-after sheet stands."""
    return film.with_name(f"{film.stem}-composites.jpg")


def tell_files(console: Console, film: Path) -> None:
    """Tell what was made and where it lies."""
    console.print()
    for words, path, facts in (
        ("film", film, describe_film(film)),
        ("contact sheet", sheet_of(film), "every scene: number, frame, seconds, narration"),
        ("composites", composites_of(film), "before and after: as made, cut out, in its scene"),
    ):
        console.print(f"{words:<14}{shown(path)}   {facts}", markup=False, soft_wrap=True)


def _save(picture: Image.Image, path: Path) -> None:
    picture.save(path, quality=88, optimize=True)


def settle_accounts(console: Console, recorded_usd: Decimal, billed_usd: Decimal) -> None:
    """Hold the recorded spend against the emulators' bill, the witness; FilmError when they differ."""
    if abs(recorded_usd - billed_usd) > Decimal("0.0001"):
        raise FilmError(f"the record says ${recorded_usd:.4f} was spent, the emulators' bill says ${billed_usd:.4f}")
    console.print(f"{'paid':<14}${recorded_usd:.4f} of play money, the same on the emulators' own bill")


def film_title(task: VideoTaskSpec) -> str:
    """Return a film's title and size in one line."""
    board = task.storyboard
    if board is None:
        return task.title
    return f"{task.title}  ({_many(len(board.assets), 'image')}, {_many(len(board.scenes), 'scene')})"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


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


def time_table(
    status: Mapping[str, Any],
    *,
    title: str,
    before: Sequence[tuple[str, float]] = (),
    after: Sequence[tuple[str, float]] = (),
) -> Group:
    """Return how long each part took: what came before the film, the six steps, what came after."""
    table = Table(box=None, show_header=False, padding=(0, 2))
    for justify in ("left", "right", "right", "right"):
        table.add_column(justify=justify)
    for part, seconds in before:
        table.add_row(part, "", format_seconds(seconds), "")
    for step in view_status(status, now=datetime.now(UTC)).steps:
        cost = f"${step.cost_usd:.4f}" if step.cost_usd else ""
        table.add_row(step.name, _count(step), format_seconds(step.seconds or 0), cost)
    for part, seconds in after:
        table.add_row(part, "", format_seconds(seconds), "")
    return Group(Text(title, style="bold"), table)


def _count(step: StepView) -> str:
    return "" if step.step is Step.VIDEO_ASSEMBLY else str(step.total)


def price(channel: ChannelSpec, task: VideoTaskSpec, *, title: str) -> Group:
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
    """Tell what to type next: what each command does, and the command on a line of its own, to be copied whole."""
    console.print("\nNext:", style="bold")
    for command, words in commands:
        console.print(f"  {words}:\n      {command}", markup=False, soft_wrap=True)
