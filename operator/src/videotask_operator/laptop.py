"""The whole operator as one program on a laptop: PostgreSQL in a folder, local processes, files; needs no root."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
from pathlib import Path
from typing import Final

import structlog
from pydantic import SecretStr

from videotask_contract.errors import VideoTaskError
from videotask_operator.core.ports import NotLeaderError
from videotask_operator.local.cluster import LocalCluster
from videotask_operator.local.files import read_json, write_json
from videotask_operator.local.postgres import start_postgres, stop_postgres
from videotask_operator.logs import configure_logs
from videotask_operator.reconciler import Reconciler
from videotask_operator.reports import ReportServer
from videotask_operator.settings import Settings
from videotask_operator.store.adaptor import PostgresStore
from videotask_operator.store.migrate import migrate

NAMESPACE: Final = "default"
READY: Final = "ready.json"
"""Appears in the folder once the operator decides; gone when it ends."""
_HOST: Final = "127.0.0.1"
_LEAD_SECONDS: Final = 30.0
"""How long another operator over the same folder is waited for."""
_END_SECONDS: Final = 30.0
"""How long steps that were told to end are waited for."""

_log = structlog.get_logger(__name__)


def main() -> None:
    """Run until SIGTERM or SIGINT; then end all runs and PostgreSQL, unless runs are to be left alone."""
    parser = argparse.ArgumentParser("python -m videotask_operator.laptop", description=__doc__)
    parser.add_argument("folder", type=Path, help="where resources, status, volumes, runs and the database lie")
    parser.add_argument("--leave-runs", action="store_true", help="steps under way go on when this program ends")
    options = parser.parse_args()
    settings = Settings()
    configure_logs(settings.log_level)
    try:
        asyncio.run(_run_until_signalled(options.folder.resolve(), settings, leave_runs=options.leave_runs))
    except (VideoTaskError, NotLeaderError) as error:
        sys.exit(f"videotask: {error}")


async def _run_until_signalled(folder: Path, settings: Settings, *, leave_runs: bool) -> None:
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    await run_laptop(folder, settings, stop=stop, leave_runs=leave_runs)


async def run_laptop(folder: Path, settings: Settings, *, stop: asyncio.Event, leave_runs: bool = False) -> None:
    """Run the operator over a folder until `stop`; its PostgreSQL ends with it, and its runs unless left alone.

    The database's and the report endpoint's addresses in `settings` are replaced. Raises PermanentError when
    PostgreSQL cannot start.
    """
    postgres = await asyncio.to_thread(start_postgres, folder / "postgres")
    try:
        port = _report_port(folder)
        addresses = {
            "database_url": SecretStr(postgres.url("videotask")),
            "report_url": f"http://{_HOST}:{port}",
            "report_port": port,
            "namespaces": (NAMESPACE,),
        }
        await _operate(folder, settings.model_copy(update=addresses), stop=stop, leave_runs=leave_runs)
    finally:
        await asyncio.to_thread(stop_postgres, folder / "postgres")


async def _operate(folder: Path, settings: Settings, *, stop: asyncio.Event, leave_runs: bool) -> None:
    url = settings.database_url.get_secret_value()
    await asyncio.to_thread(migrate, url)
    cluster = LocalCluster(folder, namespace=NAMESPACE)
    store = PostgresStore(url)
    reconciler = Reconciler(cluster=cluster, store=store, settings=settings)
    reports = ReportServer(reconciler)
    try:
        await store.acquire(_LEAD_SECONDS)
        await reports.start(host=_HOST, port=settings.report_port)
        write_json(folder / READY, {"reportPort": settings.report_port})
        await _work(reconciler, cluster, store, stop)
        if not leave_runs and not await cluster.end_all_runs(timeout_seconds=_END_SECONDS):
            _log.warning("runs_outlive_the_operator", folder=str(folder))
    finally:
        (folder / READY).unlink(missing_ok=True)
        await reports.stop()
        await store.close()


async def _work(reconciler: Reconciler, cluster: LocalCluster, store: PostgresStore, stop: asyncio.Event) -> None:
    """Turn all loops until `stop`; an error of one ends all and is raised."""
    async with asyncio.TaskGroup() as group:
        group.create_task(reconciler.run(stop))
        group.create_task(cluster.run(stop))
        keeping = group.create_task(store.keep())
        await stop.wait()
        keeping.cancel()


def _report_port(folder: Path) -> int:
    """Return the folder's own port, chosen once: steps that go on over a restart report to the same address."""
    path = folder / "report-port.json"
    known = read_json(path)
    if isinstance(known, int):
        return known
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
    write_json(path, port)
    return port


if __name__ == "__main__":
    main()
