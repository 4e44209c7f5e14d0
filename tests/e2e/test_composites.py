"""The house film's composites against the emulators' true mattes; an image that cannot be cut out stops the film."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from tests.e2e.studio import storyboard
from tests.support.mattes import Plane, background_rim, matte_of, overlap, read_matte, veil

from videotask_contract import layout
from videotask_contract.phases import Phase
from videotask_contract.resources import FrameSize
from videotask_contract.steps import Step
from videotask_contract.storyboard import AssetKind, Storyboard
from videotask_steps.ledger import read_ledger
from videotask_steps.media.composite import Figure, Place, arrange, compose, fill_frame
from videotask_steps.media.cutout import Cutout, cut_out

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2700)]

LEAST_OVERLAP = 0.95
MOST_RIM = 0.02
MOST_VEIL = 0.001
MOST_CHANGED = 0.0005
"""Share of the environment around all figures that may differ from it."""
FRAME = FrameSize()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One character or prop of the film: the image as made, cut out, and what is truly opaque in it."""

    picture: Image.Image
    cutout: Cutout
    truth: Plane
    is_prop: bool


@pytest.fixture(scope="module")
def board(house_film) -> Storyboard:
    return Storyboard.model_validate_json((house_film.files / layout.STORYBOARD).read_bytes())


@pytest.fixture(scope="module")
def images(house_film) -> dict[str, bytes]:
    """The film's images as they lie on the volume, by asset."""
    items = read_ledger(house_film.files, Step.ASSET_GENERATION).current_items()
    return {name: (house_film.files / (record.path or "")).read_bytes() for name, record in items.items()}


@pytest.fixture(scope="module")
def subjects(studio, house_film, board, images) -> dict[str, Subject]:
    found = {}
    for asset in board.assets:
        if asset.kind is AssetKind.ENVIRONMENT:
            continue
        matte = studio.control.matte(images[asset.name])
        assert matte is not None, f"the emulators know no matte of {asset.name}: these are not their bytes"
        items = read_ledger(house_film.files, Step.ASSET_GENERATION).current_items()
        with Image.open(house_film.files / (items[asset.name].path or "")) as opened:
            picture = opened.convert("RGB")
        found[asset.name] = Subject(
            picture=picture,
            cutout=cut_out(picture, asset=asset.name),
            truth=read_matte(matte),
            is_prop=asset.kind is AssetKind.PROP,
        )
    return found


def composite(house_film, number: int) -> Image.Image:
    with Image.open(house_film.files / layout.composite(layout.scene_number(number))) as opened:
        return opened.convert("RGB")


def test_every_cut_out_covers_what_is_truly_there_without_rim_or_veil(subjects):
    assert len(subjects) == 13
    rows = {}
    for name, subject in subjects.items():
        alpha = matte_of(subject.cutout.image, size=(subject.truth.shape[1], subject.truth.shape[0]))
        rgba = subject.cutout.image.resize((subject.truth.shape[1], subject.truth.shape[0]))
        rim = background_rim(rgba, subject.picture.resize(rgba.size), subject.truth)
        rows[name] = (overlap(alpha, subject.truth), rim, veil(alpha, subject.truth))
    print()
    for name, (covered, rim, veiled) in rows.items():
        print(f"{name:>18}  IoU {covered:.3f}  rim {rim:.3f}  veil {veiled:.5f}")
    assert {name: row for name, row in rows.items() if row[0] < LEAST_OVERLAP} == {}
    assert {name: row for name, row in rows.items() if row[1] > MOST_RIM} == {}
    assert {name: row for name, row in rows.items() if row[2] > MOST_VEIL} == {}


def test_the_film_s_composites_are_made_of_these_very_cut_outs(house_film, board, subjects):
    """So that what holds of the cut-outs holds of the film; two levels of 255 are for another library's rounding."""
    for number, scene in enumerate(board.scenes, start=1):
        expected = compose(place_of(house_film, scene.environment), figures_of(scene, subjects), **size_of(FRAME))
        difference = np.abs(np.asarray(expected, dtype=int) - np.asarray(composite(house_film, number), dtype=int))
        assert difference.max() <= 2, f"scene {number} differs by {difference.max()} of 255"


