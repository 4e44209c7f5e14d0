"""Each step is a program that explains itself without a network, and has only its own step's parts in its image."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from videotask_contract import VERSION
from videotask_contract.exits import ExitCode
from videotask_contract.steps import TRAITS, Provider, Step

ROOT = Path(__file__).parents[3]
SOURCES = {"videotask_contract": ROOT / "operator/src", "videotask_steps": ROOT / "step_images/src"}
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
MODULES = {"pillow": "PIL", "imageio-ffmpeg": "imageio_ffmpeg", "espeakng-loader": "espeakng_loader"}
PRESENT = [step for step in Step if (ROOT / f"step_images/src/videotask_steps/steps/{step.value}.py").exists()]

IMPORT_ALONE = """
import importlib, sys
forbidden, modules = sys.argv[1].split(","), sys.argv[2].split(",")
for name in forbidden:
    sys.modules[name] = None  # an import of it fails, as in the image
for name in modules:
    importlib.import_module(name)
print(*sorted(name for name in sys.modules if name.startswith("videotask_") and sys.modules[name] is not None))
"""


def modules_of(extra: str) -> set[str]:
    """Return the top-level modules an extra brings itself."""
    names = set()
    for requirement in EXTRAS[extra]:
        if requirement.startswith("videotask-operator["):
            names |= modules_of(requirement.removeprefix("videotask-operator[").removesuffix("]"))
        else:
            name = re.split(r"[^A-Za-z0-9-]", requirement)[0]
            names.add(MODULES.get(name, name))
    return names


ALL_MODULES = set().union(*(modules_of(f"step-{step.slug}") for step in Step)) | {
    "aiohttp",
    "kopf",
    "kubernetes",
    "sqlalchemy",
    "videotask_operator",
    "videotask_emulators",
}


def lay_out(step: Step, folder: Path) -> Path:
    """Return a folder with the modules of ours that this step's image has."""
    (folder / "src").mkdir()
    for package, root in SOURCES.items():
        (folder / "src" / package).symlink_to(root / package)
    picker = str(ROOT / "scripts/lib/image_build/pick_modules.py")
    picked = run(picker, f"videotask_steps.steps.{step.value}", str(folder / "src"), str(folder / "app"))
    assert picked.returncode == 0, picked.stderr
    return folder / "app"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": os.environ["PATH"], **environment},
    )


@pytest.mark.parametrize("step", PRESENT)
def test_a_step_imports_nothing_that_its_image_does_not_have_and_no_other_providers_client(
    step: Step, tmp_path: Path
) -> None:
    forbidden = ALL_MODULES - modules_of(f"step-{step.slug}")
    image = lay_out(step, tmp_path)
    # All of them, also those that it imports only when it needs them.
    modules = [".".join(path.relative_to(image).with_suffix("").parts) for path in image.rglob("*.py")]
    done = run("-c", IMPORT_ALONE, ",".join(forbidden), ",".join(modules), PYTHONPATH=str(image))
    assert done.returncode == 0, done.stderr
    provider = TRAITS[step].provider
    for other in Provider:
        assert (f"videotask_steps.clients.{other.value}" in done.stdout.split()) == (other is provider)


@pytest.mark.parametrize("step", PRESENT)
def test_version_and_help_need_neither_task_nor_network(step: Step) -> None:
    version = run("-m", f"videotask_steps.steps.{step.value}", "--version")
    assert (version.returncode, version.stdout.strip()) == (0, f"{step.value} {VERSION}")
    told = run("-m", f"videotask_steps.steps.{step.value}", "--help")
    assert told.returncode == 0
    provider = TRAITS[step].provider
    expected = {"VIDEOTASK_TASK_FILE", "VIDEOTASK_VOLUME", "VIDEOTASK_REPORT_TOKEN_FILE", "VIDEOTASK_TERMINATION_LOG"}
    expected |= set() if provider is None else {provider.key_variable}
    assert all(name in told.stdout for name in expected)
    assert all(re.search(rf"^  {code.value} ", told.stdout, re.MULTILINE) for code in ExitCode)


def test_a_missing_task_file_is_bad_input_and_said_in_the_termination_message(tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    environment = {
        "PATH": os.environ["PATH"],
        "VIDEOTASK_TASK_FILE": str(tmp_path / "none.json"),
        "VIDEOTASK_TERMINATION_LOG": str(log),
    }
    done = subprocess.run(
        [sys.executable, "-m", "videotask_steps.steps.narration_generation"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert done.returncode == ExitCode.BAD_INPUT
    assert "none.json" in log.read_text()
    assert "Traceback" not in done.stderr
