"""Paid steps killed for real wherever it hurts, power cut included, then run again; the emulators' bill is the witness.

A two-scene film is killed with SIGKILL in place of its Nth act on the volume (see tests/support/volume_acts) and run to
its end. Kling's jobs can be looked up: no point may pay one twice. Gemini and ElevenLabs cannot be asked: only calls in
flight whose answers had not arrived whole on the volume are paid again, and each of them stands in the ledger as
possibly paid; an answer that had arrived is made use of, at its price. `VIDEOTASK_LONG=1` tries every
point of every step; without it video_generation is killed at every fifth point and the others at every ninth, begun
elsewhere for each kind of crash.
"""

from __future__ import annotations

import asyncio

import pytest
from tests.integration.steps.film import PAID_STEPS
from tests.integration.steps.site import POINTS_SECONDS, SiteOf
from tests.support.tell import Tell
from tests.support.volume_acts.sitecustomize import remember_as_durable, volume_after_power_cut

from videotask_contract.exits import ExitCode
from videotask_contract.steps import Step

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(POINTS_SECONDS)]

STRIDES = {Step.VIDEO_GENERATION: 5}
OTHER_STRIDE = 9


@pytest.mark.parametrize("step", PAID_STEPS)
async def test_a_step_killed_at_any_of_its_acts_pays_for_nothing_twice_and_loses_nothing(
    step: Step, site_of: SiteOf, tell: Tell
) -> None:
    site = await site_of(step)
    for number in site.points(stride=STRIDES.get(step, OTHER_STRIDE)):
        film = site.fresh(f"act-{number}")
        first = await site.run(film, "run-1", kill_at=number)
        await site.go_on_and_judge(film, first, f"act {number}")
    assert site.tally.kills >= 0.8 * site.tally.points
    tell(f"kill: {step}", site.tally.line("kill", step))


@pytest.mark.parametrize("step", PAID_STEPS)
async def test_after_a_power_cut_only_what_was_synced_is_left_and_still_nothing_is_paid_twice(
    step: Step, site_of: SiteOf, tell: Tell
) -> None:
    """What was written and not yet synced is dropped, and so is a name whose folder was not synced after it."""
    site = await site_of(step)
    for number in site.points(start=2, stride=STRIDES.get(step, OTHER_STRIDE)):
        film = site.fresh(f"act-{number}")
        shadow = film.folder / "shadow"
        remember_as_durable(film.volume, shadow)
        first = await site.run(film, "run-1", kill_at=number, shadow=str(shadow))
        volume_after_power_cut(film.volume, shadow, film.folder / "left")
        film.volume.rename(film.folder / "lost")
        (film.folder / "left").rename(film.volume)
        await site.go_on_and_judge(film, first, f"power cut at act {number}")
    assert site.tally.kills >= 0.8 * site.tally.points
    tell(f"power cut: {step}", site.tally.line("power cut", step))


@pytest.mark.parametrize("step", PAID_STEPS)
async def test_two_copies_of_a_step_at_once_on_one_folder_pay_for_no_item_twice(
    step: Step, site_of: SiteOf, tell: Tell
) -> None:
    site = await site_of(step)
    film = site.fresh("two copies")
    one, other = await asyncio.gather(site.run(film, "run-1"), site.run(film, "run-2"))
    assert (one.code, other.code) == (ExitCode.DONE, ExitCode.DONE)
    assert sorted([one.report.kept, other.report.kept]) == [0, site.items]
    site.judge(film, "two copies")
    assert film.possibly(step) == 0
    assert len(site.control.bill()["entries"]) == site.items
    tell(f"two copies: {step}", site.tally.line("two copies", step))
