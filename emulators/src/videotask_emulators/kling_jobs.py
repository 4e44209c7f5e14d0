"""Kling's jobs: taken in, rendered, kept on disk over a restart; it knows no wire shapes."""

import asyncio
import contextlib
import hashlib
import json
import os
import time
import uuid
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, cast

from aiohttp import web

from videotask_emulators.bill import Charged
from videotask_emulators.faults import Fault, FaultKind
from videotask_emulators.keys import Key
from videotask_emulators.media.clip import ClipOrder, ClipSpoil, render_clip
from videotask_emulators.prices import Charge
from videotask_emulators.world import World

Status = Literal["submitted", "processing", "succeeded", "failed"]

_SPOILS = {FaultKind.BLACK_CLIP, FaultKind.FROZEN_CLIP, FaultKind.SHORT_CLIP, FaultKind.WRONG_ASPECT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A checked create request; `frame` is the first frame's file content."""

    model: str
    prompt: str
    frame: bytes
    resolution: str
    seconds: int
    multi_shot: bool
    external_task_id: str


@dataclass(slots=True, kw_only=True)
class Job:
    """One job; times are in milliseconds since 1970, as Kling tells them."""

    id: str
    video_id: str
    key_name: str
    order: Order
    path: Path
    created_ms: int
    updated_ms: int
    lasts_seconds: float
    charged_usd: str
    take: int = 0
    """How often the same prompt was billed before: asked again, the real one never gives the same clip."""
    status: Status = "submitted"
    message: str = ""
    duration_seconds: float = 0.0
    fault_kind: str = ""
    fault_params: dict[str, Any] = field(default_factory=dict)

    def is_open(self) -> bool:
        """Tell whether the job still takes one of the account's slots."""
        return self.status in {"submitted", "processing"}


class Desk:
    """All jobs of one server."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._jobs: dict[str, Job] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._load()

    def take_in(self, order: Order, key: Key, charge: Charge, fault: Fault | None) -> Job:
        """Accept an order as a job, on disk before the answer, and start it."""
        now = _now_ms()
        video_id = uuid.uuid4().hex
        job = Job(
            id=str(uuid.uuid4()),
            video_id=video_id,
            key_name=key.name,
            order=order,
            path=self._world.settings.state_dir / "videos" / f"{video_id}.mp4",
            created_ms=now,
            updated_ms=now,
            lasts_seconds=self._world.pace.draw_seconds("clip"),
            charged_usd=f"{charge.amount_usd:f}",
            take=self._world.bill.times_billed(_prompt_sha256(order)),
            fault_kind=fault.kind.value if fault else "",
            fault_params=dict(fault.params) if fault else {},
        )
        if job.fault_kind == FaultKind.SLOW_JOB:
            job.lasts_seconds = float(job.fault_params.get("seconds", 120))
        self._frame_path(job).write_bytes(order.frame)
        job.order = replace(order, frame=b"")
        self._jobs[job.id] = job
        self._save(job)
        self._note_slots(key, order.model)
        self._start(job)
        return job

    def open_jobs(self, key_name: str, model: str) -> int:
        """Return how many jobs of this account and model are not yet over."""
        return sum(
            1 for job in self._jobs.values() if job.key_name == key_name and job.order.model == model and job.is_open()
        )

    def find(self, key_name: str, wanted: list[str], *, external: bool) -> list[Job]:
        """Return the account's jobs with these ids, in the order asked for, or all with these external ids."""
        own = [job for job in self._jobs.values() if job.key_name == key_name]
        if external:
            return [job for job in own if job.order.external_task_id in wanted]
        return [job for name in wanted for job in own if job.id == name]

    def of_video(self, video_id: str) -> Job | None:
        """Return the finished job that made this video."""
        return next(
            (job for job in self._jobs.values() if job.video_id == video_id and job.status == "succeeded"), None
        )

    def all(self) -> list[Job]:
        """Return every job."""
        return list(self._jobs.values())

    def resume(self) -> None:
        """Start what an earlier run left unfinished."""
        for job in self._jobs.values():
            if job.is_open():
                self._start(job)

    async def close(self) -> None:
        """Stop the jobs; they go on at the next start."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _start(self, job: Job) -> None:
        task = asyncio.create_task(self._run(job))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, job: Job) -> None:
        """Take a job from submitted to its end; a stuck one stays processing for ever."""
        began = time.monotonic()
        await asyncio.sleep(min(1.0, job.lasts_seconds * 0.2))
        self._move(job, "processing")
        if job.fault_kind == FaultKind.STUCK_JOB:
            return
        if job.fault_kind == FaultKind.SAFETY:
            await self._last(began, job)
            self._fail(job)
            return
        spoil = job.fault_kind if job.fault_kind in _SPOILS else ""
        try:
            clip = await self._world.studio.make(
                render_clip,
                ClipOrder(
                    first_frame=self._frame_path(job),
                    path=job.path,
                    seconds=job.order.seconds,
                    short_side=int(job.order.resolution.rstrip("p")),
                    frames_per_second=self._world.settings.clip_frames_per_second,
                    seed=int(_prompt_sha256(job.order)[:12], 16) + job.take,
                    multi_shot=job.order.multi_shot,
                    spoil=cast("ClipSpoil", spoil),
                ),
            )
        except Exception:
            job.message = "The video could not be generated."
            self._refund(job)
            self._move(job, "failed")
            raise
        await self._last(began, job)
        job.duration_seconds = clip.duration_seconds
        self._frame_path(job).unlink(missing_ok=True)
        self._move(job, "succeeded")

    async def _last(self, began: float, job: Job) -> None:
        await asyncio.sleep(max(0.0, began + job.lasts_seconds - time.monotonic()))

    def _fail(self, job: Job) -> None:
        job.message = str(job.fault_params.get("message", "Failure to pass the risk control system"))
        if not job.fault_params.get("charged", False):
            self._refund(job)
        self._move(job, "failed")

    def _refund(self, job: Job) -> None:
        """Give the charge of a failed job back, as a line of its own on the bill."""
        worth = Charge(units=Decimal(-job.order.seconds), unit="seconds", amount_usd=-Decimal(job.charged_usd))
        self._world.bill.add(
            Charged(
                provider="kling", key_id=job.key_name, model=job.order.model, kind="video", request_id=job.id,
                charge=worth, prompt_sha256=_prompt_sha256(job.order),
                text=job.order.prompt, external_task_id=job.order.external_task_id, outcome="refunded",
            )
        )  # fmt: skip
        job.charged_usd = ""

    def _move(self, job: Job, status: Status) -> None:
        job.status = status
        job.updated_ms = _now_ms()
        self._save(job)
        key = self._world.keys.named("kling", job.key_name)
        if key is not None:
            self._note_slots(key, job.order.model)

    def _note_slots(self, key: Key, model: str) -> None:
        key.in_flight[model] = self.open_jobs(key.name, model)
        key.high_water[model] = max(key.high_water.get(model, 0), key.in_flight[model])

    def _frame_path(self, job: Job) -> Path:
        return self._world.settings.state_dir / "frames" / job.id

    def _save(self, job: Job) -> None:
        document = asdict(job)
        document["path"] = job.path.name
        del document["order"]["frame"]
        target = self._world.settings.state_dir / "tasks" / f"{job.id}.json"
        fresh = target.with_suffix(".tmp")
        with fresh.open("w", encoding="utf-8") as stream:
            json.dump(document, stream)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(target)

    def _load(self) -> None:
        for path in sorted((self._world.settings.state_dir / "tasks").glob("*.json")):
            document = json.loads(path.read_text("utf-8"))
            order = Order(frame=b"", **document.pop("order"))
            file = self._world.settings.state_dir / "videos" / document.pop("path")
            job = Job(order=order, path=file, **document)
            self._jobs[job.id] = job


DESK: web.AppKey[Desk] = web.AppKey("desk", Desk)


@contextlib.asynccontextmanager
async def open_desk(world: World) -> Any:
    """Give the desk with unfinished jobs running, and stop them at the end."""
    desk = Desk(world)
    desk.resume()
    try:
        yield desk
    finally:
        await desk.close()


def _prompt_sha256(order: Order) -> str:
    return hashlib.sha256(order.prompt.encode()).hexdigest()


def _now_ms() -> int:
    return round(time.time() * 1000)
