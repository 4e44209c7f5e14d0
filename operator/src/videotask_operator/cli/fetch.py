"""Brings a film from its channel's volume to this machine by a short-lived pod; it must never write to the volume."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from videotask_contract import layout
from videotask_contract.errors import PermanentError, VideoTaskError
from videotask_contract.resources import LABEL_MANAGED_BY, LABEL_TASK_UID, FilmStatus
from videotask_operator.cli.kubectl import Kubectl

_POD_SECONDS: Final = 900
"""The pod ends by itself after this, should nobody live to delete it."""
_START_SECONDS: Final = 120
_MOUNT: Final = "/volume"
_CHANNEL_VOLUME: Final = "channel"
_CONTAINER: Final = "reader"
_COPY_BYTES: Final = 1 << 20
_EVENTS: Final = 3
_RESOURCE: Final = "videotasks.videotask.dev"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a task's files lie and what can read them, as its newest Job has it."""

    kubectl: Kubectl
    namespace: str
    pod: dict[str, Any]
    """Pod settings taken over: image, volume claim, folder, node choice, pull Secrets."""


def fetch_film(
    *,
    task: str,
    namespace: str,
    target: Path,
    parts: Sequence[str] = (),
    image: str | None = None,
    kubectl: Kubectl | None = None,
) -> Path:
    """Copy the film to `target`/film.mp4, and further parts of its folder ("composites", "storyboard.json") beside it.

    Returns the film's path. Raises PermanentError when there is no film yet, nothing can read it, or what came is not
    the very file that the status names.
    """
    kubectl = kubectl or Kubectl()
    resource = kubectl.get_json(_RESOURCE, task, "-n", namespace)
    status = resource.get("status", {})
    if "film" not in status:
        raise PermanentError(
            f"{task} has no film yet: it is {status.get('phase', 'Queued')}, {status.get('message', 'not begun')}"
        )
    film = FilmStatus.model_validate(status["film"])
    path = PurePosixPath(film.path)
    source = _find(kubectl, resource, folder=str(path.parent), image=image)
    _copy(source, [path.name, *parts], target)
    check_film(target / path.name, film)
    return target / path.name


def fetch_parts(resource: Mapping[str, Any], *, parts: Sequence[str], target: Path, kubectl: Kubectl) -> None:
    """Copy parts of a film's folder ("storyboard.json") to `target`, whether there is a film yet or not.

    Raises PermanentError when nothing was made yet or nothing can read it.
    """
    metadata = resource["metadata"]
    folder = layout.task_folder(name=metadata["name"], uid=metadata["uid"])
    _copy(_find(kubectl, resource, folder=folder, image=None), parts, target)


def _copy(source: Source, names: Sequence[str], target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with _reader_pod(source) as pod:
        words = ["exec", pod, "-n", source.namespace, "-c", _CONTAINER, "--", "tar", "-C", _MOUNT, "-cf", "-", *names]
        broken: tarfile.TarError | None = None
        with source.kubectl.output(*words, timeout_seconds=_POD_SECONDS) as stream:
            try:
                _unpack(stream, target)
            except tarfile.TarError as error:
                broken = error  # kubectl's own complaint, at the end of the block, says more where there is one
                _drain(stream)
        if broken is not None:
            raise PermanentError(f"{', '.join(names)} did not come whole ({broken}); fetch it again") from broken


def _find(kubectl: Kubectl, resource: Mapping[str, Any], *, folder: str, image: str | None) -> Source:
    name, namespace, uid = (resource["metadata"][field] for field in ("name", "namespace", "uid"))
    jobs = kubectl.get_json("jobs", "-n", namespace, "-l", f"{LABEL_TASK_UID}={uid}")["items"]
    if not jobs:
        raise PermanentError(
            f"{name} has no Job, so nothing tells what can read its volume: either nothing was begun yet, or its Jobs "
            "are cleaned away; then read the volume by a pod of your own"
        )
    newest = max(jobs, key=lambda job: str(job["metadata"]["creationTimestamp"]))
    pod = _pod_settings(newest["spec"]["template"]["spec"], folder=folder, image=image)
    return Source(kubectl=kubectl, namespace=namespace, pod=pod)


def _pod_settings(step: dict[str, Any], *, folder: str, image: str | None) -> dict[str, Any]:
    """Return the reader's pod spec: the step's, without its secrets, its token and its right to write."""
    claim = next(volume for volume in step["volumes"] if volume["name"] == _CHANNEL_VOLUME)["persistentVolumeClaim"]
    container = step["containers"][0]
    kept = {key: step[key] for key in ("nodeSelector", "tolerations", "imagePullSecrets", "affinity") if key in step}
    return kept | {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": _POD_SECONDS,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": step["securityContext"],
        "containers": [
            {
                "name": _CONTAINER,
                "image": image or container["image"],
                "imagePullPolicy": container.get("imagePullPolicy", "IfNotPresent"),
                "command": ["sleep", str(_POD_SECONDS)],
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "128Mi"}},
                "securityContext": container["securityContext"],
                "volumeMounts": [
                    {"name": _CHANNEL_VOLUME, "mountPath": _MOUNT, "subPath": folder, "readOnly": True},
                ],
            }
        ],
        "volumes": [{"name": _CHANNEL_VOLUME, "persistentVolumeClaim": {"claimName": claim["claimName"]}}],
    }


