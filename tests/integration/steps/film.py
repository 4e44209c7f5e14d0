"""A film's folder whose steps are run as programs, with the emulators as its providers."""

from __future__ import annotations

import uuid
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from tests.support.builders import a_storyboard
from tests.support.report_server import ReportServer
from tests.support.step_program import Ended, StepProgram, a_task_file, save_storyboard

from videotask_contract import layout
from videotask_contract.ledger_record import encode_record
from videotask_contract.report import Certainty
from videotask_contract.steps import TRAITS, Step
from videotask_contract.storyboard import Storyboard
from videotask_contract.task_file import ProviderSettings
from videotask_emulators.control import ControlClient
from videotask_steps.ledger import LedgerView, read_ledger

PAID_STEPS = (Step.ASSET_GENERATION, Step.VIDEO_GENERATION, Step.NARRATION_GENERATION, Step.SFX_GENERATION)


class Film:
    """A film's folder, with what each step needs put into it as the test asks."""

    def __init__(self, folder: Path, server: ReportServer, control: ControlClient) -> None:
        self.folder = folder
        self.volume = folder / "volume"
        self.server = server
        self.control = control
        self.uid = str(uuid.uuid4())
        self.jobs_before = len(control.jobs())
        self.storyboard = Storyboard.model_validate(a_storyboard(scenes=2))

    def with_scenes(self, count: int, *, characters: int = 1) -> Film:
        self.storyboard = Storyboard.model_validate(a_storyboard(scenes=count, characters=characters))
        return self

    def ready_for(self, step: Step) -> Film:
        """Put there what the steps before would have made."""
        if step is not Step.ASSET_GENERATION:
            save_storyboard(self.volume, self.storyboard)
        if step is Step.VIDEO_GENERATION:
            for position in range(1, len(self.storyboard.scenes) + 1):
                self._paint_composite(position)
        return self

    async def ready_for_effects(self) -> Film:
        self.ready_for(Step.SFX_GENERATION)
        assert (await self.run(Step.NARRATION_GENERATION, run_id="narrations")).code == 0
        self.control.reset()
        return self

    def program(
        self, step: Step, *, pod: str = "pod-1", env: dict[str, str] | None = None, **changes: Any
    ) -> StepProgram:
        if step is Step.ASSET_GENERATION:
            changes.setdefault("storyboard", self.storyboard)
        task = a_task_file(step, report_url=self.server.url, base_url=self.control.base_url, uid=self.uid, **changes)
        return StepProgram(self.folder, task, pod=pod, env=env)

    async def run(self, step: Step, **changes: Any) -> Ended:
        return await self.program(step, **changes).run()

    def provider(self, step: Step, **changes: Any) -> ProviderSettings:
        provider = TRAITS[step].provider
        assert provider is not None
        given = {"provider": provider, "base_url": self.control.base_url, "poll_interval_seconds": 0.1, **changes}
        return ProviderSettings(**given)

    def ledger(self, step: Step) -> LedgerView:
        return read_ledger(self.volume, step)

    def ledger_usd(self, step: Step) -> Decimal:
        return sum((spend.amount_usd for spend in self.ledger(step).spend()), Decimal(0))

    def possibly(self, step: Step) -> int:
        """Return how many calls may have been charged and nobody knows."""
        return sum(1 for spend in self.ledger(step).spend() if spend.certainty is Certainty.POSSIBLY)

    def age_ledger(self, step: Step, *, hours: int) -> None:
        """Write the ledger anew as if all had happened so much earlier."""
        lines = [
            encode_record(record.model_copy(update={"at": record.at - timedelta(hours=hours)}))
            for record in self.ledger(step).records
        ]
        (self.volume / layout.ledger(step)).write_text("".join(lines))

    def operations(self, name: str) -> list[dict[str, Any]]:
        return [call for call in self.control.calls() if call["operation"] == name]

    def _paint_composite(self, position: int) -> None:
        path = self.volume / layout.composite(layout.scene_number(position))
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.linear_gradient("L").resize((640, 360)).convert("RGB")
        ImageDraw.Draw(image).ellipse((40 * position, 80, 40 * position + 160, 240), fill=(200, 40, 20 * position))
        image.save(path)
