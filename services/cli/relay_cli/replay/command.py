"""Replay a recording: verify it, create a conversation, append its frames when they are due."""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from relay_cli.replay.file import ReplayError, Verified, frames, verify
from relay_cli.replay.progress import Progress
from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_settings.base import SettingsError
from relay_settings.redis_url import RedisUrl
from relay_settings.store import StoreSettings
from relay_streams.conversations import Conversation
from relay_streams.keys import KeySpace
from relay_streams.replays import KEEP_MS, ReplayConversation
from relay_streams.scripts import SCHEMA
from relay_wire.frame import Codec
from relay_wire.text import is_name

__all__ = ["ReplayError", "run_replay"]

_TIMEOUT_S = 5.0
_POLL_S = 0.25
_RENEW_S = KEEP_MS / 1000 / 4
_RETENTION_BYTES = 32 * 1024 * 1024
_CALL_BYTES = 1024 * 1024
"""Bytes of frames after which a call of a script is sent."""
_READ_FRAMES = 64
_TOGETHER_S = 0.002
"""Frames that are due within this time leave together."""


async def run_replay(
    path: Path, *, speed: float, wait_s: float, conversation: str, show: Callable[[str], None]
) -> None:
    """Replay a recording through the gateways of our environment's Redis.

    Args:
        path: The file.
        speed: How many times as fast as recorded.
        wait_s: How long to wait for a first viewer; 0: begin at once.
        conversation: The id of the conversation that is created; empty: one made of the recorded one's.
        show: Called with lines for the user.

    Raises:
        ReplayError: The file is damaged, there is such a conversation, or Redis cannot be used.
    """
    recording = await asyncio.to_thread(verify, path)
    try:
        settings = StoreSettings.load()
    except SettingsError as error:
        raise ReplayError(str(error)) from None
    if conversation and not is_name(conversation):
        raise ReplayError("--conversation: at most 128 characters, without control characters")
    name = conversation or f"{recording.header.conversation}-replay-{secrets.token_hex(3)}"
    keys = KeySpace.of(settings).conversation(name)
    async with RedisClient(settings.store_url, SCHEMA, name="replay", timeout_s=_TIMEOUT_S) as client:
        replay = ReplayConversation(client, keys)
        try:
            await _begin(replay, recording, show)
            if wait_s and not await _wait_for_viewer(replay, wait_s):
                show("no viewer has come: replaying all the same")
            await _play(replay, path, recording, speed)
            await replay.end()
        except StoreError as error:
            where = RedisUrl.parse(settings.store_url).where
            raise ReplayError(f"Redis at {where}: {error}") from None
    show(f"replayed {recording.contents.frames} frames")


async def _begin(replay: ReplayConversation, recording: Verified, show: Callable[[str], None]) -> None:
    header, index = recording.header, recording.contents
    record = Conversation(
        id=replay.keys.id,
        state="open",
        avatar_id=header.avatar_id,
        sample_rate=header.sample_rate,
        codec=Codec(header.codec),
        created_ms=time.time_ns() // 1_000_000,
    )
    if not await replay.begin(record):
        raise ReplayError(
            f"there is a conversation {replay.keys.id} already: name another with --conversation"
        )
    show(
        f"conversation {replay.keys.id}: {index.frames} frames, {len(index.turns)} turns,"
        f" {index.duration_ms / 1000:.1f} s, {len(index.gaps)} gaps"
    )
    show(f"watch it: avatar-relay tail {replay.keys.id}")


async def _wait_for_viewer(replay: ReplayConversation, wait_s: float) -> bool:
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        if await replay.is_watched():
            return True
        await asyncio.sleep(_POLL_S)
    return False


async def _play(replay: ReplayConversation, path: Path, recording: Verified, speed: float) -> None:
    progress = Progress(recording.header.sample_rate, speed, _RETENTION_BYTES)
    began_s = time.monotonic()
    waiting: list[bytes] = []
    size = 0

    async def flush() -> None:
        nonlocal size
        if waiting:
            await replay.append(waiting, progress.fields(), progress.trim_to())
            waiting.clear()
            size = 0

    source = frames(path)
    while batch := await asyncio.to_thread(_take, source):
        for frame in batch:
            due_s = began_s + progress.due_s(frame)
            if due_s > time.monotonic() + _TOGETHER_S or size >= _CALL_BYTES:
                await flush()
            await _sleep_until(due_s, replay)
            progress.add(frame, time.time_ns() // 1_000_000)
            waiting.append(frame)
            size += len(frame)
    await flush()


async def _sleep_until(due_s: float, replay: ReplayConversation) -> None:
    while (left_s := due_s - time.monotonic()) > _TOGETHER_S:
        await asyncio.sleep(min(left_s, _RENEW_S))
        if left_s > _RENEW_S:
            await replay.append([])


def _take(source: Iterator[bytes]) -> list[bytes]:
    return list(islice(source, _READ_FRAMES))
