from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.builders import RULES, UID, a_channel, a_record, a_resource, a_run

from videotask_contract.phases import TERMINAL
from videotask_contract.steps import Step
from videotask_operator.core.model import Caller, RunOrder, TaskKey
from videotask_operator.core.order import build_order
from videotask_operator.core.ports import ForeignJobError
from videotask_operator.kube.api import ApiRefusedError, ApiUnavailableError
from videotask_operator.kube.build_job import JobSettings
from videotask_operator.kube.cluster import KubeCluster
from videotask_operator.kube.paths import Kind, core, objects, one

FILM = TaskKey("studio", "film")
RUN = a_run(job_name="film-job-1")
JOB = one(Kind.JOB, "studio", "film-job-1")
CONFIG_MAP = core("configmaps", "studio", "film-job-1")
POD = Caller(namespace="studio", pod_name="film-job-1-abcde", pod_uid="pod-uid")


def an_order(run: Any = RUN) -> RunOrder:
    return build_order(run=run, record=a_record(), spec=a_resource().spec, channel=a_channel().spec, rules=RULES)


class Seen:
    """The cluster under test, its server, and the keys it told of."""

    def __init__(self, cluster: KubeCluster) -> None:
        self.cluster = cluster
        self.told: list[TaskKey] = []
        cluster.on_change(self.told.append)


@pytest.fixture
def make_cluster(make_api) -> Callable[..., KubeCluster]:
    def make(*namespaces: str) -> KubeCluster:
        jobs = JobSettings(images=dict.fromkeys(Step, "localhost/step:1"))
        return KubeCluster(make_api(), namespaces=namespaces or ("studio",), jobs=jobs)

    return make


@pytest.fixture
def cluster(make_cluster) -> KubeCluster:
    return make_cluster()


# --- the cache's truth -------------------------------------------------------------------------------------------


async def test_it_is_synced_only_once_every_kind_was_listed_everywhere(server, make_cluster) -> None:
    cluster = make_cluster("studio", "attic")
    assert not cluster.is_synced
    server.refuse("GET /apis/batch/v1/namespaces/attic", 503)
    assert not await cluster.resync()
    assert not cluster.is_synced
    assert cluster.last_resync_tried_at is not None
    assert cluster.last_resync_ok_at is None
    server.refusals.clear()
    assert await cluster.resync()
    assert cluster.is_synced
    assert cluster.last_resync_ok_at is not None


@pytest.mark.parametrize("kind", list(Kind))
async def test_a_namespace_that_may_not_be_read_is_out_of_sight_and_holds_up_no_other(
    server, make_cluster, bodies, kind
) -> None:
    cluster = make_cluster("attic", "studio")
    seen = Seen(cluster)
    server.put(objects(Kind.TASK, "studio"), bodies.task())
    server.refuse(f"GET {objects(kind, 'studio')}", 403)
    await cluster.resync()
    assert cluster.is_synced, "the films of the attic are moved on"
    assert cluster.observe(TaskKey("attic", "film")).in_sight
    assert not cluster.observe(FILM).in_sight, "an absence there is no deletion"
    seen.told.clear()
    server.refusals.clear()
    await cluster.resync()
    assert cluster.observe(FILM).in_sight
    assert FILM in seen.told, "and its films get a look as soon as it can be read"


async def test_watches_begin_anew_without_a_namespace_whose_rights_are_lost_and_with_it_when_they_are_back(
    server, make_cluster, bodies
) -> None:
    cluster, calls = make_cluster("attic", "studio"), []
    cluster.on_other_sight(lambda: calls.append(cluster.readable_namespaces()))
    server.put(objects(Kind.TASK, "studio"), bodies.task())
    await cluster.resync()
    assert calls == []
    server.refuse("GET /apis/batch/v1/namespaces/studio", 403)
    for _ in range(3):
        await cluster.resync()
    assert calls == [("attic",)], "once, though it is refused again and again"
    assert list(cluster.task_keys()) == [FILM], "what was seen there stands"
    server.refusals.clear()
    await cluster.resync()
    assert calls == [("attic",), ("attic", "studio")]


async def test_where_nothing_may_be_read_nothing_is_concluded(server, cluster) -> None:
    server.refuse("GET", 403)
    await cluster.resync()
    assert not cluster.is_synced


