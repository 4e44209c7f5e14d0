"""Which images there are and what each is made of; it must never name a file that an image does not take."""

import hashlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from image_build.pick_modules import files_of, find_modules
from local_cluster.errors import ClusterError

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
_OTHER_MODULES = {"composite_creation": ("videotask_steps.clean_up",)}
"""Programs that run from a step's image without being the step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image: its name, its Dockerfile, and for a step the modules whose imports it holds."""

    name: str
    dockerfile: str
    module: str = ""
    other_modules: tuple[str, ...] = ()


def _step_image(step: str) -> Image:
    return Image(
        name=f"videotask-{step.replace('_', '-')}",
        dockerfile=f"step_images/{step}/Dockerfile",
        module=f"videotask_steps.steps.{step}",
        other_modules=_OTHER_MODULES.get(step, ()),
    )


OPERATOR = Image(name="videotask-operator", dockerfile="operator/Dockerfile")
EMULATORS = Image(name="videotask-emulators", dockerfile="emulators/Dockerfile")
POSTGRES = Image(name="videotask-postgres", dockerfile="postgres/Dockerfile")
STEP_IMAGES = {step: _step_image(step) for step in STEPS}
IMAGES = (OPERATOR, *STEP_IMAGES.values(), EMULATORS, POSTGRES)


def take_snapshot(repository: Path, snapshot: Path) -> None:
    """Copy all that any image may take, so that what is hashed is what is built even while someone edits."""
    for source in sorted({source for image in IMAGES for source in _sources(image, repository)}):
        origin, copy = repository / source, snapshot / source
        copy.parent.mkdir(parents=True, exist_ok=True)
        if origin.is_dir():
            shutil.copytree(origin, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        elif origin.is_file():
            shutil.copy2(origin, copy)


def tag_of(image: Image, base: str, root: Path) -> str:
    """Return the image's tag: the hash of its Dockerfile, of the base and of every file below `root` that it takes.

    Raises ClusterError for a file that the Dockerfile asks for and that is not there.
    """
    content = hashlib.sha256(base.encode())
    for path in sorted(set(_inputs(image, root))):
        content.update(f"{path.relative_to(root)}\0{path.stat().st_mode & 0o111}\0".encode())
        content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()[:_TAG_CHARACTERS]


def _sources(image: Image, root: Path) -> list[str]:
    """Return the Dockerfile and what its COPY lines take, relative to the root."""
    copies = _COPY.finditer((root / image.dockerfile).read_text())
    return [image.dockerfile, *(source for match in copies for source in match["words"].split()[:-1])]


def _inputs(image: Image, root: Path) -> Iterator[Path]:
    for source in _sources(image, root):
        if image.module and source.startswith(_SOURCE_ROOTS):
            yield from _modules(image, root)
        else:
            yield from _files_below(root / source, image)


def _files_below(source: Path, image: Image) -> Iterator[Path]:
    if source.is_file():
        yield source
    elif source.is_dir():
        yield from (path for path in source.rglob("*") if path.is_file())
    else:
        raise ClusterError(f"{image.name} cannot be built: {image.dockerfile} takes {source.name}, which is not there")


def _modules(image: Image, root: Path) -> list[Path]:
    try:
        roots = [root / folder for folder in _SOURCE_ROOTS]
        return files_of(
            {
                name: path
                for start in (image.module, *image.other_modules)
                for name, path in find_modules(start, roots).items()
            }
        )
    except (ModuleNotFoundError, SyntaxError) as failure:
        raise ClusterError(f"{image.name} cannot be built: {failure}") from failure
