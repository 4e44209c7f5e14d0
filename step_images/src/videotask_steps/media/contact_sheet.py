"""One picture that shows a whole film, and one that shows how its composites came about; neither changes a file.

By hand: python -m videotask_steps.media.contact_sheet FOLDER contact-sheet.png [--before-after before-after.png]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np
from PIL import Image, ImageDraw

from videotask_contract import layout
from videotask_contract.errors import PermanentError, VideoTaskError
from videotask_contract.steps import Step
from videotask_contract.storyboard import AssetKind, Storyboard
from videotask_contract.timing import scene_frames
from videotask_steps.ledger import read_ledger
from videotask_steps.media.audio_probe import decode_sound
from videotask_steps.media.sheet_text import font_for, wrapped

THUMBNAIL: Final = (480, 270)
"""Pixels of one scene's frame; other aspects are fitted into it."""
_GAP: Final = 28
_LINE: Final = 25
_MOST_LINES: Final = 4
_HEADER: Final = 96
_COLUMNS: Final = {1: 1, 2: 2, 3: 3, 4: 2, 5: 3, 6: 3, 7: 3, 8: 3, 9: 3}
_MANY_COLUMNS: Final = 4
_PAPER: Final = (20, 22, 28)
_INK: Final = (236, 238, 242)
_FAINT: Final = (142, 150, 164)
_BADGE: Final = (245, 182, 66)
_CHECKS: Final = ((196, 198, 204), (232, 234, 238))
_CHECK_SIZE: Final = 18
_PANEL: Final = (520, 520)
_PANEL_PAPER: Final = (31, 34, 42)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One scene on the sheet."""

    number: str
    start_seconds: float
    seconds: float
    narration: str


def shots_of(folder: Path, *, frames_per_second: int = 30) -> list[Shot]:
    """Return the scenes of a task folder with their places in the film, counted from the decoded narrations."""
    storyboard = _storyboard(folder)
    spoken = read_ledger(folder, Step.NARRATION_GENERATION).current_items()
    shots: list[Shot] = []
    frames_before = 0
    for position, scene in enumerate(storyboard.scenes, start=1):
        number = layout.scene_number(position)
        if number not in spoken:
            raise PermanentError(f"scene {number} has no narration yet; the sheet needs a finished film", item=number)
        sound = decode_sound(folder / (spoken[number].path or ""), item=number)
        frames = scene_frames(narration_seconds=sound.duration_seconds, frames_per_second=frames_per_second)
        shots.append(
            Shot(
                number=number,
                start_seconds=frames_before / frames_per_second,
                seconds=frames / frames_per_second,
                narration=scene.narration,
            ),
        )
        frames_before += frames
    return shots


def contact_sheet(film: Path, shots: Sequence[Shot], *, title: str) -> Image.Image:
    """Return a grid of all scenes: number, a frame from two fifths into it, its seconds, what is said."""
    columns = _COLUMNS.get(len(shots), _MANY_COLUMNS)
    rows = -(-len(shots) // columns)
    captions = [_lines(shot) for shot in shots]
    cell_height = THUMBNAIL[1] + 12 + _LINE * max(len(lines) for lines in captions)
    width = _GAP + columns * (THUMBNAIL[0] + _GAP)
    sheet = Image.new("RGB", (width, _HEADER + rows * (cell_height + _GAP)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    _write_header(draw, title, shots, width=width)
    pictures = _frames_at(film, [shot.start_seconds + 0.4 * shot.seconds for shot in shots])
    for index, (shot, picture) in enumerate(zip(shots, pictures, strict=True)):
        left = _GAP + index % columns * (THUMBNAIL[0] + _GAP)
        top = _HEADER + index // columns * (cell_height + _GAP)
        _paste_rounded(sheet, _fitted(picture, THUMBNAIL), (left, top))
        _write_caption(draw, shot, captions[index], left=left, top=top)
    return sheet


def before_after_sheet(folder: Path, *, most: int = 8) -> Image.Image:
    """Return a row for each character or prop: its image as made, its matte over checks, a composite it stands in."""
    # Imported here: cutting needs SciPy, which the assembly's image does without.
    from videotask_steps.media.cutout import cut_out  # noqa: PLC0415

    storyboard = _storyboard(folder)
    made = read_ledger(folder, Step.ASSET_GENERATION).current_items()
    scene_of = {
        name: layout.scene_number(position)
        for position, scene in reversed(list(enumerate(storyboard.scenes, start=1)))
        for name in scene.characters
    }
    names = [a.name for a in storyboard.assets if a.kind is not AssetKind.ENVIRONMENT and a.name in scene_of][:most]
    wide = round(_PANEL[1] * 16 / 9)
    width = _GAP * 4 + 2 * _PANEL[0] + wide
    sheet = Image.new("RGB", (width, _HEADER + max(1, len(names)) * (_PANEL[1] + _GAP + 30)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    lefts = (_GAP, 2 * _GAP + _PANEL[0], 3 * _GAP + 2 * _PANEL[0])
    for left, words in zip(lefts, ("image as made", "cut out", "composite"), strict=True):
        draw.text((left, 34), words, fill=_INK, font=font_for(words, 28))
    for index, name in enumerate(names):
        top = _HEADER + index * (_PANEL[1] + _GAP + 30)
        with Image.open(folder / (made[name].path or "")) as opened:
            picture = opened.convert("RGB")
        subject = cut_out(picture, asset=name).image
        composite = Image.open(folder / layout.composite(scene_of[name])).convert("RGB")
        panels = (
            _fitted(picture, _PANEL),
            _fitted(_over_checks(subject), _PANEL),
            _fitted(composite, (wide, _PANEL[1])),
        )
        for left, panel in zip(lefts, panels, strict=True):
            _paste_rounded(sheet, panel, (left, top))
        draw.text((lefts[0], top + _PANEL[1] + 6), name, fill=_FAINT, font=font_for(name, 20))
        draw.text((lefts[2], top + _PANEL[1] + 6), f"scene {scene_of[name]}", fill=_FAINT, font=font_for("scene", 20))
    return sheet


def _storyboard(folder: Path) -> Storyboard:
    return Storyboard.model_validate_json((folder / layout.STORYBOARD).read_bytes())


def _frames_at(film: Path, moments: Sequence[float]) -> list[Image.Image]:
    """Return the film's frame at each moment (seconds)."""
    pictures = []
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for moment in moments:
            container.seek(int(moment * av.time_base))
            picture = None
            for frame in container.decode(stream):
                picture = frame
                if frame.time is not None and frame.time >= moment:
                    break
            if picture is None:
                raise PermanentError(f"{film.name} has no frame at {moment:.2f} s")
            pictures.append(Image.fromarray(picture.to_ndarray(format="rgb24")))
    return pictures


