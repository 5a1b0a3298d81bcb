"""Clips: speaks audio files that viewers request by name."""

import asyncio
import io
import os
import stat
from contextlib import suppress
from pathlib import Path

from relay_ingest.agents.api import Agent, AgentSession, ClipRequest
from relay_wire import samples
from relay_wire.pcm import AudioError

SUFFIXES = (".wav", ".pcm")


class ClipError(Exception):
    """Raised when a name has no clip that can be spoken. Its text is safe for viewers.

    Attributes:
        code: ``unknown_clip`` or ``bad_clip``.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Clips(Agent):
    """Speaks files of one directory: mono 16-bit WAV, or plain PCM, at the conversation's sample rate. A new
    request interrupts the clip that plays.
    """

    accepts = frozenset((ClipRequest,))

    async def run(self, session: AgentSession) -> None:
        """Speak each requested clip."""
        async for event in session:
            if isinstance(event, ClipRequest):
                try:
                    pcm = await asyncio.to_thread(
                        read_clip,
                        self.settings.agent_clips_dir,
                        event.clip,
                        sample_rate=session.sample_rate,
                        limit_bytes=self.settings.agent_clip_bytes,
                    )
                except ClipError as error:
                    await session.error(error.code, str(error))
                else:
                    await session.speak(pcm, barge_in=True)


def read_clip(directory: str, name: str, *, sample_rate: int, limit_bytes: int) -> bytes:
    """The samples of a clip: a file of the directory, with or without its suffix in the name.

    Only plain files of the directory itself can be read: no other directory, no symbolic link.

    Raises:
        ClipError: There is no clip of this name, or it is too large or has another format.
    """
    data, suffix = _read(directory, name, limit_bytes)
    try:
        pcm, _ = samples.read(data, sample_rate, wav=suffix == ".wav")
    except AudioError as error:
        raise ClipError("bad_clip", f"the clip cannot be spoken: {error}") from None
    if not pcm:
        raise ClipError("bad_clip", "the clip has no samples")
    return pcm


def _read(directory: str, name: str, limit_bytes: int) -> tuple[bytes, str]:
    is_name = name == Path(name).name and name.isprintable() and not name.startswith(".")
    if directory and is_name and "\\" not in name:
        root = Path(directory).resolve()
        names = [name] if name.endswith(SUFFIXES) else [name + suffix for suffix in SUFFIXES]
        for candidate in names:
            with suppress(OSError), open(root / candidate, "rb", opener=_open_plain_file) as opened:
                if stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                    return _content(opened, limit_bytes), Path(candidate).suffix
    raise ClipError("unknown_clip", "there is no such clip")


def _open_plain_file(path: str, flags: int) -> int:
    # Follows no symbolic link, and does not block on a pipe without a writer.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _content(opened: io.BufferedReader, limit_bytes: int) -> bytes:
    data = opened.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise ClipError("bad_clip", f"the clip has more than {limit_bytes} bytes")
    return data