def test_around_every_figure_its_environment_is_untouched(house_film, board, subjects):
    """By the composites alone: a pasted rectangle, or a rim of its background, would show beside the true outline."""
    for number, scene in enumerate(board.scenes, start=1):
        place = fill_frame(place_of(house_film, scene.environment), **size_of(FRAME))
        figures = [subjects[name] for name in scene.characters]
        picture = composite(house_film, number)
        assert share_changed_beside(figures, picture, place) <= MOST_CHANGED, f"scene {number}"
        assert share_changed_beside(figures, pasted(figures, picture), place) > 10 * MOST_CHANGED, f"scene {number}"


def share_changed_beside(figures: list[Subject], picture: Image.Image, place: Image.Image) -> float:
    """Return the share of what lies beside and above all true outlines that is not the environment's any more."""
    seen, free = np.asarray(picture, dtype=int), np.ones((FRAME.height, FRAME.width), dtype=bool)
    ground = FRAME.height
    for subject, spot in spots_of(figures):
        truth = Image.fromarray((subject.truth * 255).astype(np.uint8))
        scale = subject.cutout.image.width / truth.width
        box = tuple(edge / scale for edge in subject.cutout.box)
        mask = np.asarray(truth.resize((spot.width, spot.height), Image.Resampling.BOX, box=box)) > 2
        top, left = max(0, spot.top), max(0, spot.left)
        mask = mask[top - spot.top : FRAME.height - spot.top, left - spot.left : FRAME.width - spot.left]
        free[top : top + mask.shape[0], left : left + mask.shape[1]] &= ~mask
        # A contact shadow lies on the ground around the feet and is no fault.
        ground = min(ground, round(spot.top + 0.82 * spot.height))
    free = ndimage.binary_erosion(free, iterations=6)
    free[ground:] = False
    changed = np.abs(seen - np.asarray(place, dtype=int)).max(axis=-1) > 12
    return float((changed & free).sum() / free.sum())


def pasted(figures: list[Subject], picture: Image.Image) -> Image.Image:
    """Return the composite as it would be with the first figure's image pasted in whole."""
    subject, spot = spots_of(figures)[0]
    whole = subject.picture.resize(subject.cutout.image.size).crop(subject.cutout.box)
    spoiled = picture.copy()
    spoiled.paste(whole.resize((spot.width, spot.height)), (spot.left, spot.top))
    return spoiled


def spots_of(figures: list[Subject]) -> list[tuple[Subject, Place]]:
    placed = [Figure(cutout=subject.cutout, is_prop=subject.is_prop) for subject in figures]
    return list(zip(figures, arrange(placed, **size_of(FRAME)), strict=True))


def test_an_image_whose_background_is_not_plain_stops_the_film_and_is_named(studio):
    """Before any clip is paid, and with no composite of a pasted rectangle."""
    board = storyboard(1)
    word = f"lighthouse {uuid.uuid4().hex[:6]}"
    board["assets"][1]["prompt"] = f"An old sailor who once kept the {word}"
    board["assets"][1]["name"] = "lighthouse-keeper"
    board["scenes"][0]["characters"] = ["lighthouse-keeper"]
    fault = studio.control.add_fault("busy_background", provider="gemini", match={"prompt_contains": word}, times=-1)
    try:
        film = studio.start(studio.film("busy", storyboard=board))
        status = film.wait_phase(Phase.ASSET_ERROR)
    finally:
        studio.control.clear_faults(fault)
    print(f"\n{status['message']}")
    assert "lighthouse-keeper" in status["message"]
    assert "background" in status["message"]
    assert not list((film.files() / "composites").glob("*.png"))
    kinds = {entry["kind"] for entry in studio.bill(film)}
    assert kinds == {"image"}
    [condition] = [found for found in status["conditions"] if found["type"] == "NeedsAttention"]
    assert (condition["status"], condition["message"]) == ("True", status["message"])
    assert any(event["reason"] == "StepFailed" and "lighthouse-keeper" in event["message"] for event in film.events())


def place_of(house_film, name: str) -> Image.Image:
    items = read_ledger(house_film.files, Step.ASSET_GENERATION).current_items()
    with Image.open(house_film.files / (items[name].path or "")) as opened:
        return opened.convert("RGB")


def figures_of(scene, subjects) -> list[Figure]:
    return [Figure(cutout=subjects[name].cutout, is_prop=subjects[name].is_prop) for name in scene.characters]


def size_of(frame: FrameSize) -> dict[str, int]:
    return {"width": frame.width, "height": frame.height}
