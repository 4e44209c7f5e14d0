"""What a film costs, as a table for people: by step, from the same estimate that the operator decides with."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group
from rich.table import Table
from rich.text import Text

from videotask_contract.resources import Quality
from videotask_contract.steps import STEPS, Provider, Step
from videotask_operator.cli.progress import step_name
from videotask_operator.core.estimate import StepEstimate, total_usd

_PROVIDER_NAMES = {Provider.GEMINI: "Gemini", Provider.KLING: "Kling", Provider.ELEVENLABS: "ElevenLabs"}


def price_table(estimates: Mapping[Step, StepEstimate], *, quality: Quality, title: str) -> Group:
    """Return the estimate of every paid step with its model, and the sum."""
    # Not the table's own title: that one is folded to the table's width.
    table = Table(box=None, padding=(0, 2), show_header=False, show_footer=True)
    table.add_column(footer="in all")
    table.add_column(justify="right")
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", footer=f"${total_usd(dict(estimates)):.2f}")
    for traits in STEPS:
        if traits.provider is None or traits.step not in estimates:
            continue
        estimate = estimates[traits.step]
        model = f"{_PROVIDER_NAMES[traits.provider]} {_model(traits.step, quality)}".rstrip()
        table.add_row(step_name(traits.step), str(estimate.items), model, f"${estimate.cost_usd:.2f}")
    return Group(Text(title, style="bold"), table)


def _model(step: Step, quality: Quality) -> str:
    match step:
        case Step.ASSET_GENERATION:
            return f"{quality.image_model}, {quality.image_size}"
        case Step.VIDEO_GENERATION:
            return f"{quality.video_model}, {quality.video_resolution}, {quality.clip_seconds} s"
        case _:
            return ""
