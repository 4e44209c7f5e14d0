"""What people see of films: columns that fit the terminal, what to do next on every page, a line for every change."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from videotask_contract.errors import BadInputError
from videotask_contract.phases import TERMINAL, Phase
from videotask_operator.cli.cluster import read_documents
from videotask_operator.cli.describe import describe_task, next_commands
from videotask_operator.cli.exits import CommandExit
from videotask_operator.cli.place import Event, Seen, no_such_task
from videotask_operator.cli.table import age_words, film_lines, folded
from videotask_operator.cli.task import Task
from videotask_operator.cli.watching import watch_film, watch_films

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LONG = "clip 07: Kling refused the prompt (1301): content risk; edit the scene, then raise spec.attempt"


def named(task: Task, name: str) -> Task:
    return Task({**task.resource, "metadata": {**task.resource["metadata"], "name": name}})


def plain(lines):
    return [line.plain for line in lines]


def at_work(task, done=7, **changes):
    return task(status={"progress": f"{done}/18", "step": "video_generation", "costUSD": "3.6792"}, **changes)


def test_a_table_says_where_each_film_stands(task):
    header, row = plain(film_lines([at_work(task)], now=NOW, width=None))
    assert header.split() == ["NAME", "PHASE", "PROGRESS", "COST", "AGE", "MESSAGE"]
    assert row.split("   ")[0] == "heron"
    assert row.split() == ["heron", "GeneratingVideo", "7/18", "clips", "$3.68", "60m", "run", "3"]


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_a_table_is_never_wider_than_the_terminal(task, width):
    films = [at_work(task), task(phase="VideoError", message=LONG)]
    assert max(len(line) for line in plain(film_lines(films, now=NOW, width=width))) <= width


def test_a_message_that_has_no_room_gets_a_line_of_its_own(task):
    lines = plain(film_lines([task(phase="VideoError", message=LONG)], now=NOW, width=80))
    assert lines[2].startswith("  clip 07: Kling refused the prompt (1301)")


def test_a_pipe_gets_one_whole_line_for_each_film(task):
    lines = plain(film_lines([task(phase="VideoError", message=LONG)], now=NOW, width=None))
    assert len(lines) == 2
    assert lines[1].endswith(LONG)


FFMPEG = "video_assembly: film.mp4: FFmpeg ended with 1: [in#0] Error opening\nsegments/07.mkv: Invalid data\n"


def test_words_of_several_lines_stay_one_line_of_a_table_and_of_a_watch(task):
    film = task(phase="AssemblyError", message=FFMPEG)
    [_, row] = [line for text in plain(film_lines([film], now=NOW, width=None)) for line in text.splitlines()]
    assert row.endswith("Error opening segments/07.mkv: Invalid data")
    lines = film_watched(film)[1].splitlines()
    assert [line for line in lines if "Invalid data" in line] == [line for line in lines if "FFmpeg ended" in line]


def test_a_phase_of_a_later_release_is_told_and_no_bug(task):
    with pytest.raises(BadInputError, match="older than its operator"):
        film_watched(at_work(task), task(phase="Publishing"))
    with pytest.raises(BadInputError, match="older than its operator"):
        film_watched(task(phase="Publishing"))


def test_wide_adds_channel_priority_attempt_and_film(task):
    film = task(status={"attempt": 2, "film": {"path": "projects/heron-1/film.mp4"}}, priority="high")
    _, row = plain(film_lines([film], now=NOW, width=None, wide=True, with_namespace=True))
    for word in ("studio", "tides", "high", " 2 ", "projects/heron-1/film.mp4"):
        assert word in row


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (3 * 86400, "3d")]
)
def test_ages_are_told_as_kubectl_tells_them(seconds, words):
    assert age_words(NOW - timedelta(seconds=seconds), NOW) == words


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in TERMINAL])
def test_every_page_of_a_film_that_is_not_over_says_what_to_do_next(task, phase):
    assert next_commands(task(phase=phase.resource), flags=" -n studio")


def test_what_to_do_next_is_meant_for_the_same_place(on_show):
    commands = [command for command, _ in next_commands(on_show(), flags=" -n studio")]
    assert "videotask approve heron -n studio --round 2" in commands
    assert all(" -n studio" in command for command in commands)


def test_an_error_is_followed_by_logs_and_retry(task):
    commands = [command for command, _ in next_commands(task(phase="VideoError"), flags="")]
    assert commands == ["videotask logs heron", "videotask retry heron"]


def test_a_page_tells_money_changes_and_events(task):
    film = task(
        status={"costUSD": "3.6792", "possiblyPaidUSD": "0.4200", "keptUSD": "0.3696", "redoRequest": "again"},
        edits={"scenes": [{"scene": "2", "narration": "Short."}]},
        redo={"request": "again", "steps": [{"step": "video_generation", "items": ["2"]}]},
        takes=[{"step": "video_generation", "item": "3", "take": 1}],
    )
    events = [Event(at=NOW, type="Warning", reason="Kept", message="11 images kept")]
    page = "\n".join(plain(describe_task(film, events=events, flags="", now=NOW)))
    for words in (
        "possibly paid     $0.42",
        "kept              $0.37",
        "edit   scene 2: narration",
        "redo   clip 2 (again: taken up)",
        "take   clip 3: take 1",
        "11 images kept",
    ):
        assert words in page


def test_a_page_is_folded_to_the_terminal_with_its_indent(task):
    console = Console(width=60, file=io.StringIO(), force_terminal=True)
    page = describe_task(task(phase="VideoError", message=LONG), events=[], flags="", now=NOW)
    lines = plain(folded(page, console))
    assert max(map(len, lines)) <= 60
    first = next(number for number, line in enumerate(lines) if "Kling" in line)
    assert lines[first + 1].startswith("      ")
    assert " ".join(line.strip() for line in lines[first : first + 2]).startswith(LONG[:60])


def watched(looks, **options):
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=False)
    watch_films(console, looks, clock=lambda: NOW, wide=False, with_namespace=False, **options)
    return out.getvalue().splitlines()


def test_a_pipe_gets_a_line_for_each_change_and_none_for_the_same_again(task):
    one, other = at_work(task), named(task(), "fox")
    lines = watched(
        [
            [Seen(one), Seen(other)],
            [Seen(one)],
            [Seen(at_work(task, takes=[{"step": "video_generation", "item": "3", "take": 1}]))],
            [Seen(at_work(task, done=8))],
            [Seen(other, is_gone=True)],
            [Seen(other, is_gone=True)],
        ]
    )
    assert [line.split()[0] for line in lines] == ["NAME", "fox", "heron", "heron", "fox"]
    assert "8/18 clips" in lines[3]
    assert lines[4].endswith("(deleted)")
    assert len({line.index("GeneratingVideo") for line in lines[1:]}) == 1


def film_watched(*tasks, until=None, is_gone=False):
    out = io.StringIO()

    def look():
        for one in tasks:
            yield [Seen(one)]
        if is_gone:
            yield [Seen(tasks[-1], is_gone=True)]
            pytest.fail("it went on looking for a film that is gone")

    looks = look()
    code = watch_film(Console(file=out, width=100), looks, title="heron", flags="", until=until)
    return code, out.getvalue()


def test_a_watched_film_tells_once_what_it_waits_for(on_show):
    code, text = film_watched(on_show(), on_show(), named(on_show(), "heron"))
    assert text.count("videotask approve heron --round 2") == 1
    assert code == CommandExit.NOT_NOW  # the looks ended before the film did


def test_a_watch_ends_with_the_film(task):
    assert film_watched(at_work(task), task(phase="Completed"))[0] == CommandExit.DONE
    assert film_watched(task(phase="Completed"), until=Phase.COMPLETED)[0] == CommandExit.DONE
    assert film_watched(task(phase="Failed"), until=Phase.COMPLETED)[0] == CommandExit.NOT_NOW
    assert film_watched(at_work(task), is_gone=True, until=Phase.FINAL_REVIEW)[0] == CommandExit.NOT_NOW


def test_names_that_are_near_are_told():
    names = ["reedwater", "night-fox"]
    assert "did you mean reedwater?" in no_such_task("redwater", names, where="films").message
    assert "there are night-fox, reedwater" in no_such_task("xyz", names, where="films").message
    assert "no VideoTasks at all" in no_such_task("xyz", [], where="films").message


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_documents_of_a_stream_are_read_whole_however_they_come(size):
    class Stream(io.BytesIO):
        def read1(self, _limit=-1):
            return self.read(size)

    data = '{"a": "…"}\n{"b": {"c": "ü"}} {"d": 1}'.encode()
    assert list(read_documents(Stream(data))) == [{"a": "…"}, {"b": {"c": "ü"}}, {"d": 1}]