async def test_a_namespace_that_is_not_watched_is_out_of_sight(cluster) -> None:
    await cluster.resync()
    assert cluster.observe(FILM).in_sight
    assert not cluster.observe(TaskKey("attic", "film")).in_sight


@pytest.mark.parametrize("status", [403, 404, 410, 500, 503])
async def test_a_list_that_fails_deletes_nothing(server, cluster, bodies, status) -> None:
    server.put(objects(Kind.TASK, "studio"), bodies.task())
    await cluster.resync()
    server.refuse("GET", status)
    assert not await cluster.resync()
    assert list(cluster.task_keys()) == [FILM]


async def test_every_task_that_is_not_over_gets_a_look_once_the_api_server_is_back(server, cluster, bodies) -> None:
    server.put(objects(Kind.TASK, "studio"), bodies.task())
    for number, phase in enumerate(sorted(phase.resource for phase in TERMINAL)):
        over = bodies.task(name=f"over-{number}", uid=f"{number}-of-long-ago", status={"phase": phase})
        server.put(objects(Kind.TASK, "studio"), over)
    await cluster.resync()
    assert len(list(cluster.task_keys())) == 1 + len(TERMINAL)
    seen, stop = Seen(cluster), asyncio.Event()
    server.refuse("GET", 503)
    keeping = asyncio.create_task(cluster.keep_synced(every_seconds=0.01, stop=stop))
    tries = {cluster.last_resync_tried_at}
    async with asyncio.timeout(30):
        while len(tries) < 3:  # the second has begun, so that the first has failed
            await asyncio.sleep(0.001)
            tries.add(cluster.last_resync_tried_at)
        server.refusals.clear()
        while not seen.told:
            await asyncio.sleep(0.001)
    stop.set()
    await keeping
    assert set(seen.told) == {FILM}


async def test_a_list_tells_of_what_changed_and_of_nothing_else(server, cluster, bodies) -> None:
    seen = Seen(cluster)
    server.put(objects(Kind.TASK, "studio"), bodies.task())
    server.put(objects(Kind.TASK, "studio"), bodies.task(name="short", uid="2"))
    await cluster.resync()
    assert set(seen.told) == {FILM, TaskKey("studio", "short")}
    seen.told.clear()
    await cluster.resync()
    assert seen.told == []
    del server.objects[one(Kind.TASK, "studio", "film")]
    server.version += 1
    await cluster.resync()
    assert seen.told == [FILM]
    assert cluster.observe(FILM).task is None


async def test_an_event_tells_of_its_task(cluster, bodies) -> None:
    seen = Seen(cluster)
    cluster.take_event(Kind.TASK, "ADDED", bodies.task())
    cluster.take_event(Kind.CHANNEL, None, bodies.channel())
    cluster.take_event(Kind.JOB, "ADDED", bodies.job())
    cluster.take_event(Kind.POD, "MODIFIED", bodies.pod())
    observed = cluster.observe(FILM)
    assert observed.task is not None
    assert observed.channel is not None
    assert [job.name for job in observed.jobs] == ["film-job-1"]
    assert [pod.name for pod in observed.pods] == ["film-job-1-abcde"]
    cluster.take_event(Kind.POD, "DELETED", bodies.pod(version=2))
    assert seen.told == [FILM] * 5
    assert cluster.observe(FILM).pods == ()


async def test_resyncs_go_on_until_told_to_stop(server, cluster, bodies) -> None:
    stop = asyncio.Event()
    server.refuse("GET", 503)
    loop = asyncio.create_task(cluster.keep_synced(every_seconds=0.01, stop=stop))
    await _until(lambda: cluster.last_resync_tried_at is not None)
    server.refusals.clear()
    await _until(lambda: cluster.is_synced)
    server.put(objects(Kind.TASK, "studio"), bodies.task())
    await _until(lambda: list(cluster.task_keys()) == [FILM])
    stop.set()
    await asyncio.wait_for(loop, 30)


