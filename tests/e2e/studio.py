"""The whole product on the cluster for one session: chart, emulators, two film namespaces; it ends all it started."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg.rows import dict_row
from tests.e2e.real_cluster import (
    REPOSITORY,
    SHARED_PARTS,
    Cluster,
    Installation,
    end_namespaces,
    eventually,
    new_namespace,
    program,
    refill_volumes,
    role_binding,
)

from videotask_contract.layout import task_folder
from videotask_contract.phases import ERRORS, TERMINAL, Phase
from videotask_contract.resources import LABEL_TASK_UID
from videotask_contract.steps import Provider
from videotask_emulators.control import ControlClient

SAMPLES = REPOSITORY / "samples"
EMULATORS = "videotask-emulators"
CHANNEL = "night-stories"
SMALL_FRAME = {"width": 568, "height": 320, "framesPerSecond": 12}
LARGE_FRAME = {"width": 1920, "height": 1080, "framesPerSecond": 12}
"""Of films whose assembly, which makes no call that could be held, is to be met at work: it takes some seconds."""
"""The least that the schema allows, at about 16:9."""
FILM_SECONDS = 420
"""Deadline for a small film on a busy machine; it takes about a minute on an idle one."""

PEOPLE = {"alice": "approver", "bob": "approver", "carol": "edit"}
"""Users with certificates in both film namespaces; carol may edit everything and approve nothing."""

_DEAD_ENDS = ERRORS | TERMINAL | {Phase.BUDGET_EXCEEDED}
_LINES = (
    "The old harbour wakes before the sun, and every rope creaks.",
    "At night the forest counts its own footsteps twice.",
    "Nobody in the kitchen speaks while the bread is rising.",
    "Beneath a white sky the desert keeps a single secret.",
    "Rain writes the same long letter on every window.",
)
"""About four seconds each: they fit a clip of five."""


# --- programs that run beside the tests ---------------------------------------------------------------------------


class Beside:
    """A kubectl that keeps running and tells its port in its first line; started anew when it ended."""

    def __init__(self, command: Sequence[str], pid_file: Path) -> None:
        self._command = list(command)
        self._pid_file = pid_file
        self._process: subprocess.Popen[str] | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """Port on 127.0.0.1; starts the program when it does not run."""
        if self._process is None or self._process.poll() is not None:
            self._start()
        return self._port

    def end(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(timeout=10)
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None
        self._pid_file.unlink(missing_ok=True)

    def _start(self) -> None:
        self.end()
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._pid_file.write_text(str(self._process.pid))
        assert self._process.stdout is not None
        # "Forwarding from 127.0.0.1:40055 -> 5432" and "Starting to serve on 127.0.0.1:40055"
        line = self._process.stdout.readline()
        words = [word for word in line.split() if word.startswith("127.0.0.1:")]
        assert words, f"{' '.join(self._command[-4:])} said: {line!r}"
        self._port = int(words[0].partition(":")[2])


# --- a film -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """One applied VideoTask."""

    studio: Studio
    namespace: str
    name: str
    uid: str

    @property
    def resource(self) -> dict[str, Any]:
        """The resource as it is now."""
        found = self.studio.api(f"/apis/videotask.dev/v1alpha1/namespaces/{self.namespace}/videotasks/{self.name}")
        assert found is not None, f"{self.name} is gone"
        return found

    @property
    def status(self) -> dict[str, Any]:
        """Its status as it is now; empty before the operator has seen it."""
        return dict(self.resource.get("status", {}))

    @property
    def phase(self) -> Phase | None:
        """Its phase as it is now; None before the operator has seen it."""
        return self.studio.phase_of(self.status)

    def wait(self, what: str, holds: Callable[[dict[str, Any]], Any], *, timeout_seconds: float = 120) -> Any:
        """Wait until something holds of the status and return what the probe returned; fails with the last status."""
        deadline = time.monotonic() + timeout_seconds
        while not (found := holds(status := self.status)):
            assert time.monotonic() < deadline, f"not within {timeout_seconds} s: {what}\n{self.story(status)}"
            time.sleep(0.2)
        return found

    def wait_phase(self, *phases: Phase, timeout_seconds: float = FILM_SECONDS) -> dict[str, Any]:
        """Wait until it is in one of the phases, fail at once where it ended in another; returns the status."""
        wanted = frozenset(phases)

        def arrived(status: dict[str, Any]) -> dict[str, Any] | None:
            phase = self.studio.phase_of(status)
            assert phase in wanted or phase not in _DEAD_ENDS, f"{self.name} ended otherwise\n{self.story(status)}"
            return status if phase in wanted else None

        return self.wait(f"{self.name} is {' or '.join(wanted)}", arrived, timeout_seconds=timeout_seconds)

    def approve(self, *, user: str | None = None, timeout_seconds: float = 60) -> dict[str, Any]:
        """Approve by the command that the status prints and wait until it is completed; returns the status."""
        words = self.status["review"]["command"].replace("'", "").split()
        assert words[0] == "kubectl"
        self.studio.cluster.kubectl(*words[1:], user=user)
        return self.wait_phase(Phase.COMPLETED, timeout_seconds=timeout_seconds)

    def patch(self, change: dict[str, Any], *, user: str | None = None) -> None:
        """Patch its spec: {"state": "Suspended"}."""
        self.studio.cluster.patch("videotask", self.name, {"spec": change}, namespace=self.namespace, user=user)

    def jobs(self) -> list[dict[str, Any]]:
        """Return its Jobs, oldest first."""
        return self._owned("/apis/batch/v1", "jobs")

    def pods(self) -> list[dict[str, Any]]:
        """Return its steps' pods, oldest first."""
        return self._owned("/api/v1", "pods")

    def events(self) -> list[dict[str, Any]]:
        """Return the events on it."""
        found = self.studio.api(
            f"/api/v1/namespaces/{self.namespace}/events?fieldSelector=involvedObject.uid={self.uid}"
        )
        return list(found["items"]) if found else []

    @property
    def folder(self) -> str:
        """Its folder below the volume's root."""
        return task_folder(name=self.name, uid=self.uid)

    def files(self) -> Path:
        """Return its folder on the volume, to be read: in place where the volume lies on this machine, else a copy."""
        claim = self._claim()
        root = self.studio.volume_root(self.namespace, claim)
        return root / self.folder if root else self.fetched()

    def fetched(self) -> Path:
        """Return a copy of its folder, brought by a reader pod; works on every cluster."""
        return self.studio.fetch(self.namespace, self._claim(), self.folder)

    def delete(self) -> None:
        """Delete the resource and wait until its pods are gone."""
        self.studio.cluster.kubectl("delete", "videotask", self.name, "--ignore-not-found", namespace=self.namespace)
        eventually(f"the pods of {self.name} are gone", lambda: not self.pods(), timeout_seconds=180)

    def story(self, status: Mapping[str, Any] | None = None) -> str:
        """Return what one needs to see why a wait failed: status, pods, the operator's last lines."""
        shown = yaml.safe_dump({"status": dict(status or self.status)}, sort_keys=False, allow_unicode=True)
        pods = "\n".join(f"{pod['metadata']['name']} {pod['status'].get('phase')}" for pod in self.pods())
        lines = [line for line in self.studio.operator_log().splitlines() if self.name in line]
        return f"{shown}\n{pods}\n" + "\n".join(lines[-25:])

    def _claim(self) -> str:
        channel = self.resource["spec"]["channelRef"]["name"]
        found = self.studio.cluster.get("channel", channel, namespace=self.namespace)
        return str(found["spec"]["volume"]["claimName"])

    def _owned(self, group: str, kind: str) -> list[dict[str, Any]]:
        path = f"{group}/namespaces/{self.namespace}/{kind}?labelSelector={LABEL_TASK_UID}%3D{self.uid}"
        found = self.studio.api(path)
        items = list(found["items"]) if found else []
        return sorted(items, key=lambda item: str(item["metadata"]["creationTimestamp"]))


