"""Cuts a character or prop out of its plain background; what cannot be cut cleanly is an error, never a rectangle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from videotask_contract.errors import BadInputError
from videotask_steps.media.backdrop import Backdrop, Pixels, fit_backdrop
from videotask_steps.media.perception import lab_of

CUTOUT_VERSION: Final = 2
"""Part of every composite's key: raise it when cutting or placing changes what is seen."""
MAX_SIDE: Final = 1152
"""Pixels; larger images are reduced first, since a character fills at most 70 % of the frame's height."""
MIN_PLAIN_BORDER: Final = 0.85
"""Share of the picture's upper, left and right border that must show the one smooth colour; ground may be below."""
MIN_SUBJECT: Final = 0.004
MAX_SUBJECT: Final = 0.85
"""Shares of the picture that a subject may fill."""
MAX_SUBJECT_BORDER: Final = 0.35
"""Share of the border that a subject may touch: a picture cut at the knees touches the lower edge alone."""
MAX_SIDES: Final = 2
"""Sides of the picture that one figure may touch; scenery touches more."""

_SHADOW_DARKEST: Final = 0.60
"""(L + 16) over the background's: the cube root of the light left, so about a fifth of it."""
_SHADOW_SLOPE: Final = 2.6
"""L a pixel; a soft shadow is flatter, the edge of a dark boot is steeper."""
_SHADOW_TOP: Final = 0.6
"""Shadows on the ground lie below this share of the subject's height; above it grey hair is grey hair."""
_OUTER_SHARE: Final = 0.2
"""What hangs together with the border is background only if so much of it has the background's own colour."""
_SPECK_SHARE: Final = 0.004
"""Loose pieces smaller than this share of the largest are noise, unless they are near it and strong in colour."""
_SPECK_REACH_PX: Final = 12
_STRONG: Final = 3.0
"""Times the threshold; a jewel in a ring is, a speck of JPEG noise is not."""
_WIDE_PX: Final = 15
_STRONG_REACH_PX: Final = 3
"""Pale parts of a subject are wide or lie along its strong colours; clumps of grain on its rim do neither."""
_HOLE_PIXELS: Final = 80
_EXACT: Final = 1.0
"""CIELAB; a difference nobody sees."""
_EXACT_SHARE: Final = 0.15
"""An enclosed piece is a hole when so much of it matches the background exactly: JPEG ringing spoils its rim, and the
white of an eye before white misses it by a little everywhere."""
_WIDE_HOLE_SHARE: Final = 0.001
_WIDE_HOLE_MEAN: Final = 3.0
"""A hole of more than this share of the picture may be shaded by the arm around it by so much (CIELAB)."""
_BAND: Final = 3
"""Pixels from the subject's rim inwards in which the matte is soft."""
_GAP_BAND: Final = 8
"""The same for gaps between threads and hairs: pale places too narrow to be part of the subject."""
_GAP_WIDTH: Final = 5
_GAP_SHARE: Final = 0.6
"""A gap shows less of the subject's colour than this."""
_MARGIN: Final = 16
"""Pixels around the subject; the widest blur of the matte reaches so far."""
_VISIBLE: Final = 25
"""Alpha of 255 from which a pixel counts as the subject's outermost."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutout:
    """A subject without its background."""

    image: Image.Image
    """RGBA, straight alpha, of the (possibly reduced) picture's size; colours hold no background."""
    box: tuple[int, int, int, int]
    """Left, top, right, bottom of all that is visible, in pixels."""

    @property
    def is_cut_below(self) -> bool:
        """True when the picture's lower edge cuts the subject off: it has no feet to stand on."""
        return self.box[3] >= self.image.height - 1

    @property
    def trimmed(self) -> Image.Image:
        """The subject alone, without empty margins."""
        return self.image.crop(self.box)


def cut_out(picture: Image.Image, *, asset: str) -> Cutout:
    """Return the subject of a picture with a plain background.

    Raises BadInputError naming the asset when the background is not plain, or when nothing, or nearly everything,
    would be left: a person must change the prompt or have the image made again.
    """
    pixels = np.asarray(_reduced(picture.convert("RGB")))
    backdrop = fit_backdrop(pixels)
    _check_plain(backdrop, asset=asset)
    lab = lab_of(pixels)
    calm = np.stack([ndimage.gaussian_filter(lab[..., band], 0.8) for band in range(3)], axis=-1)
    difference = calm - backdrop.lab
    distance = np.sqrt(np.square(difference).sum(axis=-1))
    threshold = max(4.5, 3.0 * backdrop.noise + 1.0)
    background = _background(calm, backdrop, difference=difference, distance=distance, threshold=threshold)
    clean = _without_clumps(~background, distance, threshold=threshold)
    subject = _without_specks(clean, distance, threshold=threshold)
    _check_subject(subject, asset=asset)
    window = _window(subject)
    alpha, colours = _matte(
        pixels[window].astype(np.float32),
        backdrop.rgb[window],
        subject=subject[window],
        distance=distance[window],
    )
    whole = np.zeros((*subject.shape, 4), dtype=np.uint8)
    whole[window] = np.rint(np.dstack([np.clip(colours, 0, 255), alpha * 255]))
    return _cutout(whole, asset=asset)


