"""The media are real: they differ by what was asked, begin where they must, and the mattes are true."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

FIGURE = "A sailor woman in a blue coat. Full body, the entire subject in view. Plain light grey background."


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), dtype=float)


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((first - second) ** 2)))


def samples(content: bytes) -> np.ndarray:
    with av.open(io.BytesIO(content)) as sound:
        return np.concatenate([frame.to_ndarray().mean(axis=0) for frame in sound.decode(audio=0)])


def frames(content: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(content)) as video:
        return [frame.reformat(320, 180, "gray").to_ndarray() for frame in video.decode(video=0)]


def first_frame(content: bytes) -> np.ndarray:
    with av.open(io.BytesIO(content)) as video:
        return next(video.decode(video=0)).to_ndarray(format="rgb24").astype(float)


def changes(shown: list[np.ndarray]) -> np.ndarray:
    """Return how much each frame differs from the one before, in grey levels."""
    return np.array([np.abs(after.astype(float) - before).mean() for before, after in itertools.pairwise(shown)])


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Return the highest normalised cross-correlation of two sounds, 0 to 1."""
    size = 1 << (first.size + second.size - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(first, size) * np.conj(np.fft.rfft(second, size)), size)
    return float(np.abs(product).max() / (np.linalg.norm(first) * np.linalg.norm(second)))


def test_pictures_differ_by_prompt_and_a_second_take_differs_a_little(gemini: Any) -> None:
    harbour, again, forest = (
        pixels(gemini.picture(prompt)) for prompt in ("a harbour at dusk", "a harbour at dusk", "a forest at dawn")
    )
    assert 0 < np.abs(harbour - again).mean() < 25
    assert np.abs(harbour - forest).mean() > 30


def test_a_reference_image_changes_the_picture(gemini: Any, frame: str) -> None:
    part = {"inlineData": {"mimeType": "image/png", "data": frame}}
    with_reference = gemini.post(
        "gemini-nano-banana-2.1",
        {
            "contents": [{"parts": [{"text": "a harbour at dusk"}, part]}],
            "generationConfig": {"responseModalities": ["IMAGE"]},
        },
    ).json()
    plain = gemini.image("a harbour at dusk").json()
    datas = [answer["candidates"][0]["content"]["parts"][0]["inlineData"]["data"] for answer in (with_reference, plain)]
    assert datas[0] != datas[1]
    assert with_reference["usageMetadata"]["promptTokenCount"] > plain["usageMetadata"]["promptTokenCount"]


def test_a_figure_stands_before_an_uneven_noisy_plain_background_with_a_true_matte(gemini: Any, control: Any) -> None:
    content = gemini.picture(FIGURE, ratio="3:4")
    image = Image.open(io.BytesIO(content))
    assert image.format == "JPEG"
    matte = control.matte(content)
    alpha = np.asarray(Image.open(io.BytesIO(matte)), dtype=float) / 255
    shown = pixels(content)
    assert alpha.shape == shown.shape[:2]
    assert 0.08 < alpha.mean() < 0.5
    bare = shown[alpha == 0]
    assert bare.std(axis=0).max() > 3, "an even background would be too easy"
    assert np.abs(bare - np.median(bare, axis=0)).max() < 110
    edge = (alpha > 0.05) & (alpha < 0.95)
    assert edge.mean() > 0.002, "edges are soft"
    inside = shown[alpha == 1]
    assert np.abs(inside.mean(axis=0) - bare.mean(axis=0)).sum() > 60


def test_background_shows_through_a_hole_in_the_figure(gemini: Any, control: Any) -> None:
    content = gemini.picture(FIGURE, ratio="3:4")
    empty = np.asarray(Image.open(io.BytesIO(control.matte(content)))) < 10
    outside = np.zeros_like(empty)
    outside[0, :] = outside[-1, :] = outside[:, 0] = outside[:, -1] = True
    outside &= empty
    while True:
        grown = outside.copy()
        for axis in (0, 1):
            for step in (1, -1):
                grown |= np.roll(outside, step, axis=axis)
        for _ in range(40):
            wider = grown.copy()
            for axis in (0, 1):
                for step in (1, -1):
                    wider |= np.roll(grown, step, axis=axis)
            grown = wider & empty
        grown &= empty
        if grown.sum() == outside.sum():
            break
        outside = grown
    assert (empty & ~outside).sum() > 200


