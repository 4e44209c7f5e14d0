"""The place that is a folder on a laptop: resources are files; what a cluster's admission does is done here instead."""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml

from videotask_contract import layout
from videotask_contract.errors import BadInputError, PermanentError
from videotask_contract.resources import FilmStatus, VideoTaskSpec
from videotask_contract.steps import Step
from videotask_contract.storyboard import Storyboard
from videotask_operator.cli.change import Change, merge
from videotask_operator.cli.fetch import check_film
from videotask_operator.cli.place import BuildChange, Event, Seen, no_such_task
from videotask_operator.cli.task import Task, parse
from videotask_operator.local.files import read_json, write_text
from videotask_operator.local.folder import LocalFolder

_NAMESPACE: Final = "default"
_LOOK_SECONDS: Final = 0.2
_LOG_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class FolderPlace:
    """The folder of `python -m videotask_operator.laptop FOLDER`, or of `make demo`."""

    folder: LocalFolder
    flag: str = ""
    """--folder DIR where it was given so."""

    @property
    def flags(self) -> str:
        """What a further command needs to mean the same place."""
        return self.flag

    def list_tasks(self, *, all_namespaces: bool = False) -> list[Task]:  # noqa: ARG002  a folder is one namespace
        """Return all VideoTasks of the folder; of a file that cannot be used, with what is wrong as its message."""
        found = (self._look(name) for name in self._names())
        return [task for task in found if task is not None]

    def get_task(self, name: str) -> Task:
        """Return one VideoTask."""
        task = self._read(name) if "/" not in name else None
        if task is None:
            raise no_such_task(name, self._names(), where=str(self.folder.root))
        return task

    def change_task(self, name: str, build: BuildChange, *, dry_run: bool = False) -> tuple[Task, Change]:
        """Write the resource anew, whole or not at all; two commands at once come one after the other."""
        with self._exclusive():
            task = self.get_task(name)
            change = build(task)
            if change.patch is None or dry_run:
                return task, change
            path = self._path(name)
            manifest = merge(_load(path), change.patch)
            parse(VideoTaskSpec, manifest.get("spec", {}), root="spec")
            write_text(path, _dump(manifest, like=path), mode=path.stat().st_mode & 0o777)
            return self.get_task(name), change

    def watch(self, name: str | None = None, *, all_namespaces: bool = False) -> Iterator[list[Seen]]:
        """Yield what changed between two looks at the folder."""
        known: dict[str, Task] = {}
        if name is not None:
            self.get_task(name)
        while True:
            found = self.list_tasks(all_namespaces=all_namespaces) if name is None else [self._look(name)]
            tasks = {task.name: task for task in found if task is not None}
            gone = [Seen(known[old], is_gone=True) for old in sorted(known.keys() - tasks.keys())]
            changed = [
                Seen(task)
                for task in tasks.values()
                if task.name not in known or known[task.name].resource != task.resource
            ]
            if gone or changed:
                yield gone + changed
            known = tasks
            time.sleep(_LOOK_SECONDS)

    def events(self, task: Task) -> list[Event]:
        """Return the task's events, oldest first."""
        try:
            lines = self.folder.events.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        found = [json.loads(line) for line in lines if f'"{task.uid}"' in line]
        return [
            Event(at=datetime.fromisoformat(one["at"]), type=one["type"], reason=one["reason"], message=one["message"])
            for one in found
        ]

    def load_storyboard(self, task: Task) -> Storyboard | None:
        """Return the storyboard that was given, else the generated one from the volume."""
        given = task.storyboard
        if given is not None:
            return given
        folder = self._task_folder(task)
        written = None if folder is None else read_json(folder / layout.STORYBOARD)
        return None if written is None else parse(Storyboard, written, root=layout.STORYBOARD)

    def user(self) -> str | None:
        """Return the operating system's name of the user: no admission stamps it here."""
        return getpass.getuser()

    def show_log(self, task: Task, step: Step | None, *, follow: bool) -> int:
        """Print the newest run's log file."""
        log = self._newest_log(task, step)
        if log is None:
            what = f"{step.value} of {task.name}" if step else task.name
            raise PermanentError(f"there is no log of {what} in {self.folder.logs}: the step was not begun")
        with log.open("rb") as file:
            while True:
                is_over = not follow or self._is_over(log.stem)
                while block := file.read(_LOG_BYTES):
                    sys.stdout.buffer.write(block)
                sys.stdout.buffer.flush()
                if is_over:
                    return 0
                time.sleep(_LOOK_SECONDS)

    def show_costs(self, words: Sequence[str]) -> int:
        """Run the operator's program over the folder's database, which is started for it if it does not run."""
        with self._database_url() as url:
            environment = {"VIDEOTASK_LOG_LEVEL": "warning"} | os.environ | {"VIDEOTASK_DATABASE_URL": url}
            program = [sys.executable, "-m", "videotask_operator", "costs", *words]
            return subprocess.run(program, env=environment, check=False).returncode

    def fetch(self, task: Task, target: Path, *, parts: Sequence[str] = (), image: str | None = None) -> Path:  # noqa: ARG002
        """Copy the film from the channel's volume."""
        folder = self._task_folder(task)
        if "film" not in task.status or folder is None:
            raise PermanentError(f"{task.name} has no film yet: it is {task.where_it_stands()}, {task.message}")
        film = FilmStatus.model_validate(task.status["film"])
        name = Path(film.path).name
        shutil.copyfile(folder / name, target / name)
        check_film(target / name, film)
        self._copy_parts(folder, parts, target)
        return target / name

    def fetch_parts(self, task: Task, target: Path, parts: Sequence[str]) -> None:
        """Copy parts of the film's folder."""
        folder = self._task_folder(task)
        if folder is None or not all((folder / part).exists() for part in parts):
            raise PermanentError(f"{task.name} has no {', '.join(parts)} yet: it is {task.where_it_stands()}")
        self._copy_parts(folder, parts, target)

    @staticmethod
    def _copy_parts(folder: Path, parts: Sequence[str], target: Path) -> None:
        for part in parts:
            copy = shutil.copytree if (folder / part).is_dir() else shutil.copyfile
            copy(folder / part, target / part)

    def _path(self, name: str) -> Path:
        return self.folder.videotasks / f"{name}.yaml"

    def _names(self) -> list[str]:
        if not self.folder.videotasks.is_dir():
            raise PermanentError(
                f"{self.folder.root} is no operator's folder: it holds no resources/videotasks; "
                "`make demo` fills .build/demo/operator, and `python -m videotask_operator.laptop DIR` fills DIR"
            )
        return sorted(path.stem for path in self.folder.videotasks.glob("*.yaml") if not path.name.startswith("."))

    def _look(self, name: str) -> Task | None:
        """Return one VideoTask as a row among others: one bad file hides no film, not even its own."""
        try:
            return self._read(name)
        except BadInputError as error:
            return self._seen({"metadata": {"name": name}}, name, message=error.message)

    def _read(self, name: str) -> Task | None:
        path = self._path(name)
        try:
            manifest = _load(path)
        except FileNotFoundError:
            return None
        metadata, spec = manifest.get("metadata"), manifest.get("spec")
        if not isinstance(metadata, dict) or not isinstance(spec, dict | None):
            raise BadInputError(f"{path}: is no manifest; apiVersion, kind, metadata and spec are needed")
        if metadata.get("name") != name:
            raise BadInputError(f"{path}: metadata.name is {metadata.get('name')!r}; the file must be named after it")
        return self._seen(manifest, name)

    def _seen(self, manifest: dict[str, Any], name: str, *, message: str | None = None) -> Task:
        """Return the manifest with what the operator knows of it; `message` in the place of its own."""
        known = read_json(self.folder.status(name))
        identity: dict[str, Any] = known if isinstance(known, dict) else {}
        metadata: dict[str, Any] = {**manifest["metadata"], "namespace": _NAMESPACE}
        metadata |= {
            field: identity[key]
            for field, key in (("uid", "uid"), ("generation", "generation"), ("creationTimestamp", "createdAt"))
            if key in identity
        }
        version = json.dumps([manifest, identity], sort_keys=True, default=str)
        metadata["resourceVersion"] = hashlib.sha256(version.encode()).hexdigest()[:16]
        status = identity.get("status", {}) | ({} if message is None else {"message": message})
        return Task({**manifest, "metadata": metadata, "status": status})

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        self._names()  # tells a wrong folder before a lock is laid into it
        with (self.folder.videotasks / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _task_folder(self, task: Task) -> Path | None:
        """Return the film's folder on its channel's volume."""
        channel = str((task.spec.get("channelRef") or {}).get("name", ""))
        path = self.folder.channels / f"{channel}.yaml"
        if not task.uid or not path.is_file():
            return None
        claim = str(((_load(path).get("spec") or {}).get("volume") or {}).get("claimName", ""))
        return self.folder.volume(claim) / layout.task_folder(name=task.name, uid=task.uid)

    def _newest_log(self, task: Task, step: Step | None) -> Path | None:
        """Return the log of the run with the highest number; names end in -STEP-RUN-UID8."""
        found: list[tuple[int, Path]] = []
        slugs = [step.slug] if step else [one.slug for one in Step]
        for path in self.folder.logs.glob(f"*-{task.uid[:8]}.log") if task.uid else ():
            head, _, number = path.stem.removesuffix(f"-{task.uid[:8]}").rpartition("-")
            if number.isdecimal() and any(head.endswith(f"-{slug}") for slug in slugs):
                found.append((int(number), path))
        return max(found)[1] if found else None

    def _is_over(self, job_name: str) -> bool:
        run = self.folder.runs / job_name
        return not run.exists() or (run / "exit.json").exists()

    @contextmanager
    def _database_url(self) -> Iterator[str]:
        # Their import takes half a second, and nothing else here needs them.
        from videotask_operator.local.postgres import (  # noqa: PLC0415
            find_postgres,
            start_postgres,
            stop_postgres,
        )
        from videotask_operator.logs import configure_logs  # noqa: PLC0415

        folder = self.folder.root / "postgres"
        if not (folder / "data").is_dir():
            raise PermanentError(f"{self.folder.root} holds no database: no operator has worked there yet")
        configure_logs("warning")  # to stderr: what is printed belongs to the costs
        running = find_postgres(folder)
        server = running or start_postgres(folder)
        try:
            yield server.url("videotask")
        finally:
            # An operator that began meanwhile works with the same server, and stops it when it ends.
            if running is None and not _is_in_use(server.url("videotask")):
                stop_postgres(folder)


def open_folder(path: Path, *, is_given: bool) -> FolderPlace:
    """Return the place of this folder; `is_given` when it was named on the command line."""
    if not path.is_dir():
        raise BadInputError(f"--folder: {path} is no folder; give the one that the laptop's operator works in")
    return FolderPlace(LocalFolder(path), flag=f" --folder {shlex.quote(str(path))}" if is_given else "")


def _is_in_use(url: str) -> bool:
    import psycopg  # noqa: PLC0415  only costs need it

    others = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        return connection.execute(others).fetchone() is not None


def _load(path: Path) -> dict[str, Any]:
    try:
        manifest = _parse_text(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadInputError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(manifest, dict):
        raise BadInputError(f"{path}: is no manifest; apiVersion, kind, metadata and spec are needed")
    return manifest


def _parse_text(text: str) -> Any:
    if text.lstrip().startswith("{"):  # as programs write it; JSON is read a hundred times faster than YAML
        with suppress(ValueError):
            return json.loads(text)
    return yaml.safe_load(text)


def _dump(manifest: dict[str, Any], *, like: Path) -> str:
    """Return the manifest as text, in JSON where it was JSON; a person's comments in YAML do not survive."""
    if like.read_text(encoding="utf-8").lstrip().startswith("{"):
        return json.dumps(manifest, ensure_ascii=False, indent=1) + "\n"
    text: str = yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=110)
    return text
