"""The ledger: nothing written is lost, nothing damaged is trusted, and its sums are the money."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from videotask_contract import layout
from videotask_contract.errors import FailureClass, TransientError, VideoTaskError
from videotask_contract.ledger_record import RecordKind, decode_record
from videotask_contract.report import Certainty
from videotask_contract.steps import Step
from videotask_steps.ledger import Ledger, PaidCall, parse_ledger, read_ledger

STEP = Step.NARRATION_GENERATION


async def open_ledger(volume: Path, run_id: str = "run-1") -> Ledger:
    return await Ledger.open(volume, STEP, run_id=run_id, wait_seconds=0)


def begin(ledger: Ledger, item: str = "01", *, key: str = "key", usd: str = "0.50") -> PaidCall:
    return ledger.record_intent(item=item, key=key, take=1, model="voice", upper_bound_usd=Decimal(usd))


def make_file(volume: Path, path: str, content: bytes = b"sound") -> str:
    file = volume / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return path


async def write_a_history(volume: Path) -> bytes:
    """Two settled items, one open call; returns the ledger's bytes."""
    ledger = await open_ledger(volume)
    for item in ("01", "02"):
        call = begin(ledger, item)
        ledger.record_settled(call, amount_usd=Decimal("0.40"), path=f"narration/narration_{item}.mp3")
        path = make_file(volume, layout.narration(item), item.encode())
        ledger.record_done(item, "key", path=path, duration_seconds=3.5, call=call)
    begin(ledger, "03")
    ledger.close()
    return (volume / layout.ledger(STEP)).read_bytes()


async def test_a_done_item_with_its_file_is_kept_in_the_next_run(tmp_path: Path) -> None:
    await write_a_history(tmp_path)
    ledger = await open_ledger(tmp_path, "run-2")
    record = ledger.kept("01", "key")
    assert record is not None
    assert record.path == "narration/narration_01.mp3"
    assert record.duration_seconds == 3.5
    assert [item.kept for item in ledger.items(run_id="run-2")] == [True, True]
    assert [item.cost_usd for item in ledger.items(run_id="run-2")] == [Decimal("0.40"), Decimal("0.40")]


@pytest.mark.parametrize("content", [None, b"", b"soun", b"sounD", b"sounds"])
async def test_an_item_is_not_kept_when_its_file_is_not_byte_for_byte_the_same(
    tmp_path: Path, content: bytes | None
) -> None:
    ledger = await open_ledger(tmp_path)
    path = make_file(tmp_path, "narration/narration_01.mp3", b"sound")
    ledger.record_done("01", "key", path=path)
    assert ledger.kept("01", "key") is not None
    if content is None:
        (tmp_path / path).unlink()
    else:
        (tmp_path / path).write_bytes(content)
    assert ledger.kept("01", "key") is None


async def test_an_item_is_not_kept_when_its_probe_refuses_the_file_or_its_key_is_another(tmp_path: Path) -> None:
    ledger = await open_ledger(tmp_path)
    ledger.record_done("01", "key", path=make_file(tmp_path, "a.mp3"))

    def refuse(_path: Path) -> None:
        raise TransientError("silent", failure_class=FailureClass.BAD_MEDIA)

    assert ledger.kept("01", "key", probe=refuse) is None
    assert ledger.kept("01", "another key") is None
    assert ledger.kept("02", "key") is None


async def test_every_prefix_of_a_ledger_gives_its_whole_lines_and_nothing_else(tmp_path: Path) -> None:
    content = await write_a_history(tmp_path)
    whole = list(parse_ledger(content))
    for length in range(len(content) + 1):
        told = list(parse_ledger(content[:length]))
        # A line may lack its newline and still be whole; a torn one is passed over.
        assert told == whole[: len(told)]
        assert len(told) >= content[:length].count(b"\n")


async def test_a_torn_ledger_is_written_on_without_losing_the_next_line(tmp_path: Path) -> None:
    content = await write_a_history(tmp_path / "whole")
    line_ends = [position for position, byte in enumerate(content) if byte == ord("\n")]
    cuts = {0, 1, len(content), *(end + shift for end in line_ends for shift in (-30, -1, 0, 1, 2))}
    for length in sorted(cuts):
        volume = tmp_path / f"cut-{length}"
        file = volume / layout.ledger(STEP)
        file.parent.mkdir(parents=True)
        file.write_bytes(content[:length])
        ledger = await open_ledger(volume, "run-2")
        before = list(ledger.records)
        call = begin(ledger, "09")
        ledger.close()
        after = list(read_ledger(volume, STEP).records)
        assert after == [*before, call.intent]


