"""Renderer: one attempt to render a clip, as a conversation of the relay with one turn.

The conversation is not the app's: its creator is not an API key, so no webhook and no limit counts it. An
attempt that is killed leaves its claim to expire and its conversation in the clip's record, and the next
attempt ends that conversation first. So a clip is stored once, and no conversation is left.
"""

import asyncio
import secrets
import time
from contextlib import AsyncExitStack, suppress

import msgspec
import structlog
from prometheus_client import Counter, Histogram
from ulid import ULID

from relay_jobs.clips.copies import Copies
from relay_jobs.clips.rendering import MOST, Rendered, RenderFailed, Rendering
from relay_jobs.job import Resources
from relay_redis.errors import StoreError
from relay_streams import conversations
from relay_streams.clips import Clip, Clips, creator_of_rendering
from relay_streams.conversations import Conversation
from relay_streams.errors import Ended, Missing
from relay_streams.frames import frames_after
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.claim_clip import ClipClaim
from relay_streams.turn_input import TurnInput, new_key
from relay_streams.uplink import Uplink, UplinkLimits
from relay_telemetry.counter import counter
from relay_wire.frame import Codec
from relay_wire.pcm import chunk_bytes
from relay_wire.uplink import Close

RENDERED = counter(
    "relay_jobs_clips_rendered_total",
    "Attempts to render a clip: the clip is ready, has failed for good or is to be tried again, or it was"
    " cancelled or overtaken.",
    outcome=("ready", "failed", "again", "cancelled"),
)
SECONDS = Histogram(
    "relay_jobs_clip_render_seconds",
    "From the claim of a clip to its storing.",
    buckets=(0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
)
STORED_BYTES = Counter(
    "relay_jobs_clip_stored_bytes_total", "Bytes of audio and motion of clips that were stored."
)

_RENEW_S = 1.0
"""Longest time between two renewals of a claim, with the progress."""
_POLL_S = 0.1
_FRAMES_AT_ONCE = 64
_UPLINK_CHUNK_MS = 100

log = structlog.get_logger(__name__)


class ClaimLost(Exception):
    """Raised when the clip was cancelled, or another attempt has overtaken this one."""


class Renderer:
    """Renders clips.

    Args:
        resources: Of the process.
    """

    def __init__(self, resources: Resources) -> None:
        self._settings = resources.settings
        self._client = resources.client
        self._keys = resources.keys
        self._claim_ms = int(resources.settings.clip_claim_s * 1000)
        self._renew_s = min(_RENEW_S, resources.settings.clip_claim_s / 3)
        self._clips = Clips(resources.client, resources.keys, resources.settings)
        self._copies = Copies(resources.settings, self._clips)
        self._uplink = Uplink(resources.client, UplinkLimits.of(resources.settings))

    async def look(self) -> None:
        """Render one clip that is due; remove the copies of removed ones.

        Raises and cancels as ``render``; also raises what the storage raises.
        """
        for partition in range(self._keys.partitions):
            for clip in await self._clips.due(partition, int(time.time() * 1000)):
                record = await self._clips.record(clip)
                if record.state == "removed":
                    await self._copies.remove(record)
                elif await self.render(clip):
                    return

    async def render(self, clip: str) -> bool:
        """Render a clip, unless another attempt does, or nothing is to be rendered. Returns whether it did.

        Raises:
            StoreError: Redis cannot be used now: the claim expires, and the next attempt continues.

        Cancelling ends the conversation; the claim expires.
        """
        claim = await self._clips.claim(clip, token=secrets.token_hex(8), claim_ms=self._claim_ms)
        if claim is None:
            return False
        record = await self._clips.record(clip)
        started = time.monotonic()
        try:
            await self._attempt(record, claim)
        except ClaimLost:
            RENDERED.labels("cancelled").inc()
        except RenderFailed as failure:
            await self._fail(record, claim, failure)
        else:
            SECONDS.observe(time.monotonic() - started)
        return True

    async def _attempt(self, clip: Clip, claim: ClipClaim) -> None:
        await self._end(claim.conversation)
        if claim.attempt > self._settings.clip_attempts:
            raise RenderFailed("attempts", retryable=False)
        pcm = await self._clips.audio(clip.id)
        if len(pcm) != clip.audio_bytes:
            raise RenderFailed("audio_lost", retryable=False)
        conversation = str(ULID())
        try:
            async with asyncio.timeout(self._settings.clip_render_s):
                await self._renew(clip, claim, conversation=conversation)
                rendered = await self._speak(clip, claim, conversation, pcm)
        except TimeoutError:
            raise RenderFailed("timeout") from None
        finally:
            with suppress(StoreError):
                await self._end(conversation)
        await self._store(clip, claim, rendered)

    async def _speak(self, clip: Clip, claim: ClipClaim, conversation: str, pcm: bytes) -> Rendered:
        keys = self._keys.conversation(conversation)
        record = Conversation(
            id=conversation,
            state="open",
            avatar_id=clip.avatar_id,
            sample_rate=clip.sample_rate,
            codec=Codec.PCM_S16LE,
            created_ms=int(time.time() * 1000),
            creator=creator_of_rendering(clip.creator),
        )
        await conversations.create(self._client, keys, record)
        speech = TurnInput(
            uplink=self._uplink,
            keys=keys,
            source="clip",
            wait_s=self._settings.clip_render_s,
            chunk_bytes=chunk_bytes(_UPLINK_CHUNK_MS, clip.sample_rate),
            buffer_bytes=0,
            key=new_key(),
        )
        speaking = asyncio.create_task(speech.append(pcm, end=True), name="clip speech")
        async with AsyncExitStack() as stack:
            stack.push_async_callback(_cancel, speaking)
            return await self._read(clip, claim, Rendering(pcm, clip.sample_rate), keys, speaking)

    async def _read(
        self,
        clip: Clip,
        claim: ClipClaim,
        rendering: Rendering,
        keys: ConversationKeys,
        speaking: "asyncio.Task[None]",
    ) -> Rendered:
        """Read the frames of the conversation until its turn has ended, and keep the claim."""
        renewed = time.monotonic()
        while rendering.rendered is None:
            frames = await frames_after(self._client, keys, rendering.cursor, limit=_FRAMES_AT_ONCE)
            rendering.read(frames)
            if speaking.done():
                speaking.result()
            if time.monotonic() - renewed >= self._renew_s:
                renewed = time.monotonic()
                await self._renew(clip, claim, progress=str(rendering.progress))
            if not frames:
                await asyncio.sleep(_POLL_S)
        return rendering.rendered

    async def _store(self, clip: Clip, claim: ClipClaim, rendered: Rendered) -> None:
        chunks = rendered.chunks(clip.sample_rate)
        size_bytes = sum(chunk.size_bytes for chunk in chunks)
        used = await self._clips.usage(clip.creator, without=clip.id)
        if used.bytes + size_bytes > self._settings.key_clip_bytes:
            raise RenderFailed("storage_full", retryable=False)
        await self._renew(clip, claim, progress=str(MOST))
        if not await self._clips.store(clip.id, token=claim.token, chunks=chunks):
            raise ClaimLost
        copy = await self._copies.write(clip, claim.token, chunks)
        finished = await self._clips.finish(
            clip,
            token=claim.token,
            state="ready",
            data=_data(clip, size_bytes=size_bytes),
            progress="1",
            size_bytes=size_bytes,
            chunk_bytes=len(chunks[0].pcm),
            copy=copy,
        )
        if not finished:
            raise ClaimLost
        RENDERED.labels("ready").inc()
        STORED_BYTES.inc(size_bytes)
        log.info("clip rendered", clip=clip.id, attempt=claim.attempt, size_bytes=size_bytes)

    async def _fail(self, clip: Clip, claim: ClipClaim, failure: RenderFailed) -> None:
        settings = self._settings
        again = failure.retryable and claim.attempt < settings.clip_attempts
        log.warning(
            "clip not rendered", clip=clip.id, attempt=claim.attempt, reason=failure.reason, again=again
        )
        finished = await self._clips.finish(
            clip,
            token=claim.token,
            state="queued" if again else "failed",
            delay_ms=int(settings.clip_retry_s * 1000) << (claim.attempt - 1),
            data=_data(clip, reason=failure.reason),
            progress="0",
            reason=failure.reason,
        )
        RENDERED.labels(("again" if again else "failed") if finished else "cancelled").inc()

    async def _renew(self, clip: Clip, claim: ClipClaim, **fields: str) -> None:
        if not await self._clips.renew(clip.id, token=claim.token, claim_ms=self._claim_ms, **fields):
            raise ClaimLost

    async def _end(self, conversation: str) -> None:
        """End a conversation, if there is one."""
        if conversation:
            with suppress(Missing, Ended):
                await self._uplink.append(self._keys.conversation(conversation), Close("clip_rendered"))


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _data(clip: Clip, **facts: object) -> bytes:
    return msgspec.json.encode(
        {"clip": clip.id, "avatar_id": clip.avatar_id, "sample_rate": clip.sample_rate, **facts}
    )
