"""What the program is told at its start; every wait and size carries its unit."""

from dataclasses import dataclass, field
from pathlib import Path

from videotask_emulators.keys import Key, default_keys
from videotask_emulators.latency import Latency


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One server's settings; `public_url` is what result URLs begin with, else the caller's own Host is used."""

    state_dir: Path
    host: str = "127.0.0.1"
    port: int = 8080
    latency: Latency = Latency.DEMO
    seed: int = 1
    public_url: str = ""
    clip_frames_per_second: int = 24
    workers: int = 2
    hold_seconds: float = 3600.0
    keys: list[Key] = field(default_factory=default_keys)
    voices: tuple[str, ...] = ()