def _reduced(picture: Image.Image) -> Image.Image:
    scale = MAX_SIDE / max(picture.size)
    if scale >= 1:
        return picture
    size = (round(picture.width * scale), round(picture.height * scale))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _check_plain(backdrop: Backdrop, *, asset: str) -> None:
    if backdrop.border_share < MIN_PLAIN_BORDER:
        raise _not_plain(
            asset,
            f"only {backdrop.border_share:.0%} of the picture's border shows one smooth colour, "
            f"at least {MIN_PLAIN_BORDER:.0%} must",
        )


def _check_subject(subject: Mask, *, asset: str) -> None:
    share = float(subject.mean())
    sides = [subject[0], subject[-1], subject[:, 0], subject[:, -1]]
    border = float(np.concatenate(sides).mean())
    if share < MIN_SUBJECT:
        raise _not_plain(asset, f"nothing stands out from its background ({share:.1%} of the picture does)")
    if share > MAX_SUBJECT or border > MAX_SUBJECT_BORDER or sum(bool(side.any()) for side in sides) > MAX_SIDES:
        raise _not_plain(asset, f"{share:.0%} of the picture and {border:.0%} of its border are not background")


def _not_plain(asset: str, seen: str) -> BadInputError:
    return BadInputError(
        f"asset {asset} cannot be cut out, its background is not plain: {seen}; ask in its prompt for one subject, "
        '"full figure on a plain, even, single-colour background", or have this image made again',
        item=asset,
    )


