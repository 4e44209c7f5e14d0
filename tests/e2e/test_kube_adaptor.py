"""The Kubernetes adaptor against a real API server, with no more rights than the chart gives the operator."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
import yaml
from tests.support.builders import RULES, a_channel, a_channel_spec, a_record, a_resource, a_run, a_spec

from videotask_contract.steps import Step
from videotask_operator.core.model import (
    Caller,
    EventDraft,
    EventType,
    Observation,
    PodSeen,
    RunOrder,
    RunRecord,
    TaskKey,
)
from videotask_operator.core.order import build_order, job_name
from videotask_operator.core.ports import ForeignJobError
from videotask_operator.handlers import watch
from videotask_operator.kube.api import Api
from videotask_operator.kube.build_job import JobSettings
from videotask_operator.kube.cluster import KubeCluster
from videotask_operator.kube.connection import load_configuration

pytestmark = pytest.mark.e2e

IMAGES = Path(__file__).resolve().parents[2] / ".build" / "images.json"
FREE_STEP = Step.COMPOSITE_CREATION
PAID_STEP = Step.VIDEO_GENERATION

LOOK_AROUND = """
import json, os, pathlib
def attempt(path):
    try:
        pathlib.Path(path).write_text("x")
    except OSError as error:
        return type(error).__name__
    return "written"