async def test_an_object_nobody_foresaw_does_not_end_the_resyncs(server, cluster, bodies) -> None:
    server.put(objects(Kind.TASK, "studio"), bodies.task())
    server.objects[one(Kind.TASK, "studio", "film")]["metadata"]["creationTimestamp"] = "yesterday"
    stop = asyncio.Event()
    loop = asyncio.create_task(cluster.keep_synced(every_seconds=0.01, stop=stop))
    await _until(lambda: len(server.requests) > 8)
    assert not cluster.is_synced
    server.objects[one(Kind.TASK, "studio", "film")]["metadata"]["creationTimestamp"] = "2026-11-21T12:00:00Z"
    await _until(lambda: cluster.is_synced)
    stop.set()
    await asyncio.wait_for(loop, 30)


async def test_watches_begin_anew_when_the_custom_resources_are_served_again(server, cluster) -> None:
    calls: list[int] = []
    cluster.on_other_sight(lambda: calls.append(1))
    await cluster.resync()
    assert calls == []
    server.refuse(f"GET {objects(Kind.TASK, 'studio')}", 404)
    await cluster.resync()
    server.refusals.clear()
    await cluster.resync()
    await cluster.resync()
    assert calls == [1]


async def test_the_word_of_a_pod_whose_job_is_not_ours_is_not_passed_on(cluster, bodies) -> None:
    ended = {
        "phase": "Failed",
        "containerStatuses": [{"name": "step", "state": {"terminated": {"exitCode": 0, "message": "done!"}}}],
    }
    cluster.take_event(Kind.JOB, "ADDED", bodies.job())
    cluster.take_event(Kind.POD, "ADDED", bodies.pod(status=ended))
    cluster.take_event(Kind.POD, "ADDED", bodies.pod(name="forged", uid="2", job_uid="other", status=ended))
    believed, forged = cluster.observe(FILM).pods
    assert (believed.exit_code, believed.termination_message) == (0, "done!")
    assert (forged.exit_code, forged.termination_message) == (None, None)


# --- runs --------------------------------------------------------------------------------------------------------


async def test_a_run_is_a_config_map_and_a_job_and_is_seen_at_once(server, cluster) -> None:
    await cluster.create_run(an_order())
    assert {JOB, CONFIG_MAP} == set(server.objects)
    assert [job.run_id for job in cluster.observe(FILM).jobs] == ["run1"]


async def test_creating_it_twice_changes_nothing(server, make_cluster) -> None:
    await make_cluster().create_run(an_order())
    before = dict(server.objects)
    another_process = make_cluster()
    await another_process.create_run(an_order())
    assert server.objects == before
    assert [job.run_id for job in another_process.observe(FILM).jobs] == ["run1"]


@pytest.mark.parametrize("missing", [JOB, CONFIG_MAP])
async def test_half_a_run_is_completed(server, cluster, missing) -> None:
    await cluster.create_run(an_order())
    del server.objects[missing]
    await cluster.create_run(an_order())
    assert {JOB, CONFIG_MAP} == set(server.objects)


@pytest.mark.parametrize(
    "metadata", [{"labels": {}}, {"labels": {"videotask.dev/run-id": "run1"}, "ownerReferences": []}]
)
async def test_a_foreign_job_is_never_adopted(server, cluster, bodies, metadata) -> None:
    server.put(objects(Kind.JOB, "studio"), bodies.job(metadata=metadata))
    with pytest.raises(ForeignJobError, match="film-job-1"):
        await cluster.create_run(an_order())
    assert cluster.observe(FILM).jobs == ()


async def test_a_job_of_an_earlier_resource_of_that_name_is_foreign(server, cluster, bodies) -> None:
    owner = {"kind": "VideoTask", "name": "film", "uid": "earlier", "controller": True}
    server.put(objects(Kind.JOB, "studio"), bodies.job(metadata={"ownerReferences": [owner]}))
    with pytest.raises(ForeignJobError):
        await cluster.create_run(an_order())


async def test_with_a_foreign_config_map_no_job_is_left_to_read_it(server, cluster) -> None:
    server.put(core("configmaps", "studio"), {"metadata": {"name": "film-job-1"}, "data": {"task.json": "{}"}})
    with pytest.raises(ForeignJobError):
        await cluster.create_run(an_order())
    assert JOB not in server.objects


async def test_an_api_server_in_trouble_is_an_error_that_time_heals(server, cluster) -> None:
    server.refuse(f"POST {objects(Kind.JOB, 'studio')}", 503)
    with pytest.raises(ApiUnavailableError):
        await cluster.create_run(an_order())
    server.refusals.clear()
    await cluster.create_run(an_order())
    assert {JOB, CONFIG_MAP} == set(server.objects)


