"""Speaks a text with espeak-ng through ctypes; its C state is global, so it belongs in a worker process alone."""

import contextlib
import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

from videotask_emulators.media.soundfile import Samples, encode

_SYNCHRONOUS = 2
_CHARACTERS_UTF8 = 1
_RATE_PARAMETER, _VOLUME_PARAMETER, _PITCH_PARAMETER, _RANGE_PARAMETER = 1, 2, 3, 4
_EVENT_WORD, _EVENT_END = 1, 0
_WORDS_PER_MINUTE = 168


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceSound:
    """How a voice sounds: an espeak-ng voice with a variant, and its pitch and pitch range of 0 to 100."""

    espeak_name: str
    pitch: int
    pitch_range: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechOrder:
    """A text to speak; `speed` is 0.7 to 1.2 as the provider's, `output_format` a name of soundfile.FORMATS."""

    text: str
    sound: VoiceSound
    speed: float
    output_format: str
    silent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """Spoken audio, its length, and when each character of the text starts and ends, in seconds."""

    content: bytes
    duration_seconds: float
    starts_seconds: tuple[float, ...]
    ends_seconds: tuple[float, ...]


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h, as far as word events need it."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def speak(order: SpeechOrder) -> Speech:
    """Return the text as speech; the same order gives the same bytes."""
    samples, rate, words = _synthesise(order)
    if order.silent:
        samples = np.zeros_like(samples)
    duration_seconds = samples.size / rate
    starts, ends = _align(order.text, words, duration_seconds)
    return Speech(
        content=encode(samples, rate, order.output_format),
        duration_seconds=duration_seconds,
        starts_seconds=starts,
        ends_seconds=ends,
    )


def _synthesise(order: SpeechOrder) -> tuple[Samples, int, list[tuple[int, float]]]:
    """Return the samples, their rate in Hz, and (character position, start in seconds) of each word."""
    chunks: list[NDArray[np.int16]] = []
    words: list[tuple[int, float]] = []

    def receive(samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            chunks.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        index = 0
        while events[index].type != _EVENT_END:
            if events[index].type == _EVENT_WORD:
                words.append((events[index].text_position - 1, events[index].audio_position / 1000))
            index += 1
        return 0

    text = order.text.replace("\0", " ").encode()
    with _engine() as (library, rate):
        callback = _Callback(receive)
        library.espeak_SetSynthCallback(callback)
        library.espeak_SetVoiceByName(order.sound.espeak_name.encode())
        library.espeak_SetParameter(_RATE_PARAMETER, round(_WORDS_PER_MINUTE * order.speed), 0)
        library.espeak_SetParameter(_VOLUME_PARAMETER, 90, 0)
        library.espeak_SetParameter(_PITCH_PARAMETER, order.sound.pitch, 0)
        library.espeak_SetParameter(_RANGE_PARAMETER, order.sound.pitch_range, 0)
        library.espeak_Synth(text, len(text) + 1, 0, 0, 0, _CHARACTERS_UTF8, None, None)
        library.espeak_Synchronize()
    whole = np.concatenate(chunks) if chunks else np.zeros(rate // 2, dtype=np.int16)
    spoken = whole.astype(np.float32) / np.float32(32768)
    return _trimmed(spoken, rate), rate, words


def _trimmed(samples: Samples, rate: int) -> Samples:
    """Return the samples with the long silence that espeak-ng leaves behind cut to 0.12 s."""
    loud = np.flatnonzero(np.abs(samples) > 0.004)  # noqa: PLR2004 - about -48 dB: below it nothing is heard
    if loud.size == 0:
        return samples[: max(1, rate // 2)]
    return samples[: min(samples.size, int(loud[-1]) + rate * 12 // 100)]


def _align(text: str, words: list[tuple[int, float]], duration: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return each character's start and end: words from the engine's events, even steps within a word."""
    marks = [(0, 0.0)]
    for position, at in words:
        if marks[-1][0] < position < len(text) and at <= duration:
            marks.append((position, max(at, marks[-1][1])))
    marks.append((len(text), duration))
    places = np.interp(np.arange(len(text) + 1), [mark[0] for mark in marks], [mark[1] for mark in marks])
    rounded = tuple(round(float(place), 3) for place in places)
    return rounded[:-1], rounded[1:]


@contextlib.contextmanager
def _engine() -> Iterator[tuple[Any, int]]:
    """Give the library, fresh, and its sample rate in Hz.

    It is unloaded after each text: it keeps noise and wave phases in static variables that espeak_Initialize does not
    reset, so that a second text would come out a few samples different. Loading takes under a millisecond.
    """
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint,
        ctypes.c_void_p, ctypes.c_void_p,
    ]  # fmt: skip
    data = espeakng_loader.get_data_path()
    try:
        rate = library.espeak_Initialize(_SYNCHRONOUS, 0, str(data).encode(), 0)
        if rate <= 0:
            raise RuntimeError(f"espeak-ng did not start with its data at {data}: reinstall espeakng-loader")
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        yield library, int(rate)
        library.espeak_Terminate()
    finally:
        ctypes.CDLL(None).dlclose(ctypes.c_void_p(library._handle))  # noqa: SLF001 - ctypes has no other way to unload
