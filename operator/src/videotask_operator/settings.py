"""Every knob of the operator, with its unit in its name; nothing else reads the environment."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from videotask_contract.prices import PriceTable
from videotask_contract.steps import Provider, Step


def _default_base_urls() -> dict[Provider, str]:
    return {
        Provider.GEMINI: "https://generativelanguage.googleapis.com",
        Provider.KLING: "https://api-singapore.klingai.com",
        Provider.ELEVENLABS: "https://api.elevenlabs.io",
    }


class Settings(BaseSettings):
    """Read from variables with the prefix VIDEOTASK_; maps and lists are given as JSON."""

    model_config = SettingsConfigDict(env_prefix="VIDEOTASK_", extra="ignore")

    database_url: SecretStr = SecretStr("postgresql+psycopg://videotask@127.0.0.1/videotask")
    """SQLAlchemy address of the record."""
    namespaces: tuple[str, ...] = ("default",)
    """Namespaces that are watched."""
    report_url: str = "http://127.0.0.1:8090"
    """Address at which steps reach the report endpoint."""
    report_port: Annotated[int, Field(ge=0, le=65535)] = 8090
    health_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    bind_address: str = "0.0.0.0"  # noqa: S104  a pod's own interfaces
    """Interface the two endpoints listen on."""
    log_level: str = "info"

    step_images: dict[Step, str] = Field(default_factory=dict)
    step_resources: dict[Step, dict[str, Any]] = Field(default_factory=dict)
    step_node_selector: dict[str, str] = Field(default_factory=dict)
    """Node labels that every step's pod asks for."""
    step_node_selectors: dict[Step, dict[str, str]] = Field(default_factory=dict)
    """Further node labels of single steps; they win over the common ones."""
    step_tolerations: list[dict[str, Any]] = Field(default_factory=list)
    step_service_account: str = "videotask-step"
    step_image_pull_policy: str = "IfNotPresent"
    step_pull_secrets: tuple[str, ...] = ()
    """Names of image pull Secrets in each watched namespace."""
    step_temporary_size: str = "2Gi"
    """Limit of each step's /tmp, a Kubernetes quantity."""
    step_keep_finished_seconds: Annotated[int, Field(ge=0)] = 259_200
    """Ended Jobs, their logs and task.json stay this long."""
    one_node_per_channel: bool = False
    """True: a channel's steps run on one node, for ReadWriteOnce volumes."""
    step_concurrency: dict[Step, int] = Field(default_factory=dict)
    """Items under way at once, where it differs from the step's own default."""

    provider_base_urls: dict[Provider, str] = Field(default_factory=_default_base_urls)
    poll_interval_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    """Pause between polls of a Kling job."""
    prices: PriceTable = PriceTable()

    fleet_max_active_tasks: Annotated[int, Field(ge=1)] = 3
    """Tasks under way at once in all watched namespaces."""
    fleet_paused: bool = False
    """True: no new run begins anywhere; what is under way ends."""
    retry_minutes: tuple[float, ...] = (1, 5, 15, 60)
    """Pauses before the second, third, ... attempt of a step; after the last its error phase waits for a person."""
    rate_limit_wait_minutes: float = 5
    """Pause after a 429 that named none."""
    network_wait_minutes: float = 1
    """Pause after a network failure."""
    max_lost_runs: Annotated[int, Field(ge=1)] = 5
    """Runs of one attempt that may be lost before it counts as failed."""
    never_starting_seconds: Annotated[int, Field(ge=1)] = 20
    """After this long a pod that has not started is reported with what holds it up."""
    long_film_minutes: Annotated[int, Field(ge=1)] = 120
    """A film that takes longer warns once, waits for people excluded."""
    resync_seconds: Annotated[float, Field(gt=0)] = 30
    """Pause between LISTs that replace the cache."""
    paid_step_grace_seconds: Annotated[int, Field(ge=1)] = 120
    """Time for calls in flight to finish after SIGTERM."""
    free_step_grace_seconds: Annotated[int, Field(ge=1)] = 10

    def base_urls(self) -> dict[Provider, str]:
        """Return an address for every provider, the real one where none was set."""
        return {**_default_base_urls(), **self.provider_base_urls}
