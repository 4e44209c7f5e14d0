"""A scene put in before others, or an asset with another name, makes nobody pay again for what is there already."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.step_program import a_task_file

from videotask_contract.steps import Step
from videotask_steps.context import Limits, StepContext
from videotask_steps.items import Call, Wanted, make_items
from videotask_steps.ledger import Ledger
from videotask_steps.media.bad_media import BadMediaError
from videotask_steps.progress import ProgressTracker
from videotask_steps.stop_sign import StopSign

STEP = Step.NARRATION_GENERATION
PRICE = Decimal("0.01")


class Film:
    """Narrations by their text, one run after another on one volume."""

    def __init__(self, volume: Path) -> None:
        self.volume = volume
        self.runs = 0
        self.spoken: list[str] = []

    async def run(self, *texts: str) -> StepContext:
        """Make the narrations of these scenes and return the run; its ledger is closed."""
        self.runs += 1
        run_id = f"run-{self.runs}"
        context = StepContext(
            task=a_task_file(STEP, run_id=run_id),
            volume=self.volume,
            ledger=await Ledger.open(self.volume, STEP, run_id=run_id, wait_seconds=0),
            limits=Limits(concurrency=1, reservation_usd=Decimal(10)),
            progress=ProgressTracker(),
            stopping=StopSign(),
        )
        try:
            await make_items(context, [self._wanted(f"{number:02}", text) for number, text in enumerate(texts, 1)])
        finally:
            context.ledger.close()
        return context

    def _wanted(self, number: str, text: str) -> Wanted:
        async def make(call: Call) -> str:
            self.spoken.append(text)
            call.charged(PRICE)
            return call.keep(text.encode(), ".mp3")

        def probe(path: Path) -> float:
            if path.read_bytes() != text.encode():
                raise BadMediaError("not what was asked for", item=number)
            return float(len(text))

        return Wanted(
            item=number,
            label=f"scene {number}",
            key=f"key of {text}",
            model="voice",
            price_usd=PRICE,
            path=lambda take, suffix: f"narration/narration_{number}.take{take}{suffix}",
            suffixes=(".mp3",),
            make=make,
            probe=probe,
        )


def heard(context: StepContext) -> list[str]:
    current = context.ledger.current_items()
    return [(context.volume / (current[item].path or "")).read_text() for item in sorted(current)]


async def test_a_scene_put_first_is_the_only_one_that_is_paid_for(tmp_path: Path) -> None:
    film = Film(tmp_path)
    await film.run("ebb", "flood")
    after = await film.run("dawn", "ebb", "flood")
    assert film.spoken == ["ebb", "flood", "dawn"]
    assert heard(after) == ["dawn", "ebb", "flood"]
    assert (after.progress.done, after.progress.kept) == (3, 2)
    assert after.ledger.spent_usd("run-2") == PRICE
    assert after.ledger.current("03") is not None
    assert (after.ledger.current_items()["03"].duration_seconds) == len("flood")


async def test_scenes_that_change_places_cost_nothing_and_change_back_for_nothing(tmp_path: Path) -> None:
    film = Film(tmp_path)
    await film.run("ebb", "flood")
    assert heard(await film.run("flood", "ebb")) == ["flood", "ebb"]
    assert heard(await film.run("ebb", "flood")) == ["ebb", "flood"]
    assert film.spoken == ["ebb", "flood"]


async def test_two_scenes_that_want_the_same_each_have_their_own(tmp_path: Path) -> None:
    film = Film(tmp_path)
    await film.run("ebb")
    await film.run("ebb", "ebb")
    assert film.spoken == ["ebb", "ebb"]


@pytest.mark.parametrize("harm", ["damaged", "removed"])
async def test_what_is_no_longer_whole_is_not_taken_over(tmp_path: Path, harm: str) -> None:
    film = Film(tmp_path)
    await film.run("ebb", "flood")
    file = tmp_path / "narration/narration_02.take1.mp3"
    file.unlink() if harm == "removed" else file.write_bytes(b"flooD")
    assert heard(await film.run("dawn", "ebb", "flood")) == ["dawn", "ebb", "flood"]
    assert film.spoken == ["ebb", "flood", "dawn", "flood"]
