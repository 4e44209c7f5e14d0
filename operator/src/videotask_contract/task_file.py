"""task.json: everything a step is told about its run; it holds no secret and a step needs nothing else."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Self

from pydantic import ConfigDict, Field, model_validator

from videotask_contract import CONTRACT_VERSION
from videotask_contract.changes import Edits
from videotask_contract.prices import PriceTable, Usd
from videotask_contract.resources import Look, Quality, Voice
from videotask_contract.steps import Provider, Step
from videotask_contract.storyboard import ContractModel, Storyboard

VARIABLE_TASK_FILE: Final = "VIDEOTASK_TASK_FILE"
"""Path of task.json."""
VARIABLE_VOLUME: Final = "VIDEOTASK_VOLUME"
"""The task's own folder on the channel's volume."""
VARIABLE_TOKEN_FILE: Final = "VIDEOTASK_REPORT_TOKEN_FILE"  # noqa: S105  a variable's name, not a token
"""The projected token for the report endpoint; read anew for each request, since it rotates."""
VARIABLE_TERMINATION_LOG: Final = "VIDEOTASK_TERMINATION_LOG"
"""Where the final report stands when the endpoint could not be reached; Kubernetes reads 4,096 bytes of it."""
REPORT_AUDIENCE: Final = "videotask-report"


class TaskIdentity(ContractModel):
    """Whose run this is."""

    uid: str
    namespace: str
    name: str
    channel: str
    title: str


class ProviderSettings(ContractModel):
    """How to reach the step's provider."""

    provider: Provider
    base_url: str
    poll_interval_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    """Pause between polls of a job."""
    request_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 60.0
    """For one HTTP request; design: network time-out 1 minute."""


class TaskFile(ContractModel):
    """One run of one step."""

    model_config = ConfigDict(extra="ignore")  # a newer operator may say more
    contract_version: int = CONTRACT_VERSION
    step: Step
    run_id: str
    run_number: Annotated[int, Field(ge=1)]
    attempt: Annotated[int, Field(ge=1)]
    correlation_id: str
    task: TaskIdentity
    report_url: str
    """Base address of the report endpoint, without a trailing slash."""
    concurrency: Annotated[int, Field(ge=1, le=200)] = 1
    item_timeout_seconds: Annotated[int, Field(ge=1)]
    reservation_usd: Usd = Decimal(0)
    """The most this run may spend, calls of earlier runs not counted; no call is begun that could pass it."""
    provider: ProviderSettings | None = None
    prices: PriceTable = PriceTable()
    quality: Quality = Quality()
    voice: Voice | None = None
    look: Look = Look()
    storyboard: Storyboard | None = None
    """The storyboard given by a person; None when step 1 must write one. Later steps read storyboard.json."""
    storyboard_sha256: str | None = None
    """What storyboard.json must hash to, known once step 1 has reported it."""
    edits: Edits | None = None
    """Laid over the storyboard by step 1, which writes the result to storyboard.json."""
    redo: dict[str, int] = Field(default_factory=dict)
    """How often new takes of this step's items were asked for, by reference as the person gave it, "*" for all."""
    redo_asked: tuple[str, ...] = ()
    """References of the request of now alone: one that the storyboard lacks ends the run before anything is paid."""
    takes: dict[str, int] = Field(default_factory=dict)
    """Takes of this step's items that a person chose, by reference."""
    storyboard_only: bool = False
    """True for a run of step 1 that ends once storyboard.json is written, because a person must look at it first."""
    topic: str | None = None
    direction: str | None = None
    scene_count: int = 18
    asset_count: int = 22

    @model_validator(mode="after")
    def _check_version(self) -> Self:
        if self.contract_version != CONTRACT_VERSION:
            raise ValueError(
                f"contractVersion: {self.contract_version} was given and this image speaks {CONTRACT_VERSION}; "
                "give operator and step images the same release",
            )
        return self
