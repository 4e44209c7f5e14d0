"""Has a storyboard written by Gemini's text model under a JSON schema; one that fails the contract is never used."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import ValidationError

from videotask_contract.errors import BadInputError, FailureClass, TransientError, VideoTaskError
from videotask_contract.ledger_record import item_key
from videotask_contract.prices import storyboard_usd
from videotask_contract.storyboard import Storyboard
from videotask_contract.task_file import TaskFile
from videotask_contract.timing import LEAD_SECONDS, SLOWEST_CHARACTERS_PER_SECOND, TAIL_SECONDS
from videotask_steps.clients.gemini import GeminiClient, Usage
from videotask_steps.context import StepContext
from videotask_steps.items import Call, Wanted, make_items
from videotask_steps.narration_room import check_estimates

_log: Final = structlog.stdlib.get_logger(__name__)

ITEM: Final = "storyboard.json"
"""Its id in the ledger; no asset can be called so, since names hold no dot."""
MAX_OUTPUT_TOKENS: Final = 24_000
"""The bound on which the reservation counts."""
MAX_WRITINGS: Final = 3
_ASSET_RULES: Final = (
    "Assets: each has a unique name (lower-case letters, digits and dashes, at most 40 characters), a kind "
    "(character, environment or prop) and a prompt for an image generator that describes it alone. There is at "
    "least one environment. Prompts of environments show no people and no animals."
)
_SCENE_RULES: Final = (
    "Scenes: each has a unique name, one environment (the name of an environment asset), up to three characters "
    "(names of character or prop assets, from left to right), a motion (what moves in the picture), a narration "
    "of 45 to {most_characters} characters that is read aloud, and a soundEffect (what is heard, no music and no "
    "speech). The narrations tell one story from beginning to end."
)
_SCHEMA_WORDS: Final = frozenset(
    {"type", "description", "enum", "items", "minItems", "maxItems", "properties", "required", "anyOf"},
)
"""What the provider's schema dialect understands; the contract itself checks the rest."""


async def write_storyboard(context: StepContext, client: GeminiClient) -> Storyboard:
    """Return the storyboard of this topic: the one paid for earlier, or a new one, asked again while it has faults."""
    problems: list[str] = []
    for writing in range(1, MAX_WRITINGS + 1):
        try:
            await make_items(context, [_wanted(context, client, problems)], are_counted=False)
        except VideoTaskError as error:
            if error.failure_class is not FailureClass.BAD_MEDIA or writing == MAX_WRITINGS:
                raise
            problems.append(error.message)
            _log.info("storyboard_asked_again", problems=error.message)
        else:
            break
    record = context.ledger.current(ITEM)
    if record is None or record.path is None:
        raise VideoTaskError("the storyboard was written and is not in the ledger", item=ITEM)
    return Storyboard.model_validate_json((context.volume / record.path).read_bytes())


def storyboard_schema(*, scene_count: int, asset_count: int) -> dict[str, Any]:
    """Return the contract's storyboard as a JSON schema without references, with exactly these counts."""
    full = Storyboard.model_json_schema(by_alias=True)
    schema = _plain(full, full.get("$defs", {}))
    for name, count in (("assets", asset_count), ("scenes", scene_count)):
        schema["properties"][name] |= {"minItems": count, "maxItems": count}
    return schema


def storyboard_prompt(task: TaskFile, problems: list[str]) -> str:
    """Return what the model is asked; `problems` are the faults of its earlier tries."""
    room_seconds = task.quality.clip_seconds - LEAD_SECONDS - TAIL_SECONDS
    most_characters = min(70, int(room_seconds * SLOWEST_CHARACTERS_PER_SECOND))
    lines = [
        "Write the storyboard of a short narrated film.",
        f"Topic: {task.topic}",
        f"Direction: {task.direction or 'a calm, vivid documentary for a general audience'}",
        f"It has exactly {task.asset_count} assets and exactly {task.scene_count} scenes.",
        _ASSET_RULES,
        _SCENE_RULES.format(most_characters=most_characters),
    ]
    if problems:
        lines += ["Your earlier answers had these faults; do not repeat them:", *problems]
    return "\n".join(lines)


