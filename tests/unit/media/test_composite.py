"""Where figures stand in a frame."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from videotask_steps.media.composite import GROUND, Figure, arrange, compose, fill_frame
from videotask_steps.media.cutout import Cutout

WIDTH, HEIGHT = 640, 360


def a_figure(
    width: int = 100, height: int = 300, *, is_prop: bool = False, margin: int = 20, colour: int = 200
) -> Figure:
    pixels = np.zeros((height + 2 * margin, width + 2 * margin, 4), dtype=np.uint8)
    pixels[margin : margin + height, margin : margin + width] = (colour, 30, 30, 255)
    box = (margin, margin, margin + width, margin + height)
    return Figure(cutout=Cutout(image=Image.fromarray(pixels), box=box), is_prop=is_prop)


def a_place(colour: tuple[int, int, int] = (90, 120, 150)) -> Image.Image:
    return Image.new("RGB", (1376, 768), colour)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_figures_stand_on_one_ground_from_left_to_right_within_the_frame(count: int) -> None:
    places = arrange([a_figure() for _ in range(count)], width=WIDTH, height=HEIGHT)
    assert [place.left for place in places] == sorted(place.left for place in places)
    assert all(place.left >= 0 and place.left + place.width <= WIDTH for place in places)
    assert {place.top + place.height for place in places} <= {round(GROUND * HEIGHT), round(GROUND * HEIGHT) + 1}


def test_one_or_two_characters_fill_about_two_thirds_of_the_height_and_props_less() -> None:
    character, prop = arrange([a_figure(), a_figure(is_prop=True)], width=WIDTH, height=HEIGHT)
    assert 0.6 <= character.height / HEIGHT <= 0.7
    assert prop.height / HEIGHT <= 0.35


def test_shape_is_kept() -> None:
    (place,) = arrange([a_figure(120, 300)], width=WIDTH, height=HEIGHT)
    assert place.width / place.height == pytest.approx(0.4, abs=0.02)


def test_a_wide_figure_is_measured_by_its_width() -> None:
    (place,) = arrange([a_figure(900, 200)], width=WIDTH, height=HEIGHT)
    assert place.width / WIDTH <= 0.47
    assert place.width / place.height == pytest.approx(4.5, rel=0.05)


def test_a_figure_without_feet_stands_on_the_frames_lower_edge() -> None:
    figure = a_figure()
    left, _, right, bottom = figure.cutout.box
    cropped = figure.cutout.image.crop((0, 0, figure.cutout.image.width, bottom))
    legless = Figure(cutout=Cutout(image=cropped, box=(left, 20, right, bottom)))
    (place,) = arrange([legless], width=WIDTH, height=HEIGHT)
    assert place.top + place.height == HEIGHT


def test_equal_inputs_give_equal_pixels() -> None:
    frames = [compose(a_place(), [a_figure(), a_figure(is_prop=True)], width=WIDTH, height=HEIGHT) for _ in range(2)]
    assert frames[0].tobytes() == frames[1].tobytes()
    assert frames[0].size == (WIDTH, HEIGHT)
    assert frames[0].mode == "RGB"


def test_the_ground_is_darker_under_the_feet_and_nothing_else_changes_far_away() -> None:
    frame = np.asarray(compose(a_place(), [a_figure()], width=WIDTH, height=HEIGHT)).astype(int)
    foot, middle = round(GROUND * HEIGHT), WIDTH // 2
    assert frame[foot + 2, middle].sum() < frame[foot + 2, 20].sum() - 20
    assert (frame[5, 5] == (90, 120, 150)).all()


def test_a_figure_takes_on_the_dark_of_its_place() -> None:
    by_day = np.asarray(compose(a_place((170, 180, 190)), [a_figure()], width=WIDTH, height=HEIGHT))
    by_night = np.asarray(compose(a_place((14, 18, 40)), [a_figure()], width=WIDTH, height=HEIGHT))
    row, column = round(0.6 * HEIGHT), WIDTH // 2
    assert by_night[row, column, 0] < by_day[row, column, 0]


def test_an_environment_of_another_shape_fills_the_frame_without_being_stretched() -> None:
    picture = Image.new("RGB", (1000, 1000), (10, 10, 10))
    picture.paste((250, 250, 250), (450, 450, 550, 550))
    filled = np.asarray(fill_frame(picture, width=WIDTH, height=HEIGHT).convert("L"))
    rows, columns = np.flatnonzero((filled > 128).any(axis=1)), np.flatnonzero((filled > 128).any(axis=0))
    assert filled.shape == (HEIGHT, WIDTH)
    assert len(rows) == pytest.approx(64, abs=2)
    assert len(columns) == pytest.approx(64, abs=2)


def test_a_scene_without_characters_is_its_environment() -> None:
    frame = np.asarray(compose(a_place(), [], width=WIDTH, height=HEIGHT))
    assert (frame == (90, 120, 150)).all()