# --- the studio ---------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Studio:
    """One installation with its emulators; `a` and `b` are the namespaces in which films are made."""

    cluster: Cluster
    installation: Installation
    a: str
    b: str
    folder: Path
    proxy: Beside
    database: Beside
    flags: tuple[str, ...] = ()
    """Helm's flags of the installation, for an upgrade that changes one more."""
    _channels: set[tuple[str, str]] = field(default_factory=set)
    _readers: set[tuple[str, str]] = field(default_factory=set)
    _connection: psycopg.Connection[dict[str, Any]] | None = None

    # -- the API server ------------------------------------------------------------------------------------------

    def api(self, path: str) -> dict[str, Any] | None:
        """GET a path of the API server as the administrator, cheaper than a kubectl; None where there is nothing."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.proxy.port}{path}", timeout=30) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:
                return None
            raise

    @staticmethod
    def phase_of(status: Mapping[str, Any]) -> Phase | None:
        """Return the phase of a status; None where there is none yet."""
        spelled = {phase.resource: phase for phase in Phase}
        return spelled[status["phase"]] if status.get("phase") else None

    # -- channels and films --------------------------------------------------------------------------------------

    def channel(
        self, namespace: str | None = None, name: str = CHANNEL, *, keys: Mapping[str, str] | None = None, **spec: Any
    ) -> str:
        """Apply a Channel with Secrets <channel>-<provider> and a volume claim of its own, and return its name.

        `keys` replaces the emulators' demo keys by provider; `spec` replaces parts of the Channel's spec: limits=,
        budget=, quality=, voice=. Applying one again with other words changes it.
        """
        namespace = namespace or self.a
        values = {provider.value: f"{provider.value}-demo-key" for provider in Provider} | dict(keys or {})
        secrets = [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": f"{name}-{provider}"},
                "stringData": {"api-key": value},
            }
            for provider, value in values.items()
        ]
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }
        credentials = {provider: {"secretRef": {"name": f"{name}-{provider}"}} for provider in values}
        channel = {
            "apiVersion": "videotask.dev/v1alpha1",
            "kind": "Channel",
            "metadata": {"name": name},
            "spec": {
                "voice": {"voiceID": "JBFqnCBsd6RMkjVDRZzb"},
                "credentials": credentials,
                "volume": {"claimName": name},
                "budget": {"perDayUSD": "1000"},
                **spec,
            },
        }
        self.cluster.apply(*secrets, claim, channel, namespace=namespace)
        self._channels.add((namespace, name))
        return name

    def film(
        self,
        name: str,
        *,
        scenes: int = 1,
        frame: Mapping[str, int] | None = None,
        clip_seconds: int = 5,
        channel: str = CHANNEL,
        **spec: Any,
    ) -> dict[str, Any]:
        """Return the manifest of a small film under a name that no film had before; `spec` replaces parts of its spec.

        A scene needs two images: its film of one scene costs about 0.4 play dollars.
        """
        board = storyboard(scenes)
        quality = {"clipSeconds": clip_seconds, "frame": dict(frame or SMALL_FRAME)}
        made = {
            "channelRef": {"name": channel},
            "title": f"A film called {name}",
            "storyboard": board,
            "quality": quality,
        }
        made.update(spec)
        return {
            "apiVersion": "videotask.dev/v1alpha1",
            "kind": "VideoTask",
            "metadata": {"name": f"{name}-{uuid.uuid4().hex[:5]}"},
            "spec": {key: value for key, value in made.items() if value is not None},
        }

    def start(self, manifest: dict[str, Any], *, namespace: str | None = None, user: str | None = None) -> Film:
        """Apply a film's manifest, its channel with it where that is ours and not there yet."""
        namespace, name = namespace or self.a, manifest["metadata"]["name"]
        if manifest["spec"]["channelRef"]["name"] == CHANNEL and (namespace, CHANNEL) not in self._channels:
            self.channel(namespace)
        self.cluster.apply(manifest, namespace=namespace, user=user)
        uid = self.cluster.get("videotask", name, namespace=namespace)["metadata"]["uid"]
        return Film(studio=self, namespace=namespace, name=name, uid=uid)

    def wait_phase(self, film: Film, *phases: Phase, timeout_seconds: float = FILM_SECONDS) -> dict[str, Any]:
        """Wait until the film is in one of the phases; as Film.wait_phase."""
        return film.wait_phase(*phases, timeout_seconds=timeout_seconds)

    # -- money and the record ------------------------------------------------------------------------------------

    @property
    def control(self) -> ControlClient:
        """The emulators' control API, through the API server."""
        path = f"/api/v1/namespaces/{self.installation.namespace}/services/{EMULATORS}:http/proxy"
        return ControlClient(f"http://127.0.0.1:{self.proxy.port}{path}")

    def bill(self, film: Film | None = None, *, mark: str = "") -> list[dict[str, Any]]:
        """Return the lines of the emulators' bill, of all films or of the calls made in the time of one.

        Providers know no films: with a film given, it must have been the only one at work between its first run and
        its last; else give the `mark` that its storyboard's texts begin with, or compare sums by billed_between().
        """
        entries: list[dict[str, Any]] = [entry for entry in self.control.bill()["entries"] if mark in entry["text"]]
        if film is None:
            return entries
        [row] = self.sql(
            "SELECT min(opened_at) AS begun, coalesce(max(closed_at), now()) AS ended FROM step_runs "
            "WHERE task_uid = %s",
            film.uid,
        )
        return [entry for entry in entries if row["begun"] <= _moment(entry) <= row["ended"]]

    def billed_usd(self, film: Film | None = None) -> Decimal:
        """Return the bill's sum; as bill()."""
        return sum((Decimal(entry["amount_usd"]) for entry in self.bill(film)), Decimal(0))

    def billed_between(self, begun: datetime, ended: datetime) -> Decimal:
        """Return the sum of what was billed in that time, for all films."""
        found = (entry for entry in self.bill() if begun <= _moment(entry) <= ended)
        return sum((Decimal(entry["amount_usd"]) for entry in found), Decimal(0))

    def sql(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """Run one statement in the record and return its rows; one broken connection is mended by a new one."""
        try:
            return self._rows(query, parameters)
        except psycopg.OperationalError:
            self._disconnect()
            self.database.end()
            return self._rows(query, parameters)

    def connect(self, database: str = "videotask") -> psycopg.Connection[dict[str, Any]]:
        """Return a connection of one's own to the record, or to another database, to be closed by the caller."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.database.port,
            user="videotask",
            dbname=database,
            password=base64.b64decode(self.installation.password()).decode(),
            application_name="e2e",
            autocommit=True,
            connect_timeout=20,
            row_factory=dict_row,
        )

    def _rows(self, query: str, parameters: Sequence[Any]) -> list[dict[str, Any]]:
        if self._connection is None or self._connection.closed:
            self._connection = self.connect()
        cursor = self._connection.execute(query.encode(), list(parameters) or None)
        return cursor.fetchall() if cursor.description else []

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # -- the operator --------------------------------------------------------------------------------------------

    def operator_pods(self) -> list[dict[str, Any]]:
        """Return the operator's pods; more than one only while one replaces another."""
        namespace, selector = self.installation.namespace, "app.kubernetes.io/component%3Doperator"
        found = self.api(f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector}")
        return list(found["items"]) if found else []

    def operator_log(self) -> str:
        """Return what the operator has logged since its pod started; empty while there is none."""
        words = ["logs", f"deployment/{self.installation.release}-operator", "--container=operator", "--tail=-1"]
        return self.cluster.kubectl(*words, namespace=self.installation.namespace, check=False).stdout

    def kill_operator(self) -> str:
        """SIGKILL the operator's process, at once, and return its pod's name; the kubelet starts it again."""
        [pod] = [pod for pod in self.operator_pods() if _is_running(pod)]
        [container] = pod["status"]["containerStatuses"]
        self._sigkill(container["containerID"].rpartition("//")[2])
        return str(pod["metadata"]["name"])

    def delete_operator(self, *, force: bool = False) -> None:
        """Delete the operator's pods; the Deployment makes a fresh one, without the back-off of a crashed one."""
        words = ["delete", "pod", "-l", "app.kubernetes.io/component=operator", "--wait=false"]
        words += ["--grace-period=0", "--force"] if force else []
        self.cluster.kubectl(*words, namespace=self.installation.namespace)

    def await_operator(self, *, timeout_seconds: float = 180) -> None:
        """Wait until one operator is ready and no other is left."""

        def one_is_ready() -> bool:
            pods = self.operator_pods()
            return len(pods) == 1 and _is_ready(pods[0]) and "deletionTimestamp" not in pods[0]["metadata"]

        eventually("the operator is ready", one_is_ready, timeout_seconds=timeout_seconds)

    def restart_operator(self, *, kill: bool = False) -> None:
        """End the operator, by SIGTERM or by SIGKILL, and wait until a fresh one is ready."""
        if kill:
            self.kill_operator()
        self.delete_operator(force=kill)
        self.await_operator()

    def stop_operator(self) -> None:
        """Scale the operator away and wait until it is gone; start_operator() brings it back."""
        self._scale(0)
        eventually("the operator is gone", lambda: not self.operator_pods(), timeout_seconds=60)

    def start_operator(self) -> None:
        """Bring the operator back and wait until it is ready."""
        self._scale(1)
        self.await_operator()

    def _scale(self, replicas: int) -> None:
        name = f"deployment/{self.installation.release}-operator"
        self.cluster.kubectl("scale", name, f"--replicas={replicas}", namespace=self.installation.namespace)

    def _sigkill(self, container_id: str) -> None:
        """End a container's first process from outside its PID namespace, where the kernel lets SIGKILL through."""
        pid = _first_process(container_id)
        if pid is not None and os.geteuid() == 0:
            os.kill(pid, signal.SIGKILL)
            return
        killer = self._killer_pod()
        words = ["exec", killer, "--", "python3", "-c", _KILL_BY_CONTAINER, container_id]
        self.cluster.kubectl(*words, namespace="kube-system", timeout_seconds=60)

    def _killer_pod(self) -> str:
        """Return a pod that sees the node's processes; only needed where the node is another machine."""
        name = f"{self.a}-killer"
        self.cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": "kube-system"},
                "spec": {
                    "hostPID": True,
                    "terminationGracePeriodSeconds": 0,
                    "containers": [
                        {
                            "name": "killer",
                            "image": self._image("operator"),
                            "imagePullPolicy": "IfNotPresent",
                            "command": ["sleep", "7200"],
                            "securityContext": {"runAsUser": 0},
                        }
                    ],
                },
            }
        )
        self.cluster.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=60s", namespace="kube-system")
        return name

    # -- the volumes ---------------------------------------------------------------------------------------------

    def volume_root(self, namespace: str, claim: str) -> Path | None:
        """Return the folder of a claim's volume where it lies on this machine; None elsewhere."""
        volume = self.cluster.get("pvc", claim, namespace=namespace)["spec"].get("volumeName")
        source = self.cluster.get("pv", volume)["spec"] if volume else {}
        folder = Path(source.get("local", {}).get("path", "/nowhere"))
        return folder if folder.is_dir() and os.access(folder, os.R_OK) else None

    def fetch(self, namespace: str, claim: str, path: str) -> Path:
        """Copy a folder of a claim's volume to this machine by a reader pod and return where it stands."""
        pod = self.reader(namespace, claim)
        target = self.folder / "fetched" / uuid.uuid4().hex[:8]
        target.mkdir(parents=True)
        config = ["--kubeconfig", str(self.cluster.kubeconfig), "--namespace", namespace]
        command = [program("kubectl"), *config, "exec", pod, "--", "tar", "-C", f"/volume/{path}", "-cf", "-", "."]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                archive.extractall(target, filter="data")
            process.stdout.read()
        assert process.returncode == 0, f"tar of {path} ended with {process.returncode}"
        return target

    def reader(self, namespace: str, claim: str) -> str:
        """Return a pod that has the whole volume of a claim at /volume, read-only, with python3 and a shell's tools."""
        name = f"reads-{claim}"
        if (namespace, name) not in self._readers:
            self.cluster.apply(self._reader(name, claim), namespace=namespace)
            self.cluster.kubectl(
                "wait",
                f"pod/{name}",
                "--for=condition=Ready",
                "--timeout=120s",
                namespace=namespace,
                timeout_seconds=130,
            )
            self._readers.add((namespace, name))
        return name

    def bare_pod(self, name: str) -> dict[str, Any]:
        """Return the manifest of a pod that ends at once and is nobody's."""
        user = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
        container = {
            "name": "bare",
            "image": self._image("operator"),
            "imagePullPolicy": "IfNotPresent",
            "command": ["true"],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        spec = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": user,
            "containers": [container],
        }
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}

    def _reader(self, name: str, claim: str) -> dict[str, Any]:
        user = {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 0,
                "securityContext": {**user, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [
                    {
                        "name": "reader",
                        "image": self._image("operator"),
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["sleep", "7200"],
                        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                        "volumeMounts": [{"name": "volume", "mountPath": "/volume", "readOnly": True}],
                    }
                ],
                "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": claim}}],
            },
        }

    def _image(self, name: str) -> str:
        values = yaml.safe_load((REPOSITORY / ".build" / "values-images.yaml").read_text())
        return str(values["images"][name])

    # -- beginning and end ---------------------------------------------------------------------------------------

    def start_emulators(self) -> None:
        """Apply the sample's emulators with the built image; they take their time as in a demo."""
        documents = [found for found in yaml.safe_load_all((SAMPLES / "emulators.yaml").read_text()) if found]
        for document in documents:
            if document["kind"] == "Deployment":
                [container] = document["spec"]["template"]["spec"]["containers"]
                container["image"] = self._image("emulators")
        self.cluster.apply(*documents, namespace=self.installation.namespace)

    def await_emulators(self) -> None:
        """Wait until the emulators answer."""
        words = ["rollout", "status", f"deployment/{EMULATORS}", "--timeout=180s"]
        self.cluster.kubectl(*words, namespace=self.installation.namespace, timeout_seconds=190)

    def close(self) -> None:
        """End what runs beside the tests."""
        with contextlib.suppress(psycopg.Error):
            self._disconnect()
        self.database.end()
        self.proxy.end()
        self.cluster.kubectl(
            "delete", "pod", f"{self.a}-killer", "--ignore-not-found", "--wait=false", namespace="kube-system"
        )


