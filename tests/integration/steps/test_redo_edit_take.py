"""A person changes their mind about a film that is made: what is made again, what is kept, and what the bill says."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.integration.steps.conftest import PAID_STEPS, Film
from tests.support.builders import a_storyboard
from tests.support.step_program import Ended

from videotask_contract import layout
from videotask_contract.changes import Edits
from videotask_contract.errors import FailureClass
from videotask_contract.exits import ExitCode
from videotask_contract.ledger_record import item_key
from videotask_contract.steps import Step
from videotask_contract.storyboard import Storyboard
from videotask_steps.ledger import Ledger

IMAGES, COMPOSITES, CLIPS = Step.ASSET_GENERATION, Step.COMPOSITE_CREATION, Step.VIDEO_GENERATION
VOICES, EFFECTS, ASSEMBLY = Step.NARRATION_GENERATION, Step.SFX_GENERATION, Step.VIDEO_ASSEMBLY

Wishes = dict[Step, dict[str, Any]]


class Studio:
    """Runs all six steps as the operator would, and tells what a round asked of the providers."""

    def __init__(self, film: Film, **source: Any) -> None:
        self.film = film
        self._source = source
        self._round = 0

    async def make(self, wishes: Wishes | None = None, *, steps: tuple[Step, ...] = tuple(Step)) -> dict[Step, Ended]:
        """Run the steps one after another; each must end well."""
        self._round += 1
        ended = {}
        for step in steps:
            given = {**(self._source if step is IMAGES else {}), **(wishes or {}).get(step, {})}
            ended[step] = await self.film.run(step, run_id=f"{step.slug}-{self._round}", **given)
            assert ended[step].code == ExitCode.DONE, ended[step].stderr
        return ended

    async def billed(self, wishes: Wishes | None = None, *, steps: tuple[Step, ...] = tuple(Step)) -> Counter[str]:
        """Make it and return what was added to the bill, by kind."""
        before = _bill(self.film)
        await self.make(wishes, steps=steps)
        return _bill(self.film) - before

    def made(self, step: Step) -> dict[str, str]:
        """Return the content of every item that counts, by SHA-256."""
        return {item: record.sha256 or "" for item, record in self.film.ledger(step).current_items().items()}

    def changed(self, step: Step, before: dict[str, str]) -> set[str]:
        """Return the items whose content is another than it was."""
        return {item for item, sha256 in self.made(step).items() if before.get(item) != sha256}


def _bill(film: Film) -> Counter[str]:
    return Counter(str(entry["kind"]) for entry in film.control.bill()["entries"])


def _failure(ended: Ended) -> tuple[FailureClass, str]:
    assert ended.report.failure is not None, ended.stderr
    return ended.report.failure.failure_class, ended.report.failure.message


def _edits(**fields: str) -> Edits:
    return Edits.model_validate({"scenes": [fields]})


async def test_a_finished_film_is_corrected_redone_and_taken_back_for_what_that_costs_and_no_more(film: Film) -> None:
    """The table: + 1 narration, + 2 clips, + 0; everything else of the film is kept, and so are all takes."""
    studio = Studio(film, storyboard=None, topic="A heron who learns to wait", scene_count=7, asset_count=3)
    await studio.make()
    whole = _bill(film)
    assert (whole["text"], whole["image"], whole["video"]) == (1, 3, 7), whole
    first_film = hashlib.sha256((film.volume / layout.FILM).read_bytes()).hexdigest()
    segments = studio.made(ASSEMBLY)
    first_clip = studio.made(CLIPS)["07"]

    corrected: Wishes = {IMAGES: {"edits": _edits(scene="7", narration="And the heron waits, and the water comes.")}}
    voices = studio.made(VOICES)
    assert await studio.billed(corrected) == Counter(speech=1)
    assert studio.changed(VOICES, voices) == {"07"}
    assert studio.changed(ASSEMBLY, segments) <= {"07", "film"}
    assert hashlib.sha256((film.volume / layout.FILM).read_bytes()).hexdigest() != first_film

    segments = studio.made(ASSEMBLY)
    assert await studio.billed({CLIPS: {"redo": {"07": 1}}}, steps=(CLIPS,)) == Counter(video=1)
    assert await studio.billed({CLIPS: {"redo": {"07": 1, "7": 1}}}, steps=(CLIPS, ASSEMBLY)) == Counter(video=1)
    assert studio.changed(ASSEMBLY, segments) == {"07", "film"}
    takes = [film.volume / layout.clip("07", take=take) for take in (1, 2, 3)]
    assert [path.name for path in takes] == ["clip_07.mp4", "clip_07.take2.mp4", "clip_07.take3.mp4"]
    assert len({hashlib.sha256(path.read_bytes()).hexdigest() for path in takes}) == 3
    assert studio.made(CLIPS)["07"] == hashlib.sha256(takes[2].read_bytes()).hexdigest()

    taken_back: Wishes = {CLIPS: {"redo": {"07": 1, "7": 1}, "takes": {"7": 1}}}
    assert await studio.billed({**corrected, **taken_back}) == Counter()
    assert studio.made(CLIPS)["07"] == first_clip
    assert studio.changed(ASSEMBLY, segments) == set(), "the film is again what it was, byte for byte"
    assert all(path.is_file() for path in takes)


async def test_a_new_take_of_an_image_remakes_what_shows_it_and_the_first_take_brings_it_all_back(film: Film) -> None:
    board = a_storyboard(scenes=3, characters=2)
    for scene, who in zip(board["scenes"], (["hero-1"], ["hero-2"], ["hero-1"]), strict=True):
        scene["characters"] = who
    studio = Studio(film, storyboard=Storyboard.model_validate(board))
    steps = (IMAGES, COMPOSITES, CLIPS)
    await studio.make(steps=steps)
    before = {step: studio.made(step) for step in steps}

    redone: Wishes = {IMAGES: {"redo": {"hero-1": 1}}}
    assert await studio.billed(redone, steps=steps) == Counter(image=1, video=2)
    assert studio.changed(IMAGES, before[IMAGES]) == {"hero-1"}
    assert studio.changed(COMPOSITES, before[COMPOSITES]) == {"01", "03"}
    assert studio.changed(CLIPS, before[CLIPS]) == {"01", "03"}

    redone[IMAGES]["takes"] = {"hero-1": 1}
    assert await studio.billed(redone, steps=steps) == Counter()
    assert {step: studio.made(step) for step in steps} == before

    redone[IMAGES].pop("takes")
    assert await studio.billed(redone, steps=steps) == Counter(), "the new take is not paid a second time"
    assert studio.changed(CLIPS, before[CLIPS]) == {"01", "03"}


@pytest.mark.parametrize("step", PAID_STEPS)
async def test_a_new_take_is_made_once_for_each_number_and_of_the_items_named_alone(film: Film, step: Step) -> None:
    if step is EFFECTS:
        await film.ready_for_effects()
    else:
        film.with_scenes(2).ready_for(step)
    item, other = ("harbour", "hero-1") if step is IMAGES else ("01", "02")
    assert (await film.run(step, run_id="run-1")).code == ExitCode.DONE
    paid = len(film.control.bill()["entries"])
    for run, (redo, added) in enumerate(
        [({item: 1}, 1), ({item: 3}, 1), ({"*": 1, item: 2}, 1), ({item: 1}, 0)], start=2
    ):
        ended = await film.run(step, run_id=f"run-{run}", redo=redo)
        assert ended.code == ExitCode.DONE, ended.stderr
        paid += added
        assert len(film.control.bill()["entries"]) == paid, redo
    made = film.ledger(step)
    assert [made.take(item, take) is not None for take in (1, 2, 3, 4)] == [True, True, True, False]
    assert [made.take(other, take) is not None for take in (1, 2, 3)] == [True, True, False]


async def test_keys_of_what_was_made_before_anybody_asked_are_what_they_always_were(film: Film) -> None:
    """A film of an earlier release is not paid again: the parts of a key stand here word for word."""
    film.with_scenes(1).ready_for(CLIPS)
    assert (await film.run(CLIPS)).code == ExitCode.DONE
    record = film.ledger(CLIPS).current("01")
    assert record is not None
    assert record.key == item_key(
        composite=hashlib.sha256((film.volume / layout.composite("01")).read_bytes()).hexdigest(),
        motion="slow pan, part 1",
        model="kling-2.5-turbo",
        resolution="720p",
        seconds=5,
    )


async def test_a_new_take_that_died_under_way_is_found_again_and_not_posted_twice(film: Film) -> None:
    film.with_scenes(1).ready_for(CLIPS)
    await film.run(CLIPS, run_id="run-1")
    polled = len(film.operations("poll"))
    film.control.add_fault("slow_job", seconds=4, clip_seconds=4, extra_seconds=4)
    program = await film.program(CLIPS, run_id="run-2", redo={"1": 1}).start()
    await film.server.until(lambda: len(film.operations("poll")) > polled)
    program.kill()
    await program.end()
    ended = await film.run(CLIPS, run_id="run-3", redo={"1": 1})
    assert ended.code == ExitCode.DONE, ended.stderr
    assert _bill(film) == Counter(video=2)


async def test_a_chosen_take_that_cannot_be_used_is_bad_input_and_costs_nothing(film: Film) -> None:
    film.with_scenes(1).ready_for(CLIPS)
    await film.run(CLIPS, run_id="run-1")
    await film.run(CLIPS, run_id="run-2", redo={"1": 1})
    second = film.volume / layout.clip("01", take=2)

    async def refusal(take: int) -> str:
        ended = await film.run(CLIPS, run_id="run-3", redo={"1": 2}, takes={"01": take})
        assert (ended.code, _failure(ended)[0]) == (ExitCode.BAD_INPUT, FailureClass.BAD_INPUT)
        return _failure(ended)[1]

    assert "spec.takes: take 9 of 01 was never made; choose one of 1, 2, or remove the choice" in await refusal(9)
    content = bytearray(second.read_bytes())
    content[len(content) // 2] ^= 1
    second.write_bytes(content)
    assert "take 2 of 01 is damaged: clips/clip_01.take2.mp4 is not what its ledger says" in await refusal(2)
    second.unlink()
    assert "take 2 of 01 is missing; choose one of 1, or remove" in await refusal(2)
    await _clean(film, "01", 2)
    assert "take 2 of 01 was removed by clean-up on 20" in await refusal(2)
    assert _bill(film) == Counter(video=2)


async def test_what_clean_up_removed_is_not_paid_again_but_at_a_persons_word(film: Film) -> None:
    film.with_scenes(2).ready_for(VOICES)
    await film.run(VOICES, run_id="run-1")
    first = film.volume / layout.narration("01")
    spared = film.volume / "spared.mp3"
    shutil.copy(first, spared)
    await _clean(film, "01", 1)
    first.unlink()

    refused = await film.run(VOICES, run_id="run-2")
    assert (refused.code, _failure(refused)[0]) == (ExitCode.BAD_INPUT, FailureClass.BAD_INPUT)
    assert "scene 01 (scene-1): spec.redo asks for no new take of 01, and clean-up removed it" in _failure(refused)[1]
    assert "put the file back and choose take 1 with spec.takes" in _failure(refused)[1]
    assert _bill(film) == Counter(speech=2)

    asked = await film.run(VOICES, run_id="run-3", redo={"1": 1})
    assert asked.code == ExitCode.DONE, asked.stderr
    assert _bill(film) == Counter(speech=3)

    shutil.move(spared, first)
    put_back = await film.run(VOICES, run_id="run-4", takes={"1": 1})
    assert (put_back.code, put_back.report.kept) == (ExitCode.DONE, 2), put_back.stderr
    assert (await film.run(VOICES, run_id="run-5")).code == ExitCode.DONE, "and counts from then on"
    assert _bill(film) == Counter(speech=3)


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"edits": _edits(scene="9", narration="Nobody says this.")}, "spec.edits.scenes[9]: the storyboard has no"),
        ({"edits": Edits.model_validate({"assets": [{"name": "whale", "prompt": "a whale"}]})}, "spec.edits.assets["),
        ({"edits": _edits(scene="2", environment="hero-1")}, "spec.edits: storyboard.scenes[scene-2].environment"),
        ({"edits": _edits(scene="2", narration="many words " * 20)}, "scene 02 (scene-2)"),
        ({"redo": {"whale": 1}, "redo_asked": ("whale",)}, "spec.redo: the storyboard has no asset 'whale'"),
        ({"takes": {"whale": 1}}, "spec.takes: the storyboard has no asset 'whale'"),
    ],
)
async def test_a_change_of_what_is_not_there_is_bad_input_that_names_the_field_before_anything_is_paid(
    film: Film, wishes: dict[str, Any], words: str
) -> None:
    film.with_scenes(2)
    ended = await film.run(IMAGES, **wishes)
    assert (ended.code, _failure(ended)[0]) == (ExitCode.BAD_INPUT, FailureClass.BAD_INPUT)
    assert words in _failure(ended)[1], _failure(ended)[1]
    assert film.control.calls() == []


async def test_an_edit_may_cure_a_storyboard_that_is_refused_as_it_was_given(film: Film) -> None:
    board = a_storyboard(scenes=1)
    board["scenes"][0]["narration"] = "far too many words for a clip of five seconds " * 5
    given = Storyboard.model_validate(board)
    assert (await film.run(IMAGES, run_id="run-1", storyboard=given)).code == ExitCode.BAD_INPUT
    cured = await film.run(IMAGES, run_id="run-2", storyboard=given, edits=_edits(scene="scene-1", narration="Wait."))
    assert cured.code == ExitCode.DONE, cured.stderr
    assert _storyboard(film).scenes[0].narration == "Wait."


@pytest.mark.parametrize("topic", [None, "A heron who learns to wait"])
async def test_a_storyboard_that_is_to_be_looked_at_first_is_written_and_no_image_is_made(
    film: Film, topic: str | None
) -> None:
    source = {"storyboard": film.storyboard} if topic is None else {"storyboard": None, "topic": topic}
    source |= {"scene_count": 2, "asset_count": 3}
    shown = await film.run(IMAGES, run_id="run-1", storyboard_only=True, **source)
    assert shown.code == ExitCode.DONE, shown.stderr
    assert (shown.report.outcome, shown.report.done, shown.report.total) == ("done", 0, 0)
    assert shown.report.storyboard_sha256 == _sha256(film.volume / layout.STORYBOARD)
    assert _bill(film) == Counter(text=0 if topic is None else 1)

    edits = _edits(scene="1", sound_effect="one bell, far away")
    again = await film.run(IMAGES, run_id="run-2", storyboard_only=True, edits=edits, **source)
    assert again.report.storyboard_sha256 not in {None, shown.report.storyboard_sha256}
    assert _storyboard(film).scenes[0].sound_effect == "one bell, far away"

    approved = await film.run(IMAGES, run_id="run-3", edits=edits, **source)
    assert approved.code == ExitCode.DONE, approved.stderr
    assert approved.report.storyboard_sha256 == again.report.storyboard_sha256
    assert _bill(film)["text"] == (0 if topic is None else 1)


async def test_a_kept_clip_is_decoded_once_and_a_changed_one_is_noticed_all_the_same(film: Film) -> None:
    film.with_scenes(1).ready_for(CLIPS)
    await film.run(CLIPS, run_id="run-1")
    notes = film.volume / layout.LEDGER_FOLDER / "clips-probed.jsonl"
    written = notes.read_bytes()
    assert len(written.splitlines()) == 2, "a blank line and a note: a torn one before it would not harm it"
    await film.run(CLIPS, run_id="run-2")
    assert notes.read_bytes() == written, "a second look would have been noted"
    notes.write_bytes(b"[\n{}\n\xff\n" + written.replace(b"5.0", b"4.0"))
    await film.run(CLIPS, run_id="run-3")
    assert _bill(film) == Counter(video=1)

    clip = film.volume / layout.clip("01")
    content = bytearray(clip.read_bytes())
    content[-100] ^= 1
    clip.write_bytes(content)
    assert (await film.run(CLIPS, run_id="run-4")).report.kept == 0
    assert _bill(film) == Counter(video=2)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _storyboard(film: Film) -> Storyboard:
    return Storyboard.model_validate_json((film.volume / layout.STORYBOARD).read_bytes())


async def _clean(film: Film, item: str, take: int) -> None:
    """Write down, as clean-up does, that this take is removed."""
    step = CLIPS if (film.volume / "clips").is_dir() else VOICES
    ledger = await Ledger.open(film.volume, step, run_id="clean-up")
    try:
        record = ledger.take(item, take)
        assert record is not None
        ledger.record_removed(record)
    finally:
        ledger.close()
