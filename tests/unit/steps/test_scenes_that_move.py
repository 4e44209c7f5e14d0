"""A scene put in before others, or an asset with another name, makes nobody pay again for what is there already."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support.builders import NOON, a_record, a_resource, a_situation, a_storyboard
from tests.support.step_context import a_context
from tests.support.step_program import a_task_file

from videotask_contract.phases import Phase
from videotask_contract.steps import Step
from videotask_contract.storyboard import Storyboard
from videotask_operator.core.changes import content_digest
from videotask_operator.core.decide import decide
from videotask_steps.context import StepContext
from videotask_steps.items import Call, Wanted, make_items
from videotask_steps.media.bad_media import BadMediaError
from videotask_steps.takes import asked_key

STEP = Step.NARRATION_GENERATION
PRICE = Decimal("0.01")


class KilledError(BaseException):
    """Stands for the end of the process."""


class Film:
    """Narrations by their text, one run after another on one volume."""

    def __init__(self, volume: Path) -> None:
        self.volume = volume
        self.runs = 0
        self.spoken: list[str] = []

    async def run(
        self,
        *texts: str,
        names: tuple[str, ...] = (),
        redo: dict[str, int] | None = None,
        dies_over: str = "",
        dies_with: str = "",
    ) -> StepContext:
        """Make the narrations of these scenes and return the run; its ledger is closed.

        A scene is named after its text where no name is given. The run is killed while `dies_over` is being spoken,
        or as soon as `dies_with` was.
        """
        self.runs += 1
        run_id = f"run-{self.runs}"
        context = await a_context(self.volume, a_task_file(STEP, run_id=run_id, redo=redo or {}))
        context.save_storyboard(Storyboard.model_validate(board(*(names or dict.fromkeys(texts)))))
        try:
            wanted = [
                self._wanted(context, f"{number:02}", text, dies_over, dies_with)
                for number, text in enumerate(texts, 1)
            ]
            await make_items(context, wanted)
        finally:
            context.ledger.close()
        return context

    def _wanted(self, context: StepContext, number: str, text: str, dies_over: str, dies_with: str) -> Wanted:
        async def make(call: Call) -> str:
            self.spoken.append(text)
            if text == dies_over:
                raise KilledError
            call.charged(PRICE)
            again = "" if self.spoken.count(text) == 1 else f" {self.spoken.count(text)}"
            suffix = call.keep(f"{text}{again}".encode(), ".mp3")
            if text == dies_with:
                raise KilledError
            return suffix

        def probe(path: Path) -> float:
            if path.read_text().split()[0] != text:
                raise BadMediaError("not what was asked for", item=number)
            return float(len(text))

        return Wanted(
            item=number,
            label=f"scene {number}",
            key=asked_key(context, number, text=text),
            model="voice",
            price_usd=PRICE,
            path=lambda take, suffix: f"narration/narration_{number}.take{take}{suffix}",
            suffixes=(".mp3",),
            make=make,
            probe=probe,
        )


def board(*names: str) -> dict[str, Any]:
    """Return a storyboard whose scenes have these names."""
    made = a_storyboard(scenes=len(names))
    for scene, name in zip(made["scenes"], names, strict=True):
        scene["name"] = name
    return made


def counts_of_redo(reference: str, *names: str) -> dict[str, int]:
    """Return what the steps are told after a person asked for one more narration, of a film with these scenes."""
    spec = {"storyboard": board(*names), "redo": {"request": "r", "steps": [{"step": STEP, "items": [reference]}]}}
    record = a_record(phase=Phase.FINAL_REVIEW, content_digest=content_digest(a_resource(**spec).spec))
    fields = {name: getattr(record, name) for name in record.__dataclass_fields__}
    shown = fields | {"step": None, "last_run_number": 6, "pipeline_start_time": NOON, "waiting_since": NOON}
    plan = decide(a_situation(**spec).with_record(**shown).but(admitted=True).build())
    assert plan is not None
    return plan.record.redo_counts[STEP]


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
    assert heard(await film.run("dawn", "ebb", "flood")) == ["dawn", "ebb", "flood 2"]
    assert film.spoken == ["ebb", "flood", "dawn", "flood"]


@pytest.mark.parametrize("reference", ["2", "02", "flood"])
async def test_a_take_that_was_asked_for_anew_goes_with_its_scene(tmp_path: Path, reference: str) -> None:
    film = Film(tmp_path)
    await film.run("ebb", "flood")
    redo = counts_of_redo(reference, "ebb", "flood")
    assert heard(await film.run("ebb", "flood", redo=redo)) == ["ebb", "flood 2"]
    after = await film.run("dawn", "ebb", "flood", redo=redo)
    assert heard(after) == ["dawn", "ebb", "flood 2"], "the take that a person refused does not come back"
    assert film.spoken == ["ebb", "flood", "flood", "dawn"]


async def test_a_take_that_was_asked_for_anew_stays_where_its_scene_is_renamed(tmp_path: Path) -> None:
    film = Film(tmp_path)
    await film.run("ebb", "flood")
    redo = counts_of_redo("2", "ebb", "flood")
    await film.run("ebb", "flood", redo=redo)
    after = await film.run("ebb", "flood", names=("ebb", "high-tide"), redo=redo)
    assert heard(after) == ["ebb", "flood 2"]
    assert film.spoken == ["ebb", "flood", "flood"]


async def test_a_lost_name_asks_for_no_take_of_anything_else(tmp_path: Path) -> None:
    film = Film(tmp_path)
    await film.run("ebb", "flood")
    assert heard(await film.run("ebb", "flood", redo={"spring-tide": 2})) == ["ebb", "flood"]
    assert film.spoken == ["ebb", "flood"]


async def test_a_call_that_brings_nothing_any_more_keeps_nobody_from_taking_over(tmp_path: Path) -> None:
    film = Film(tmp_path)
    with pytest.raises(KilledError):
        await film.run("dawn", "ebb", dies_over="ebb")
    await film.run("ebb", "dawn")
    assert film.spoken == ["dawn", "ebb", "ebb"], "nobody can be asked what became of the first"
    after = await film.run("dawn", "ebb")
    assert film.spoken == ["dawn", "ebb", "ebb"]
    assert heard(after) == ["dawn", "ebb 2"]
    assert (after.progress.done, after.progress.kept) == (2, 2)


async def test_an_answer_that_came_whole_before_a_kill_goes_with_its_scene(tmp_path: Path) -> None:
    film = Film(tmp_path)
    with pytest.raises(KilledError):
        await film.run("ebb", "flood", dies_with="flood")
    after = await film.run("dawn", "ebb", "flood")
    assert film.spoken == ["ebb", "flood", "dawn"]
    assert heard(after) == ["dawn", "ebb", "flood"]
    assert heard(await film.run("ebb", "flood"))[:2] == ["ebb", "flood"]
    assert film.spoken == ["ebb", "flood", "dawn"]