@contextlib.contextmanager
def open_studio(cluster: Cluster, image_flags: Sequence[str], folder: Path) -> Iterator[Studio]:
    """Install everything, give the studio, and remove everything."""
    refill_volumes(cluster)
    made: list[str] = []
    home = new_namespace(cluster, made, prefix="studio")
    films = [f"{home}-a", f"{home}-b"]
    installation = Installation(cluster=cluster, release="videotask", namespace=home)
    command = [program("kubectl"), "--kubeconfig", str(cluster.kubeconfig)]
    forward = ["port-forward", "--namespace", home, f"svc/{installation.release}-postgresql", ":5432"]
    studio = Studio(
        cluster=cluster,
        installation=installation,
        a=films[0],
        b=films[1],
        folder=folder,
        proxy=Beside([*command, "proxy", "--port=0"], folder / "proxy.pid"),
        database=Beside([*command, *forward], folder / "database.pid"),
        flags=(*image_flags, *SHARED_PARTS, *_settings(home, films)),
    )
    try:
        for name in films:
            new_namespace(cluster, made, name=name)
            cluster.apply(*_bindings(), namespace=name)
        studio.start_emulators()
        installation.upgrade(*studio.flags)
        studio.await_emulators()
        yield studio
    finally:
        studio.close()
        # The films first: with their namespaces goes all that the operator could still start.
        end_namespaces(cluster, films)
        installation.uninstall()
        end_namespaces(cluster, made)