def _background(calm: Pixels, backdrop: Backdrop, *, difference: Pixels, distance: Pixels, threshold: float) -> Mask:
    """Return what is background or its shadow: connected to the border, or a hole of the background's own colour."""
    like = distance < threshold
    labels, count = ndimage.label(like | _shadow(calm, backdrop, distance=distance, threshold=threshold))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    alike = np.bincount(labels[like], minlength=count + 1)
    exact = np.bincount(labels[distance < max(_EXACT, backdrop.noise)], minlength=count + 1)
    sums = [np.bincount(labels[like], weights=difference[..., band][like], minlength=count + 1) for band in range(3)]
    means = np.sqrt(np.square(np.stack(sums) / np.maximum(alike, 1)).sum(axis=0))
    chosen = np.zeros(count + 1, dtype=bool)
    chosen[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = True
    chosen &= alike > _OUTER_SHARE * sizes
    wide = (alike > _WIDE_HOLE_SHARE * like.size) & (means < _WIDE_HOLE_MEAN)
    chosen |= (alike >= _HOLE_PIXELS) & (2 * alike > sizes) & (wide | (exact > _EXACT_SHARE * alike))
    chosen[0] = False
    found: Mask = chosen[labels]
    return found


def _shadow(calm: Pixels, backdrop: Backdrop, *, distance: Pixels, threshold: float) -> Mask:
    """Return where the background's own chroma is seen in less light, near the ground, and the light changes softly."""
    lightness = calm[..., 0]
    # In CIELAB, scaling all light by k scales L + 16, a and b by the cube root of k.
    light = (lightness + 16) / (backdrop.lab[..., 0] + 16)
    chroma = np.hypot(calm[..., 1] - light * backdrop.lab[..., 1], calm[..., 2] - light * backdrop.lab[..., 2])
    smooth = ndimage.gaussian_filter(lightness, 1.2)
    slope = np.hypot(ndimage.sobel(smooth, axis=0), ndimage.sobel(smooth, axis=1)) / 8
    soft = (light > _SHADOW_DARKEST) & (light < 1) & (chroma < threshold) & (slope < _SHADOW_SLOPE)
    rows = np.flatnonzero((distance > _STRONG * threshold).any(axis=1))
    if len(rows) > 0:
        soft[: round(rows[0] + _SHADOW_TOP * (rows[-1] - rows[0]))] = False
    # Opened, so that it cannot creep into a subject through a gap of a pixel or two.
    opened: Mask = ndimage.binary_opening(soft, iterations=2)
    return opened


def _without_clumps(subject: Mask, distance: Pixels, *, threshold: float) -> Mask:
    """Return the subject without the clumps of grain on its rim: narrow, weak in colour, far from what is strong."""
    wide = ndimage.maximum_filter(ndimage.minimum_filter(subject, size=_WIDE_PX), size=_WIDE_PX)
    reach = 2 * _STRONG_REACH_PX + 1
    near_strong = ndimage.maximum_filter(subject & (distance > _STRONG * threshold), size=reach)
    kept: Mask = subject & (wide | near_strong)
    return kept


def _without_specks(subject: Mask, distance: Pixels, *, threshold: float) -> Mask:
    labels, count = ndimage.label(subject, structure=np.ones((3, 3)))
    if count == 0:
        return subject
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    keep = sizes >= max(_HOLE_PIXELS, _SPECK_SHARE * sizes.max())
    main = keep[labels]
    near = ndimage.distance_transform_cdt(~main, metric="chessboard") <= _SPECK_REACH_PX
    strong = np.bincount(labels[near], minlength=count + 1) > 0
    strong &= np.bincount(labels.ravel(), weights=distance.ravel()) > _STRONG * threshold * sizes
    keep |= strong & (sizes >= _HOLE_PIXELS // 4)
    keep[0] = False
    kept: Mask = keep[labels]
    return kept


def _matte(pixels: Pixels, plain: Pixels, *, subject: Mask, distance: Pixels) -> tuple[Pixels, Pixels]:
    """Return alpha (0 to 1) and the subject's own colours, free of background, also beyond its rim."""
    depth = ndimage.distance_transform_cdt(subject, metric="chessboard")
    # What lies behind the rim: the real neighbouring background, so that a shadow's own darkness is taken off too.
    outside = ~ndimage.binary_dilation(subject, iterations=2)
    behind = _spread(pixels, outside.astype(np.float32), 4.0, fallback=plain)
    # The subject's colour near each rim pixel: that of the neighbours which differ most from the background.
    strength = np.where(subject, distance, 0).astype(np.float32)
    strongest = ndimage.maximum_filter(strength, size=5) + 1e-3
    own = _spread(pixels, np.power(strength / strongest, 6) * subject, 1.6, fallback=pixels)
    span = own - behind
    share = ((pixels - behind) * span).sum(axis=-1) / np.maximum(np.square(span).sum(axis=-1), 1.0)
    # Ends of the ramp are noise: a faint veil outside and pinholes inside.
    alpha = np.clip((share - 0.08) / 0.84, 0, 1)
    pale = subject & (share < _GAP_SHARE)
    gap = pale & ~ndimage.binary_opening(pale, structure=np.ones((_GAP_WIDTH, _GAP_WIDTH)))
    alpha[(depth > _BAND) & ~(gap & (depth <= _GAP_BAND))] = 1
    alpha[~ndimage.binary_dilation(subject)] = 0
    clean = np.clip((alpha - 0.7) / 0.3, 0, 1)[..., None]
    return alpha.astype(np.float32), own * (1 - clean) + pixels * clean


def _spread(pixels: Pixels, weights: Pixels, sigma: float, *, fallback: Pixels) -> Pixels:
    """Return the weighted mean colour around each pixel; the fallback where no weight is near."""
    total = ndimage.gaussian_filter(weights, sigma)
    means = (
        np.stack(
            [ndimage.gaussian_filter(pixels[..., band] * weights, sigma) for band in range(3)],
            axis=-1,
        )
        / np.maximum(total, 1e-6)[..., None]
    )
    return np.where((total > 1e-4)[..., None], means, fallback)  # noqa: PLR2004


def _window(subject: Mask) -> tuple[slice, slice]:
    """Return the part of the picture that holds the subject, with room for the blurs around it."""
    rows, columns = np.flatnonzero(subject.any(axis=1)), np.flatnonzero(subject.any(axis=0))
    top, left = max(0, int(rows[0]) - _MARGIN), max(0, int(columns[0]) - _MARGIN)
    return slice(top, int(rows[-1]) + 1 + _MARGIN), slice(left, int(columns[-1]) + 1 + _MARGIN)


def _cutout(whole: NDArray[np.uint8], *, asset: str) -> Cutout:
    visible = whole[..., 3] > _VISIBLE
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    if len(rows) == 0:
        raise _not_plain(asset, "nothing stands out from its background")
    return Cutout(
        image=Image.fromarray(whole),
        box=(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1),
    )
