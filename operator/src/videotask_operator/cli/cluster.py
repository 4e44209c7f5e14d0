"""The place that is a namespace of a cluster, reached through kubectl; it must never do what the person may not."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from videotask_contract.errors import OutcomeUnknownError, PermanentError, TransientError, VideoTaskError
from videotask_contract.resources import LABEL_STEP, LABEL_TASK_UID
from videotask_contract.steps import Step
from videotask_contract.storyboard import Storyboard
from videotask_operator.cli.change import Change, guard, merge, patch_text
from videotask_operator.cli.exits import NoSuchTaskError
from videotask_operator.cli.fetch import fetch_film, fetch_parts
from videotask_operator.cli.kubectl import Kubectl, KubectlError
from videotask_operator.cli.place import BuildChange, Event, Seen, no_such_task
from videotask_operator.cli.task import Task, parse_time

_Key = tuple[str, str]
RESOURCE: Final = "videotasks.videotask.dev"
_OPERATOR_PODS: Final = "app.kubernetes.io/name=videotask-operator,app.kubernetes.io/component=operator"
_CHANGE_TRIES: Final = 8
_IN_DOUBT: Final = frozenset({"", "Timeout", "ServerTimeout", "InternalError", "ServiceUnavailable"})
"""Words of an API server, or of none, after which a patch may have been made all the same."""
_WATCH_AGAIN_SECONDS: Final = 2.0
_WATCH_TRIES: Final = 150
"""Five minutes of an API server that does not answer, then the watch gives up."""
_READ_BYTES: Final = 1 << 16
_LACKS_VERB: Final = "verb approve"
"""In the words of the chart's admission policy, charts/…/approval-check.yaml."""


