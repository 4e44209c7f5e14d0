"""What a film is made from: assets and scenes, their limits and their cross references; no default invents content."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

MAX_ITEMS: Final = 60
"""Most assets and most scenes; the largest storyboard must stay under client-side apply's 262,144 bytes."""
MAX_TEXT_BYTES: Final = 200_000
"""All texts of a storyboard together, in UTF-8 bytes: the rest of the 262,144 is names and punctuation."""
MAX_SCENE_CHARACTERS: Final = 8

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=40)]
"""Names become file names: lower-case letters, digits and dashes alone."""


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


Prompt = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_not_blank)]
Motion = Annotated[str, StringConstraints(min_length=1, max_length=600), AfterValidator(_not_blank)]
Narration = Annotated[str, StringConstraints(min_length=1, max_length=300), AfterValidator(_not_blank)]
Effect = Annotated[str, StringConstraints(min_length=1, max_length=300), AfterValidator(_not_blank)]


class ContractModel(BaseModel):
    """camelCase in resources and JSON, snake_case in Python; unknown fields are errors, never dropped."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class AssetKind(StrEnum):
    """What an image shows; also its folder, in the plural."""

    CHARACTER = "character"
    ENVIRONMENT = "environment"
    PROP = "prop"

    @property
    def folder(self) -> str:
        """Folder under assets/."""
        return f"{self.value}s"


class Asset(ContractModel):
    """One image to be made."""

    name: Name
    kind: AssetKind
    prompt: Prompt


class Scene(ContractModel):
    """One scene: where, who, what moves, what is said, what is heard."""

    name: Name
    environment: Name
    characters: Annotated[tuple[Name, ...], Field(max_length=MAX_SCENE_CHARACTERS)] = ()
    """Names of character or prop assets that stand in the environment, from left to right."""
    motion: Motion
    narration: Narration
    sound_effect: Effect


class Storyboard(ContractModel):
    """All of a film's assets and scenes; valid only when every name a scene uses exists with the right kind."""

    assets: Annotated[tuple[Asset, ...], Field(min_length=1, max_length=MAX_ITEMS)]
    scenes: Annotated[tuple[Scene, ...], Field(min_length=1, max_length=MAX_ITEMS)]

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        problems = [*_duplicates(self), *_missing_names(self)]
        if problems:
            raise ValueError("; ".join(problems))
        if (size_bytes := text_bytes(self)) > MAX_TEXT_BYTES:
            raise ValueError(
                f"storyboard: its texts hold {size_bytes} bytes; at most {MAX_TEXT_BYTES}: shorten prompts"
            )
        return self

    def asset(self, name: str) -> Asset:
        """Return the asset of this name; KeyError when there is none."""
        for asset in self.assets:
            if asset.name == name:
                return asset
        raise KeyError(name)


def text_bytes(storyboard: Storyboard) -> int:
    """Return the size of all texts in UTF-8 bytes."""
    texts = [asset.prompt for asset in storyboard.assets]
    for scene in storyboard.scenes:
        texts += [scene.motion, scene.narration, scene.sound_effect]
    return sum(len(text.encode()) for text in texts)


def _duplicates(storyboard: Storyboard) -> list[str]:
    problems = []
    for field, names in (
        ("assets", [asset.name for asset in storyboard.assets]),
        ("scenes", [scene.name for scene in storyboard.scenes]),
    ):
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        problems += [f"storyboard.{field}: the name {name!r} stands twice; give each its own" for name in twice]
    return problems


def _missing_names(storyboard: Storyboard) -> list[str]:
    kinds = {asset.name: asset.kind for asset in storyboard.assets}
    problems = []
    for scene in storyboard.scenes:
        path = f"storyboard.scenes[{scene.name}]"
        if kinds.get(scene.environment) is not AssetKind.ENVIRONMENT:
            problems.append(
                f"{path}.environment: {scene.environment!r} is no environment asset; add it or correct the name",
            )
        problems += [
            f"{path}.characters: {name!r} is no character or prop asset; add it or correct the name"
            for name in scene.characters
            if kinds.get(name) not in {AssetKind.CHARACTER, AssetKind.PROP}
        ]
    return problems
