"""A float picture that layers are laid over, from far to near; it decides nothing about what is drawn."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from videotask_emulators.media.colour import Colour
from videotask_emulators.media.noise import Field

Point = tuple[float, float]


class Canvas:
    """A picture of (height, width, 3) floats of 0 to 1; positions are in pixels, sizes in shares of the height."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.pixels = np.zeros((height, width, 3), dtype=np.float32)
        self.rows = np.arange(height, dtype=np.float32)[:, None]
        self.columns = np.arange(width, dtype=np.float32)[None, :]

    def fill_gradient(self, top: Colour, bottom: Colour, *, end_row: int, power: float = 1.0) -> None:
        """Fill the whole picture with a vertical gradient that reaches `bottom` at `end_row`."""
        share = np.clip(self.rows / max(1, end_row), 0, 1) ** power
        self.pixels[:] = (_array(top) + (_array(bottom) - _array(top)) * share[..., None]).astype(np.float32)

    def lay(self, colour: Colour | NDArray[np.float32], mask: Field) -> None:
        """Lay a colour (or a picture of colours) over the canvas where the mask of 0 to 1 says so."""
        paint = colour if isinstance(colour, np.ndarray) else _array(colour)
        self.pixels += (paint - self.pixels) * mask[..., None]

    def lay_patch(self, colour: Colour, mask: Field, left: int, top: int) -> None:
        """Lay a colour over a part of the canvas; the mask is as large as the part."""
        part = self.pixels[top : top + mask.shape[0], left : left + mask.shape[1]]
        part += (_array(colour) - part) * mask[..., None]

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
        """Add light that falls off with the distance from (x, y); `radius` in pixels is where a third is left."""
        reach = int(radius * 4)
        left, right = max(0, int(x) - reach), min(self.width, int(x) + reach)
        top, bottom = max(0, int(y) - reach), min(self.height, int(y) + reach)
        if left >= right or top >= bottom:
            return
        square = (self.columns[:, left:right] - x) ** 2 + (self.rows[top:bottom] - y) ** 2
        fall = np.exp(-np.sqrt(square) / radius) - np.exp(-4.0)
        light = np.clip(fall, 0, 1).astype(np.float32)[..., None] * np.float32(strength)
        self.pixels[top:bottom, left:right] += light * _array(colour)

    def polygons(self, shapes: Sequence[Sequence[Point]], colour: Colour, *, opacity: float = 1.0) -> None:
        """Draw polygons of one colour with smooth edges."""
        self._stencil([point for shape in shapes for point in shape], colour, opacity, polygons=shapes)

    def ellipse(self, box: tuple[float, float, float, float], colour: Colour, *, opacity: float = 1.0) -> None:
        """Draw an ellipse that fills `box` (left, top, right, bottom) with smooth edges."""
        self._stencil([(box[0], box[1]), (box[2], box[3])], colour, opacity, ellipse=box)

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Draw an upright rectangle with smooth edges."""
        self.polygons([[(left, top), (right, top), (right, bottom), (left, bottom)]], colour)

    def line(self, points: Sequence[Point], colour: Colour, thickness: float, *, opacity: float = 1.0) -> None:
        """Draw a line of `thickness` pixels through the points."""
        self._stencil(points, colour, opacity, line=points, thickness=thickness)

    def blur_behind(self, radius: float) -> None:
        """Blur all that is there, as air does with distance; `radius` in pixels."""
        image = self.to_image().filter(ImageFilter.GaussianBlur(radius))
        self.pixels = np.asarray(image, dtype=np.float32) / np.float32(255)

    def to_image(self) -> Image.Image:
        """Return the picture as 8-bit RGB."""
        return Image.fromarray((np.clip(self.pixels, 0, 1) * 255 + 0.5).astype(np.uint8))

    def _stencil(
        self,
        points: Sequence[Point],
        colour: Colour,
        opacity: float,
        *,
        polygons: Sequence[Sequence[Point]] = (),
        ellipse: tuple[float, float, float, float] | None = None,
        line: Sequence[Point] = (),
        thickness: float = 0.0,
    ) -> None:
        """Draw into a mask of twice the size that covers just the shapes, then lay it."""
        margin = thickness + 2
        left = int(max(0, min(x for x, _ in points) - margin))
        top = int(max(0, min(y for _, y in points) - margin))
        right = int(min(self.width, max(x for x, _ in points) + margin))
        bottom = int(min(self.height, max(y for _, y in points) + margin))
        if right <= left or bottom <= top:
            return
        mask = Image.new("L", ((right - left) * 2, (bottom - top) * 2))
        draw = ImageDraw.Draw(mask)
        for shape in polygons:
            draw.polygon([((x - left) * 2, (y - top) * 2) for x, y in shape], fill=255)
        if ellipse:
            draw.ellipse(
                [(ellipse[0] - left) * 2, (ellipse[1] - top) * 2, (ellipse[2] - left) * 2, (ellipse[3] - top) * 2],
                fill=255,
            )
        if line:
            moved = [((x - left) * 2, (y - top) * 2) for x, y in line]
            draw.line(moved, fill=255, width=max(1, round(thickness * 2)), joint="curve")
        soft = np.asarray(mask.reduce(2), dtype=np.float32) * np.float32(opacity / 255)
        self.lay_patch(colour, soft, left, top)


def _array(colour: Colour) -> NDArray[np.float32]:
    return np.asarray(colour, dtype=np.float32)