@settings(max_examples=200)
@given(data=st.data())
def test_a_changed_byte_never_makes_another_record(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = _sample_ledger(tmp_path_factory)
    position = data.draw(st.integers(0, len(content) - 1))
    value = data.draw(st.integers(0, 255))
    damaged = content[:position] + bytes([value]) + content[position + 1 :]
    known = list(parse_ledger(content))
    assert all(record in known for record in parse_ledger(damaged))


_SAMPLES: list[bytes] = []


def _sample_ledger(factory: pytest.TempPathFactory) -> bytes:
    if not _SAMPLES:
        import asyncio  # noqa: PLC0415  hypothesis calls a plain function

        _SAMPLES.append(asyncio.run(write_a_history(factory.mktemp("sample"))))
    return _SAMPLES[0]


async def test_foreign_newer_and_nonsense_lines_are_passed_over(tmp_path: Path) -> None:
    content = await write_a_history(tmp_path)
    file = tmp_path / layout.ledger(STEP)
    newer = json.loads(content.splitlines()[0])
    newer["r"]["version"] = 2
    strange = [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe\x00",
        b'{"c": 1, "r": null}',
        b"x" * 100_000,
        json.dumps(newer).encode(),
    ]
    lines = content.splitlines()
    file.write_bytes(b"\n".join([*strange, *lines[:3], *strange, *lines[3:], *strange]))
    assert list(read_ledger(tmp_path, STEP).records) == list(parse_ledger(content))


async def test_open_calls_count_at_their_upper_bound_and_settled_ones_at_the_providers_figure(tmp_path: Path) -> None:
    ledger = await open_ledger(tmp_path)
    settled, released, _open = begin(ledger, "01"), begin(ledger, "02"), begin(ledger, "03", usd="0.70")
    ledger.record_settled(settled, amount_usd=Decimal("0.55"))
    ledger.record_released(released, message="503")
    assert ledger.spent_usd("run-1") == Decimal("1.25")
    assert ledger.possibly_usd("run-1") == Decimal("0.70")
    assert [(spend.item, spend.amount_usd, spend.certainty) for spend in ledger.spend()] == [
        ("01", Decimal("0.55"), Certainty.SETTLED),
        ("03", Decimal("0.70"), Certainty.POSSIBLY),
    ]


async def test_money_belongs_to_the_run_that_began_the_call_whoever_settles_it(tmp_path: Path) -> None:
    first = await open_ledger(tmp_path, "run-1")
    begin(first, "01")
    first.close()
    second = await open_ledger(tmp_path, "run-2")
    assert second.spent_usd("run-1") == Decimal("0.50")
    assert second.spent_usd("run-2") == 0
    second.record_settled(second.calls()[0], amount_usd=Decimal("0.42"))
    assert second.spent_usd("run-1") == Decimal("0.42")
    assert second.spent_usd("run-2") == 0
    assert [spend.run_id for spend in second.spend()] == ["run-1"]


async def test_an_older_take_can_be_made_the_one_that_counts_again(tmp_path: Path) -> None:
    ledger = await open_ledger(tmp_path)
    old = ledger.record_done("01", "old", path=make_file(tmp_path, "one.mp3", b"1"), take=1)
    ledger.record_done("01", "new", path=make_file(tmp_path, "two.mp3", b"2"), take=2)
    assert ledger.next_take("01") == 3
    ledger.record_again(old)
    current = ledger.current("01")
    assert current is not None
    assert (current.path, current.take) == ("one.mp3", 1)
    lines = len(ledger.records)
    ledger.record_again(current)
    assert len(ledger.records) == lines


async def test_any_take_can_be_found_by_its_number(tmp_path: Path) -> None:
    ledger = await open_ledger(tmp_path)
    first = ledger.record_done("01", "old", path=make_file(tmp_path, "one.mp3", b"1"), take=1)
    second = ledger.record_done("01", "new", path=make_file(tmp_path, "two.mp3", b"2"), take=2)
    assert [ledger.take("01", take) for take in (1, 2, 3)] == [first, second, None]
    assert ledger.take("02", 1) is None
    ledger.record_again(first)
    again = ledger.take("01", 1)
    assert again is not None
    assert (again.key, again.path) == ("old", "one.mp3")


async def test_a_second_process_does_not_get_the_ledger(tmp_path: Path) -> None:
    ledger = await open_ledger(tmp_path)
    with pytest.raises(VideoTaskError) as caught:
        await Ledger.open(tmp_path, Step.VIDEO_GENERATION, run_id="run-2", wait_seconds=0)
    assert caught.value.failure_class is FailureClass.NOT_PERMITTED
    ledger.close()
    (await open_ledger(tmp_path)).close()


async def test_a_call_tells_its_story_over_several_lines(tmp_path: Path) -> None:
    ledger = await open_ledger(tmp_path)
    call = ledger.record_intent(
        item="07", key="k", take=1, model="m", upper_bound_usd=Decimal("1.0"), external_id="ours-7"
    )
    ledger.record_accepted(call, provider_id="theirs-7")
    [told] = ledger.calls_for("07", "k")
    assert (told.provider_id, told.is_open, told.intent.external_id) == ("theirs-7", True, "ours-7")
    ledger.record_settled(told, amount_usd=Decimal("0.9"))
    [told] = ledger.calls_for("07", "k")
    assert told.closed is not None
    assert told.closed.kind is RecordKind.SETTLED
    assert ledger.calls_for("07", "other") == []


async def test_an_item_that_clean_up_removed_is_no_current_item_and_still_counts_as_paid(tmp_path: Path) -> None:
    ledger = await open_ledger(tmp_path)
    call = begin(ledger, "01")
    ledger.record_settled(call, amount_usd=Decimal("0.40"))
    path = make_file(tmp_path, "narration/narration_01.mp3")
    made = ledger.record_done("01", "key", path=path, call=call)
    ledger.record_removed(made)
    assert ledger.tombstone("01", "key") is not None
    assert ledger.kept("01", "key") is None, "also while its file is still there"
    assert ledger.current("01") is None
    assert ledger.items(run_id="run-2") == ()
    assert ledger.spent_usd("run-1") == Decimal("0.40")
    assert ledger.take("01", 1) == made
    assert ledger.next_take("01") == 2
    ledger.record_done("01", "key", path=path, call=call)
    assert ledger.tombstone("01", "key") is None
    assert ledger.current("01") is not None


async def test_clean_up_of_one_take_leaves_the_others(tmp_path: Path) -> None:
    ledger = await open_ledger(tmp_path)
    first = ledger.record_done("01", "key", path=make_file(tmp_path, "one.mp3", b"1"), take=1)
    second = ledger.record_done("01", "key", path=make_file(tmp_path, "two.mp3", b"2"), take=2)
    other = ledger.record_done("02", "key", path=make_file(tmp_path, "three.mp3", b"3"))
    ledger.record_removed(first)
    assert ledger.current_items() == {"01": second, "02": other}
    ledger.record_removed(second)
    assert ledger.current_items() == {"02": other}


async def test_a_settled_call_counts_though_its_intent_cannot_be_read_any_more(tmp_path: Path) -> None:
    ledger = await open_ledger(tmp_path)
    call = begin(ledger, "01")
    ledger.record_accepted(call, provider_id="theirs")
    ledger.record_settled(call, amount_usd=Decimal("0.40"), path="narration/narration_01.mp3")
    ledger.close()
    file = tmp_path / layout.ledger(STEP)
    intent, *rest = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"#" + intent[1:] + b"".join(rest))
    view = read_ledger(tmp_path, STEP)
    assert view.spent_usd("run-1") == Decimal("0.40")
    [told] = view.calls_for("01", "key")
    assert (told.is_open, told.provider_id) == (False, "theirs")
    assert told.closed is not None
    assert told.closed.path == "narration/narration_01.mp3"


