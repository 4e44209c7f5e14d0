"""One film's file that is odd, unreadable or away holds up no other film, and is no proof that the film was deleted."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.local.test_local_cluster import KEY, POLITE, SLEEP

from videotask_operator.core.model import TaskKey
from videotask_operator.local import resources

SWAN = TaskKey("default", "swan")
ODD_SPECS = {"a number among names": "spec: {title: A, 7: x}", "it holds itself": "spec: &a {title: A, x: *a}"}


def another(world, name="swan"):
    return {**world.task, "metadata": {"name": name}}


@pytest.mark.parametrize("spec", ODD_SPECS.values(), ids=ODD_SPECS)
async def test_a_spec_that_no_api_server_would_take_is_a_broken_one_and_ends_nothing(world, spec):
    head = "apiVersion: videotask.dev/v1alpha1\nkind: VideoTask\nmetadata: {name: heron}\n"
    (world.folder.videotasks / "heron.yaml").write_text(head + spec)
    world.cluster.refresh()
    task = world.cluster.observe(KEY).task
    assert (task.spec, task.generation) == (None, 2)
    assert "spec" in task.spec_error
    assert world.restarted().observe(KEY).task.generation == 2


async def test_the_longest_name_that_a_file_can_have_is_a_films_like_any_other(world):
    name = "heron-" + "x" * 244
    (world.folder.videotasks / f"{name}.yaml").write_text(
        (world.folder.videotasks / "heron.yaml").read_text().replace('"heron"', f'"{name}"')
    )
    world.cluster.refresh()
    assert world.cluster.observe(TaskKey("default", name)).task.spec is not None


async def test_a_film_whose_file_cannot_be_read_at_a_start_is_not_taken_for_deleted(world, monkeypatch):
    """As with a disk that is full, or too many open files."""
    world.program = SLEEP
    world.folder.apply(another(world))
    world.cluster.refresh()
    uid = world.cluster.observe(KEY).task.uid
    await world.cluster.create_run(world.order())
    world.wait_for_file(world.task_folder / "pid")
    load = resources.load_task
    failing = {"heron"}

    def load_or_fail(folder, *, namespace, name):
        if name in failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        return load(folder, namespace=namespace, name=name)

    monkeypatch.setattr(resources, "load_task", load_or_fail)
    cluster = world.restarted()
    cluster.refresh()
    assert cluster.is_synced
    assert cluster.observe(SWAN).task is not None
    assert not cluster.observe(KEY).in_sight
    assert not any(job.deleting for job in cluster.observe(KEY).jobs)
    failing.clear()
    cluster.refresh()
    seen = cluster.observe(KEY)
    assert (seen.in_sight, seen.task.uid, seen.jobs[0].active, seen.jobs[0].deleting) == (True, uid, True, False)


async def test_an_edit_that_could_not_be_read_is_read_later(world, monkeypatch):
    load, calls = resources.load_task, []

    def fail_once(folder, *, namespace, name):
        calls.append(name)
        if len(calls) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return load(folder, namespace=namespace, name=name)

    monkeypatch.setattr(resources, "load_task", fail_once)
    world.folder.apply({**world.task, "spec": world.task["spec"] | {"state": "Suspended"}})
    world.cluster.refresh()
    assert not world.cluster.observe(KEY).in_sight, "what its person wants now is not known"
    world.changed.clear()
    world.cluster.refresh()
    assert world.cluster.observe(KEY).task.spec.state == "Suspended"
    assert KEY in world.changed


async def test_a_file_that_is_away_while_the_operator_starts_is_the_same_film(world):
    now = [0.0]
    world.program = SLEEP
    uid = world.cluster.observe(KEY).task.uid
    await world.cluster.create_run(world.order())
    world.wait_for_file(world.task_folder / "pid")
    (world.folder.videotasks / "heron.yaml").unlink()
    cluster = world.restarted()
    cluster._clock = lambda: now[0]
    cluster._missing_since.clear()
    cluster.refresh()
    assert not cluster.is_synced  # nobody can say yet what there is
    world.folder.apply(world.task)
    cluster.refresh()
    seen = cluster.observe(KEY)
    assert (cluster.is_synced, seen.task.uid, seen.jobs[0].deleting) == (True, uid, False)


async def test_a_film_deleted_while_the_operator_was_away_is_another_one_when_applied_again(world):
    now = [0.0]
    uid = world.cluster.observe(KEY).task.uid
    (world.folder.videotasks / "heron.yaml").unlink()
    cluster = world.restarted()
    cluster._clock = lambda: now[0]
    cluster._missing_since.clear()
    for now[0] in (0.0, 2.0):
        cluster.refresh()
    assert cluster.is_synced
    assert KEY in world.changed
    assert (cluster.observe(KEY).task, cluster.observe(KEY).in_sight) == (None, True)
    world.folder.apply(world.task)
    cluster.refresh()
    assert cluster.observe(KEY).task.uid != uid


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EIO], ids=errno.errorcode.get)
async def test_no_film_counts_as_deleted_while_its_folder_cannot_be_read(world, monkeypatch, number):
    now = [0.0]
    world.cluster._clock = lambda: now[0]
    uid = world.cluster.observe(KEY).task.uid

    def refuse(path="."):
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as broken:
        broken.setattr(os, "scandir", refuse)
        broken.setattr(os, "listdir", refuse)
        for now[0] in (0.0, 5.0, 10.0):
            with pytest.raises(OSError, match=os.strerror(number)):
                world.cluster.refresh()
    world.cluster.refresh()
    assert world.cluster.observe(KEY).task.uid == uid


async def test_a_volume_that_cannot_be_written_holds_up_its_own_film_alone_and_says_so(world):
    world.program = POLITE
    world.folder.volume("river-files").joinpath("projects").write_text("a file where a folder should be")
    world.folder.make_volume("sea-files")
    await world.cluster.create_run(world.order())
    swan = world.order(run_id="run-2", key=SWAN, job_name="swan-1", claim_name="sea-files", folder="swan")
    world.folder.apply(another(world))
    world.cluster.refresh()
    assert SWAN in world.changed
    swan = replace(swan, task_uid=world.cluster.observe(SWAN).task.uid)
    await world.cluster.create_run(swan)
    world.wait_for_file(world.folder.volume("sea-files") / "swan" / "pid")
    world.folder.volume("river-files").joinpath("projects").unlink()
    [pod] = world.cluster.observe(KEY).pods
    assert pod.waiting_reason == "CreateContainerError"
    assert str(world.task_folder) in pod.waiting_message
    world.wait(lambda seen: seen.pods[0].running)


@pytest.mark.parametrize("kind", ["videotasks", "channels"])
async def test_a_file_that_could_not_be_opened_for_a_moment_is_no_broken_spec(world, monkeypatch, kind):
    read = Path.read_text
    failing = [getattr(world.folder, kind)]

    def read_or_fail(path, *rest, **named):
        if path.parent in failing:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))
        return read(path, *rest, **named)

    monkeypatch.setattr(Path, "read_text", read_or_fail)
    world.folder.apply({**world.channel, "spec": world.channel["spec"] | {"displayName": "River"}})
    world.folder.apply({**world.task, "spec": world.task["spec"] | {"priority": "high"}})
    world.cluster.refresh()
    failing.clear()
    world.changed.clear()
    world.cluster.refresh()
    seen = world.cluster.observe(KEY)
    assert (seen.task.spec_error, seen.channel.spec_error) == (None, None)
    assert (seen.task.spec.priority, seen.channel.spec.display_name) == ("high", "River")
    assert KEY in world.changed


async def test_a_file_that_was_closed_to_us_is_read_once_it_is_open(world, monkeypatch):
    read = Path.read_text
    file = world.folder.videotasks / "heron.yaml"

    def read_or_fail(path, *rest, **named):
        if path == file and not path.stat().st_mode & 0o004:  # as root may read all
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return read(path, *rest, **named)

    monkeypatch.setattr(Path, "read_text", read_or_fail)
    world.folder.apply({**world.task, "spec": world.task["spec"] | {"priority": "high"}})
    file.chmod(0o600)
    world.cluster.refresh()
    assert "Permission denied" in world.cluster.observe(KEY).task.spec_error
    file.chmod(0o644)
    world.cluster.refresh()
    assert world.cluster.observe(KEY).task.spec.priority == "high"


async def test_a_look_that_no_database_takes_is_a_broken_spec(world):
    """Kubernetes refuses it by the CRD's rule; the record of a film's first run could not be saved with it."""
    world.folder.apply({**world.channel, "spec": world.channel["spec"] | {"look": {"style": "soft\0gouache"}}})
    world.cluster.refresh()
    channel = world.cluster.observe(KEY).channel
    assert channel.spec is None
    assert "spec.look.style: must not hold the character U+0000" in channel.spec_error
