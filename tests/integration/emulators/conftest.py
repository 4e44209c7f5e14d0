"""One emulator for all tests here, reset before each, and small callers that speak each provider's wire format."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from videotask_emulators.control import ControlClient
from videotask_emulators.testing import EmulatorProcess

CLIP_SECONDS = 60.0


@dataclass(frozen=True)
class Gemini:
    http: httpx.Client
    key: str = "gemini-demo-key"

    def image(
        self, prompt: str, *, ratio: str = "1:1", size: str = "1K", model: str = "gemini-nano-banana-2.1", **extra: Any
    ) -> httpx.Response:
        config = {"responseModalities": ["IMAGE"], "imageConfig": {"aspectRatio": ratio, "imageSize": size}}
        return self.post(model, {"contents": contents(prompt), "generationConfig": config, **extra})

    def text(self, prompt: str, schema: dict[str, Any], **config: Any) -> httpx.Response:
        wanted = {"responseMimeType": "application/json", "responseJsonSchema": schema, **config}
        return self.post("gemini-3.8-flash", {"contents": contents(prompt), "generationConfig": wanted})

    def post(self, model: str, body: Any) -> httpx.Response:
        path = f"/v1beta/models/{model}:generateContent"
        return self.http.post(path, json=body, headers={"x-goog-api-key": self.key} if self.key else {})

    def picture(self, prompt: str, **options: Any) -> bytes:
        return picture_of(self.image(prompt, **options))


@dataclass(frozen=True)
class Kling:
    http: httpx.Client
    key: str = "kling-demo-key"

    def create(
        self, frame: str, prompt: str = "a slow push in", *, model: str = "kling-3.0", **changes: Any
    ) -> httpx.Response:
        settings = {
            "resolution": "720p",
            "duration": 3,
            "audio": "off",
            "multi_shot": False,
            **changes.pop("settings", {}),
        }
        options = {"external_task_id": changes.pop("external_task_id", "")}
        body = {
            "contents": [{"type": "prompt", "text": prompt}, {"type": "first_frame", "url": frame}],
            "settings": settings,
            "options": options,
            **changes,
        }
        return self.http.post(f"/image-to-video/{model}", json=body, headers=self.headers())

    def poll(self, **query: str) -> httpx.Response:
        return self.http.get("/tasks", params=query, headers=self.headers())

    def finished(self, task_id: str) -> dict[str, Any]:
        until = time.monotonic() + CLIP_SECONDS
        while time.monotonic() < until:
            [task] = self.poll(task_ids=task_id).json()["data"]
            if task["status"] in {"succeeded", "failed"}:
                return dict(task)
            time.sleep(0.05)
        raise TimeoutError(f"the task {task_id} did not end within {CLIP_SECONDS} s")

    def clip(self, frame: str, prompt: str = "a slow push in", **changes: Any) -> bytes:
        task = self.finished(self.create(frame, prompt, **changes).json()["data"]["id"])
        return self.http.get(task["outputs"][0]["url"]).content

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}


@dataclass(frozen=True)
class Voice:
    http: httpx.Client
    key: str = "elevenlabs-demo-key"
    voice_id: str = "JBFqnCBsd6RMkjVDRZzb"

    def speak(
        self, text: str, *, voice_id: str = "", timestamps: bool = False, fmt: str = "mp3_44100_128", **body: Any
    ) -> httpx.Response:
        path = f"/v1/text-to-speech/{voice_id or self.voice_id}" + ("/with-timestamps" if timestamps else "")
        return self.post(path, {"text": text, "model_id": "eleven_multilingual_v2", **body}, output_format=fmt)

    def effect(self, text: str, *, fmt: str = "mp3_44100_128", **body: Any) -> httpx.Response:
        return self.post("/v1/sound-generation", {"text": text, **body}, output_format=fmt)

    def post(self, path: str, body: Any, **query: str) -> httpx.Response:
        headers = {"xi-api-key": self.key} if self.key else {}
        return self.http.post(path, json=body, params=query, headers=headers)


def contents(prompt: str) -> list[dict[str, Any]]:
    return [{"role": "user", "parts": [{"text": prompt}]}]


def picture_of(response: httpx.Response) -> bytes:
    assert response.status_code == 200, response.text
    parts = response.json()["candidates"][0]["content"]["parts"]
    [inline] = [part["inlineData"] for part in parts if "inlineData" in part and not part.get("thought")]
    return base64.b64decode(inline["data"])


def encoded_frame(width: int = 640, height: int = 360, *, kind: str = "PNG") -> str:
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    pixels = np.stack([across, down, 255 - across], axis=-1).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return base64.b64encode(stream.getvalue()).decode()


@pytest.fixture(scope="session")
def emulators() -> Iterator[EmulatorProcess]:
    with EmulatorProcess(latency="none", options=("--hold-seconds", "20")) as process:
        yield process
        log = process.log_path.read_text("utf-8")
    for key in ("gemini-demo-key", "kling-demo-key", "kling-demo-secret", "elevenlabs-demo-key"):
        assert key not in log


@pytest.fixture
def control(emulators: EmulatorProcess) -> Iterator[ControlClient]:
    emulators.control.reset()
    yield emulators.control
    emulators.control.reset()


@pytest.fixture
def http(emulators: EmulatorProcess, control: ControlClient) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=emulators.url, timeout=30.0) as client:
        yield client


@pytest.fixture
def gemini(http: httpx.Client) -> Gemini:
    return Gemini(http)


@pytest.fixture
def kling(http: httpx.Client) -> Kling:
    return Kling(http)


@pytest.fixture
def voice(http: httpx.Client) -> Voice:
    return Voice(http)


@pytest.fixture(scope="session")
def frame() -> str:
    return encoded_frame()


@pytest.fixture(scope="session")
def make_frame() -> Any:
    return encoded_frame


@pytest.fixture(scope="session")
def read_picture() -> Any:
    return picture_of


@pytest.fixture
def story_schema() -> dict[str, Any]:
    name = {"type": "string", "pattern": "^[a-z0-9-]+$", "maxLength": 40}
    asset = {
        "type": "object",
        "properties": {
            "name": name,
            "kind": {"type": "string", "enum": ["character", "environment", "prop"]},
            "prompt": {"type": "string", "minLength": 20, "maxLength": 400},
        },
        "required": ["name", "kind", "prompt"],
        "additionalProperties": False,
    }
    scene = {
        "type": "object",
        "properties": {
            "environment": name,
            "characters": {"type": "array", "items": name, "maxItems": 8},
            "motion": {"type": "string", "maxLength": 300},
            "narration": {"type": "string", "maxLength": 90},
            "sound_effect": {"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 200}]},
        },
        "required": ["environment", "characters", "motion", "narration", "sound_effect"],
    }
    schema = {
        "type": "object",
        "$defs": {"Asset": asset, "Scene": scene},
        "properties": {
            "assets": {"type": "array", "items": {"$ref": "#/$defs/Asset"}, "minItems": 1, "maxItems": 60},
            "scenes": {"type": "array", "items": {"$ref": "#/$defs/Scene"}, "minItems": 1, "maxItems": 60},
        },
        "required": ["assets", "scenes"],
    }
    return dict(json.loads(json.dumps(schema)))