@pytest.mark.parametrize("content", [b"", b"\x00" * 5000, b"[" * 200_000, b"\xff\xfe\n\r\n", b'{"c":' + b"9" * 5000])
async def test_a_ledger_of_nonsense_is_an_empty_one_that_can_be_written_on(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / layout.ledger(STEP)
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    ledger = await open_ledger(tmp_path)
    assert ledger.records == ()
    call = begin(ledger)
    ledger.close()
    assert read_ledger(tmp_path, STEP).records == (call.intent,)
    assert file.read_bytes().startswith(content), "what cannot be read is not thrown away"


async def test_a_ledger_that_is_gone_is_begun_anew_and_trusts_no_file(tmp_path: Path) -> None:
    await write_a_history(tmp_path)
    (tmp_path / layout.ledger(STEP)).unlink()
    ledger = await open_ledger(tmp_path, "run-2")
    assert ledger.kept("01", "key") is None
    assert ledger.current_items() == {}


@pytest.mark.parametrize(
    ("of", "changed"),
    [('"amountUsd":"0.42', '"amountUsd":"0.24'), ('"item":"01"', '"item":"02"'), ('"take":1', '"take":2')],
)
async def test_a_line_of_which_one_field_was_changed_is_not_believed(tmp_path: Path, of: str, changed: str) -> None:
    ledger = await Ledger.open(tmp_path, Step.VIDEO_GENERATION, run_id="run-1")
    ledger.record_intent(item="01", key="key", take=1, model="kling", upper_bound_usd=Decimal("0.42"), external_id=None)
    ledger.close()
    [line] = (tmp_path / layout.ledger(Step.VIDEO_GENERATION)).read_text().splitlines()
    assert decode_record(line) is not None
    assert of in line
    assert decode_record(line.replace(of, changed)) is None


def test_a_line_that_an_earlier_release_wrote_is_still_believed() -> None:
    """Were it not, all that is on the volumes would be paid for again."""
    line = (
        '{"c":"26b3e779ceef8560","r":{"version":1,"kind":"settled","at":"2026-11-21T12:00:00Z","runId":"run-1",'
        '"item":"heron-früh","key":"ab12","take":2,"callId":"c1","model":"kling-2.6","amountUsd":"0.42",'
        '"path":"clips/clip_01.mp4"}}'
    )
    record = decode_record(line)
    assert record is not None
    assert (record.kind, record.item, record.take) == (RecordKind.SETTLED, "heron-früh", 2)
    assert (record.amount_usd, record.path) == (Decimal("0.42"), "clips/clip_01.mp4")
