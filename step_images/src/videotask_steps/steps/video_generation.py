"""Step 3: one moving clip for each scene, begun by its composite; pays Kling and nobody else."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import io
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Final

import structlog
from PIL import Image

from videotask_contract import layout
from videotask_contract.errors import (
    BadInputError,
    FailureClass,
    OutcomeUnknownError,
    PermanentError,
    TransientError,
)
from videotask_contract.steps import Provider, Step
from videotask_contract.storyboard import Scene
from videotask_contract.task_file import TaskFile
from videotask_steps import durable
from videotask_steps.clients.kling import ClipRequest, Job, JobState, KlingClient, ResultNotThereError
from videotask_steps.context import StepContext
from videotask_steps.credentials import provider_key, provider_settings
from videotask_steps.items import Call, Wanted, make_items
from videotask_steps.ledger import read_ledger
from videotask_steps.media.bad_media import BadMediaError, check_file
from videotask_steps.probe_notes import ProbeNotes
from videotask_steps.runner import main
from videotask_steps.scenes import numbered_scenes, scene_label
from videotask_steps.stop_sign import StopSign, interrupted
from videotask_steps.takes import asked_key, wanted_take

_log: Final = structlog.stdlib.get_logger(__name__)

LOOK_UPS: Final = 6
"""How often a job of unknown fate is looked for, one poll interval apart: 30 s by default."""
LOOK_UPS_AFTER_ERROR: Final = 2
"""After a server error, which says that no job was made."""
DOWNLOADS: Final = 3
ABANDONED_AFTER_SECONDS: Final = 6 * 3600.0
"""A job that is still under way so long after it was posted will never end; another one is posted then."""
GONE_AFTER_SECONDS: Final = 6 * 3600.0
"""A clip that is not there so long after its job was posted is gone; before, its host may be late or in trouble.

Kling clears results after 30 days.
"""
_HOW_TO_GO_BACK: Final = (
    " (put the file back and raise spec.attempt; or name any image in spec.takes with the take that it has, which "
    "sends the film back to make it anew)"
)
"""Another attempt alone would look at the same file again, and composites cannot be named in spec.redo."""
_LINES: Final = {"720p": 720, "1080p": 1080}
_JPEG_QUALITY: Final = 95
_FRAME_MAKERS: Final = ThreadPoolExecutor(2, thread_name_prefix="first-frame")
"""Few at a time: the sooner the first frame is ready, the sooner kling is at work."""


async def work(context: StepContext) -> None:
    """Make every clip that is missing."""
    task = context.task
    scenes = list(numbered_scenes(context.storyboard))
    context.progress.start(len(scenes), "making clips")
    clip_price_usd(task)
    notes = functools.cache(functools.partial(_probe_notes, context))
    async with KlingClient(provider_settings(task, Provider.KLING), provider_key(Provider.KLING)) as client:
        await make_items(context, [_wanted(context, client, notes, number, scene) for number, scene in scenes])


def clip_price_usd(task: TaskFile) -> Decimal:
    """Return the table price of one clip; BadInputError names a model or resolution the table does not know."""
    quality = task.quality
    try:
        per_second = task.prices.kling_usd_per_second[quality.video_model][quality.video_resolution]
    except KeyError:
        raise BadInputError(
            f"quality: the price table knows no {quality.video_model} at {quality.video_resolution}",
        ) from None
    return per_second * quality.clip_seconds


def external_task_id(*, uid: str, number: str, key: str, take: int, tries: int) -> str:
    """Return our own id of a job, the same for the same try (at most 64 characters)."""
    return f"{uid.replace('-', '')[:32]}-{number}-{key[:12]}-t{take}-{tries}"[:64]


def first_frame(composite: Path, *, resolution: str) -> str:
    """Return the composite at the clip's size (shorter side 720 or 1080, even pixels) as bare base64 of a JPEG."""
    with Image.open(composite) as image:
        scale = _LINES[resolution] / min(image.size)
        width, height = (max(2, round(side * scale / 2) * 2) for side in image.size)
        picture = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return base64.b64encode(buffer.getvalue()).decode()