def test_an_environment_has_no_matte_and_a_busy_background_is_not_plain(gemini: Any, control: Any) -> None:
    assert control.matte(gemini.picture("a harbour at dusk")) is None
    plain = pixels(gemini.picture(FIGURE, ratio="3:4"))
    control.add_fault("busy_background", provider="gemini")
    busy = pixels(gemini.picture(FIGURE, ratio="3:4"))
    assert busy[:40].std() > 2 * plain[:40].std()


def test_a_clip_begins_with_its_first_frame_and_then_moves_without_a_cut(kling: Any, gemini: Any) -> None:
    content = gemini.picture("a harbour at dusk", ratio="16:9")
    clip = kling.clip(base64.b64encode(content).decode())
    posted = Image.open(io.BytesIO(content)).convert("RGB").resize((1280, 720), Image.Resampling.LANCZOS)
    assert psnr(first_frame(clip), np.asarray(posted, dtype=float)) > 34
    shown = frames(clip)
    assert np.abs(shown[0].astype(float) - shown[-1]).mean() > 4
    assert changes(shown).max() < 5, "a still camera never cuts"


def test_without_multi_shot_false_the_clip_is_cut_and_billed(kling: Any, control: Any, gemini: Any) -> None:
    content = base64.b64encode(gemini.picture("a harbour at dusk", ratio="16:9")).decode()
    body = {
        "contents": [{"type": "prompt", "text": "drift"}, {"type": "first_frame", "url": content}],
        "settings": {"resolution": "720p", "duration": 3, "audio": "off"},
    }
    created = kling.http.post("/image-to-video/kling-3.0", json=body, headers=kling.headers()).json()
    steps = changes(frames(kling.http.get(kling.finished(created["data"]["id"])["outputs"][0]["url"]).content))
    assert (steps > 8 * np.median(steps)).sum() == 2
    assert "video" in [entry["kind"] for entry in control.bill()["entries"]]


def test_speech_is_the_same_for_the_same_text_and_differs_by_text_voice_and_speed(voice: Any) -> None:
    text = "The lamp was older than the town itself."
    plain = voice.speak(text).content
    assert hashlib.sha256(voice.speak(text).content).digest() == hashlib.sha256(plain).digest()
    assert voice.speak("Something else was said that night.").content != plain
    assert likeness(samples(voice.speak(text, voice_id="21m00Tcm4TlvDq8ikWAM").content), samples(plain)) < 0.6
    fast, slow = (samples(voice.speak(text, voice_settings={"speed": speed}).content).size for speed in (1.2, 0.7))
    assert slow > 1.3 * fast


def test_longer_texts_last_longer_and_other_scripts_are_spoken(voice: Any) -> None:
    short, long = (
        samples(voice.speak(text).content).size for text in ("One.", "One and two and three and four and five.")
    )
    assert long > 2 * short
    for text in ("Emoji 🚀 and 100 % of it", 'quotes " and <tags>', "مرحبا بالعالم", "line\nbreak"):
        assert np.abs(samples(voice.speak(text).content)).max() > 0.02


def test_effects_are_loud_broadband_and_differ_by_prompt(voice: Any) -> None:
    sounds = [
        samples(voice.effect(text, duration_seconds=3).content)
        for text in ("waves", "footsteps on stone", "waves in a storm")
    ]
    for sound in sounds:
        power = np.abs(np.fft.rfft(sound)) ** 2
        assert np.sqrt((sound**2).mean()) > 0.01
        assert np.exp(np.log(power + 1e-12).mean()) / power.mean() > 1e-5
    assert likeness(sounds[0], sounds[0]) == pytest.approx(1)
    assert likeness(sounds[0], sounds[1]) < 0.3
    assert likeness(sounds[0], sounds[2]) < 0.3


def test_a_looped_effect_ends_as_it_begins(voice: Any) -> None:
    sound = np.frombuffer(voice.effect("wind", duration_seconds=2, loop=True, fmt="pcm_44100").content, "<i2") / 32768
    seam = abs(sound[0] - sound[-1])
    assert seam < 4 * np.abs(np.diff(sound)).mean() + 0.02
