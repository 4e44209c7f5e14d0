"""How a step logs: one JSON object a line on stderr, facts bound once; never a key, a token or a signed address."""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.contextvars import bind_contextvars
from structlog.typing import Processor

from videotask_contract.task_file import TaskFile


def configure_logs() -> None:
    """Send structlog and the standard library through one formatter: JSON, or colours when a person watches."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_last_processors()))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for chatty in ("httpx", "httpcore"):  # they log whole addresses, and signed ones are as good as a key
        logging.getLogger(chatty).setLevel(logging.WARNING)


def bind_run(task: TaskFile) -> None:
    """Put the run's names on every line that follows."""
    bind_contextvars(
        correlation_id=task.correlation_id,
        task=f"{task.task.namespace}/{task.task.name}",
        step=task.step.value,
        attempt=task.attempt,
        run_id=task.run_id,
    )


def _last_processors() -> list[Processor]:
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if sys.stderr.isatty():
        return [remove_meta, structlog.dev.ConsoleRenderer()]
    return [remove_meta, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
