"""What counts as usable media and what does not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from videotask_contract.errors import FailureClass, PermanentError
from videotask_steps.media.audio_probe import check_audio, decode_sound, probe_audio
from videotask_steps.media.bad_media import BadMediaError
from videotask_steps.media.clip_probe import check_clip, clip_seconds, probe_clip
from videotask_steps.media.image_probe import check_image, probe_image


def a_picture(width: int = 512, height: int = 288) -> Image.Image:
    across = np.linspace(0, 255, width)[None, :].repeat(height, axis=0)
    return Image.fromarray(np.dstack([across, 255 - across, across / 2]).astype(np.uint8))


def a_clip(
    path: Path,
    *,
    frames: int = 48,
    size: tuple[int, int] = (320, 180),
    shade: Callable[[int], int] = lambda index: 40 + 2 * index,
) -> Path:
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=24, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index in range(frames):
            picture = np.zeros((size[1], size[0], 3), dtype=np.uint8)
            picture[: size[1] // 2] = shade(index)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def a_sound(path: Path, samples: np.ndarray, *, rate_hz: int = 44_100) -> Path:
    with av.open(str(path), "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None, :], format="fltp", layout="mono")
        frame.sample_rate = rate_hz
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def a_tone(seconds: float = 1.5, *, level: float = 0.5, rate_hz: int = 44_100) -> np.ndarray:
    return level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate_hz)) / rate_hz)


def test_an_image_is_known_by_its_content_not_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "heron.jpg"
    a_picture().save(path, "PNG")
    probe = check_image(path, aspect_ratio=16 / 9)
    assert (probe.width, probe.height, probe.format, probe.is_one_colour) == (512, 288, "PNG", False)


def test_an_image_of_one_colour_is_noticed_through_noise_and_compression(tmp_path: Path) -> None:
    path = tmp_path / "plain.jpg"
    noise = np.random.default_rng(1).normal(120, 6, (400, 600, 3))
    Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).save(path, quality=80)
    assert probe_image(path).is_one_colour
    with pytest.raises(BadMediaError, match="one colour") as caught:
        check_image(path, item="heron")
    assert caught.value.failure_class is FailureClass.BAD_MEDIA
    assert caught.value.item == "heron"


def test_an_image_in_the_wrong_shape_names_what_was_seen_and_asked(tmp_path: Path) -> None:
    path = tmp_path / "tall.png"
    a_picture(400, 700).save(path)
    with pytest.raises(BadMediaError, match=r"400x700 PNG; width to height of 1\.778"):
        check_image(path, aspect_ratio=16 / 9)


def test_the_providers_own_rounding_of_the_shape_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    a_picture(1376, 768).save(path)
    assert check_image(path, aspect_ratio=16 / 9).width == 1376


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_cut_off_image_is_bad_media(tmp_path: Path, kind: str, share: float) -> None:
    stream = io.BytesIO()
    a_picture().save(stream, kind)
    path = tmp_path / "cut"
    path.write_bytes(stream.getvalue()[: int(len(stream.getvalue()) * share)])
    with pytest.raises(BadMediaError, match="cannot be decoded"):
        probe_image(path)


def test_a_tiny_image_is_bad_media(tmp_path: Path) -> None:
    path = tmp_path / "dot.png"
    Image.new("RGB", (1, 1)).save(path)
    with pytest.raises(BadMediaError, match="1x1"):
        check_image(path)


@pytest.mark.parametrize("probe", [probe_image, probe_clip, probe_audio])
def test_nothing_is_made_of_an_empty_file(tmp_path: Path, probe: Callable[[Path], object]) -> None:
    path = tmp_path / "empty"
    path.touch()
    with pytest.raises(BadMediaError, match=r"empty is empty \(0 bytes\)"):
        probe(path)


@pytest.mark.parametrize("probe", [probe_image, probe_clip, probe_audio])
def test_a_missing_file_is_no_bad_media_and_is_named(tmp_path: Path, probe: Callable[[Path], object]) -> None:
    with pytest.raises(PermanentError, match=r"gone\.bin is missing"):
        probe(tmp_path / "gone.bin")


@pytest.mark.parametrize("probe", [probe_image, probe_clip, probe_audio])
def test_a_page_of_html_is_no_media(tmp_path: Path, probe: Callable[[Path], object]) -> None:
    path = tmp_path / "error.mp4"
    path.write_text("<html><body>502 Bad Gateway</body></html>" * 50)
    with pytest.raises(BadMediaError, match="cannot be decoded"):
        probe(path)


def test_a_clip_is_measured_by_its_decoded_frames(tmp_path: Path) -> None:
    path = a_clip(tmp_path / "clip.mp4")
    probe = check_clip(path, min_seconds=2.0, aspect_ratio=16 / 9)
    assert (probe.width, probe.height, probe.frames, probe.codec) == (320, 180, 48, "h264")
    assert probe.duration_seconds == pytest.approx(2.0)
    assert clip_seconds(path) == pytest.approx(2.0)


def test_a_black_clip_is_bad_media(tmp_path: Path) -> None:
    path = a_clip(tmp_path / "clip.mp4", shade=lambda index: 0)
    with pytest.raises(BadMediaError, match="black throughout"):
        check_clip(path)


def test_a_frozen_clip_is_bad_media(tmp_path: Path) -> None:
    path = a_clip(tmp_path / "clip.mp4", shade=lambda index: 120)
    with pytest.raises(BadMediaError, match="never moves"):
        check_clip(path)


def test_a_clip_shorter_than_paid_for_is_bad_media(tmp_path: Path) -> None:
    path = a_clip(tmp_path / "clip.mp4", frames=30)
    with pytest.raises(BadMediaError, match=r"1\.25 s .*5 s were asked"):
        check_clip(path, min_seconds=5)


def test_an_upright_clip_is_bad_media_where_a_wide_one_was_asked(tmp_path: Path) -> None:
    path = a_clip(tmp_path / "clip.mp4", size=(180, 320))
    with pytest.raises(BadMediaError, match="180x320"):
        check_clip(path, aspect_ratio=16 / 9)


def test_a_cut_off_clip_says_how_much_is_left(tmp_path: Path) -> None:
    path = a_clip(tmp_path / "clip.mp4", frames=96, shade=lambda index: int(np.random.default_rng(index).integers(255)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(BadMediaError, match=r"cut off: \d+ of 96 frames|cannot be decoded"):
        probe_clip(path)


def test_sound_is_measured_by_its_decoded_samples(tmp_path: Path) -> None:
    path = a_sound(tmp_path / "line.mp3", a_tone(1.5))
    probe = check_audio(path)
    assert probe.duration_seconds == pytest.approx(1.5, abs=1e-3)
    assert (probe.sample_rate_hz, probe.channels) == (44_100, 1)
    assert probe.peak_dbfs == pytest.approx(-6, abs=0.6)
    assert decode_sound(path).duration_seconds == probe.duration_seconds


def test_silence_is_bad_media(tmp_path: Path) -> None:
    path = a_sound(tmp_path / "line.mp3", np.zeros(44_100))
    with pytest.raises(BadMediaError, match="is silent"):
        check_audio(path)


def test_a_quiet_sound_is_not_called_silent(tmp_path: Path) -> None:
    assert not probe_audio(a_sound(tmp_path / "line.mp3", a_tone(level=0.006))).is_silent


def test_cut_off_sound_says_how_much_is_left(tmp_path: Path) -> None:
    path = a_sound(tmp_path / "line.mp3", a_tone(3.0))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadMediaError, match="is cut off"):
        check_audio(path)


def test_sound_of_the_wrong_length_names_what_was_seen_and_asked(tmp_path: Path) -> None:
    path = a_sound(tmp_path / "line.mp3", a_tone(1.5))
    with pytest.raises(BadMediaError, match=r"1\.50 s .*at least 4 s"):
        check_audio(path, min_seconds=4)
    with pytest.raises(BadMediaError, match=r"1\.50 s .*at most 1 s"):
        check_audio(path, max_seconds=1)
