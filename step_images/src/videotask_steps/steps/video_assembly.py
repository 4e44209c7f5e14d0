"""Step 6: makes the film of clips, narrations and effects; it must never cut speech."""

from __future__ import annotations

from videotask_contract.steps import Step
from videotask_steps.context import StepContext
from videotask_steps.runner import main


async def assemble_film(context: StepContext) -> None:
    """Make film.mp4 from every scene's clip, narration and effect; segments that did not change are kept."""
    from videotask_steps import film  # noqa: PLC0415  slow: the permit comes first

    await film.assemble_film(context)


if __name__ == "__main__":
    main(Step.VIDEO_ASSEMBLY, assemble_film)