async def test_a_quota_in_the_way_is_told_in_the_servers_words(server, cluster) -> None:
    server.refuse(f"POST {objects(Kind.JOB, 'studio')}", 403)
    with pytest.raises(ApiRefusedError, match="refused with 403"):
        await cluster.create_run(an_order())


async def test_deleting_a_run_takes_both_and_twice_is_success(server, cluster) -> None:
    await cluster.create_run(an_order())
    await cluster.delete_run(FILM, "film-job-1")
    assert server.objects == {}
    await cluster.delete_run(FILM, "film-job-1")


async def test_a_foreign_job_is_not_deleted(server, cluster, bodies) -> None:
    server.put(objects(Kind.JOB, "studio"), bodies.job(metadata={"labels": {"app": "theirs"}}))
    await cluster.delete_run(FILM, "film-job-1")
    assert JOB in server.objects


async def test_a_delete_that_was_not_answered_is_no_success(server, cluster, bodies) -> None:
    server.put(objects(Kind.JOB, "studio"), bodies.job())
    server.refuse("DELETE", 503)
    with pytest.raises(ApiUnavailableError):
        await cluster.delete_run(FILM, "film-job-1")


async def test_config_maps_whose_job_is_gone_are_swept_after_a_while(server, cluster, bodies) -> None:
    await cluster.create_run(an_order())
    young = {**server.objects[CONFIG_MAP]["metadata"], "name": "young", "uid": "2"}
    young["creationTimestamp"] = datetime.now(UTC).isoformat()
    server.put(core("configmaps", "studio"), {"metadata": young})
    old = {**young, "name": "old", "uid": "3", "creationTimestamp": "2020-01-01T00:00:00Z"}
    server.put(core("configmaps", "studio"), {"metadata": old})
    server.objects[CONFIG_MAP]["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    await cluster.resync()
    assert {path.rsplit("/", 1)[1] for path in server.objects if "configmaps" in path} == {"film-job-1", "young"}


# --- who speaks --------------------------------------------------------------------------------------------------


async def test_a_pod_of_the_runs_job_owns_it_from_the_cache_alone(server, cluster, bodies) -> None:
    cluster.take_event(Kind.JOB, "ADDED", bodies.job())
    cluster.take_event(Kind.POD, "ADDED", bodies.pod())
    assert await cluster.owns_run(POD, RUN, FILM)
    assert server.requests == []


async def test_a_pod_not_seen_yet_is_looked_up(server, cluster, bodies) -> None:
    server.put(objects(Kind.JOB, "studio"), bodies.job())
    server.put(objects(Kind.POD, "studio"), bodies.pod())
    assert await cluster.owns_run(POD, RUN, FILM)


@pytest.mark.parametrize(
    ("caller", "run"),
    [
        (Caller(namespace="attic", pod_name="film-job-1-abcde", pod_uid="pod-uid"), RUN),
        (Caller(namespace="studio", pod_name="film-job-1-abcde", pod_uid="an-earlier-one"), RUN),
        (Caller(namespace="studio", pod_name="nobody", pod_uid="x"), RUN),
        (POD, a_run(number=2, job_name="film-job-1")),
        (POD, a_run(job_name="film-job-2")),
    ],
)
async def test_another_pod_owns_nothing(server, cluster, bodies, caller, run) -> None:
    server.put(objects(Kind.JOB, "studio"), bodies.job())
    server.put(objects(Kind.POD, "studio"), bodies.pod())
    await cluster.resync()
    assert not await cluster.owns_run(caller, run, FILM)


async def test_a_forged_label_on_a_foreign_pod_owns_nothing(cluster, bodies) -> None:
    cluster.take_event(Kind.JOB, "ADDED", bodies.job())
    cluster.take_event(Kind.POD, "ADDED", bodies.pod(job_uid="somebody-elses-job"))
    assert not await cluster.owns_run(POD, RUN, FILM)
    cluster.take_event(Kind.POD, "MODIFIED", bodies.pod(version=2, metadata={"ownerReferences": []}))
    assert not await cluster.owns_run(POD, RUN, FILM)


async def test_a_job_of_that_name_that_is_not_the_tasks_gives_its_pods_nothing(server, cluster, bodies) -> None:
    server.put(objects(Kind.JOB, "studio"), bodies.job(metadata={"ownerReferences": []}))
    server.put(objects(Kind.POD, "studio"), bodies.pod())
    await cluster.resync()
    assert not await cluster.owns_run(POD, RUN, FILM)


async def test_a_pod_may_report_after_its_job_was_deleted(cluster, bodies) -> None:
    cluster.take_event(Kind.JOB, "ADDED", bodies.job())
    cluster.take_event(Kind.POD, "ADDED", bodies.pod())
    cluster.take_event(Kind.JOB, "DELETED", bodies.job(version=2))
    assert await cluster.owns_run(POD, RUN, FILM)


async def test_the_holder_of_the_start_permit_may_report_to_a_new_operator_too(cluster) -> None:
    assert await cluster.owns_run(POD, a_run(job_name="film-job-1", permitted_pod_uid="pod-uid"), FILM)


@pytest.mark.parametrize("phase", ["Pending", "Running", "Unknown"])
@pytest.mark.parametrize("is_cached", [True, False])
async def test_a_pod_that_is_there_is_not_gone(server, cluster, bodies, phase, is_cached) -> None:
    server.put(objects(Kind.POD, "studio"), bodies.pod(status={"phase": phase}))
    if is_cached:
        await cluster.resync()
    assert not await cluster.is_pod_gone(FILM, "pod-uid")


@pytest.mark.parametrize("is_cached", [True, False])
async def test_a_pod_is_gone_when_absent_ended_or_replaced(server, cluster, bodies, is_cached) -> None:
    if is_cached:
        cluster.take_event(Kind.POD, "ADDED", bodies.pod(status={"phase": "Running"}))
    assert await cluster.is_pod_gone(FILM, "pod-uid")
    server.put(objects(Kind.POD, "studio"), bodies.pod(status={"phase": "Failed"}))
    assert await cluster.is_pod_gone(FILM, "pod-uid")
    server.put(objects(Kind.POD, "studio"), bodies.pod(uid="next", status={"phase": "Running"}))
    assert await cluster.is_pod_gone(FILM, "pod-uid")


async def test_silence_proves_no_pod_gone(server, cluster) -> None:
    server.refuse("GET", 503)
    with pytest.raises(ApiUnavailableError):
        await cluster.is_pod_gone(FILM, "pod-uid")


# --- status ------------------------------------------------------------------------------------------------------


async def test_a_status_that_is_there_already_or_has_nobody_to_take_it_costs_no_request(
    server, cluster, bodies
) -> None:
    cluster.take_event(Kind.TASK, "ADDED", bodies.task(status={"phase": "Queued"}))
    await cluster.save_status(FILM, uid=UID, status={"phase": "Queued"})
    await cluster.save_status(FILM, uid="re-created", status={"phase": "Claimed"})
    await cluster.save_status(TaskKey("studio", "gone"), uid=UID, status={"phase": "Claimed"})
    assert server.requests == []


async def test_a_status_for_a_resource_gone_is_success(server, cluster, bodies) -> None:
    cluster.take_event(Kind.TASK, "ADDED", bodies.task())
    await cluster.save_status(FILM, uid=UID, status={"phase": "Claimed"})
    assert [method for method, _ in server.requests] == ["PATCH"]


async def test_a_status_that_is_refused_is_an_error(server, cluster, bodies) -> None:
    server.put(objects(Kind.TASK, "studio"), bodies.task())
    await cluster.resync()
    server.refuse("PATCH", 422)
    with pytest.raises(ApiRefusedError):
        await cluster.save_status(FILM, uid=UID, status={"phase": "Claimed"})


async def test_a_resource_re_created_meanwhile_is_left_alone(server, cluster, bodies) -> None:
    server.put(objects(Kind.TASK, "studio"), bodies.task())
    await cluster.resync()
    server.put(objects(Kind.TASK, "studio"), bodies.task(uid="new"))
    server.refuse("PATCH", 422)
    await cluster.save_status(FILM, uid=UID, status={"phase": "Claimed"})
    task = cluster.observe(FILM).task
    assert task is not None
    assert (task.uid, task.status) == ("new", {})


async def _until(condition: Callable[[], bool], *, deadline_seconds: float = 60) -> None:
    async with asyncio.timeout(deadline_seconds):
        while not condition():
            await asyncio.sleep(0.005)