async def _made_frame(composite: Path, *, resolution: str) -> str:
    make = functools.partial(first_frame, composite, resolution=resolution)
    return await asyncio.get_running_loop().run_in_executor(_FRAME_MAKERS, make)


def _probe_notes(context: StepContext) -> ProbeNotes:
    """Decoding a clip takes a second or two and is the same for the same bytes: each is looked at once."""
    import av  # noqa: PLC0415  slow: the calls go first

    from videotask_steps.media import clip_probe  # noqa: PLC0415  as above

    return ProbeNotes(
        context.volume / layout.LEDGER_FOLDER / "clips-probed.jsonl",
        probe=durable.sha256_of(Path(clip_probe.__file__)),
        decoder=av.__version__,
        seconds=context.task.quality.clip_seconds,
        frame=context.task.quality.frame.model_dump(),
    )


def _wanted(
    context: StepContext, client: KlingClient, notes: Callable[[], ProbeNotes], number: str, scene: Scene
) -> Wanted:
    task, quality = context.task, context.task.quality
    composite = context.volume / layout.composite(number)
    key = asked_key(
        context,
        number,
        composite=_composite_sha256(context.volume, number),
        motion=scene.motion,
        model=quality.video_model,
        resolution=quality.video_resolution,
        seconds=quality.clip_seconds,
    )
    frame = quality.frame

    def look(path: Path) -> float:
        from videotask_steps.media.clip_probe import check_clip  # noqa: PLC0415  slow: the calls go first

        return check_clip(
            path, item=number, min_seconds=quality.clip_seconds, aspect_ratio=frame.width / frame.height
        ).duration_seconds

    def probe(path: Path) -> float:
        check_file(path, item=number)
        return notes().ask(path, look)

    maker = _ClipMaker(task, client, composite=composite, motion=scene.motion, probe=probe)
    return Wanted(
        item=number,
        label=scene_label(number, scene),
        key=key,
        model=quality.video_model,
        price_usd=clip_price_usd(task),
        path=lambda take, _suffix: layout.clip(number, take=take),
        suffixes=(".mp4",),
        make=maker.make,
        resume=maker.resume,
        collect=maker.collect,
        find_lost=lambda ours: maker.find_lost(
            ours, seconds_ago=time.time() - context.ledger.last_written_at, stopping=context.stopping
        ),
        probe=probe,
        external_id=lambda take, tries: external_task_id(
            uid=task.task.uid,
            number=number,
            key=key,
            take=take,
            tries=tries,
        ),
        chosen_take=wanted_take(context, number),
    )


def _composite_sha256(volume: Path, number: str) -> str:
    """Return the SHA-256 of a scene's composite; PermanentError when it is missing or was damaged since it was made.

    A clip of a damaged picture would be paid for, and a damaged picture is another key.
    """
    path = volume / layout.composite(number)
    if not path.is_file():
        raise PermanentError(
            f"{layout.composite(number)} is missing; composite_creation must be run again{_HOW_TO_GO_BACK}",
            item=number,
        )
    sha256 = durable.sha256_of(path)
    made = read_ledger(volume, Step.COMPOSITE_CREATION).current(number)
    if made is not None and made.path == layout.composite(number) and made.sha256 != sha256:
        raise PermanentError(
            f"{layout.composite(number)} has another content than its ledger says: it was damaged or changed since; "
            f"restore it or run composite_creation again{_HOW_TO_GO_BACK}",
            item=number,
        )
    return sha256


