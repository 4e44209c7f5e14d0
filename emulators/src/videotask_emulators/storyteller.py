"""Answers a posted JSON schema: a coherent storyboard where it asks for scenes, made-up values everywhere else."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from videotask_emulators.story import Story, write_story

_MAX_DEPTH = 24
_MAX_NODES = 2000
_WORDS = [
    "harbour",
    "lantern",
    "morning",
    "river",
    "copper",
    "window",
    "garden",
    "letter",
    "winter",
    "compass",
    "silver",
    "orchard",
    "tower",
    "echo",
    "feather",
]


class SchemaTooComplexError(ValueError):
    """The schema is deeper or larger than the model accepts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What fills a schema: its definitions, the story, and the chance."""

    definitions: dict[str, Any]
    story: Story
    chance: random.Random


def tell(prompt: str, schema: dict[str, Any] | None, seed: int) -> Any:
    """Return a value that fits the schema, or prose where there is none; raises SchemaTooComplexError."""
    chance = random.Random(seed)  # noqa: S311 - chance for stories, not for secrets
    if schema is None:
        story = write_story(prompt, _counts(prompt, {}), chance)
        return " ".join(scene.narration for scene in story.scenes)
    if _size(schema, 0) > _MAX_NODES:
        raise SchemaTooComplexError("The specified schema produces a constraint that has too many states for serving.")
    definitions = {**schema.get("definitions", {}), **schema.get("$defs", {})}
    scenes = _resolve(_resolve(schema, definitions).get("properties", {}).get("scenes"), definitions)
    fields = set(_resolve(scenes.get("items"), definitions).get("properties", {}))
    counts = _counts(prompt, _resolve(schema, definitions))
    asked = _Asked(
        definitions=definitions,
        story=write_story(prompt, counts, chance, props_join_cast="props" not in fields and "assets" not in fields),
        chance=chance,
    )
    return _fill(schema, asked, ())


def _size(node: Any, depth: int) -> int:
    if depth > _MAX_DEPTH:
        raise SchemaTooComplexError(
            f"The specified schema is too complex: it is nested deeper than {_MAX_DEPTH} levels."
        )
    if isinstance(node, dict):
        return 1 + sum(_size(value, depth + 1) for value in node.values())
    if isinstance(node, list):
        return sum(_size(value, depth + 1) for value in node)
    return 0


def _resolve(schema: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with its reference followed, its allOf joined, and the first real choice of its anyOf taken."""
    if not isinstance(schema, dict):
        return {}
    seen = dict(schema)
    for _ in range(_MAX_DEPTH):
        if "$ref" in seen:
            target = definitions.get(str(seen.pop("$ref")).rsplit("/", 1)[-1])
            seen = {**(target or {}), **seen}
        elif "allOf" in seen:
            for part in seen.pop("allOf"):
                seen = {**seen, **_resolve(part, definitions)}
        elif "anyOf" in seen or "oneOf" in seen:
            choices = seen.pop("anyOf", None) or seen.pop("oneOf", [])
            real = [choice for choice in choices if _resolve(choice, definitions).get("type") != "null"]
            seen = {**seen, **(real[0] if real else {})}
        else:
            break
    return seen


def _type(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind).lower()


def _counts(prompt: str, schema: dict[str, Any]) -> dict[str, int]:
    """Return how many of each the prompt's words ask for, kept within what the schema allows."""
    counts = {"scenes": 4, "characters": 2, "environments": 2, "props": 1}
    for name in ("scenes", "characters", "environments", "props", "assets"):
        found = re.search(
            rf"\b(\d{{1,3}})\s+(?:\w+\s+){{0,2}}?{name[:-1]}s?\b|\b{name}\s*[:=]\s*(\d{{1,3}})\b", prompt, re.IGNORECASE
        )
        if found:
            counts[name] = int(found.group(1) or found.group(2))
    definitions = {**schema.get("definitions", {}), **schema.get("$defs", {})}
    for name, value in schema.get("properties", {}).items():
        bounds = _resolve(value, definitions)
        if name in {"scenes", "characters", "environments", "props", "assets"} and _type(bounds) == "array":
            least, most = int(bounds.get("minItems", 0)), int(bounds.get("maxItems", 60))
            usual = counts["characters"] + counts["environments"] + counts["props"]
            wanted = max(least, min(most, counts.get(name, usual)))
            if name in counts or wanted != usual:
                counts[name] = wanted
    return _spread(counts, prompt)


