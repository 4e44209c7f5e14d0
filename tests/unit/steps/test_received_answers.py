"""An answer that came whole is paid once, wherever its run dies; one that came in part is never taken for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support.step_context import context_of
from tests.support.step_program import a_task_file

from videotask_contract.errors import FailureClass, VideoTaskError
from videotask_contract.ledger_record import RecordKind
from videotask_contract.steps import Step
from videotask_steps.clean_up import Extent, clean_up
from videotask_steps.items import Call, Wanted, make_items
from videotask_steps.ledger import Ledger, LedgerView, read_ledger
from videotask_steps.media.bad_media import BadMediaError

STEP = Step.SFX_GENERATION
PRICE_USD = Decimal("0.11")


class KilledError(BaseException):
    """Stands for the end of the process."""


@dataclass(kw_only=True)
class Effects:
    """Effect 01 of a film, made run by run."""

    volume: Path
    calls: list[str] = field(default_factory=list)

    async def run(
        self,
        key: str = "rain",
        *,
        then: Callable[[Call], None] | None = None,
        told: bool = True,
        suffix: str = ".mp3",
        probe: Callable[[Path], float] = lambda _path: 3.0,
        is_killed_before_done: bool = False,
    ) -> None:
        """Run the step; `then` happens as soon as the answer is kept."""
        ledger = await Ledger.open(self.volume, STEP, run_id=f"run-{len(self.calls)}")
        context = context_of(self.volume, a_task_file(STEP), ledger)
        try:
            if is_killed_before_done:
                dying: Any = ledger
                dying.record_done = _die
            await make_items(context, [self._wanted(key, self._maker(key, then, told=told, suffix=suffix), probe)])
        finally:
            ledger.close()

    async def killed(self, key: str = "rain", *, told: bool = True) -> None:
        """Run the step until its answer is kept."""
        with pytest.raises(KilledError):
            await self.run(key, then=_die, told=told)

    @property
    def ledger(self) -> LedgerView:
        return read_ledger(self.volume, STEP)

    @property
    def waiting(self) -> list[Path]:
        return [path for path in self.volume.rglob(".*") if path.is_file()]

    def _maker(
        self, key: str, then: Callable[[Call], None] | None, *, told: bool, suffix: str
    ) -> Callable[[Call], Awaitable[str]]:
        async def make(call: Call) -> str:
            self.calls.append(key)
            if told:
                call.charged(PRICE_USD)
            call.keep(f"the sound of {key}".encode(), suffix)
            if then is not None:
                then(call)
            return suffix

        return make

    def _wanted(self, key: str, make: Callable[[Call], Awaitable[str]], probe: Callable[[Path], float]) -> Wanted:
        return Wanted(
            item="01",
            label="scene 01",
            key=key,
            model="model",
            price_usd=Decimal("0.12"),
            path=lambda take, suffix: f"sfx/sfx_01.take{take}{suffix}",
            suffixes=(".mp3", ".wav"),
            make=make,
            probe=probe,
        )


def _die(*_arguments: object, **_facts: object) -> None:
    raise KilledError


def _refuse(_path: Path) -> float:
    raise BadMediaError("too short")


@pytest.fixture
def effects(tmp_path: Path) -> Effects:
    return Effects(volume=tmp_path)


async def test_an_answer_that_came_whole_is_made_use_of_at_its_price_and_not_asked_for_again(effects: Effects) -> None:
    await effects.killed()
    assert effects.ledger.possibly_usd("run-0") > 0
    await effects.run()
    assert effects.calls == ["rain"]
    assert (effects.ledger.spent_usd("run-0"), effects.ledger.possibly_usd("run-0")) == (PRICE_USD, 0)
    assert (effects.volume / "sfx/sfx_01.take1.mp3").read_bytes() == b"the sound of rain"
    assert effects.waiting == []


async def test_an_answer_that_did_not_tell_its_price_counts_at_the_upper_bound(effects: Effects) -> None:
    await effects.killed(told=False)
    upper_bound_usd = effects.ledger.calls()[0].intent.amount_usd
    await effects.run()
    assert (effects.ledger.spent_usd("run-0"), effects.ledger.possibly_usd("run-0")) == (upper_bound_usd, 0)


@pytest.mark.parametrize("bytes_left", [0, 1, 16])
async def test_a_partial_answer_is_never_made_use_of_and_its_call_stays_possibly_paid(
    effects: Effects, bytes_left: int
) -> None:
    await effects.killed()
    (answer,) = effects.waiting
    answer.write_bytes(answer.read_bytes()[:bytes_left])
    await effects.run()
    assert effects.calls == ["rain", "rain"]
    assert effects.ledger.possibly_usd("run-0") == effects.ledger.calls()[0].intent.amount_usd
    assert effects.ledger.spent_usd("run-1") == PRICE_USD
    assert (effects.volume / "sfx/sfx_01.take1.mp3").read_bytes() == b"the sound of rain"
    assert effects.waiting == [], "nobody can use it"


async def test_the_answer_to_another_request_is_settled_and_waits_for_its_own_and_nothing_is_overwritten(
    effects: Effects,
) -> None:
    await effects.killed("rain")
    await effects.run("wind")
    assert effects.ledger.spent_usd("run-0") == PRICE_USD
    assert (effects.volume / "sfx/sfx_01.take1.mp3").read_bytes() == b"the sound of wind"
    await effects.run("rain")
    assert effects.calls == ["rain", "wind"]
    assert (effects.volume / "sfx/sfx_01.take1.mp3").read_bytes() == b"the sound of wind"
    assert (effects.volume / "sfx/sfx_01.take2.mp3").read_bytes() == b"the sound of rain"
    made = effects.ledger.current("01")
    assert made is not None
    assert (made.take, made.path) == (2, "sfx/sfx_01.take2.mp3")


async def test_a_file_that_bears_another_calls_name_is_not_this_calls_answer(effects: Effects) -> None:
    await effects.killed()
    (answer,) = effects.waiting
    call_id = effects.ledger.calls()[0].call_id
    answer.rename(answer.with_name(answer.name.replace(call_id, "0" * 32)))
    await effects.run()
    assert effects.calls == ["rain", "rain"]


async def test_a_rejected_answers_call_does_not_take_another_prompts_file_for_its_own(effects: Effects) -> None:
    with pytest.raises(VideoTaskError, match="too short"):
        await effects.run("rain", probe=_refuse)
    with pytest.raises(KilledError):
        await effects.run("wind", is_killed_before_done=True)
    await effects.run("rain")
    made = effects.ledger.current("01")
    assert made is not None
    assert (made.key, (effects.volume / (made.path or "")).read_bytes()) == ("rain", b"the sound of rain")
    await effects.run("wind")
    assert effects.calls == ["rain", "wind", "rain"]
    made = effects.ledger.current("01")
    assert made is not None
    assert (made.key, (effects.volume / (made.path or "")).read_bytes()) == ("wind", b"the sound of wind")


@pytest.mark.parametrize("extent", Extent)
async def test_an_answer_that_clean_up_removes_is_settled_and_not_asked_for_again(
    effects: Effects, extent: Extent
) -> None:
    await effects.killed()
    await clean_up(effects.volume, extent)
    assert effects.waiting == []
    assert (effects.ledger.spent_usd("run-0"), effects.ledger.possibly_usd("run-0")) == (PRICE_USD, 0)
    with pytest.raises(
        VideoTaskError, match=r"spec\.redo asks for no new take of 01, and clean-up removed it"
    ) as refused:
        await effects.run()
    assert refused.value.failure_class is FailureClass.BAD_INPUT
    assert effects.calls == ["rain"]


async def test_a_clean_up_killed_before_its_tombstone_leaves_an_answer_that_is_made_use_of(effects: Effects) -> None:
    await effects.killed()
    (answer,) = effects.waiting
    ledger = await Ledger.open(effects.volume, STEP, run_id="clean-up")
    ledger.record_settled(ledger.calls()[0], amount_usd=PRICE_USD, path=str(answer.relative_to(effects.volume)))
    ledger.close()
    await effects.run()
    assert effects.calls == ["rain"]
    made = effects.ledger.current("01")
    assert made is not None
    assert made.path == "sfx/sfx_01.take1.mp3"


async def test_an_answer_that_got_another_takes_name_is_not_asked_for_again_after_a_kill(effects: Effects) -> None:
    await effects.killed("rain")
    await effects.run("wind")
    with pytest.raises(KilledError):
        await effects.run("rain", is_killed_before_done=True)
    await effects.run("rain")
    assert effects.calls == ["rain", "wind"]
    made = effects.ledger.current("01")
    assert made is not None
    assert (made.key, made.take, made.path) == ("rain", 2, "sfx/sfx_01.take2.mp3")
    assert (effects.volume / "sfx/sfx_01.take2.mp3").read_bytes() == b"the sound of rain"


async def test_no_two_takes_have_one_number_whatever_their_suffixes(effects: Effects) -> None:
    await effects.killed("rain")
    await effects.run("wind", suffix=".wav")
    await effects.run("rain")
    made = [(record.take, record.path) for record in effects.ledger.records if record.kind is RecordKind.DONE]
    assert made == [(1, "sfx/sfx_01.take1.wav"), (2, "sfx/sfx_01.take2.mp3")]