def _settings(home: str, films: Sequence[str]) -> tuple[str, ...]:
    emulators = f"http://{EMULATORS}.{home}.svc:8080"
    urls = [f"--set=providers.{provider.value}.baseURL={emulators}" for provider in Provider]
    return (
        f"--set-json=namespaces={json.dumps([home, *films])}",
        *urls,
        "--set-json=providers.pollIntervalSeconds=0.5",
    )


def _bindings() -> list[dict[str, Any]]:
    return [role_binding(user, f"videotask-{role}") for user, kind in PEOPLE.items() for role in (kind, "view")]


def storyboard(scenes: int, *, mark: str = "") -> dict[str, Any]:
    """Return a storyboard of so many scenes in one place with one character; no two scenes sound or move alike.

    All that is paid for begins with the `mark`, by which a film's lines are found on the bill: a word or two.
    """
    mark = f"{mark} " if mark else ""
    place, sailor = "A quiet harbour at dusk, boards in the foreground", "An old sailor in a red coat, standing upright"
    return {
        "assets": [
            {"name": "harbour", "kind": "environment", "prompt": mark + place},
            {"name": "sailor", "kind": "character", "prompt": mark + sailor},
        ],
        "scenes": [
            {
                "name": f"scene-{number}",
                "environment": "harbour",
                "characters": ["sailor"],
                "motion": f"{mark}The sailor looks up; slow pan, part {number}",
                "narration": mark + _LINES[(number - 1) % len(_LINES)],
                "soundEffect": f"{mark}Waves against stone, part {number}",
            }
            for number in range(1, scenes + 1)
        ],
    }


def _is_running(pod: Mapping[str, Any]) -> bool:
    statuses = pod["status"].get("containerStatuses", [])
    return bool(statuses) and all("running" in status.get("state", {}) for status in statuses)


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _first_process(container_id: str) -> int | None:
    """Return the pid of a container's first process where it runs on this machine."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if container_id in (entry / "cgroup").read_text():
                found.append(int(entry.name))
    return min(found, default=None)


_KILL_BY_CONTAINER = """
import os, pathlib, signal, sys
pids = []
for entry in pathlib.Path("/proc").iterdir():
    try:
        if sys.argv[1] in (entry / "cgroup").read_text():
            pids.append(int(entry.name))
    except (OSError, ValueError):
        pass
os.kill(min(pids), signal.SIGKILL)
"""


def _moment(entry: Mapping[str, Any]) -> datetime:
    """Return when a line of the bill was written."""
    return datetime.fromisoformat(str(entry["at"]))