task = json.loads(pathlib.Path(os.environ["VIDEOTASK_TASK_FILE"]).read_text())
volume = pathlib.Path(os.environ["VIDEOTASK_VOLUME"])
before = sorted(path.name for path in volume.iterdir())
seen = {
    "run": task["runId"],
    "user": [os.getuid(), os.getgid()],
    "before": before,
    "volume": attempt(volume / f"made-by-{task['task']['name']}"),
    "above": sorted(path.name for path in (volume / "..").iterdir() if path.name == "projects"),
    "root": attempt("/here"),
    "tmp": attempt("/tmp/here"),
    "task": attempt("/task/task.json"),
    "report_token": pathlib.Path(os.environ["VIDEOTASK_REPORT_TOKEN_FILE"]).read_text().count("."),
    "api_token": os.path.exists("/var/run/secrets/kubernetes.io"),
    "services": [name for name in os.environ if name.endswith("_SERVICE_HOST") and "KUBERNETES" not in name],
}
pathlib.Path(os.environ["VIDEOTASK_TERMINATION_LOG"]).write_text(json.dumps(seen))
raise SystemExit(16)
"""
STAY = (
    "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit(17)); print('up', flush=True); time.sleep(600)"
)
END = "raise SystemExit(0)"


class ScriptedApi(Api):
    """The adaptor's own connection, but each Job runs the test's script instead of a step's program."""

    script = STAY

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if body["kind"] == "Job":
            body = copy.deepcopy(dict(body))
            body["spec"]["template"]["spec"]["containers"][0]["command"] = ["python3", "-c", self.script]
        return await super().create(path, body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A namespace with the chart's Role, a Channel with its volume, and the operator's own kubeconfig."""

    cluster: Any
    namespace: str
    kubeconfig: Path
    image: str

    def film(self, *, prefix: str = "film") -> TaskKey:
        name = f"{prefix}-{uuid.uuid4().hex[:6]}"
        self.cluster.apply(self._task(name), namespace=self.namespace)
        return TaskKey(self.namespace, name)

    def again(self, key: TaskKey) -> None:
        self.cluster.kubectl("delete", "videotask", key.name, "--wait=true", namespace=self.namespace)
        self.cluster.apply(self._task(key.name), namespace=self.namespace)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return self.cluster.get(kind, name, namespace=self.namespace)

    def exists(self, kind: str, name: str) -> bool:
        found = self.cluster.kubectl("get", kind, name, "--ignore-not-found", namespace=self.namespace)
        return bool(found.stdout.strip())

    def token(self, *, account: str = "videotask-step", audience: str = "videotask-report", pod: PodSeen | None) -> str:
        bound = ["--bound-object-kind=Pod", f"--bound-object-name={pod.name}"] if pod else []
        words = ["create", "token", account, f"--audience={audience}", *bound]
        return self.cluster.kubectl(*words, namespace=self.namespace).stdout.strip()

    def _task(self, name: str) -> dict[str, Any]:
        return {
            "apiVersion": "videotask.dev/v1alpha1",
            "kind": "VideoTask",
            "metadata": {"name": name},
            "spec": a_spec(),
        }


class Watched:
    """The adaptor at work: listed, watching, and what it told of."""

    def __init__(self, cluster: KubeCluster, api: ScriptedApi, stage: Stage) -> None:
        self.cluster = cluster
        self.api = api
        self.stage = stage
        self.changed = asyncio.Event()
        cluster.on_change(lambda _: self.changed.set())

    def running(self, script: str) -> Self:
        self.api.script = script
        return self

    async def until(
        self, key: TaskKey, what: Callable[[Observation], Any], *, deadline_seconds: float = 120
    ) -> Observation:
        """Return the first observation for which `what` holds; wakes up for changes alone, never by asking."""
        try:
            async with asyncio.timeout(deadline_seconds):
                while not what(self.cluster.observe(key)):
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            pytest.fail(f"not within {deadline_seconds} s; last seen: {self.cluster.observe(key)}")
        return self.cluster.observe(key)

    async def order(self, key: TaskKey, *, step: Step = FREE_STEP, number: int = 1) -> tuple[RunRecord, RunOrder]:
        """Return an open run of this film and its order."""
        observed = await self.until(key, lambda seen: seen.task)
        assert observed.task is not None
        uid = observed.task.uid
        name = job_name(task=key.name, step=step, number=number, uid=uid)
        run = a_run(number=number, step=step, job_name=name, task_uid=uid, run_id=uuid.uuid4().hex)
        record = a_record(uid=uid, namespace=key.namespace, name=key.name)
        spec, channel = a_resource().spec, a_channel().spec
        return run, build_order(run=run, record=record, spec=spec, channel=channel, rules=RULES)

    async def start(self, key: TaskKey, **options: Any) -> tuple[RunRecord, PodSeen]:
        """Create a run and return it with its pod, once that runs."""
        run, order = await self.order(key, **options)
        await self.cluster.create_run(order)
        observed = await self.until(key, lambda seen: [pod for pod in seen.pods if pod.running])
        return run, next(pod for pod in observed.pods if pod.running)


@pytest.fixture(scope="module")
def stage(cluster, crds, make_module_namespace, tmp_path_factory) -> Iterator[Stage]:
    namespace = make_module_namespace(prefix="adaptor")
    rights = cluster.render(release="adaptor", namespace=namespace, templates=("rbac.yaml",))
    cluster.apply(*rights, namespace=namespace)
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "tides-films"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    channel = {
        "apiVersion": "videotask.dev/v1alpha1",
        "kind": "Channel",
        "metadata": {"name": "tides"},
        "spec": a_channel_spec(),
    }
    cluster.apply(claim, channel, namespace=namespace)
    home = tmp_path_factory.mktemp("operator")
    kubeconfig = _operator_kubeconfig(cluster, namespace, home)
    yield Stage(cluster=cluster, namespace=namespace, kubeconfig=kubeconfig, image=_image())
    of_the_cluster = [right for right in rights if right["kind"].startswith("ClusterRole")]
    for right in of_the_cluster:
        cluster.kubectl("delete", right["kind"], right["metadata"]["name"], "--ignore-not-found")


@pytest.fixture
async def watched(stage) -> AsyncIterator[Watched]:
    async with _watching(stage, stage.kubeconfig) as one:
        yield one


@contextlib.asynccontextmanager
async def _watching(stage: Stage, kubeconfig: Path) -> AsyncIterator[Watched]:
    api = ScriptedApi(await load_configuration(kubeconfig))
    jobs = JobSettings(images=dict.fromkeys(Step, stage.image))
    adaptor = KubeCluster(api, namespaces=[stage.namespace], jobs=jobs)
    assert await adaptor.resync()
    one = Watched(adaptor, api, stage)
    watching = watch.start(lambda: [stage.namespace], adaptor.take_event, kubeconfig=kubeconfig)
    try:
        yield one
    finally:
        started = time.monotonic()
        assert await watching.stop()
        assert time.monotonic() - started < 5, "the watch must end within the five seconds that a pod's end allows"
        await adaptor.close()


def _image() -> str:
    """Return any image with a Python in it that the nodes have."""
    named = os.environ.get("VIDEOTASK_TEST_IMAGE")
    if named:
        return named
    assert IMAGES.exists(), "no image is loaded: run `scripts/images`, or name one in VIDEOTASK_TEST_IMAGE"
    text = json.dumps(json.loads(IMAGES.read_text()))
    return next(word for word in text.split('"') if "/videotask-postgres:" in word)


def _operator_kubeconfig(cluster: Any, namespace: str, home: Path) -> Path:
    config = yaml.safe_load(cluster.kubectl("config", "view", "--raw", "--minify", "--flatten").stdout)
    words = ["create", "token", "adaptor-operator", "--duration=2h"]
    token = cluster.kubectl(*words, namespace=namespace).stdout.strip()
    config["users"] = [{"name": "operator", "user": {"token": token}}]
    config["contexts"][0]["context"]["user"] = "operator"
    path = home / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))
    return path


# --- a run -------------------------------------------------------------------------------------------------------


async def test_a_pod_is_restricted_and_sees_its_own_films_folder_alone(watched, stage) -> None:
    reports = []
    for number in (1, 2):
        key = stage.film()
        run, order = await watched.running(LOOK_AROUND).order(key, number=number)
        await watched.cluster.create_run(order)
        observed = await watched.until(key, lambda seen: [pod for pod in seen.pods if pod.finished])
        [pod] = observed.pods
        assert pod.exit_code == 16
        assert pod.run_id == run.run_id
        reports.append((key, run, json.loads(pod.termination_message or "{}")))
    for key, run, report in reports:
        assert report == {
            "run": run.run_id,
            "user": [65532, 65532],
            "before": [],
            "volume": "written",
            "above": [],
            "root": "OSError",
            "tmp": "written",
            "task": "OSError",
            "report_token": 2,
            "api_token": False,
            "services": [],
        }, key


async def test_a_later_run_of_a_film_finds_what_an_earlier_one_left(watched, stage) -> None:
    key = stage.film()
    for number, left in ((1, []), (2, [f"made-by-{key.name}"])):
        run, order = await watched.running(LOOK_AROUND).order(key, number=number)
        await watched.cluster.create_run(order)
        observed = await watched.until(
            key, lambda seen, run=run: [pod for pod in seen.pods if pod.finished and pod.run_id == run.run_id]
        )
        [pod] = [pod for pod in observed.pods if pod.run_id == run.run_id]
        assert json.loads(pod.termination_message or "{}")["before"] == left


async def test_a_run_is_created_once_and_seen_before_its_event(watched, stage) -> None:
    key = stage.film()
    _, order = await watched.order(key)
    await watched.cluster.create_run(order)
    [job] = watched.cluster.observe(key).jobs
    assert (job.run_id, job.active) == (order.run_id, True)
    await watched.cluster.create_run(order)
    assert stage.get("job", order.job_name)["metadata"]["uid"] == job.uid
    assert stage.get("configmap", order.job_name)["immutable"] is True


async def test_a_foreign_job_in_the_way_is_neither_adopted_nor_deleted(watched, stage) -> None:
    key = stage.film()
    _, order = await watched.order(key)
    container = {"name": "step", "image": stage.image, "command": ["true"]}
    theirs = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": order.job_name, "labels": {"videotask.dev/run-id": order.run_id}},
        "spec": {
            "suspend": True,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }
    stage.cluster.apply(theirs, namespace=stage.namespace)
    with pytest.raises(ForeignJobError, match=order.job_name):
        await watched.cluster.create_run(order)
    await watched.cluster.delete_run(key, order.job_name)
    assert stage.exists("job", order.job_name)
    assert watched.cluster.observe(key).jobs == ()


async def test_deleting_a_run_ends_its_pod_with_sigterm_and_leaves_nothing(watched, stage) -> None:
    key = stage.film()
    run, pod = await watched.running(STAY).start(key)
    await watched.cluster.delete_run(key, run.job_name)
    observed = await watched.until(key, lambda seen: not seen.pods and not seen.jobs)
    assert observed.task is not None
    assert not stage.exists("configmap", run.job_name)
    assert await watched.cluster.is_pod_gone(key, pod.uid)
    await watched.cluster.delete_run(key, run.job_name)


async def test_deleting_the_film_ends_all_that_was_made_for_it(watched, stage) -> None:
    key = stage.film()
    run, _ = await watched.running(STAY).start(key)
    stage.cluster.kubectl("delete", "videotask", key.name, namespace=stage.namespace)
    observed = await watched.until(key, lambda seen: seen.task is None and not seen.pods and not seen.jobs)
    assert observed == Observation(task=None, channel=None)
    assert not stage.exists("configmap", run.job_name)


async def test_an_evicted_pod_is_replaced_under_the_same_run(watched, stage) -> None:
    key = stage.film()
    run, first = await watched.running(STAY).start(key)
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": first.name, "namespace": stage.namespace},
    }
    path = f"/api/v1/namespaces/{stage.namespace}/pods/{first.name}/eviction"
    stage.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    await watched.until(key, lambda seen: any(pod.disrupted for pod in seen.pods))
    observed = await watched.until(key, lambda seen: any(pod.running and pod.uid != first.uid for pod in seen.pods))
    assert {pod.run_id for pod in observed.pods} == {run.run_id}
    [job] = observed.jobs
    assert job.active
    assert await watched.cluster.is_pod_gone(key, first.uid)


async def test_a_deleted_pod_leaves_a_failed_job_and_no_word(watched, stage) -> None:
    key = stage.film()
    _, pod = await watched.running(STAY).start(key)
    stage.cluster.kubectl("delete", "pod", pod.name, "--wait=false", namespace=stage.namespace)
    observed = await watched.until(key, lambda seen: seen.jobs and not seen.jobs[0].active)
    assert observed.jobs[0].failed_reason == "BackoffLimitExceeded"
    await watched.until(key, lambda seen: not seen.pods)


async def test_a_missing_secret_key_is_seen_with_its_name_and_costs_no_pod(watched, stage) -> None:
    key = stage.film()
    _, order = await watched.order(key, step=PAID_STEP)
    await watched.cluster.create_run(order)
    observed = await watched.until(
        key, lambda seen: any(pod.waiting_reason == "CreateContainerConfigError" for pod in seen.pods)
    )
    [pod] = observed.pods
    assert "kling-key" in (pod.waiting_message or "")
    assert (pod.running, pod.exit_code) == (False, None)


async def test_a_missing_volume_is_seen_as_unschedulable(watched, stage) -> None:
    key = stage.film()
    _, order = await watched.order(key)
    await watched.cluster.create_run(replace(order, claim_name="nowhere"))
    observed = await watched.until(key, lambda seen: any(pod.waiting_reason == "Unschedulable" for pod in seen.pods))
    assert '"nowhere" not found' in (observed.pods[0].waiting_message or "")


async def test_the_deadline_ends_a_run_and_says_so(watched, stage) -> None:
    key = stage.film()
    _, order = await watched.running(STAY).order(key)
    await watched.cluster.create_run(replace(order, deadline_seconds=1, grace_seconds=1))
    observed = await watched.until(key, lambda seen: seen.jobs and not seen.jobs[0].active)
    assert observed.jobs[0].failed_reason == "DeadlineExceeded"


# --- who speaks --------------------------------------------------------------------------------------------------


async def test_a_pods_own_token_names_it_and_no_other_token_does(watched, stage) -> None:
    key = stage.film()
    run, pod = await watched.running(STAY).start(key)
    caller = await watched.cluster.authenticate(stage.token(pod=pod))
    assert caller == Caller(namespace=stage.namespace, pod_name=pod.name, pod_uid=pod.uid)
    assert await watched.cluster.owns_run(caller, run, key)
    for other in (
        stage.token(pod=None),
        stage.token(pod=pod, audience="https://kubernetes.default.svc"),
        stage.token(account="default", pod=None),
        stage.token(account="adaptor-operator", pod=None),
    ):
        assert await watched.cluster.authenticate(other) is None
    head, body, signature = stage.token(pod=pod).split(".")
    forged = ".".join([head, body, signature[::-1]])
    assert await watched.cluster.authenticate(forged) is None


async def test_a_token_says_nothing_once_its_pod_is_gone(watched, stage) -> None:
    key = stage.film()
    run, pod = await watched.running(STAY).start(key)
    token = stage.token(pod=pod)
    await watched.cluster.delete_run(key, run.job_name)
    await watched.until(key, lambda seen: not seen.pods)
    assert await watched.cluster.authenticate(token) is None


async def test_a_pod_owns_its_own_run_and_not_another_films(watched, stage) -> None:
    mine, theirs = stage.film(), stage.film()
    my_run, my_pod = await watched.running(STAY).start(mine)
    their_run, _ = await watched.start(theirs)
    me = Caller(namespace=stage.namespace, pod_name=my_pod.name, pod_uid=my_pod.uid)
    assert await watched.cluster.owns_run(me, my_run, mine)
    assert not await watched.cluster.owns_run(me, their_run, theirs)


async def test_a_pod_with_forged_labels_owns_nothing(watched, stage) -> None:
    key = stage.film()
    run, real = await watched.running(STAY).start(key)
    body = stage.get("pod", real.name)
    forged = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"forged-{uuid.uuid4().hex[:6]}",
            "labels": {k: v for k, v in body["metadata"]["labels"].items() if k.startswith(("videotask", "app."))},
            "annotations": {"videotask.dev/task-name": key.name},
        },
        "spec": {**body["spec"], "nodeName": None, "schedulingGates": [{"name": "tests/never"}]},
    }
    stage.cluster.apply(forged, namespace=stage.namespace)
    name = forged["metadata"]["name"]
    observed = await watched.until(key, lambda seen: any(pod.name == name for pod in seen.pods))
    pod = next(pod for pod in observed.pods if pod.name == name)
    caller = Caller(namespace=stage.namespace, pod_name=name, pod_uid=pod.uid)
    assert not await watched.cluster.owns_run(caller, run, key)
    stage.cluster.kubectl("delete", "pod", name, "--wait=false", namespace=stage.namespace)


# --- showing -----------------------------------------------------------------------------------------------------


async def test_a_status_becomes_the_wanted_one_by_its_changes_alone(watched, stage) -> None:
    key = stage.film()
    observed = await watched.until(key, lambda seen: seen.task)
    uid = observed.task.uid
    first = {"phase": "Queued", "message": "waits", "progress": "0/2"}
    await watched.cluster.save_status(key, uid=uid, status=first)
    await watched.cluster.save_status(key, uid=uid, status={"phase": "Claimed", "message": "begins"})
    resource = stage.get("videotask", key.name)
    assert resource["status"] == {"phase": "Claimed", "message": "begins"}
    version = resource["metadata"]["resourceVersion"]
    await watched.cluster.save_status(key, uid=uid, status={"phase": "Claimed", "message": "begins"})
    assert stage.get("videotask", key.name)["metadata"]["resourceVersion"] == version


async def test_a_status_that_somebody_wiped_is_put_back(stage) -> None:
    key = stage.film()
    api = Api(await load_configuration(stage.kubeconfig))
    async with api:
        # Without a watch the cache is as stale as it can be.
        adaptor = KubeCluster(api, namespaces=[stage.namespace], jobs=JobSettings(images={}))
        await adaptor.resync()
        uid = adaptor.observe(key).task.uid
        await adaptor.save_status(key, uid=uid, status={"phase": "Queued", "message": "one"})
        words = ["--type=json", "-p", '[{"op": "remove", "path": "/status"}]', "--subresource=status"]
        stage.cluster.kubectl("patch", "videotask", key.name, *words, namespace=stage.namespace)
        await adaptor.save_status(key, uid=uid, status={"phase": "Claimed"})
        assert stage.get("videotask", key.name)["status"] == {"phase": "Claimed"}


async def test_a_resource_created_anew_under_the_same_name_is_left_alone(stage) -> None:
    key = stage.film()
    async with Api(await load_configuration(stage.kubeconfig)) as api:
        adaptor = KubeCluster(api, namespaces=[stage.namespace], jobs=JobSettings(images={}))
        await adaptor.resync()
        uid = adaptor.observe(key).task.uid
        stage.again(key)
        await adaptor.save_status(key, uid=uid, status={"phase": "Claimed"})
        assert "status" not in stage.get("videotask", key.name)
        await asyncio.to_thread(stage.cluster.kubectl, "delete", "videotask", key.name, namespace=stage.namespace)
        await adaptor.resync()
        await adaptor.save_status(key, uid=uid, status={"phase": "Claimed"})
        assert not stage.exists("videotask", key.name)


async def test_describe_shows_events_and_counts_the_same_words(watched, stage) -> None:
    key = stage.film()
    observed = await watched.until(key, lambda seen: seen.task)
    event = EventDraft(type=EventType.WARNING, reason="PodCannotStart", message="create the Secret kling-key")
    for _ in range(3):
        await watched.cluster.post_event(key, uid=observed.task.uid, event=event)
    described = stage.cluster.kubectl("describe", "videotask", key.name, namespace=stage.namespace).stdout
    assert "Warning  PodCannotStart" in described
    assert "(x3 over" in described
    assert described.count("create the Secret kling-key") == 1


# --- watching ----------------------------------------------------------------------------------------------------


async def test_a_watch_writes_nothing_to_what_it_watches(watched, stage) -> None:
    key = stage.film()
    run, _ = await watched.running(END).order(key)
    await watched.cluster.create_run((await watched.order(key))[1])
    await watched.until(key, lambda seen: seen.jobs and not seen.jobs[0].active)
    for kind, name in (("videotask", key.name), ("channel", "tides"), ("job", run.job_name)):
        metadata = stage.get(kind, name)["metadata"]
        assert "finalizers" not in metadata
        assert "kopf" not in json.dumps(metadata)
    events = stage.cluster.list("events", namespace=stage.namespace)
    assert [event["metadata"]["name"] for event in events if "kopf" in json.dumps(event)] == []


async def test_an_edit_reaches_the_adaptor_without_a_list(watched, stage) -> None:
    key = stage.film()
    await watched.until(key, lambda seen: seen.task)
    stage.cluster.patch("videotask", key.name, {"spec": {"attempt": 2}}, namespace=stage.namespace)
    observed = await watched.until(key, lambda seen: seen.task.spec.attempt == 2, deadline_seconds=5)
    assert observed.task.generation == 2


async def test_what_happened_while_the_api_server_was_out_of_reach_is_made_good(stage, tmp_path) -> None:
    kept, deleted = stage.film(prefix="kept"), stage.film(prefix="deleted")
    async with _Relay.to(stage.kubeconfig, tmp_path) as relay, _watching(stage, relay.kubeconfig) as watched:
        await watched.until(kept, lambda seen: seen.task)
        await watched.until(deleted, lambda seen: seen.task)
        await relay.cut()
        stage.cluster.kubectl("delete", "videotask", deleted.name, namespace=stage.namespace)
        stage.cluster.patch("videotask", kept.name, {"spec": {"attempt": 3}}, namespace=stage.namespace)
        made = stage.film(prefix="made")
        assert not await watched.cluster.resync()
        assert watched.cluster.observe(deleted).task is not None, "nothing is deleted by an error"
        await relay.mend()
        # The watch alone brings what was made and changed; the absence of the deleted one takes a list.
        await watched.until(made, lambda seen: seen.task)
        await watched.until(kept, lambda seen: seen.task.spec.attempt == 3)
        assert await watched.cluster.resync()
        assert watched.cluster.observe(deleted).task is None


class _Relay:
    """A TCP relay to the API server that can be cut like a cable."""

    def __init__(self, host: str, port: int, kubeconfig: Path) -> None:
        self._address = (host, port)
        self.kubeconfig = kubeconfig
        self.port = 0
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, kubeconfig: Path, home: Path) -> AsyncIterator[_Relay]:
        config = yaml.safe_load(await asyncio.to_thread(kubeconfig.read_text))
        url = urlsplit(config["clusters"][0]["cluster"]["server"])
        relay = cls(url.hostname or "127.0.0.1", url.port or 443, home / "relayed")
        await relay.mend()
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{relay.port}"
        relay.kubeconfig.touch(mode=0o600)
        relay.kubeconfig.write_text(yaml.safe_dump(config))
        try:
            yield relay
        finally:
            await relay.cut()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._address)
        self._writers |= {writer, far_writer}
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            pipe = asyncio.create_task(_pump(source, sink))
            self._pipes.add(pipe)
            pipe.add_done_callback(self._pipes.discard)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    sink.transport.abort()