@dataclass(slots=True, kw_only=True)
class ClusterPlace:
    """One namespace, as the user of the kubeconfig sees it."""

    kubectl: Kubectl
    given_namespace: str | None = None
    operator_namespace: str | None = None
    _namespace: str | None = field(default=None, init=False)

    @property
    def namespace(self) -> str:
        """The namespace that was given, else that of the context."""
        if self._namespace is None:
            self._namespace = self.given_namespace or self.kubectl.current_namespace()
        return self._namespace

    @property
    def flags(self) -> str:
        """What a further command needs to mean the same place."""
        words = list(self.kubectl.flags)
        if self.given_namespace is not None:
            words += ["-n", self.given_namespace]
        return "".join(f" {shlex.quote(word)}" for word in words)

    def list_tasks(self, *, all_namespaces: bool = False) -> list[Task]:
        """Return all VideoTasks of the namespace, or of all that the person may list."""
        scope = ("-A",) if all_namespaces else ("-n", self.namespace)
        try:
            found = self.kubectl.get_json(RESOURCE, *scope)["items"]
        except KubectlError as error:
            raise _explained(error) from error
        return sorted((Task(item) for item in found), key=lambda task: (task.namespace, task.name))

    def get_task(self, name: str) -> Task:
        """Return one VideoTask."""
        try:
            return Task(self.kubectl.get_json(RESOURCE, name, "-n", self.namespace))
        except KubectlError as error:
            if error.reason != "NotFound":
                raise _explained(error) from error
            raise no_such_task(name, self._names(), where=f"namespace {self.namespace}") from error

    def change_task(self, name: str, build: BuildChange, *, dry_run: bool = False) -> tuple[Task, Change]:
        """Patch it; a change that was built from a version which is no more is built anew."""
        for _ in range(_CHANGE_TRIES):
            task = self.get_task(name)
            change = build(task)
            if change.patch is None:
                return task, change
            patch = guard(change.patch, task) if change.guarded else change.patch
            if dry_run:
                return task, replace(change, patch=patch)
            words = (
                "patch",
                RESOURCE,
                name,
                "-n",
                self.namespace,
                "--type=merge",
                "-o",
                "json",
                "-p",
                patch_text(patch),
            )
            try:
                return Task(json.loads(self.kubectl.run(*words))), change
            except TransientError as error:
                return self._arrived(name, patch, error), change
            except KubectlError as error:
                if _LACKS_VERB in error.said:
                    raise self._told_who_can_help(error) from error
                if error.reason in _IN_DOUBT:
                    return self._arrived(name, patch, _explained(error)), change
                if error.reason != "Conflict":
                    raise _explained(error) from error
        raise TransientError(f"{name} was changed by others {_CHANGE_TRIES} times meanwhile; try again")

    def watch(self, name: str | None = None, *, all_namespaces: bool = False) -> Iterator[list[Seen]]:
        """Yield what `kubectl get --watch` sees; one that breaks is begun again and tells who is gone."""
        # The first look is its own: it tells at once what is wrong, and which names there are.
        tasks = self._look(name, all_namespaces=all_namespaces)
        known = {_key(task): task for task in tasks}
        yield [Seen(task) for task in tasks]
        tries = 0
        while True:
            with suppress(KubectlError, TransientError):
                for seen in self._watch_once(name, all_namespaces=all_namespaces):
                    tries = 0
                    known[_key(seen.task)] = seen.task
                    if seen.is_gone:
                        del known[_key(seen.task)]
                    yield [seen]
            found, tries = self._look_again(name, tries, all_namespaces=all_namespaces)
            gone = [Seen(task, is_gone=True) for key, task in known.items() if key not in found]
            known = found
            yield [*gone, *(Seen(task) for task in found.values())]

    def events(self, task: Task) -> list[Event]:
        """Return the task's events, oldest first."""
        try:
            found = self.kubectl.get_json(
                "events", "-n", task.namespace, f"--field-selector=involvedObject.uid={task.uid}"
            )
        except KubectlError:
            return []  # to read events is a right of its own; all else is shown without it
        return sorted(map(_event, found["items"]), key=lambda event: event.at)

    def load_storyboard(self, task: Task) -> Storyboard | None:
        """Return the storyboard that was given; a generated one lies on the volume, out of reach from here."""
        return task.storyboard

    def user(self) -> str | None:
        """Return the authenticated user, as the API server knows them; None where it does not tell."""
        with suppress(KubectlError):
            review = json.loads(self.kubectl.run("auth", "whoami", "-o", "json"))
            return str(review["status"]["userInfo"]["username"])
        return None

    def show_log(self, task: Task, step: Step | None, *, follow: bool) -> int:
        """Print the log of the newest Job's pod."""
        selector = f"{LABEL_TASK_UID}={task.uid}" + (f",{LABEL_STEP}={step.value}" if step else "")
        jobs = self.kubectl.get_json("jobs", "-n", task.namespace, "-l", selector)["items"]
        if not jobs:
            what = f"{step.value} of {task.name}" if step else task.name
            raise PermanentError(
                f"there is no Job of {what}: the step was not begun, or its Job has been cleaned away; "
                f"`videotask describe {task.name}{self.flags}` shows what happened"
            )
        newest = max(jobs, key=lambda job: str(job["metadata"]["creationTimestamp"]))
        follows = ("--follow",) if follow else ()
        return self.kubectl.attach(
            "logs", f"job/{newest['metadata']['name']}", "-n", task.namespace, "--tail=-1", *follows
        )

    def show_costs(self, words: Sequence[str]) -> int:
        """Run the operator's program in the operator's own pod."""
        namespace, pod = self._operator_pod()
        program = ("python", "-m", "videotask_operator", "costs", *words)
        return self.kubectl.attach("exec", pod, "-n", namespace, "-c", "operator", "--", *program)

    def fetch(self, task: Task, target: Path, *, parts: Sequence[str] = (), image: str | None = None) -> Path:
        """Copy the film by a short-lived pod."""
        return fetch_film(
            task=task.name, namespace=task.namespace, target=target, parts=parts, image=image, kubectl=self.kubectl
        )

    def fetch_parts(self, task: Task, target: Path, parts: Sequence[str]) -> None:
        """Copy parts of the film's folder by a short-lived pod."""
        fetch_parts(task.resource, parts=parts, target=target, kubectl=self.kubectl)

    def _arrived(self, name: str, patch: Mapping[str, Any], error: VideoTaskError) -> Task:
        """Return the task if a patch whose answer was lost stands in it; else raise the error that hid its fate."""
        try:
            task = self.get_task(name)
        except VideoTaskError as blind:
            raise OutcomeUnknownError(
                f"{error.message}. It may have been made all the same, and {name} cannot be looked at now: see "
                f"`videotask describe {name}{self.flags}` before you give the command again"
            ) from blind
        if merge(task.spec, patch["spec"]) != task.spec:
            raise error
        return task

    def _told_who_can_help(self, error: KubectlError) -> PermanentError:
        user = self.user() or "NAME"
        command = ("create", "rolebinding", f"approver-{user}", "--clusterrole=videotask-approver", f"--user={user}")
        return PermanentError(
            f"{error.said}. Whoever may give rights there gives it by: "
            f"kubectl {shlex.join(command)} -n {self.namespace}"
        )

    def _names(self) -> list[str]:
        with suppress(VideoTaskError):
            return [task.name for task in self.list_tasks()]
        return []

    def _watch_once(self, name: str | None, *, all_namespaces: bool) -> Iterator[Seen]:
        scope = ("-A",) if all_namespaces else ("-n", self.namespace)
        names = (name,) if name else ()
        words = ("get", RESOURCE, *names, *scope, "--watch", "--output-watch-events", "-o", "json")
        with self.kubectl.output(*words, timeout_seconds=_WATCH_AGAIN_SECONDS) as stream:
            for event in read_documents(stream):
                if event.get("type") in {"ADDED", "MODIFIED", "DELETED"}:
                    yield Seen(Task(event["object"]), is_gone=event["type"] == "DELETED")

    def _look(self, name: str | None, *, all_namespaces: bool) -> list[Task]:
        return [self.get_task(name)] if name else self.list_tasks(all_namespaces=all_namespaces)

    def _look_again(self, name: str | None, tries: int, *, all_namespaces: bool) -> tuple[dict[_Key, Task], int]:
        """Return what is there once the API server answers, and how often it was asked in vain."""
        complaint = "nothing"
        while tries < _WATCH_TRIES:
            time.sleep(_WATCH_AGAIN_SECONDS)
            tries += 1
            try:
                return {_key(task): task for task in self._look(name, all_namespaces=all_namespaces)}, tries
            except NoSuchTaskError:
                return {}, tries
            except VideoTaskError as error:
                complaint = error.message
        raise TransientError(f"the API server has not answered for some minutes; try again. It said last: {complaint}")

    def _operator_pod(self) -> tuple[str, str]:
        scope = ("-n", self.operator_namespace) if self.operator_namespace else None
        for where in [scope] if scope else [("-n", self.namespace), ("-A",)]:
            with suppress(KubectlError):
                pods = self.kubectl.get_json(
                    "pods", *where, "-l", _OPERATOR_PODS, "--field-selector=status.phase=Running"
                )["items"]
                found = {pod["metadata"]["namespace"]: pod["metadata"]["name"] for pod in pods}
                if len(found) == 1:
                    return next(iter(found.items()))
                if found:
                    raise PermanentError(
                        f"there are several operators, in {' and '.join(sorted(found))}; name one by "
                        "--operator-namespace: each knows the costs of its own films alone"
                    )
        raise PermanentError(
            "no running pod of the operator is found; name its namespace by --operator-namespace (or "
            "VIDEOTASK_OPERATOR_NAMESPACE). Reading costs takes the rights to get pods and to exec into them there"
        )


