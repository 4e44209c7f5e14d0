"""Which images there are and what each is made of; it must never name a file that an image does not take."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from image_build.pick_modules import files_of, find_modules
from local_cluster.errors import ClusterError
from local_cluster.places import REPOSITORY

STEPS = (
    "asset_generation",
    "composite_creation",
    "video_generation",
    "narration_generation",
    "sfx_generation",
    "video_assembly",
)
_COPY = re.compile(r"^COPY +(?!--from)(?P<words>.+)$", re.MULTILINE)
_SOURCE_ROOTS = ("operator/src", "step_images/src")
_TAG_CHARACTERS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image: its name, its Dockerfile, and for a step the module whose imports it holds."""

    name: str
    dockerfile: str
    module: str = ""


def _step_image(step: str) -> Image:
    return Image(
        name=f"videotask-{step.replace('_', '-')}",
        dockerfile=f"step_images/{step}/Dockerfile",
        module=f"videotask_steps.steps.{step}",
    )


OPERATOR = Image(name="videotask-operator", dockerfile="operator/Dockerfile")
EMULATORS = Image(name="videotask-emulators", dockerfile="emulators/Dockerfile")
POSTGRES = Image(name="videotask-postgres", dockerfile="postgres/Dockerfile")
STEP_IMAGES = {step: _step_image(step) for step in STEPS}
IMAGES = (OPERATOR, *STEP_IMAGES.values(), EMULATORS, POSTGRES)


def tag_of(image: Image, base: str) -> str:
    """Return the image's tag: the hash of its Dockerfile, of the base and of every file it takes.

    Raises ClusterError for a file that the Dockerfile asks for and that is not there.
    """
    dockerfile = REPOSITORY / image.dockerfile
    content = hashlib.sha256(base.encode())
    for path in (dockerfile, *sorted(set(_inputs(image, dockerfile.read_text())))):
        content.update(f"{path.relative_to(REPOSITORY)}\0{path.stat().st_mode & 0o111}\0".encode())
        content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()[:_TAG_CHARACTERS]


def _inputs(image: Image, dockerfile: str) -> Iterator[Path]:
    for match in _COPY.finditer(dockerfile):
        for source in match["words"].split()[:-1]:
            if not (image.module and source.startswith(_SOURCE_ROOTS)):
                yield from _files_below(REPOSITORY / source, image)
    if image.module:
        yield from _modules(image)


def _files_below(source: Path, image: Image) -> Iterator[Path]:
    if source.is_file():
        yield source
    elif source.is_dir():
        yield from (path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    else:
        raise ClusterError(f"{image.dockerfile} copies {source.relative_to(REPOSITORY)}, which is not there")


def _modules(image: Image) -> list[Path]:
    try:
        return files_of(find_modules(image.module, [REPOSITORY / root for root in _SOURCE_ROOTS]))
    except (ModuleNotFoundError, SyntaxError) as failure:
        raise ClusterError(f"{image.name} cannot be built: {failure}") from failure
