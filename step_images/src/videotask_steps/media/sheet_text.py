"""Text on contact sheets: a font that has the letters, and lines that fit; it must never cut a word it need not."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from PIL import ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_CANDIDATES: Final = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansArabic-Regular.ttf",
    "NotoSansHebrew-Regular.ttf",
    "FreeSans.ttf",
    "Arial.ttf",
)
"""Looked for on the machine when Pillow's own font, which is Latin alone, lacks a letter."""
_NO_SUCH_LETTER: Final = "\U0010fffe"


def font_for(text: str, size: int) -> Font:
    """Return Pillow's own font, or one of this machine's that has all letters of the text where there is one."""
    own = _own(size)
    if _has_all(own, text):
        return own
    return next((font for font in _installed(size) if _has_all(font, text)), own)


def wrapped(draw: ImageDraw.ImageDraw, text: str, font: Font, *, width: int, lines: int) -> list[str]:
    """Return at most so many lines no wider than `width` pixels; what does not fit ends in an ellipsis."""
    made: list[str] = []
    line = ""
    for word in _pieces(text):
        longer = f"{line}{word}"
        if draw.textlength(longer.strip(), font) <= width or not line.strip():
            line = longer
            continue
        made.append(line.strip())
        line = word.lstrip()
    made.append(line.strip())
    if len(made) <= lines:
        return made
    last = made[lines - 1]
    while last and draw.textlength(f"{last}…", font) > width:
        last = last[:-1].rstrip()
    return [*made[: lines - 1], f"{last}…"]


def _pieces(text: str) -> list[str]:
    """Return what may stand on a line of its own: words with the space after them, or letters of scripts without."""
    pieces: list[str] = []
    for word in " ".join(text.split()).split(" "):
        pieces += [*word[:-1], f"{word[-1:]} "] if _is_unspaced(word) else [f"{word} "]
    return pieces


def _is_unspaced(word: str) -> bool:
    return any("\u3040" <= letter <= "\u9fff" or "\u0e00" <= letter <= "\u0e7f" for letter in word)


def _has_all(font: Font, text: str) -> bool:
    missing = _drawn(font, _NO_SUCH_LETTER)
    return all(_drawn(font, letter) != missing for letter in set(text) if not letter.isspace())


def _drawn(font: Font, letter: str) -> bytes:
    mask = font.getmask(letter)
    return bytes(mask) + bytes(mask.size[0] % 256 for _ in range(1))


@lru_cache(maxsize=32)
def _own(size: int) -> Font:
    return ImageFont.load_default(size)


@lru_cache(maxsize=8)
def _installed(size: int) -> tuple[Font, ...]:
    found: list[Font] = []
    for name in _CANDIDATES:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:
            continue
    return tuple(found)