@contextmanager
def _reader_pod(source: Source) -> Iterator[str]:
    """Yield the name of a running pod that sees the film's folder; it is deleted in any case."""
    name = f"fetch-{secrets.token_hex(5)}"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": source.namespace, "labels": {LABEL_MANAGED_BY: "videotask-fetch"}},
        "spec": source.pod,
    }
    source.kubectl.run("create", "-f", "-", stdin=json.dumps(pod))
    try:
        _await_pod(source.kubectl, name, source.namespace)
        yield name
    finally:
        source.kubectl.run("delete", "pod", name, "-n", source.namespace, "--wait=false", "--ignore-not-found")


def _await_pod(kubectl: Kubectl, name: str, namespace: str) -> None:
    words = ("wait", "--for=condition=Ready", f"pod/{name}", "-n", namespace, f"--timeout={_START_SECONDS}s")
    try:
        kubectl.run(*words, timeout_seconds=_START_SECONDS + 10)
    except VideoTaskError as error:
        why = f"{error.message}{_events(kubectl, name, namespace)}"
        raise PermanentError(f"the pod {name} that should read the film did not start: {why}") from error


def _events(kubectl: Kubectl, name: str, namespace: str) -> str:
    """Return the latest warnings about a pod, which is deleted before anybody could describe it."""
    with suppress(VideoTaskError):  # to read events is a right of its own
        found = kubectl.get_json("events", "-n", namespace, f"--field-selector=involvedObject.name={name}")["items"]
        said = [f"{event.get('reason')}: {event.get('message')}" for event in found if event.get("type") == "Warning"]
        return "".join(f"; {words}" for words in said[-_EVENTS:])
    return ""


def _unpack(stream: IO[bytes], target: Path) -> None:
    """Write the archive's plain files below `target`; links, devices and paths that lead out of it are refused."""
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts:
                raise PermanentError(f"the archive holds the path {member.name!r}, which leads out of its folder")
            content = archive.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            with (target / path).open("wb") as file:
                shutil.copyfileobj(content, file, _COPY_BYTES)
    _drain(stream)


def _drain(stream: IO[bytes]) -> None:
    """Read to the end: tar pads its archive, and an unread rest would be a broken pipe to it."""
    while stream.read(_COPY_BYTES):
        pass


def check_film(path: Path, film: FilmStatus) -> None:
    """Raise PermanentError unless this file is the very film that the status names."""
    if not path.is_file():
        raise PermanentError(f"{layout.FILM} did not come; fetch it again")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_COPY_BYTES):
            digest.update(block)
    if path.stat().st_size != film.size_bytes or digest.hexdigest() != film.sha256:
        raise PermanentError(
            f"{path} holds {path.stat().st_size} bytes and is not the film of the status ({film.size_bytes} bytes, "
            f"sha256 {film.sha256}); fetch it again"
        )