def _wanted(context: StepContext, client: GeminiClient, problems: list[str]) -> Wanted:
    task = context.task
    model = task.quality.text_model
    price = task.prices.gemini_texts.get(model)
    if price is None:
        raise BadInputError(f"quality.textModel: the price table knows no text model {model!r}; correct it or add it")

    async def make(call: Call) -> str:
        def on_usage(usage: Usage) -> None:
            call.charged(
                (usage.input_tokens * price.input_usd_per_million + usage.output_tokens * price.output_usd_per_million)
                / 1_000_000,
            )

        text = await client.write_json(
            model=model,
            prompt=storyboard_prompt(task, problems),
            schema=storyboard_schema(scene_count=task.scene_count, asset_count=task.asset_count),
            max_output_tokens=MAX_OUTPUT_TOKENS,
            on_usage=on_usage,
        )
        return call.keep(text.encode(), ".json")

    def read(path: Path) -> None:
        _read(task, path)

    return Wanted(
        item=ITEM,
        label="storyboard",
        key=item_key(
            topic=task.topic,
            direction=task.direction,
            scenes=task.scene_count,
            assets=task.asset_count,
            clip_seconds=task.quality.clip_seconds,
            model=model,
        ),
        model=model,
        price_usd=storyboard_usd(task.prices, model=model, output_tokens=MAX_OUTPUT_TOKENS),
        # Each writing has its own name: storyboard.json, which the steps read, is a copy of the one that counts.
        path=lambda take, suffix: f"storyboard.take{take}{suffix}",
        suffixes=(".json",),
        make=make,
        probe=read,
        check_new=lambda path: check_storyboard(task, path),
    )


def check_storyboard(task: TaskFile, path: Path) -> None:
    """Raise BAD_MEDIA with every fault of a written storyboard: the contract's rules, its counts, too long speech."""
    storyboard = _read(task, path)
    try:
        check_estimates(task, storyboard)
    except BadInputError as error:
        raise TransientError(_faults(error), failure_class=FailureClass.BAD_MEDIA) from error


def _read(task: TaskFile, path: Path) -> Storyboard:
    """Return a written storyboard that keeps the contract's rules and its counts; BAD_MEDIA for another.

    Whether its speech fits the clips is asked of a new one alone: the pace of the voice is not in the key, and a slower
    one is no reason to pay for another film. `edited_storyboard` names the scenes that have no room.
    """
    try:
        storyboard = Storyboard.model_validate_json(path.read_bytes())
        _check_counts(task, storyboard)
    except (ValidationError, BadInputError) as error:
        raise TransientError(_faults(error), failure_class=FailureClass.BAD_MEDIA) from error
    return storyboard


def _check_counts(task: TaskFile, storyboard: Storyboard) -> None:
    assets, scenes = len(storyboard.assets), len(storyboard.scenes)
    if (assets, scenes) != (task.asset_count, task.scene_count):
        raise BadInputError(
            f"it has {assets} assets and {scenes} scenes instead of {task.asset_count} and {task.scene_count}",
        )


def _faults(error: ValidationError | BadInputError) -> str:
    if isinstance(error, BadInputError):
        return error.message
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in problems[:10])


def _plain(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Put definitions in the place of references and leave out what the provider does not understand."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[-1]]
    plain: dict[str, Any] = {}
    for word, value in schema.items():
        if word not in _SCHEMA_WORDS:
            continue
        match word:
            case "properties":
                plain[word] = {name: _plain(part, definitions) for name, part in value.items()}
            case "items":
                plain[word] = _plain(value, definitions)
            case "anyOf":
                plain[word] = [_plain(part, definitions) for part in value]
            case _:
                plain[word] = value
    return plain
