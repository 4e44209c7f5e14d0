"""What the steps ask of the providers: prompts, schema, first frames, ids, settings."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
from PIL import Image
from tests.support.builders import a_storyboard
from tests.support.step_program import VOICE, a_task_file

from videotask_contract.errors import BadInputError, FailureClass, TransientError
from videotask_contract.resources import Quality, Voice
from videotask_contract.steps import Step
from videotask_contract.storyboard import Asset, AssetKind, Storyboard
from videotask_steps.clients.elevenlabs import voice_settings
from videotask_steps.narration_room import check_estimates
from videotask_steps.steps.asset_generation import FRAMINGS, image_price, image_prompt, suffix_of
from videotask_steps.steps.video_generation import clip_price_usd, external_task_id, first_frame
from videotask_steps.storyboard_writer import check_storyboard, storyboard_prompt, storyboard_schema

UID = "11111111-2222-3333-4444-555555555555"


def words_of(schema: object) -> set[str]:
    """Return every keyword a schema uses (property names are not keywords)."""
    if isinstance(schema, list):
        return set().union(*map(words_of, schema)) if schema else set()
    if not isinstance(schema, dict):
        return set()
    found = set(schema)
    for word, value in schema.items():
        parts = list(value.values()) if word == "properties" else value
        found |= words_of(parts)
    return found


def test_the_schema_is_the_contracts_without_references_and_with_the_counts_asked_for() -> None:
    schema = storyboard_schema(scene_count=18, asset_count=22)
    assert words_of(schema) <= {
        "type",
        "properties",
        "required",
        "items",
        "enum",
        "minItems",
        "maxItems",
        "description",
    }
    assert (schema["properties"]["assets"]["minItems"], schema["properties"]["assets"]["maxItems"]) == (22, 22)
    assert (schema["properties"]["scenes"]["minItems"], schema["properties"]["scenes"]["maxItems"]) == (18, 18)
    scene = schema["properties"]["scenes"]["items"]
    assert {"name", "environment", "motion", "narration", "soundEffect"} <= set(scene["required"])
    assert schema["properties"]["assets"]["items"]["properties"]["kind"]["enum"] == [kind.value for kind in AssetKind]
    assert len(json.dumps(schema)) < 5000, "an over-complex schema is refused"


def test_the_prompt_holds_topic_direction_counts_and_earlier_faults() -> None:
    task = a_task_file(Step.ASSET_GENERATION, topic="Herons", direction="slow and blue", scene_count=7, asset_count=9)
    prompt = storyboard_prompt(task, ["scenes.3.narration: too long"])
    for words in ("Herons", "slow and blue", "exactly 9 assets", "exactly 7 scenes", "scenes.3.narration: too long"):
        assert words in prompt


@pytest.mark.parametrize("kind", AssetKind)
def test_subjects_are_asked_for_whole_on_a_plain_background_and_places_empty(kind: AssetKind) -> None:
    asset = Asset(name="thing", kind=kind, prompt="a thing")
    prompt = image_prompt(asset, style="ink and wash")
    assert prompt.startswith("a thing")
    assert "ink and wash" in prompt
    if kind is AssetKind.ENVIRONMENT:
        assert "no people, empty scene" in prompt.lower()
        assert FRAMINGS[kind].ratio == 16 / 9
    else:
        for words in ("plain light grey background", "solid background", "soft even light", "nothing cut off"):
            assert words in prompt.lower()


@pytest.mark.parametrize(
    ("size", "resolution", "expected"),
    [
        ((1920, 1080), "720p", (1280, 720)),
        ((1920, 1080), "1080p", (1920, 1080)),
        ((1080, 1920), "720p", (720, 1280)),
        ((640, 360), "720p", (1280, 720)),
    ],
)
def test_a_first_frame_has_the_clips_own_size_as_bare_base64_of_a_jpeg(
    tmp_path: Path, size: tuple[int, int], resolution: str, expected: tuple[int, int]
) -> None:
    path = tmp_path / "composite.png"
    Image.new("RGB", size, (20, 120, 200)).save(path)
    encoded = first_frame(path, resolution=resolution)
    assert not encoded.startswith("data:")
    with Image.open(io.BytesIO(base64.b64decode(encoded, validate=True))) as image:
        assert (image.format, image.size) == ("JPEG", expected)


def test_our_own_id_of_a_job_is_unique_to_scene_prompt_take_and_try_and_fits() -> None:
    given = {"uid": UID, "number": "07", "key": "a" * 64, "take": 1, "tries": 1}
    ids = {
        external_task_id(**{**given, **change})
        for change in ({}, {"number": "08"}, {"key": "b" * 64}, {"take": 2}, {"tries": 2}, {"uid": UID[::-1]})
    }
    assert len(ids) == 6
    assert external_task_id(**given) == external_task_id(**given)
    assert all(len(one) <= 64 for one in ids)
    assert len(external_task_id(**{**given, "take": 1000, "tries": 10_000})) <= 64


def test_percents_become_the_providers_own_scale() -> None:
    voice = Voice(voice_id="abc", stability_percent=30, similarity_percent=80, style_percent=10, speed_percent=110)
    assert voice_settings(voice) == {
        "stability": 0.3,
        "similarity_boost": 0.8,
        "style": 0.1,
        "speed": 1.1,
        "use_speaker_boost": True,
    }


def test_a_faster_voice_has_room_for_more_words() -> None:
    board = a_storyboard(scenes=1)
    board["scenes"][0]["narration"] = "x" * 80  # 5.7 s at 14 characters a second; 5.5 s fit a clip of 5 s
    storyboard = Storyboard.model_validate(board)
    with pytest.raises(BadInputError, match="scene 01"):
        check_estimates(a_task_file(Step.ASSET_GENERATION), storyboard)
    quick = VOICE.model_copy(update={"speed_percent": 120})
    check_estimates(a_task_file(Step.ASSET_GENERATION, voice=quick), storyboard)


def test_models_without_a_price_are_refused_before_anything_is_asked() -> None:
    with pytest.raises(BadInputError, match="it knows gemini-3-pro-image"):
        image_price(a_task_file(Step.ASSET_GENERATION, quality=Quality(image_model="unheard-of")))
    dear = a_task_file(Step.VIDEO_GENERATION).prices.model_copy(update={"kling_usd_per_second": {}})
    with pytest.raises(BadInputError, match="price table knows no kling"):
        clip_price_usd(a_task_file(Step.VIDEO_GENERATION, prices=dear))


def test_every_scene_that_is_too_long_is_named_at_once() -> None:
    board = a_storyboard(scenes=3)
    for position in (0, 2):
        board["scenes"][position]["narration"] = "words that never end " * 12
    with pytest.raises(BadInputError) as caught:
        check_estimates(a_task_file(Step.ASSET_GENERATION), Storyboard.model_validate(board))
    assert caught.value.item == "01"
    assert "scene 01 (scene-1): its narration lasts" in caught.value.message
    assert "scene 03 (scene-3): its narration lasts" in caught.value.message
    assert "scene 02" not in caught.value.message


@pytest.mark.parametrize(
    ("content", "suffix"),
    [(b"\x89PNG\r\n\x1a\n....", ".png"), (b"\xff\xd8\xff\xe0....", ".jpg"), (b"RIFF....WEBP", ".png"), (b"", ".png")],
)
def test_an_image_is_named_by_what_it_is(content: bytes, suffix: str) -> None:
    assert suffix_of(content) == suffix


def written(tmp_path: Path, board: object) -> Path:
    path = tmp_path / "storyboard.json"
    path.write_text(json.dumps(board))
    return path


def test_a_written_storyboard_is_good_when_the_contract_and_the_counts_say_so(tmp_path: Path) -> None:
    task = a_task_file(Step.ASSET_GENERATION, scene_count=2, asset_count=2)
    check_storyboard(task, written(tmp_path, a_storyboard(scenes=2)))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"environment": "nowhere"}, "'nowhere' is no environment asset"),
        ({"narration": "words without end " * 15}, "scene 01 (scene-1): its narration lasts"),
        ({"narration": ""}, "scenes.0.narration"),
        ({"name": "Not A Name"}, "scenes.0.name"),
        ({"music": "none"}, "scenes.0.music"),
    ],
)
def test_a_fault_of_a_written_storyboard_is_told_in_words_the_model_can_mend(
    tmp_path: Path, change: dict[str, str], fault: str
) -> None:
    board = a_storyboard(scenes=2)
    board["scenes"][0] |= change
    task = a_task_file(Step.ASSET_GENERATION, scene_count=2, asset_count=2)
    with pytest.raises(TransientError) as caught:
        check_storyboard(task, written(tmp_path, board))
    assert caught.value.failure_class is FailureClass.BAD_MEDIA
    assert fault in caught.value.message


def test_a_written_storyboard_with_other_counts_is_not_taken(tmp_path: Path) -> None:
    task = a_task_file(Step.ASSET_GENERATION, scene_count=3, asset_count=2)
    with pytest.raises(TransientError, match="2 scenes instead of 2 and 3"):
        check_storyboard(task, written(tmp_path, a_storyboard(scenes=2)))
