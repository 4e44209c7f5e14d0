"""Redo, edits, takes and gates through the whole loop: decided, recorded, ordered, reported and shown in rounds."""

from __future__ import annotations

from tests.support.builders import a_resource, a_storyboard
from tests.unit.reconciler.test_reconciler import Studio

from videotask_contract.phases import Phase
from videotask_contract.steps import STEPS, Step

BOARD = a_storyboard(scenes=2)
REDO = {"request": "again", "steps": [{"step": "video_generation", "items": ["2"]}]}
TAKE = [{"step": "video_generation", "item": "2", "take": 1}]
EDITS = {"scenes": [{"scene": "2", "narration": "Nobody sleeps."}]}


class Person:
    """Patches one film, and plays its steps until it is on show."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.spec: dict = {"storyboard": BOARD}
        self.seen = 0

    def patch(self, **spec) -> None:
        self.spec |= spec
        self.studio.cluster.apply(a_resource(**self.spec))

    def approve(self, gate: str, shown_round: int) -> None:
        self.patch(approvals={gate: {"decision": "Approved", "by": "alice", "round": shown_round}})

    async def order_of(self, step: Step):
        order = await self.studio.order_of(step, after=self.seen)
        self.seen = len(self.studio.cluster.orders)
        return order

    async def play(self, *steps: Step) -> list:
        """Let these steps be done, in this order; return their orders."""
        orders = []
        for step in steps:
            orders.append(await self.order_of(step))
            await self.studio.report_done(orders[-1], storyboard_sha256="ab" * 32)
        return orders

    async def until_shown(self, gate: str, shown_round: int) -> dict:
        def status() -> dict | None:
            shown = self.studio.cluster.tasks[a_resource().key].status
            review = shown.get("review", {})
            return shown if (review.get("gate"), review.get("round")) == (gate, shown_round) else None

        return await self.studio.until(status)


ALL = tuple(traits.step for traits in STEPS)


async def test_a_film_is_changed_again_and_again_and_each_change_has_its_round():
    async with Studio().open() as studio:
        person = Person(studio)
        person.patch()
        first = await person.play(*ALL)
        assert all(not order.task_file.redo and order.task_file.edits is None for order in first)
        await person.until_shown("final", 1)

        person.patch(redo=REDO)
        redone = await person.play(*ALL[2:])
        assert [order.task_file.redo for order in redone] == [{"scene-2": 1}, {}, {}, {}]
        assert (await person.until_shown("final", 2))["redoRequest"] == "again"

        person.patch(takes=TAKE)
        restored = await person.play(*ALL[2:])
        assert restored[0].task_file.takes == {"2": 1}
        await person.until_shown("final", 3)

        person.patch(edits=EDITS)
        edited = await person.play(*ALL)
        assert edited[0].task_file.edits.scenes[0].narration == "Nobody sleeps."
        assert edited[2].task_file.redo == {"scene-2": 1}
        await person.until_shown("final", 4)

        person.approve("final", 3)  # what was on show before
        await studio.until_phase(Phase.FINAL_REVIEW)
        person.approve("final", 4)
        await studio.until_phase(Phase.COMPLETED)
        person.patch(redo={**REDO, "request": "too-late"})
        await studio.until(lambda: [event for _, event in studio.cluster.events if event.reason == "FilmIsFinal"])
        record = await studio.record()
        assert record.redo_counts == {"video_generation": {"scene-2": 1}}
        assert len(studio.cluster.orders) == 6 + 4 + 4 + 6


async def test_a_redo_wished_for_while_a_step_runs_is_taken_up_when_it_has_ended():
    async with Studio().open() as studio:
        person = Person(studio)
        person.patch()
        await person.play(*ALL[:3])
        narration = await person.order_of(Step.NARRATION_GENERATION)
        person.patch(redo=REDO)
        await studio.until(
            lambda: "taken up when run 4 has ended" in studio.cluster.tasks[a_resource().key].status.get("message", "")
        )
        await studio.report_done(narration)
        clips = await person.order_of(Step.VIDEO_GENERATION)
        assert clips.task_file.redo == {"scene-2": 1}


async def test_the_storyboard_is_shown_edited_shown_again_and_only_then_are_images_ordered():
    async with Studio().open() as studio:
        person = Person(studio)
        person.patch(gates=["storyboard"])
        (written,) = await person.play(Step.ASSET_GENERATION)
        assert (written.task_file.storyboard_only, written.task_file.reservation_usd) == (True, 0)
        await person.until_shown("storyboard", 1)
        person.patch(edits=EDITS)
        (again,) = await person.play(Step.ASSET_GENERATION)
        assert again.task_file.storyboard_only
        await person.until_shown("storyboard", 2)
        person.approve("storyboard", 2)
        order = await person.order_of(Step.ASSET_GENERATION)
        assert not order.task_file.storyboard_only
        assert order.task_file.reservation_usd > 0
