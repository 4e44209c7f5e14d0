"""The step that puts characters into their environments, on folders as the step before leaves them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.film_project import FilmProject, a_project, a_storyboard

from videotask_contract import layout
from videotask_contract.errors import FailureClass, PermanentError, VideoTaskError
from videotask_contract.resources import FrameSize
from videotask_contract.steps import Step
from videotask_steps.composites import create_composites
from videotask_steps.ledger import read_ledger
from videotask_steps.media.composite import fill_frame

FRAME = FrameSize(width=640, height=360)


async def compose_all(project: FilmProject, *, run: int = 1):
    return await project.run(Step.COMPOSITE_CREATION, create_composites, run=run)


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob("*.part"))


async def test_every_scene_gets_a_composite_of_the_frames_size(tmp_path: Path) -> None:
    project = await a_project(tmp_path, frame=FRAME)
    context = await compose_all(project)
    assert (context.progress.done, context.progress.total, context.progress.kept) == (3, 3, 0)
    done = read_ledger(tmp_path, Step.COMPOSITE_CREATION).current_items()
    for number in ("01", "02", "03"):
        with Image.open(tmp_path / layout.composite(number)) as picture:
            assert (picture.format, picture.size, picture.mode) == ("PNG", (640, 360), "RGB")
        assert done[number].path == layout.composite(number)
        assert done[number].size_bytes == (tmp_path / layout.composite(number)).stat().st_size
    assert not leftovers(tmp_path)


async def test_a_second_run_keeps_everything_and_an_edited_image_remakes_only_its_scenes(tmp_path: Path) -> None:
    project = await a_project(tmp_path, frame=FRAME)
    await compose_all(project)
    before = {number: (tmp_path / layout.composite(number)).read_bytes() for number in ("01", "02", "03")}
    again = await compose_all(project, run=2)
    assert (again.progress.done, again.progress.kept) == (3, 3)

    place = next(asset for asset in project.storyboard.assets if asset.name == "place-1")
    other = await a_project(tmp_path / "other", storyboard=a_storyboard(scenes=1, figures=1, props=0, places=6))
    source = read_ledger(other.volume, Step.ASSET_GENERATION).current("place-5")
    assert source is not None
    path = f"{layout.asset_stem(place)}.take2.{(source.path or '').rsplit('.', 1)[1]}"
    await project.put(Step.ASSET_GENERATION, "place-1", path, (other.volume / (source.path or "")).read_bytes(), take=2)
    third = await compose_all(project, run=3)
    assert (third.progress.done, third.progress.kept) == (3, 2)
    after = {number: (tmp_path / layout.composite(number)).read_bytes() for number in ("01", "02", "03")}
    assert [number for number in before if before[number] != after[number]] == ["02"]


async def test_a_damaged_composite_is_made_again_to_the_same_bytes(tmp_path: Path) -> None:
    project = await a_project(tmp_path, frame=FRAME)
    await compose_all(project)
    path = tmp_path / layout.composite("02")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    again = await compose_all(project, run=2)
    assert again.progress.kept == 2
    assert path.read_bytes() == whole


async def test_the_character_stands_in_the_environment_without_its_background(tmp_path: Path) -> None:
    project = await a_project(tmp_path, storyboard=a_storyboard(scenes=1, figures=1, props=0, places=1))
    await compose_all(project)
    with Image.open(tmp_path / layout.composite("01")) as picture:
        frame = np.asarray(picture).astype(int)
    with Image.open(tmp_path / read_ledger(tmp_path, Step.ASSET_GENERATION).current("place-0").path) as picture:
        plain = np.asarray(fill_frame(picture.convert("RGB"), width=1920, height=1080)).astype(int)
    changed = np.abs(frame - plain).sum(axis=-1) > 60
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert 0.55 < (rows[-1] - rows[0]) / 1080 < 0.8
    # A pasted rectangle would fill its box; a figure with a crooked arm leaves much of it alone.
    box = changed[rows[0] : rows[-1], columns[0] : columns[-1]]
    assert 0.15 < box.mean() < 0.7


async def test_all_assets_that_cannot_be_cut_out_are_named_at_once(tmp_path: Path) -> None:
    project = await a_project(tmp_path, frame=FRAME, spoil={"figure-0": "busy_background", "prop-0": "busy_background"})
    with pytest.raises(VideoTaskError, match=r"figure-0.*prop-0") as caught:
        await compose_all(project)
    assert caught.value.failure_class is FailureClass.BAD_INPUT
    assert not list((tmp_path / "composites").glob("*.png"))


async def test_a_missing_image_is_named_with_what_to_do(tmp_path: Path) -> None:
    project = await a_project(tmp_path, frame=FRAME)
    next((tmp_path / "assets/characters").glob("figure-1.*")).unlink()
    with pytest.raises(PermanentError, match=r"assets/characters/figure-1\.\w+ is missing: run asset_generation"):
        await compose_all(project)


async def test_an_emptied_image_is_named(tmp_path: Path) -> None:
    project = await a_project(tmp_path, frame=FRAME)
    next((tmp_path / "assets/environments").glob("place-2.*")).write_bytes(b"")
    with pytest.raises(PermanentError, match=r"place-2\.\w+ holds 0 bytes and its ledger says \d+"):
        await compose_all(project)


async def test_a_wish_to_stop_ends_it_as_interrupted_and_the_next_run_goes_on(tmp_path: Path) -> None:
    project = await a_project(tmp_path, frame=FRAME)
    async with project.context(Step.COMPOSITE_CREATION) as context:
        context.stopping.ask("the pod is being deleted")
        with pytest.raises(VideoTaskError) as caught:
            await create_composites(context)
    assert caught.value.failure_class is FailureClass.INTERRUPTED
    again = await compose_all(project, run=2)
    assert again.progress.done == 3