class _ClipMaker:
    """Starts one scene's job or finds it again, waits for it, and fetches the clip."""

    def __init__(
        self,
        task: TaskFile,
        client: KlingClient,
        *,
        composite: Path,
        motion: str,
        probe: Callable[[Path], object],
    ) -> None:
        self._task = task
        self._client = client
        self._composite = composite
        self._motion = motion
        self._probe = probe
        self._poll_seconds = client_poll_seconds(task)

    async def make(self, call: Call) -> str:
        """Post the job, wait and download."""
        job = await self._create(call)
        call.accepted(job.job_id)
        return await self._wait_and_download(call, job)

    async def resume(self, call: Call) -> str | None:
        """Go on with a job that an earlier run posted, or may have posted; None when the provider knows none."""
        job = await self._find_again(call)
        if job is not None and job.is_under_way and _age_seconds(call) > ABANDONED_AFTER_SECONDS:
            _log.warning("job_abandoned", item=call.paid.intent.item, job_id=job.job_id, age_seconds=_age_seconds(call))
            return None
        return None if job is None else await self._wait_and_download(call, job)

    async def collect(self, call: Call) -> str | None:
        """Fetch what a job made that nobody waits for, as `resume` does; a TransientError while it is under way."""
        job = await self._find_again(call)
        if job is not None and job.is_under_way:
            raise TransientError(f"job {job.job_id} is still under way at kling")
        return None if job is None else await self._wait_and_download(call, job)

    async def find_lost(self, ours: Sequence[str], *, seconds_ago: float, stopping: StopSign) -> dict[str, str]:
        """Return kling's ids, by ours, of those of these jobs that it knows.

        `seconds_ago` is when the last of them can have been posted: one that was just taken may not be listed yet.
        """
        looks = 1 if seconds_ago > LOOK_UPS * self._poll_seconds else LOOK_UPS
        for look in range(looks):
            if look:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_seconds):
                        await stopping.wait()
                stopping.raise_if_set()
            jobs = await self._client.find_all(ours)
            if jobs:
                return {job.external_task_id: job.job_id for job in jobs}
        return {}

    async def _find_again(self, call: Call) -> Job | None:
        if call.paid.provider_id is not None:
            return await self._ask_for(call, call.paid.provider_id)
        is_old = _age_seconds(call) > LOOK_UPS * self._poll_seconds
        job = await self._look_up(call, times=1 if is_old else LOOK_UPS)
        if job is not None:
            call.accepted(job.job_id)
        return job

    async def _ask_for(self, call: Call, job_id: str) -> Job | None:
        """Ask for a job that kling took, by its id and by ours, as often as for one that may not be listed yet.

        Kling said that it took it: as long as it may still be under way, silence is no reason to pay for another.
        """
        is_old = _age_seconds(call) > ABANDONED_AFTER_SECONDS
        for look in range(1 if is_old else LOOK_UPS):
            if look:
                await self._pause(call)
            job = await self._client.fetch(job_id)
            if job is None and call.external_id:
                job = await self._client.find(call.external_id)
            if job is not None:
                return job
        if is_old:
            return None
        raise TransientError(
            f"kling took job {job_id} and does not list it now; the next run asks for it again, and none pays for "
            f"another before it is {ABANDONED_AFTER_SECONDS / 3600:.0f} hours old",
            failure_class=FailureClass.NETWORK,
        )

    async def _create(self, call: Call) -> Job:
        quality = self._task.quality
        request = ClipRequest(
            model=quality.video_model,
            prompt=self._motion,
            first_frame=await _made_frame(self._composite, resolution=quality.video_resolution),
            resolution=quality.video_resolution,
            seconds=quality.clip_seconds,
            external_task_id=call.external_id,
        )
        try:
            return await self._client.create(request)
        except OutcomeUnknownError as error:
            job = await self._settle_doubt(call, times=LOOK_UPS)
            if job is None:
                raise TransientError(
                    f"{error.message}; it was looked for and is not there",
                    failure_class=FailureClass.NETWORK,
                ) from error
            return job
        except TransientError as error:
            if error.failure_class is not FailureClass.TRANSIENT:
                raise
            job = await self._settle_doubt(call, times=LOOK_UPS_AFTER_ERROR)
            if job is None:
                raise
            return job

    async def _settle_doubt(self, call: Call, *, times: int) -> Job | None:
        """Look for a job that may have been taken; a look-up that fails, by a revoked key say, settles nothing."""
        call.is_in_doubt = True
        job = await self._look_up(call, times=times)
        call.is_in_doubt = False
        return job

    async def _look_up(self, call: Call, *, times: int) -> Job | None:
        """Look for a job by our own id, several times from now: one that was just taken may not be listed yet."""
        for look in range(1, times + 1):
            try:
                job = await self._client.find(call.external_id)
            except TransientError as error:
                raise OutcomeUnknownError(f"it is unknown whether kling took the job: {error.message}") from error
            if job is not None or look == times:
                return job
            await self._pause(call)
        return None

    async def _wait_and_download(self, call: Call, job: Job) -> str:
        finished = await self._wait(call, job)
        if finished.state != JobState.SUCCEEDED:
            _charge_in_vain(call, finished)
            raise self._client.failure_of_job(finished)
        try:
            await self._download(finished, call)
        except BadMediaError:
            _charge_in_vain(call, finished)
            raise
        except ResultNotThereError as error:
            if _is_cleared(call):
                _charge_in_vain(call, finished)
                raise _gone(finished) from error
            raise
        if finished.billed_usd is not None:
            call.charged(finished.billed_usd)
        return ".mp4"

    async def _wait(self, call: Call, job: Job) -> Job:
        current: Job | None = job
        while current is None or current.is_under_way:
            await self._pause(call)
            try:
                current = await self._client.fetch(job.job_id)
            except TransientError as error:
                # Polling is free and the job goes on: the item's own limit ends this, not one lost answer.
                _log.info("poll_failed", job_id=job.job_id, message=error.message)
        return current

    async def _download(self, job: Job, call: Call) -> None:
        """Fetch the clip and look at it; a damaged one is fetched again, which costs nothing."""
        url = job.url
        for tries in range(1, DOWNLOADS + 1):
            try:
                if url is None:
                    raise ResultNotThereError(f"kling's job {job.job_id} succeeded and names no clip")
                await self._client.download(url, call.part)
                await asyncio.to_thread(self._probe, call.part)
            except TransientError as error:
                if tries == DOWNLOADS:
                    raise
                _log.info("download_repeated", item=call.paid.intent.item, message=error.message)
                await self._pause(call)
                if isinstance(error, ResultNotThereError):
                    url = await self._fresh_url(job) or url
            else:
                return

    async def _fresh_url(self, job: Job) -> str | None:
        """Ask for the clip's address again: a signed one expires; None when there is no other."""
        try:
            current = await self._client.fetch(job.job_id)
        except TransientError as error:
            _log.info("poll_failed", job_id=job.job_id, message=error.message)
            return None
        return None if current is None else current.url

    async def _pause(self, call: Call) -> None:
        """Wait for the next poll; polling stops at once when told to: the ledger knows the job."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._poll_seconds):
                await call.stopping.wait()
        if call.stopping.is_set():
            if call.is_accepted:
                raise interrupted(f"{call.stopping.reason}; the job goes on at kling and the next run asks for it")
            raise OutcomeUnknownError(
                f"stopped while it was unknown whether kling took the job: {call.stopping.reason}"
            )


def client_poll_seconds(task: TaskFile) -> float:
    """Return the pause between two polls."""
    return provider_settings(task, Provider.KLING).poll_interval_seconds


def _age_seconds(call: Call) -> float:
    return time.time() - call.paid.intent.at.timestamp()


def _is_cleared(call: Call) -> bool:
    return _age_seconds(call) > GONE_AFTER_SECONDS


def _gone(job: Job) -> PermanentError:
    return PermanentError(
        f"the clip of kling's job {job.job_id} was paid for and is no longer there (kling clears results after 30 "
        "days); ask for another with spec.redo"
    )


def _charge_in_vain(call: Call, job: Job) -> None:
    """Charge a job that ended without a clip of use: at its upper bound where its bill cannot be read or believed."""
    if job.is_unbilled and job.state != JobState.SUCCEEDED:
        call.charged(Decimal(0))
    elif job.billed_usd is not None:
        call.charged(job.billed_usd)
    if call.cost_usd is None:
        call.charged(call.paid.intent.amount_usd)


if __name__ == "__main__":
    main(Step.VIDEO_GENERATION, work)
