"""Gemini's answers and errors, row by row of its public reference."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import httpx
import jsonschema
import pytest
from PIL import Image


def reasons(response: httpx.Response) -> list[str]:
    return [detail.get("reason", "") for detail in response.json()["error"].get("details", [])]


@pytest.mark.parametrize(
    ("ratio", "size", "expected"),
    [("16:9", "1K", (1376, 768)), ("16:9", "2K", (2752, 1536)), ("9:16", "1K", (768, 1376))],
)
def test_an_image_has_the_size_that_was_asked_for(
    gemini: Any, ratio: str, size: str, expected: tuple[int, int]
) -> None:
    with Image.open(io.BytesIO(gemini.picture("a harbour at dawn", ratio=ratio, size=size))) as image:
        assert image.size == expected


def test_the_mime_type_is_that_of_the_bytes_and_both_kinds_occur(gemini: Any) -> None:
    seen = set()
    for place in ("cliff", "harbour"):
        inline = gemini.image(f"a {place} at noon").json()["candidates"][0]["content"]["parts"][0]["inlineData"]
        with Image.open(io.BytesIO(base64.b64decode(inline["data"]))) as image:
            assert inline["mimeType"] == f"image/{str(image.format).lower()}"
        seen.add(inline["mimeType"])
    assert seen == {"image/png", "image/jpeg"}


def test_an_answer_has_the_fields_of_the_reference(gemini: Any) -> None:
    answer = gemini.image("a harbour").json()
    [candidate] = answer["candidates"]
    assert candidate["finishReason"] == "STOP"
    assert candidate["content"]["role"] == "model"
    assert {"promptTokenCount", "candidatesTokenCount", "totalTokenCount"} <= set(answer["usageMetadata"])
    assert answer["usageMetadata"]["candidatesTokenCount"] == 1120
    assert answer["modelVersion"] == "gemini-nano-banana-2.1"
    assert answer["responseId"]


def test_the_pro_model_thinks_aloud_before_its_image(gemini: Any) -> None:
    parts = gemini.image("a harbour", model="gemini-3-pro-image").json()["candidates"][0]["content"]["parts"]
    assert parts[0]["thought"] is True
    assert "inlineData" in parts[1]


@pytest.mark.parametrize(
    ("key", "status", "name"), [("wrong", 400, "INVALID_ARGUMENT"), ("", 403, "PERMISSION_DENIED")]
)
def test_a_bad_key_and_a_missing_key_are_refused(gemini: Any, key: str, status: int, name: str) -> None:
    response = type(gemini)(gemini.http, key).image("a harbour")
    assert (response.status_code, response.json()["error"]["status"]) == (status, name)
    assert ("API_KEY_INVALID" in reasons(response)) == (key == "wrong")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"contents": [], "generationConfig": {}}, "contents"),
        ({"contents": [{"parts": [{"text": "x"}]}], "generation_config": {}}, "generation_config"),
        ({"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"imageSize": "1K"}}, "imageSize"),
        ({"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"imageConfig": {"imageSize": "1k"}}}, "1k"),
        (
            {"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"imageConfig": {"aspectRatio": "17:9"}}},
            "17:9",
        ),
        ({"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"responseModalities": ["AUDIO"]}}, "AUDIO"),
        (
            {"contents": [{"parts": [{"text": "x"}, {"inlineData": {"mimeType": "image/gif", "data": ""}}]}]},
            "image/gif",
        ),
        ({"contents": [{"parts": [{"text": "x"}, {"inlineData": {"mimeType": "image/png", "data": "?"}}]}]}, "Base64"),
        (
            {
                "contents": [
                    {"parts": [{"text": "x"}, *[{"inlineData": {"mimeType": "image/png", "data": "AA=="}}] * 15]}
                ]
            },
            "14",
        ),
    ],
)
def test_a_malformed_request_is_an_invalid_argument_that_names_the_field(
    gemini: Any, body: dict[str, Any], words: str
) -> None:
    response = gemini.post("gemini-nano-banana-2.1", body)
    assert (response.status_code, response.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert words in response.json()["error"]["message"]


def test_a_shut_down_model_is_not_found(gemini: Any) -> None:
    response = gemini.image("a harbour", model="gemini-2.5-flash-image")
    assert (response.status_code, response.json()["error"]["status"]) == (404, "NOT_FOUND")


def test_the_list_of_models_is_free_and_shows_whether_a_key_is_good(gemini: Any, control: Any) -> None:
    good = gemini.http.get("/v1beta/models", headers={"x-goog-api-key": "gemini-demo-key"})
    bad = gemini.http.get("/v1beta/models", headers={"x-goog-api-key": "wrong"})
    assert "models/gemini-nano-banana-2.1" in [model["name"] for model in good.json()["models"]]
    assert bad.status_code == 400
    assert control.bill()["entries"] == []


def test_a_storyboard_fits_its_schema_and_refers_only_to_its_own_assets(
    gemini: Any, story_schema: dict[str, Any]
) -> None:
    answer = gemini.text("Write 22 assets and 18 scenes. Topic: the clock that ran backwards", story_schema).json()
    board = json.loads(answer["candidates"][0]["content"]["parts"][0]["text"])
    jsonschema.validate(board, story_schema)
    assert (len(board["assets"]), len(board["scenes"])) == (22, 18)
    kinds = {asset["name"]: asset["kind"] for asset in board["assets"]}
    for scene in board["scenes"]:
        assert kinds[scene["environment"]] == "environment"
        assert {kinds[name] for name in scene["characters"]} <= {"character", "prop"}
        assert 5 <= len(scene["narration"].split()) <= 16


def test_max_output_tokens_cuts_the_json_and_says_so(gemini: Any, story_schema: dict[str, Any]) -> None:
    [candidate] = gemini.text("Topic: a short one", story_schema, maxOutputTokens=40).json()["candidates"]
    assert candidate["finishReason"] == "MAX_TOKENS"
    with pytest.raises(json.JSONDecodeError):
        json.loads(candidate["content"]["parts"][0]["text"])


def test_any_other_schema_is_answered_with_values_that_fit(gemini: Any) -> None:
    schema = {
        "type": "object",
        "required": ["code", "count", "tags", "nested"],
        "properties": {
            "code": {"type": "string", "pattern": "^[a-z_]+$", "minLength": 4, "maxLength": 12},
            "count": {"type": "integer", "minimum": 7, "maximum": 9},
            "tags": {"type": "array", "minItems": 3, "maxItems": 3, "items": {"enum": ["red", "blue"]}},
            "nested": {"type": "object", "required": ["on"], "properties": {"on": {"type": "boolean"}}},
        },
    }
    answer = gemini.text("Anything will do", schema).json()
    jsonschema.validate(json.loads(answer["candidates"][0]["content"]["parts"][0]["text"]), schema)


def test_an_over_complex_schema_is_refused(gemini: Any) -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(30):
        schema = {"type": "object", "properties": {"inner": schema}}
    assert gemini.text("Topic: depth", schema).status_code == 400
