"""Encodes mono samples as the output formats that ElevenLabs offers; it makes no sound of its own."""

import io

import av
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

FORMATS: tuple[str, ...] = (
    "mp3_22050_32",
    "mp3_44100_32",
    "mp3_44100_64",
    "mp3_44100_96",
    "mp3_44100_128",
    "mp3_44100_192",
    "pcm_16000",
    "pcm_22050",
    "pcm_24000",
    "pcm_44100",
)


def media_type(output_format: str) -> str:
    """Return the Content-Type of an output format."""
    return "audio/mpeg" if output_format.startswith("mp3") else "audio/pcm"


def resample(samples: Samples, rate: int, new_rate: int) -> Samples:
    """Return the samples of 1 channel at another rate (Hz), by libswresample."""
    if rate == new_rate:
        return samples
    resampler = av.AudioResampler(format="flt", layout="mono", rate=new_rate)
    parts = [part.to_ndarray().ravel() for part in resampler.resample(_frame(samples, rate))]
    parts += [part.to_ndarray().ravel() for part in resampler.resample(None)]
    return np.concatenate(parts).astype(np.float32)


def encode(samples: Samples, rate: int, output_format: str) -> bytes:
    """Return the sound as `output_format`, a name of FORMATS such as mp3_44100_128 (codec, Hz, kbit/s)."""
    codec, new_rate, *kilobits = output_format.split("_")
    ready = np.clip(resample(samples, rate, int(new_rate)), -1.0, 1.0)
    if codec == "pcm":
        return (ready * 32767).astype("<i2").tobytes()
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp3") as container:
        track = container.add_stream("libmp3lame", rate=int(new_rate), layout="mono")
        track.bit_rate = int(kilobits[0]) * 1000
        size = 1152
        for start in range(0, ready.size, size):
            frame = _frame(ready[start : start + size], int(new_rate))
            frame.pts = start
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return stream.getvalue()


def _frame(samples: Samples, rate: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None, :], dtype=np.float32), "fltp", "mono")
    frame.rate = rate
    return frame
