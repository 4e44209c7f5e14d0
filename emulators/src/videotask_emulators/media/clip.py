"""Renders an H.264 clip that begins with the posted first frame and then moves: slow camera, drifting light, dust."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray
from PIL import Image

Plane = NDArray[np.uint8]
ClipSpoil = Literal["", "black_clip", "frozen_clip", "short_clip", "wrong_aspect"]

_OVERSAMPLE = 1.5
_MAX_ZOOM = 0.16


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipOrder:
    """A clip to render: `first_frame` is a JPEG or PNG, `short_side` 720 or 1080 pixels, the result goes to `path`."""

    first_frame: Path
    path: Path
    seconds: int
    short_side: int
    frames_per_second: int
    seed: int
    multi_shot: bool
    spoil: ClipSpoil = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A rendered clip's facts; the duration is that of its frames, in seconds."""

    width: int
    height: int
    frames: int
    duration_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Camera:
    """Where the camera goes: the share of the frame that it closes in on, and towards which point (0 to 1)."""

    zoom: float
    to_x: float
    to_y: float
    outwards: bool

    def box(self, share: float, width: int, height: int) -> tuple[int, int, int, int]:
        """Return (left, top, width, height) of what is seen at `share` of the shot, in pixels of the large frame."""
        ease = share * share * (3 - 2 * share)
        amount = self.zoom * ((1 - ease) if self.outwards else ease)
        wide, tall = width - round(width * amount), height - round(height * amount)
        return round((width - wide) * self.to_x), round((height - tall) * self.to_y), wide, tall


def clip_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Return the clip's size for a first frame of (width, height): its shape, with the area of 16:9 at `short_side`."""
    area = short_side * short_side * 16 / 9
    shape = min(2.5, max(0.4, width / height))
    if abs(shape - 16 / 9) < 0.02:  # noqa: PLR2004 - as good as 16:9
        return short_side * 16 // 9, short_side
    tall = (area / shape) ** 0.5
    return round(tall * shape / 8) * 8, round(tall / 8) * 8