def _write_header(draw: ImageDraw.ImageDraw, title: str, shots: Sequence[Shot], *, width: int) -> None:
    seconds = sum(shot.seconds for shot in shots)
    facts = f"{len(shots)} scenes   {int(seconds // 60)}:{seconds % 60:04.1f} min"
    facts_font = font_for(facts, 22)
    room = width - 3 * _GAP - int(draw.textlength(facts, facts_font))
    font = font_for(title, 34)
    draw.text((_GAP, 30), wrapped(draw, title, font, width=room, lines=1)[0], fill=_INK, font=font)
    draw.text((width - _GAP, 42), facts, fill=_FAINT, font=facts_font, anchor="ra")


def _lines(shot: Shot) -> list[str]:
    """Return the narration in lines that leave room for the seconds beside them."""
    seconds = _seconds(shot)
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    room = THUMBNAIL[0] - int(ruler.textlength(seconds, font_for(seconds, 18))) - 20
    return wrapped(ruler, shot.narration, font_for(shot.narration, 20), width=room, lines=_MOST_LINES)


def _seconds(shot: Shot) -> str:
    return f"{shot.seconds:.1f} s"


def _write_caption(draw: ImageDraw.ImageDraw, shot: Shot, lines: Sequence[str], *, left: int, top: int) -> None:
    draw.rounded_rectangle((left + 12, top + 12, left + 60, top + 46), 8, fill=_BADGE)
    draw.text((left + 36, top + 29), shot.number, fill=_PAPER, font=font_for(shot.number, 22), anchor="mm")
    below = top + THUMBNAIL[1] + 12
    seconds = _seconds(shot)
    draw.text((left + THUMBNAIL[0], below + 2), seconds, fill=_FAINT, font=font_for(seconds, 18), anchor="ra")
    for row, line in enumerate(lines):
        draw.text((left + 2, below + row * _LINE), line, fill=_INK, font=font_for(shot.narration, 20))


def _paste_rounded(sheet: Image.Image, picture: Image.Image, place: tuple[int, int]) -> None:
    # Drawn large and reduced, so that the corners are smooth.
    mask = Image.new("L", (picture.width * 2, picture.height * 2))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, mask.width - 1, mask.height - 1), 20, fill=255)
    sheet.paste(picture, place, mask.resize(picture.size, Image.Resampling.BOX))


def _fitted(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the picture inside this size, whole, on plain paper where its aspect differs."""
    scale = min(size[0] / picture.width, size[1] / picture.height)
    small = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
    if small.size == size:
        return small
    panel = Image.new("RGB", size, _PANEL_PAPER)
    panel.paste(small, ((size[0] - small.width) // 2, (size[1] - small.height) // 2))
    return panel


def _over_checks(subject: Image.Image) -> Image.Image:
    rows, columns = np.indices((subject.height, subject.width)) // _CHECK_SIZE
    checks = Image.fromarray(np.array(_CHECKS, dtype=np.uint8)[(rows + columns) % 2])
    checks.paste(subject, (0, 0), subject)
    return checks


def main() -> int:
    """Make the sheets of a finished task folder from the command line."""
    parser = argparse.ArgumentParser(prog="contact_sheet", description=__doc__)
    parser.add_argument("folder", type=Path, help="the task's folder on the channel's volume")
    parser.add_argument("target", type=Path, help="PNG to write")
    parser.add_argument("--title", default="")
    parser.add_argument("--frames-per-second", type=int, default=30)
    parser.add_argument("--before-after", type=Path, help="also write the sheet of images, cut-outs and composites")
    given = parser.parse_args()
    try:
        shots = shots_of(given.folder, frames_per_second=given.frames_per_second)
        title = given.title or given.folder.resolve().name
        contact_sheet(given.folder / layout.FILM, shots, title=title).save(given.target)
        if given.before_after is not None:
            before_after_sheet(given.folder).save(given.before_after)
    except VideoTaskError as error:
        parser.exit(1, f"{error.message}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
