"""Tells a whole image or MP3 from one that breaks off, by the format's own end and by no code of the product."""

from __future__ import annotations

import json
from pathlib import Path

PNG, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
JPEG, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
# MPEG-1 layer III (ISO/IEC 11172-3, 2.4.2.3): kilobits a second by their index, and hertz by theirs.
_KILOBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_HERTZ = (44_100, 48_000, 32_000)


def ends_whole(path: Path) -> bool:
    """Tell whether the media in this file goes on to its format's end."""
    content = path.read_bytes()
    if content.startswith(PNG):
        return content.endswith(PNG_END)
    if content.startswith(JPEG):
        return content.endswith(JPEG_END)
    if content.startswith(b"{"):
        return _is_json(content)
    return _ends_with_a_frame(content)


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def _ends_with_a_frame(content: bytes) -> bool:
    """Walk from frame to frame: whole if the last one ends where the file does."""
    position = 0
    if content.startswith(b"ID3"):
        sizes = content[6:10]
        position = 10 + sum(size << shift for size, shift in zip(sizes, (21, 14, 7, 0), strict=False))
    frames = 0
    while position + 4 <= len(content):
        head = content[position : position + 4]
        if head[0] != 0xFF or head[1] & 0xFE != 0xFA:
            return False
        kilobits, hertz = _KILOBITS[head[2] >> 4], _HERTZ[head[2] >> 2 & 3]
        position += 144 * kilobits * 1000 // hertz + (head[2] >> 1 & 1)
        frames += 1
    return frames > 0 and position == len(content)