def render_clip(order: ClipOrder) -> Clip:
    """Write the clip and return its facts; 241 frames make 10 s at 24 frames a second, as the real one's 10.041 s."""
    with Image.open(order.first_frame) as opened:
        frame = opened.convert("RGB")
    width, height = clip_size(frame.width, frame.height, order.short_side)
    if order.spoil == "wrong_aspect":
        width, height = height, width
    rng = np.random.default_rng(order.seed)
    count = order.seconds * order.frames_per_second + 1
    if order.spoil == "short_clip":
        count = max(2, count // 3)
    still = frame.resize((width, height), Image.Resampling.LANCZOS) if frame.size != (width, height) else frame
    if order.spoil == "black_clip":
        still = Image.new("RGB", (width, height))
    shots = _plan(rng, count, multi_shot=order.multi_shot)
    _write(order, still, shots, rng, frozen=order.spoil in {"frozen_clip", "black_clip"})
    return Clip(width=width, height=height, frames=count, duration_seconds=count / order.frames_per_second)


def _plan(rng: np.random.Generator, count: int, *, multi_shot: bool) -> list[tuple[int, _Camera, bool]]:
    """Return the shots as (frames, camera, mirrored): one, or three with visible cuts."""

    def camera(*, first: bool) -> _Camera:
        return _Camera(
            zoom=float(rng.uniform(0.09, _MAX_ZOOM)),
            to_x=float(rng.uniform(0.15, 0.85)),
            to_y=float(rng.uniform(0.3, 0.7)),
            outwards=not first and bool(rng.random() < 0.5),  # noqa: PLR2004 - a coin
        )

    if not multi_shot:
        return [(count, camera(first=True), False)]
    third = count // 3
    return [
        (third, camera(first=True), False),
        (third, camera(first=False), True),
        (count - 2 * third, camera(first=False), False),
    ]


def _write(
    order: ClipOrder,
    still: Image.Image,
    shots: list[tuple[int, _Camera, bool]],
    rng: np.random.Generator,
    *,
    frozen: bool,
) -> None:
    width, height = still.size
    with av.open(str(order.path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream(
            "libx264", rate=order.frames_per_second,
            options={"preset": "ultrafast", "tune": "zerolatency", "crf": "25", "threads": "1", "g": "120"},
        )  # fmt: skip
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.color_range = 1
        stream.codec_context.colorspace = stream.codec_context.color_primaries = stream.codec_context.color_trc = 1
        number = 0
        for count, camera, mirrored in shots:
            shot = _Shot(still.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else still, camera, rng)
            for index in range(count):
                frame = shot.first if number == 0 or frozen else shot.frame_at(index / max(1, count - 1))
                frame.pts = number
                number += 1
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


class _Shot:
    """One camera move over one still, on the planes of a larger frame, so that parts of a pixel count."""

    def __init__(self, still: Image.Image, camera: _Camera, rng: np.random.Generator) -> None:
        self._camera = camera
        self._size = still.size
        self._reformatter = VideoReformatter()
        self.first = self._to_yuv(still)
        large = still.resize((_even(still.width), _even(still.height)), Image.Resampling.BICUBIC)
        self._planes = _planes_of(self._to_yuv(large))
        self._glow = self._light(rng)
        self._dust = rng.random((46, 4))
        self._phase = float(rng.uniform(1.5, 3.5))

    def frame_at(self, share: float) -> av.VideoFrame:
        """Return the frame at `share` (0 to 1) of the shot."""
        width, height = self._size
        large_height, large_width = self._planes[0].shape
        left, top, wide, tall = self._camera.box(share, large_width, large_height)
        seen = av.VideoFrame(wide - wide % 2, tall - tall % 2, "yuv420p")
        for plane, source, step in zip(seen.planes, self._planes, (1, 2, 2), strict=True):
            target = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # type: ignore[call-overload]
            rows, columns = plane.height, plane.width
            y, x = top // step, left // step
            target[:rows, :columns] = source[y : y + rows, x : x + columns]
        frame = self._reformatter.reformat(seen, width, height, "yuv420p", interpolation=Interpolation.FAST_BILINEAR)
        self._relight(frame, share)
        return frame

    def _to_yuv(self, image: Image.Image) -> av.VideoFrame:
        frame = av.VideoFrame.from_image(image)  # type: ignore[no-untyped-call]
        return self._reformatter.reformat(
            frame,
            image.width,
            image.height,
            "yuv420p",
            dst_colorspace=Colorspace.ITU709,
            interpolation=Interpolation.BICUBIC,
        )

    def _light(self, rng: np.random.Generator) -> Plane:
        """Return a soft patch of light, three sizes of the frame wide, that slides over it."""
        width, height = self._size
        x = np.linspace(-2, 2, width * 2, dtype=np.float32)[None, :]
        y = np.linspace(-1.2, 1.2, height, dtype=np.float32)[:, None] - np.float32(rng.uniform(-0.4, 0.4))
        return (np.exp(-(x**2) * 2.2 - y**2) * 20).astype(np.uint8)

    def _relight(self, frame: av.VideoFrame, share: float) -> None:
        """Let light drift over the frame and dust float through it, on the luma plane alone; nothing at share 0."""
        width, height = self._size
        plane = frame.planes[0]
        luma = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height, :width]  # type: ignore[call-overload]
        start = round((0.5 + 0.5 * np.cos(share * self._phase)) * (width - 1))
        strength = min(1.0, share * 6)
        light = self._glow[:, start : start + width]
        if strength < 1:
            light = (light * strength).astype(np.uint8)
        np.add(luma, light, out=luma)
        np.minimum(luma, 235, out=luma)
        size = max(2, height // 240)
        for x, y, pace, glow in self._dust:
            column = int((x + share * (pace - 0.5) * 0.5) % 1 * (width - size))
            row = int((y - share * (0.06 + pace * 0.16)) % 1 * (height - size))
            patch = luma[row : row + size, column : column + size]
            np.copyto(patch, np.minimum(patch.astype(np.uint16) + int(55 * glow * strength), 235).astype(np.uint8))


def _even(pixels: int) -> int:
    return round(pixels * _OVERSAMPLE / 2) * 2


def _planes_of(frame: av.VideoFrame) -> tuple[Plane, ...]:
    return tuple(
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width].copy()  # type: ignore[call-overload]
        for plane in frame.planes
    )
