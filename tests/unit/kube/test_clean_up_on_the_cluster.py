"""Clean-ups against an API server: started once, read from their Job, never in a namespace that is not watched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.support.builders import UID

from videotask_contract.errors import PermanentError, VideoTaskError
from videotask_contract.steps import Step
from videotask_operator.core.model import TaskKey
from videotask_operator.core.ports import ForeignJobError
from videotask_operator.core.retention import CleanUpOrder, CleanUpState, Extent
from videotask_operator.kube.build_job import JobSettings
from videotask_operator.kube.cluster import KubeCluster
from videotask_operator.kube.paths import Kind, objects, one

ORDER = CleanUpOrder(
    key=TaskKey("studio", "film"),
    task_uid=UID,
    channel="tides",
    extent=Extent.ALL,
    job_name=f"film-clean-up-{UID[:8]}",
    claim_name="tides-films",
    folder=f"projects/film-{UID[:8]}",
)
JOB = one(Kind.JOB, "studio", ORDER.job_name)


@pytest.fixture
def cluster(make_api: Callable[..., object]) -> KubeCluster:
    return KubeCluster(
        make_api(),  # type: ignore[arg-type]
        namespaces=("studio",),
        jobs=JobSettings(images=dict.fromkeys(Step, "localhost/step:1")),
    )


async def test_the_job_is_made_once_and_its_end_is_read_from_it(server, cluster) -> None:
    assert await cluster.run_clean_up(ORDER) is CleanUpState.RUNNING
    made = server.objects[JOB]
    assert made["spec"]["template"]["spec"]["containers"][0]["command"][-1] == "--all"
    assert await cluster.run_clean_up(ORDER) is CleanUpState.RUNNING
    assert server.objects[JOB]["metadata"]["uid"] == made["metadata"]["uid"]
    server.put(objects(Kind.JOB, "studio"), made | {"status": {"conditions": [{"type": "Complete", "status": "True"}]}})
    assert await cluster.run_clean_up(ORDER) is CleanUpState.DONE


async def test_a_job_of_the_same_name_that_is_not_ours_proves_nothing(server, cluster) -> None:
    foreign = {"metadata": {"name": ORDER.job_name}, "status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    server.put(objects(Kind.JOB, "studio"), foreign)
    with pytest.raises(ForeignJobError):
        await cluster.run_clean_up(ORDER)


async def test_nothing_is_removed_in_a_namespace_that_is_not_watched(server, cluster) -> None:
    with pytest.raises(PermanentError, match="attic is not watched"):
        await cluster.run_clean_up(replace(ORDER, key=TaskKey("attic", "film")))
    assert not [path for path in server.objects if "clean-up" in path]


@pytest.mark.parametrize("status", [403, 404, 503])
async def test_files_of_a_deleted_film_stay_while_the_videotasks_cannot_be_listed(server, cluster, status) -> None:
    """A CRD that was deleted, or a right that was taken away, is no word of a person about files."""
    server.refuse(f"GET {objects(Kind.TASK, 'studio')}", status)
    with pytest.raises(VideoTaskError):
        await cluster.run_clean_up(ORDER)
    assert JOB not in server.objects
    server.refusals.clear()
    assert await cluster.run_clean_up(ORDER) is CleanUpState.RUNNING


async def test_files_of_a_film_that_is_there_after_all_stay(server, cluster, bodies) -> None:
    server.put(objects(Kind.TASK, "studio"), bodies.task())
    with pytest.raises(PermanentError, match="studio/film is still there"):
        await cluster.run_clean_up(ORDER)
    assert JOB not in server.objects
    assert await cluster.run_clean_up(replace(ORDER, extent=Extent.WORK)) is CleanUpState.RUNNING


async def test_a_clean_up_does_not_read_every_film_of_its_namespace(server, cluster, bodies) -> None:
    for number in range(20):
        server.put(objects(Kind.TASK, "studio"), bodies.task(name=f"film-{number}", uid=f"uid-{number}"))
    server.put(objects(Kind.TASK, "studio"), bodies.task(uid="made-later-under-its-name"))
    assert await cluster.run_clean_up(ORDER) is CleanUpState.RUNNING
    assert server.listed == 1