def read_documents(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the JSON documents of a stream in which one follows the other, each as soon as it is whole."""
    decoder = json.JSONDecoder()
    text = ""
    pending = b""
    while block := _read_some(stream):
        pending += block
        whole = pending.decode(errors="ignore") if _is_whole(pending) else ""
        if not whole:
            continue
        text, pending = text + whole, b""
        while text := text.lstrip():
            try:
                document, end = decoder.raw_decode(text)
            except ValueError:
                break  # its rest is still to come
            text = text[end:]
            yield document


def _read_some(stream: IO[bytes]) -> bytes:
    read = getattr(stream, "read1", stream.read)
    block: bytes = read(_READ_BYTES)
    return block


def _is_whole(data: bytes) -> bool:
    """Tell whether no character is cut at the end."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.end < len(data)
    return True


def _key(task: Task) -> _Key:
    return task.namespace, task.name


def _event(item: dict[str, Any]) -> Event:
    moment = item.get("lastTimestamp") or item.get("eventTime") or item["metadata"].get("creationTimestamp")
    return Event(
        at=parse_time(moment) or datetime.now(UTC),
        type=item.get("type", ""),
        reason=item.get("reason", ""),
        message=item.get("message", ""),
    )


def _explained(error: KubectlError) -> PermanentError:
    """Return the error with what to do about it."""
    if "the server doesn't have a resource type" in error.said:
        return PermanentError(
            f"{error.said}: the operator's CRDs are not installed there; install its Helm chart first"
        )
    if "connection refused" in error.said or "was refused" in error.said or "no such host" in error.said:
        return PermanentError(
            f"{error.said}; is it the right cluster (--context, --kubeconfig)? For a laptop's folder: --folder DIR"
        )
    return error
