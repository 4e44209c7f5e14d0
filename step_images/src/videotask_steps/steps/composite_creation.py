"""Step 2: puts the characters into their scenes; it must never spend anything."""

from __future__ import annotations

from videotask_contract.steps import Step
from videotask_steps.context import StepContext
from videotask_steps.runner import main


async def create_composites(context: StepContext) -> None:
    """Make every scene's composite that is not there yet; raises naming all assets that cannot be cut out."""
    from videotask_steps import composites  # noqa: PLC0415  slow: the permit comes first

    await composites.create_composites(context)


if __name__ == "__main__":
    main(Step.COMPOSITE_CREATION, create_composites)
