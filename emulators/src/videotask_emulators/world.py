"""All that the three providers share: bill, keys, calls, faults, pace and workers. One world for each server."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from videotask_emulators.bill import Bill
from videotask_emulators.calls import CallLog
from videotask_emulators.faults import Faults
from videotask_emulators.keys import KeyRing
from videotask_emulators.latency import Pace
from videotask_emulators.prices import Prices
from videotask_emulators.settings import Settings
from videotask_emulators.studio import Studio
from videotask_emulators.voices import Voices


@dataclass(slots=True, kw_only=True)
class World:
    """The state of one server; `held` are calls that wait for a release, `closing` is set when the server ends."""

    settings: Settings
    prices: Prices
    bill: Bill
    keys: KeyRing
    calls: CallLog
    faults: Faults
    pace: Pace
    studio: Studio
    voices: Voices
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    held_calls: dict[str, dict[str, Any]] = field(default_factory=dict)
    closing: asyncio.Event = field(default_factory=asyncio.Event)


WORLD: web.AppKey[World] = web.AppKey("world", World)


def build_world(settings: Settings) -> World:
    """Return the world that the settings describe; the bill of an earlier run in the same folder goes on."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    for folder in ("videos", "frames", "mattes", "tasks"):
        (settings.state_dir / folder).mkdir(exist_ok=True)
    return World(
        settings=settings,
        prices=Prices(),
        bill=Bill(settings.state_dir / "bill.jsonl"),
        keys=KeyRing(list(settings.keys)),
        calls=CallLog(),
        faults=Faults(settings.seed),
        pace=Pace(settings.latency, settings.seed),
        studio=Studio(settings.workers),
        voices=Voices(settings.voices),
    )