def _spread(counts: dict[str, int], prompt: str) -> dict[str, int]:
    """Share a number of assets out to characters, environments and props, where their own numbers are not given."""
    assets = counts.pop("assets", 0)
    if assets:
        named = {
            name
            for name in ("character", "environment", "prop")
            if re.search(rf"\d+\s+(?:\w+\s+){{0,2}}?{name}", prompt)
        }
        if not named or sum(counts[name + "s"] for name in ("character", "environment", "prop")) != assets:
            counts["environments"] = max(1, round(assets * 0.36))
            counts["characters"] = max(1, round(assets * 0.36)) if assets > 1 else 0
            counts["props"] = max(0, assets - counts["environments"] - counts["characters"])
    return counts


def _fill(schema: Any, asked: _Asked, path: tuple[str | int, ...]) -> Any:
    """Return a value for one place of the schema; `path` tells where it stands."""
    if len(path) > _MAX_DEPTH:
        return None
    node = _resolve(schema, asked.definitions)
    if "const" in node:
        return node["const"]
    make = _MAKERS.get(_type(node))
    return None if make is None else make(node, asked, path)


def _object(node: dict[str, Any], asked: _Asked, path: tuple[str | int, ...]) -> dict[str, Any]:
    required = set(node.get("required", []))
    filled: dict[str, Any] = {}
    for name, value in node.get("properties", {}).items():
        if name in required or "default" not in _resolve(value, asked.definitions) or _telling(name):
            filled[name] = _fill(value, asked, (*path, name))
    return filled


def _telling(name: str) -> bool:
    return name in {"characters", "props", "environment", "motion", "narration", "sound_effect", "soundEffect", "title"}


def _array(node: dict[str, Any], asked: _Asked, path: tuple[str | int, ...]) -> list[Any]:
    least, most = int(node.get("minItems", 0)), int(node.get("maxItems", 60))
    known = asked.story.list_for(path)
    if known is not None:
        values = [
            _fill(node.get("items", {}), asked, (*path, index)) if item is None else item
            for index, item in enumerate(known[:most])
        ]
        return [_shaped(value, _resolve(node.get("items", {}), asked.definitions)) for value in values]
    return [_fill(node.get("items", {}), asked, (*path, index)) for index in range(min(most, max(least, 1)))]


def _string(node: dict[str, Any], asked: _Asked, path: tuple[str | int, ...]) -> Any:
    choices = [choice for choice in node.get("enum", []) if choice is not None]
    told = asked.story.text_for(path, choices)
    if choices:
        return told if told in choices else asked.chance.choice(choices)
    if told is None:
        told = " ".join(asked.chance.sample(_WORDS, 4)).capitalize() + "."
    return _shaped(told, node)


def _shaped(value: Any, node: dict[str, Any]) -> Any:
    """Return a text cut, lengthened and spelled as the schema's lengths and pattern ask."""
    if not isinstance(value, str):
        return value
    least, most = int(node.get("minLength", 0)), int(node.get("maxLength", 100_000))
    pattern = node.get("pattern")
    slug = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-") or "item"
    for candidate in (value, slug, slug.replace("-", "_"), slug.replace("-", ""), slug.upper().replace("-", "_")):
        fitted = candidate if len(candidate) <= most else candidate[:most].rsplit(" ", 1)[0].rstrip(" ,;-_")
        while len(fitted) < least:
            fitted = f"{fitted} {candidate}"[: max(least, 1)]
        if not pattern or re.search(pattern, fitted):
            return fitted
    return slug[:most]


def _number(node: dict[str, Any], path: tuple[str | int, ...]) -> float:
    low = float(node.get("minimum", node.get("exclusiveMinimum", 0)))
    high = float(node.get("maximum", node.get("exclusiveMaximum", low + 10)))
    name = str(path[-1]) if path else ""
    numbers = [step for step in path if isinstance(step, int)]
    if name in {"index", "number", "scene", "order", "scene_number", "sceneNumber", "id"} and numbers:
        return float(min(high, max(low, numbers[-1] + 1)))
    if "enum" in node:
        return float(node["enum"][0])
    step = 1 if _type(node) == "integer" else 0.5
    return min(high, max(low + (step if "exclusiveMinimum" in node else 0), (low + min(high, low + 10)) // 2))


_MAKERS: dict[str, Callable[[dict[str, Any], _Asked, tuple[str | int, ...]], Any]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": lambda node, _, path: int(_number(node, path)),
    "number": lambda node, _, path: _number(node, path),
    "boolean": lambda _, asked, __: bool(asked.chance.getrandbits(1)),
}
