"""The simulator's log of requests: the motion that it has sent for a turn's audio."""

import aiohttp
import msgspec

_TIMEOUT = aiohttp.ClientTimeout(total=5.0)


class _Request(msgspec.Struct):
    payload_sha256: list[str]


class _Requests(msgspec.Struct):
    requests: list[_Request]


class SimulatorLog:
    """Reads the log over the simulator's admin resource.

    Args:
        url: Base URL of the simulator.
        session: The aiohttp session to use.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url.rstrip("/")
        self._session = session

    async def read(self, audio_sha256: str) -> list[list[str]]:
        """The digests of the payloads of each answer to this audio.

        Raises:
            OSError: The simulator cannot be reached, or answers something else.
        """
        try:
            async with self._session.get(
                f"{self._url}/admin/requests", params={"audio_sha256": audio_sha256}, timeout=_TIMEOUT
            ) as response:
                body = await response.read()
                response.raise_for_status()
            log = msgspec.json.decode(body, type=_Requests)
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise OSError(str(error) or type(error).__name__) from error
        return [request.payload_sha256 for request in log.requests]

    async def answers(self, audio_sha256: str) -> list[list[str]] | None:
        """As ``read``; None when it cannot be read, or lacks the audio, as after a restart."""
        try:
            return await self.read(audio_sha256) or None
        except OSError:
            return None
