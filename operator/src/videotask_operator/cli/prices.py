"""What a film costs, as a table for people: by step, from the same estimate that the operator decides with."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from rich.table import Table

from videotask_contract.resources import Quality
from videotask_contract.steps import STEPS, Provider, Step
from videotask_operator.cli.progress import item_names
from videotask_operator.core.estimate import StepEstimate, total_usd

_PROVIDER_NAMES = {Provider.GEMINI: "Gemini", Provider.KLING: "Kling", Provider.ELEVENLABS: "ElevenLabs"}


def price_table(estimates: Mapping[Step, StepEstimate], *, quality: Quality, title: str) -> Table:
    """Return the estimate of every paid step with its model, and the sum."""
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0), show_footer=True
    )
    table.add_column("", footer="in all")
    table.add_column("", justify="right")
    table.add_column("", style="dim")
    table.add_column("", justify="right", footer=f"${total_usd(dict(estimates)):.2f}")
    for traits in STEPS:
        if traits.provider is None or traits.step not in estimates:
            continue
        estimate = estimates[traits.step]
        model = f"{_PROVIDER_NAMES[traits.provider]} {_model(traits.step, quality)}".rstrip()
        table.add_row(item_names(traits.step), str(estimate.items), model, f"${_cents(estimate.cost_usd)}")
    return table


def _model(step: Step, quality: Quality) -> str:
    match step:
        case Step.ASSET_GENERATION:
            return f"{quality.image_model}, {quality.image_size}"
        case Step.VIDEO_GENERATION:
            return f"{quality.video_model}, {quality.video_resolution}, {quality.clip_seconds} s"
        case _:
            return ""


def _cents(amount: Decimal) -> str:
    return f"{amount:.2f}"
