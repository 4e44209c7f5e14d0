"""Clean-up runs from an image that has no key and no provider's client."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
DOCKERFILES = REPOSITORY / "step_images"


def test_clean_up_is_in_the_image_of_the_composites_and_in_no_other() -> None:
    holders = {path.parent.name for path in DOCKERFILES.glob("*/Dockerfile") if "clean_up" in path.read_text()}
    assert holders == {"composite_creation"}


def test_it_loads_no_providers_client_and_no_media() -> None:
    script = "import sys, videotask_steps.clean_up; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    modules = set(loaded.stdout.split())
    assert "videotask_steps.ledger" in modules
    assert not {name for name in modules if name.startswith(("videotask_steps.clients", "videotask_steps.media"))}
    assert not {"httpx", "av", "PIL", "numpy"} & modules
