"""Cutting a subject out of its background, against the true mattes of drawn figures."""

from __future__ import annotations

import io
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from tests.support.mattes import background_rim, matte_of, overlap, read_matte, veil

from videotask_contract.errors import BadInputError
from videotask_emulators.media.picture import PictureOrder, Spoil, make_picture
from videotask_steps.media.cutout import Cutout, cut_out

SUBJECTS = {
    "keeper": "character, full figure: an old lighthouse keeper with a long beard, on a plain light grey background",
    "girl": "character, full figure: a girl with long hair and a red coat, on a plain cream background",
    "heron": "character, full figure: a grey heron with a scarf, on a plain background",
    "robot": "character, full figure: a robot gardener, on a plain pale blue background",
    "fox": "character, full figure: a fox with a lantern, on a plain green background",
    "captain": "character, full figure: a captain in a white coat, on a plain white background",
    "cat": "character, full figure: a cat in a grey dress, on a plain grey background",
    "lantern": "prop, an object: an old lantern, on a plain background",
    "boat": "prop, an object: a wooden boat, on a plain background",
    "telescope": "prop, an object: a brass telescope, on a plain background",
}


def draw(
    prompt: str, *, seed: int = 1, width: int = 864, height: int = 1184, spoil: Spoil = ""
) -> tuple[Image.Image, np.ndarray]:
    order = PictureOrder(prompt=prompt, width=width, height=height, look_seed=seed, take_seed=seed + 5, spoil=spoil)
    picture = make_picture(order)
    assert picture.matte_png is not None
    return Image.open(io.BytesIO(picture.content)).convert("RGB"), read_matte(picture.matte_png)


def cut_at_full_size(picture: Image.Image) -> Cutout:
    cutout = cut_out(picture, asset="hero")
    if cutout.image.size == picture.size:
        return cutout
    return Cutout(image=cutout.image.resize(picture.size, Image.Resampling.BILINEAR), box=cutout.box)


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_subject_is_cut_along_its_true_outline(name: str) -> None:
    picture, truth = draw(SUBJECTS[name], seed=len(name) * 7)
    cutout = cut_at_full_size(picture)
    alpha = matte_of(cutout.image, size=picture.size)
    assert overlap(alpha, truth) >= 0.97
    assert background_rim(cutout.image, picture, truth) <= 0.02
    assert veil(alpha, truth) <= 0.0005


def test_the_hole_of_a_crooked_arm_stays_a_hole() -> None:
    picture, truth = draw(SUBJECTS["girl"])
    holes = ndimage.binary_fill_holes(truth > 0.5) & (truth < 0.02)
    labels, count = ndimage.label(holes)
    assert count >= 1
    largest = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    alpha = matte_of(cut_out(picture, asset="hero").image, size=picture.size)
    assert alpha[ndimage.binary_erosion(largest, iterations=3)].max() < 0.05


def test_a_shadow_on_the_ground_is_left_behind() -> None:
    picture, truth = draw(SUBJECTS["lantern"], width=1024, height=1024)
    alpha = matte_of(cut_out(picture, asset="hero").image, size=picture.size)
    below = np.flatnonzero((truth > 0.5).any(axis=1))[-1] + 6
    assert alpha[below:].max() < 0.05


def test_grain_and_strong_compression_leave_no_specks() -> None:
    picture, truth = draw(SUBJECTS["girl"])
    noise = np.random.default_rng(3).normal(0, 5, (picture.height, picture.width, 1))
    grainy = Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))
    stream = io.BytesIO()
    grainy.save(stream, "JPEG", quality=70)
    cutout = cut_out(Image.open(stream), asset="hero")
    alpha = matte_of(cutout.image, size=picture.size)
    assert overlap(alpha, truth) >= 0.95
    assert veil(alpha, truth) <= 0.0005


def test_a_large_image_is_cut_as_well_as_a_small_one() -> None:
    picture, truth = draw(SUBJECTS["fox"], width=1792, height=2400)
    alpha = matte_of(cut_out(picture, asset="hero").image, size=picture.size)
    assert overlap(alpha, truth) >= 0.97


def test_a_subject_cut_off_by_the_lower_edge_says_that_it_has_no_feet() -> None:
    picture, _ = draw(SUBJECTS["girl"])
    legless = picture.crop((0, 0, picture.width, round(picture.height * 0.7)))
    assert cut_out(legless, asset="hero").is_cut_below
    assert not cut_out(picture, asset="hero").is_cut_below


def test_a_busy_background_is_refused_by_the_assets_name() -> None:
    assert "busy_background" in get_args(Spoil)
    picture, _ = draw(SUBJECTS["keeper"], spoil="busy_background")
    with pytest.raises(BadInputError, match=r"asset old-keeper .*not plain.*single-colour background") as caught:
        cut_out(picture, asset="old-keeper")
    assert caught.value.item == "old-keeper"


@pytest.mark.parametrize(
    "scenery", ["a forest clearing at night", "a kitchen interior, warm light", "a desert at noon", "a harbour at dawn"]
)
def test_scenery_is_refused(scenery: str) -> None:
    order = PictureOrder(prompt=scenery, width=1376, height=768, look_seed=4, take_seed=2)
    picture = Image.open(io.BytesIO(make_picture(order).content))
    with pytest.raises(BadInputError, match="asset hero"):
        cut_out(picture, asset="hero")


def test_an_empty_background_is_refused() -> None:
    with pytest.raises(BadInputError, match="nothing stands out"):
        cut_out(Image.new("RGB", (800, 1000), (200, 204, 210)), asset="hero")


def test_a_rim_and_a_pasted_rectangle_would_be_noticed() -> None:
    picture, truth = draw(SUBJECTS["girl"])
    careless = ndimage.binary_dilation(truth > 0.5, iterations=3).astype(np.uint8) * 255
    rimmed = Image.fromarray(np.dstack([np.asarray(picture), careless]))
    assert background_rim(rimmed, picture, truth) > 0.2
    rows, columns = np.flatnonzero((truth > 0.5).any(axis=1)), np.flatnonzero((truth > 0.5).any(axis=0))
    rectangle = np.zeros_like(truth)
    rectangle[rows[0] : rows[-1], columns[0] : columns[-1]] = 1
    assert veil(rectangle, truth) > 0.05
    assert overlap(rectangle, truth) < 0.8
