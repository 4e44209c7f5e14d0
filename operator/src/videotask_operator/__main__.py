"""The operator's program: `run` decides, `migrate` prepares the database, `costs` tells what a month cost."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from videotask_contract import VERSION
from videotask_contract.errors import VideoTaskError
from videotask_contract.steps import Step
from videotask_operator.core.costs import CostFormat, CostKey, parse_keys, parse_month, render
from videotask_operator.handlers import watch
from videotask_operator.health import HealthServer, Vitals
from videotask_operator.kube.build_job import JobSettings
from videotask_operator.kube.cluster import KubeCluster
from videotask_operator.logs import configure_logs
from videotask_operator.reconciler import Reconciler
from videotask_operator.reports import ReportServer
from videotask_operator.settings import Settings
from videotask_operator.store.adaptor import PostgresStore
from videotask_operator.store.costs import costs_report, open_read_only
from videotask_operator.store.migrate import migrate

log = structlog.get_logger()

_LEADER_PATIENCE_SECONDS = 3600.0
_WAITING_TURN_SECONDS = 10.0
_STALE_AFTER_SECONDS = 180.0
"""A loop that has not turned, or has tried no LIST, for this long is restarted by the liveness probe."""
_STALE_AFTER_RESYNCS = 3
"""Where resyncs are rarer than that: between two of them nothing may have happened."""


def main(arguments: list[str] | None = None) -> int:
    """Run the program; return its exit code."""
    options = _parser().parse_args(arguments)
    settings = Settings()
    configure_logs(settings.log_level)
    try:
        if options.command == "migrate":
            revision = migrate(settings.database_url.get_secret_value())
            log.info("database_ready", revision=revision)
            return 0
        if options.command == "costs":
            sys.stdout.write(_costs(settings, options))
            return 0
        return asyncio.run(_run(settings, options.kubeconfig))
    except VideoTaskError as error:
        log.error("operator_ended", reason=error.message)  # noqa: TRY400  the message says what to do
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="videotask-operator",
        description="Turns VideoTask resources into finished films, one Kubernetes Job per step.",
        epilog="Settings come from environment variables VIDEOTASK_*; the chart's values set them.",
    )
    parser.add_argument("--version", action="version", version=f"videotask-operator {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="watch, decide, record, run Jobs; until SIGTERM")
    run.add_argument("--kubeconfig", type=Path, default=None, help="a kubeconfig; in a pod its own account is used")
    commands.add_parser("migrate", help="bring the database to this release's schema, then end")
    costs = commands.add_parser("costs", help="what a month cost, from the record; changes nothing")
    costs.add_argument("--month", default=f"{datetime.now(UTC):%Y-%m}", help="like 2026-11; default: this month")
    costs.add_argument("--by", default="channel", help=f"a list of {', '.join(CostKey)}; default: channel")
    costs.add_argument("--channel", default=None, help="only this Channel's films")
    costs.add_argument("-n", "--namespace", default=None, help="only this namespace's films")
    costs.add_argument("-o", "--output", type=CostFormat, choices=list(CostFormat), default=CostFormat.TABLE)
    return parser


def _costs(settings: Settings, options: argparse.Namespace) -> str:
    month, by = parse_month(options.month), parse_keys(options.by)
    with open_read_only(settings.database_url.get_secret_value()) as connection:
        report = costs_report(connection, month=month, by=by, channel=options.channel, namespace=options.namespace)
    return render(report, options.output)


def job_settings(settings: Settings) -> JobSettings:
    """Return the part of the settings that Jobs are built from; names a step without an image."""
    missing = [step.value for step in Step if step not in settings.step_images]
    if missing:
        raise VideoTaskError(f"VIDEOTASK_STEP_IMAGES names no image for {', '.join(missing)}; give one for each step")
    return JobSettings(
        images=settings.step_images,
        pull_policy=settings.step_image_pull_policy,
        resources=settings.step_resources,
        node_selectors={
            step: settings.step_node_selector | settings.step_node_selectors.get(step, {}) for step in Step
        },
        tolerations=settings.step_tolerations,
        service_account=settings.step_service_account,
        pull_secrets=settings.step_pull_secrets,
        one_node_per_channel=settings.one_node_per_channel,
        temporary_size=settings.step_temporary_size,
        keep_finished_seconds=settings.step_keep_finished_seconds,
    )


async def _run(settings: Settings, kubeconfig: Path | None) -> int:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    log.info("operator_starts", version=VERSION, namespaces=settings.namespaces)
    cluster = await KubeCluster.connect(
        namespaces=settings.namespaces, jobs=job_settings(settings), kubeconfig=kubeconfig
    )
    store = PostgresStore(settings.database_url.get_secret_value())
    reconciler = Reconciler(cluster=cluster, store=store, settings=settings)
    reports = ReportServer(reconciler)
    watching = Watching()
    health = HealthServer(_vitals(settings, cluster, store, reconciler, watching))
    await health.start(host=settings.bind_address, port=settings.health_port)
    lead = asyncio.create_task(_lead(settings, kubeconfig, stop, cluster, store, reconciler, reports, watching))
    await asyncio.wait({lead, asyncio.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    log.info("operator_stops")
    code = await _end(lead)
    await health.stop()
    await store.close()
    await cluster.close()
    return code


async def _lead(  # noqa: PLR0917  the parts of one program
    settings: Settings,
    kubeconfig: Path | None,
    stop: asyncio.Event,
    cluster: KubeCluster,
    store: PostgresStore,
    reconciler: Reconciler,
    reports: ReportServer,
    watching: Watching,
) -> None:
    """Wait for the right to decide, then decide until told to stop."""
    # It refuses until this process decides: the Service names it as soon as it runs.
    await reports.start(host=settings.bind_address, port=settings.report_port)
    acquiring = asyncio.create_task(store.acquire(_LEADER_PATIENCE_SECONDS))
    stopping = asyncio.create_task(stop.wait())
    while not acquiring.done() and not stop.is_set():
        await asyncio.wait({acquiring, stopping}, timeout=_WAITING_TURN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        # Who waits for the lock, or for the database, is alive: a restart would not bring it sooner.
        reconciler.turned_at = reconciler.clock()
    if stop.is_set():
        acquiring.cancel()
        await reports.stop()
        return
    await acquiring
    log.info("operator_decides")
    keeping = [
        asyncio.create_task(store.keep()),
        asyncio.create_task(cluster.keep_synced(every_seconds=settings.resync_seconds, stop=stop)),
    ]
    events = watch.start(cluster.readable_namespaces, cluster.take_event, kubeconfig=kubeconfig)
    watching.events = events
    cluster.on_other_sight(events.restart)
    try:
        await reconciler.run(stop)
    finally:
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
        await asyncio.gather(reports.stop(), events.stop())


async def _end(lead: asyncio.Task[None]) -> int:
    try:
        await asyncio.wait_for(lead, timeout=4.5)
    except TimeoutError:
        log.warning("operator_did_not_stop_in_time")
    except VideoTaskError as error:
        log.error("operator_ended", reason=error.message)  # noqa: TRY400  the message says what to do
        return 1
    return 0


@dataclass(slots=True)
class Watching:
    """The watches, once they have begun; until then nothing is held against them."""

    events: watch.Watch | None = None

    def is_steady(self) -> bool:
        """Tell whether they hold."""
        return self.events is None or self.events.is_steady


def stale_after_seconds(settings: Settings) -> float:
    """Return after how many seconds without a turn or a try of a LIST the operator counts as stuck."""
    return max(_STALE_AFTER_SECONDS, _STALE_AFTER_RESYNCS * settings.resync_seconds)


def _vitals(
    settings: Settings, cluster: KubeCluster, store: PostgresStore, reconciler: Reconciler, watching: Watching
) -> Vitals:
    return Vitals(
        now=lambda: datetime.now(UTC),
        loop_turned_at=lambda: reconciler.turned_at,
        resync_tried_at=lambda: cluster.last_resync_tried_at,
        is_synced=lambda: cluster.is_synced,
        is_leader=lambda: store.is_leader,
        is_watching=watching.is_steady,
        stale_after_seconds=stale_after_seconds(settings),
        films_out_of_sight=lambda: len(reconciler.out_of_sight),
    )


if __name__ == "__main__":
    sys.exit(main())
