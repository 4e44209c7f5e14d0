"""A see-through sheet on which figures and props are drawn part by part, each part rounded by its own shade."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from videotask_emulators.media.colour import Colour, scale, to_bytes

Point = tuple[float, float]


class Cutout:
    """An RGBA drawing in its own units: (0, 0) is left and top, `unit` pixels make 1.0."""

    def __init__(self, width: float, height: float, unit: float) -> None:
        self.unit = unit
        self.size = (round(width * unit), round(height * unit))
        self.colours = Image.new("RGB", self.size)
        self.alpha = Image.new("L", self.size)

    def blob(self, box: tuple[float, float, float, float], colour: Colour, *, shade: float = 0.35) -> None:
        """Draw a rounded ellipse that fills the box (left, top, right, bottom)."""
        self._part([("ellipse", [(box[0], box[1]), (box[2], box[3])], 0.0)], colour, shade)

    def block(self, points: Sequence[Point], colour: Colour, *, shade: float = 0.35, soften: float = 0.0) -> None:
        """Draw a polygon; `soften` rounds its corners by that radius."""
        self._part([("polygon", list(points), soften)], colour, shade)

    def limb(self, points: Sequence[Point], widths: Sequence[float], colour: Colour, *, shade: float = 0.35) -> None:
        """Draw a smooth tapering limb through the points; `widths` are the half widths at them."""
        path = smooth_path(points, 36)
        sizes = np.interp(np.linspace(0, 1, len(path)), np.linspace(0, 1, len(widths)), widths)
        self._part([("disc", [point], float(size)) for point, size in zip(path, sizes, strict=True)], colour, shade)

    def strand(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """Draw a thin line, as a hair or a string; `width` is its whole width."""
        self._part([("line", smooth_path(points, 20), width)], colour, 0.0)

    def ring(self, box: tuple[float, float, float, float], width: float, colour: Colour) -> None:
        """Draw the outline of an ellipse: what is inside stays a hole."""
        self._part([("ring", [(box[0], box[1]), (box[2], box[3])], width)], colour, 0.2)

    def finished(self, width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the colours (height, width, 3) and the alpha (height, width), both 0 to 1, at the size asked for."""
        alpha = self.alpha.resize((width, height), Image.Resampling.BOX)
        weight = np.asarray(self.alpha, dtype=np.float32)[..., None] / 255
        bare = np.asarray(self.colours, dtype=np.float32) * weight
        planes = [Image.fromarray(np.ascontiguousarray(bare[..., index])) for index in range(3)]
        shrunk = [np.asarray(plane.resize((width, height), Image.Resampling.BOX)) for plane in planes]
        cover = np.asarray(alpha, dtype=np.float32) / 255
        colours = np.stack(shrunk, axis=-1) / 255 / np.maximum(cover, 1e-3)[..., None]
        return np.clip(colours, 0, 1).astype(np.float32), np.asarray(cover, dtype=np.float32)

    def _part(
        self,
        shapes: Sequence[tuple[Literal["ellipse", "polygon", "disc", "line", "ring"], Sequence[Point], float]],
        colour: Colour,
        shade: float,
    ) -> None:
        every = [point for _, points, _ in shapes for point in points]
        margin = (max((size for *_, size in shapes), default=0.0)) * self.unit + 3
        left = int(max(0, min(x for x, _ in every) * self.unit - margin))
        top = int(max(0, min(y for _, y in every) * self.unit - margin))
        right = int(min(self.size[0], max(x for x, _ in every) * self.unit + margin))
        bottom = int(min(self.size[1], max(y for _, y in every) * self.unit + margin))
        if right <= left or bottom <= top:
            return
        mask = Image.new("L", (right - left, bottom - top))
        for kind, points, size in shapes:
            _draw(mask, kind, [(x * self.unit - left, y * self.unit - top) for x, y in points], size * self.unit)
        paint: Image.Image = Image.new("RGB", mask.size, to_bytes(colour))
        if shade:
            paint = _rounded(mask, colour, shade)
        self.colours.paste(paint, (left, top), mask)
        part = self.alpha.crop((left, top, right, bottom))
        self.alpha.paste(ImageChops.lighter(part, mask), (left, top))


def smooth_path(points: Sequence[Point], count: int) -> list[Point]:
    """Return `count` points along a smooth curve through all the given points (Catmull-Rom)."""
    if len(points) == 2:  # noqa: PLR2004 - two points make a straight line
        steps = np.linspace(0, 1, count)
        (x1, y1), (x2, y2) = points
        return [(x1 + (x2 - x1) * float(step), y1 + (y2 - y1) * float(step)) for step in steps]
    known = np.asarray([points[0], *points, points[-1]], dtype=np.float64)
    path: list[Point] = []
    for place in np.linspace(0, len(points) - 1.0001, count):
        start, share = int(place), float(place % 1)
        before, first, second, after = known[start : start + 4]
        curve = 0.5 * (
            2 * first
            + (second - before) * share
            + (2 * before - 5 * first + 4 * second - after) * share**2
            + (3 * first - before - 3 * second + after) * share**3
        )
        path.append((float(curve[0]), float(curve[1])))
    return path


def _draw(mask: Image.Image, kind: str, points: Sequence[Point], size: float) -> None:
    draw = ImageDraw.Draw(mask)
    match kind:
        case "ellipse":
            draw.ellipse([*points[0], *points[1]], fill=255)
        case "ring":
            draw.ellipse([*points[0], *points[1]], outline=255, width=max(2, round(size)))
        case "disc":
            x, y = points[0]
            draw.ellipse([x - size, y - size, x + size, y + size], fill=255)
        case "line":
            draw.line(list(points), fill=255, width=max(2, round(size)), joint="curve")
        case _:
            draw.polygon(list(points), fill=255)
            if size:
                rounded = mask.filter(ImageFilter.GaussianBlur(size)).point(lambda value: 255 if value > 127 else 0)  # noqa: PLR2004
                mask.paste(rounded)


def _rounded(mask: Image.Image, colour: Colour, shade: float) -> Image.Image:
    """Return a paint that is lighter to the upper left and darker to the lower right of the mask."""
    reach = max(2.0, min(mask.size) * 0.16)
    step = round(reach * 0.55)
    soft = mask.resize((max(1, mask.width // 2), max(1, mask.height // 2))).filter(ImageFilter.BoxBlur(reach / 2))
    soft = soft.resize(mask.size, Image.Resampling.BILINEAR)
    lit = np.asarray(ImageChops.offset(soft, step, step), dtype=np.float32)
    shaded = np.asarray(ImageChops.offset(soft, -step, -step), dtype=np.float32)
    light = np.clip(1.0 + (shaded - lit) / 255 * shade, 0.45, 1.35)[..., None]
    base = np.asarray(scale(colour, 0.98), dtype=np.float32)
    return Image.fromarray((np.clip(base * light, 0, 1) * 255).astype(np.uint8))
