"""The REST resource of clips: create, list, read, cancel and remove them; and the clips that turns name."""

import asyncio
import hashlib

from aiohttp import hdrs, web
from prometheus_client import Counter
from ulid import ULID

from relay_auth.api_keys import Scope
from relay_control.access import KEY
from relay_control.bodies import Bodies
from relay_control.idempotency import IDEMPOTENCY_KEY, idempotency_key
from relay_control.media import PCM_TYPES, WAV_TYPES, check_type, samples_of
from relay_control.operation import Operation, Parameter
from relay_control.responses import ClipResponse, ClipsResponse, json_response
from relay_redis.client import RedisClient
from relay_settings.control import ControlSettings
from relay_streams.clips import Clip, Clips
from relay_streams.conversations import Conversation
from relay_streams.errors import Ended, Missing
from relay_streams.keys import KeySpace
from relay_streams.uplink import Uplink, UplinkLimits
from relay_wire import problems, text
from relay_wire.clips import ClipChunk
from relay_wire.pcm import SAMPLE_RATES
from relay_wire.problems import Problem
from relay_wire.uplink import Close

CREATED = Counter("relay_control_clips_total", "Clips created.")

CLIP_PROBLEMS = (problems.UNKNOWN_CLIP, problems.CLIP_NOT_READY, problems.CLIP_MISMATCH)
"""The problems of a turn that names a clip."""
_LIMIT_RETRY_S = 10
_MISSING = "there is no such clip of this key"


class ClipResource:
    """The resource ``/v1/clips``.

    Args:
        settings: Control's settings.
        client: The Redis client.
        bodies: Reads request bodies.
    """

    def __init__(self, settings: ControlSettings, client: RedisClient, bodies: Bodies) -> None:
        self._settings = settings
        self._keys = KeySpace.of(settings)
        self._clips = Clips(client, self._keys, settings)
        self._uplink = Uplink(client, UplinkLimits.of(settings))
        self._bodies = bodies

    def operations(self) -> list[Operation]:
        """The operations of the resource."""
        clips, one = "/v1/clips", "/v1/clips/{id}"
        return [
            Operation(
                "POST", clips, self._create_clip, Scope.PUSH, "Render a clip", 202, ClipResponse,
                media=(*WAV_TYPES, *PCM_TYPES),
                parameters=(
                    Parameter("avatar_id", "query", "Its avatar; by default control's.", {"type": "string"}),
                    Parameter(
                        "sample_rate", "query", "The rate of its audio, in Hz.",
                        {"type": "integer", "enum": list(SAMPLE_RATES), "default": 16000},
                    ),
                    Parameter(
                        IDEMPOTENCY_KEY, "header", "Requests with the same key create one clip.",
                        {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]{1,128}$"},
                    ),
                ),
                problems=(
                    problems.EMPTY_AUDIO, problems.NOT_A_WAV, problems.UNSUPPORTED_MEDIA,
                    problems.UNSUPPORTED_AUDIO, problems.INVALID_FIELD, problems.IDEMPOTENCY_MISMATCH,
                    problems.TOO_MANY_CLIPS,
                ),
                description="The whole speech, once; turns that name the clip need no Motion Server.",
            ),
            Operation("GET", clips, self._list_clips, Scope.PUSH, "List the key's clips", 200, ClipsResponse),
            Operation(
                "GET", one, self._read_clip, Scope.PUSH, "Read a clip", 200, ClipResponse,
                problems=(problems.UNKNOWN_CLIP,),
            ),
            Operation(
                "DELETE", one, self._delete_clip, Scope.PUSH, "Cancel a clip, or remove it", 200,
                ClipResponse, problems=(problems.UNKNOWN_CLIP,),
                description="A clip that is not rendered yet becomes `cancelled`; any other is removed.",
            ),
        ]  # fmt: skip

    async def _create_clip(self, request: web.Request) -> web.Response:
        key, creator = idempotency_key(request), request[KEY]
        avatar_id, sample_rate = self._voice(request)
        kind = request.headers.get(hdrs.CONTENT_TYPE, "")
        check_type(kind, sample_rate)
        async with self._bodies.audio(request, most_bytes=self._settings.clip_audio_bytes) as body:
            pcm = samples_of(body, kind, sample_rate)
            digest = await asyncio.to_thread(_digest, avatar_id, sample_rate, pcm)
            clip = _clip_of(creator, key) if key else str(ULID())
            await self._check_room(creator, clip, len(pcm))
            known = await self._clips.create(
                clip, creator=creator, avatar_id=avatar_id, sample_rate=sample_rate, digest=digest, pcm=pcm
            )
        if known is None:
            CREATED.inc()
        elif known != digest:
            raise Problem(problems.IDEMPOTENCY_MISMATCH, "the key has created a clip of another request")
        record = await self._read(clip, creator)
        return json_response(ClipResponse.of(record), status=202, Location=f"/v1/clips/{clip}")

    async def _list_clips(self, request: web.Request) -> web.Response:
        clips = await self._clips.list_of(request[KEY])
        return json_response(ClipsResponse(tuple(map(ClipResponse.of, clips))))

    async def _read_clip(self, request: web.Request) -> web.Response:
        clip = await self._read(request.match_info["id"], request[KEY])
        return json_response(ClipResponse.of(clip))

    async def _delete_clip(self, request: web.Request) -> web.Response:
        clip = await self._read(request.match_info["id"], request[KEY])
        if await self._clips.delete(clip) == "cancelled":
            await self._end(clip.conversation)
            clip = clip._replace(state="cancelled")
        return json_response(ClipResponse.of(clip))

    async def _end(self, conversation: str) -> None:
        """End the conversation that renders a cancelled clip; its worker may be gone."""
        if not conversation:
            return
        try:
            await self._uplink.append(self._keys.conversation(conversation), Close("clip_cancelled"))
        except (Missing, Ended):
            return

    # --- turns ---------------------------------------------------------------------------------

    async def spoken(self, clip: str, creator: str, conversation: Conversation) -> Clip:
        """Read a clip that a turn names.

        Raises:
            Problem: The API key has no such clip, it is not ready, or it is of another avatar or rate than
                the conversation.
        """
        found = await self._read(clip, creator)
        if found.state != "ready":
            detail = f"the clip is {found.state}"
            raise Problem(problems.CLIP_NOT_READY, detail, state=found.state)
        for name in ("avatar_id", "sample_rate"):
            has, needs = getattr(found, name), getattr(conversation, name)
            if has != needs:
                detail = f"the clip has {name} {has}, and the conversation {needs}"
                raise Problem(problems.CLIP_MISMATCH, detail, field=name)
        return found

    async def chunks(self, clip: Clip) -> list[ClipChunk]:
        """The chunks of a clip that is ready.

        Raises:
            Problem: It was removed meanwhile, or Redis has lost them.
        """
        chunks = await self._clips.chunks(clip.id)
        if sum(chunk.size_bytes for chunk in chunks) != clip.size_bytes:
            raise Problem(problems.UNKNOWN_CLIP, "the clip was removed")
        return chunks

    # --- requests ------------------------------------------------------------------------------

    def _voice(self, request: web.Request) -> tuple[str, int]:
        """The avatar and the rate of a request."""
        avatar_id = request.query.get("avatar_id", "") or self._settings.avatar_id
        if not text.is_name(avatar_id):
            detail = "avatar_id: give one, or set SPATIUS_AVATAR_ID"
            raise Problem(problems.INVALID_FIELD, detail, field="avatar_id")
        rate = request.query.get("sample_rate", "16000")
        if rate not in map(str, SAMPLE_RATES):
            raise Problem(problems.INVALID_FIELD, f"sample_rate: one of {SAMPLE_RATES}", field="sample_rate")
        return avatar_id, int(rate)

    async def _check_room(self, creator: str, clip: str, size_bytes: int) -> None:
        settings = self._settings
        used = await self._clips.usage(creator, without=clip)
        if used.clips >= settings.key_clips:
            detail = f"this key has {used.clips} clips, which is the limit: remove some"
        elif used.bytes + size_bytes > settings.key_clip_bytes:
            detail = (
                f"the clips of this key have {used.bytes} bytes of {settings.key_clip_bytes}: remove some"
            )
        else:
            return
        raise Problem(problems.TOO_MANY_CLIPS, detail, retry_after_s=_LIMIT_RETRY_S)

    async def _read(self, clip: str, creator: str) -> Clip:
        if not text.is_name(clip):
            raise Problem(problems.UNKNOWN_CLIP, _MISSING)
        try:
            return await self._clips.read(clip, creator)
        except Missing:
            raise Problem(problems.UNKNOWN_CLIP, _MISSING) from None


def _clip_of(creator: str, key: str) -> str:
    """The id of the clip that an idempotency key creates: the same at every control process."""
    return str(ULID.from_bytes(hashlib.sha256(f"{creator}\0{key}".encode()).digest()[:16]))


def _digest(avatar_id: str, sample_rate: int, pcm: bytes) -> str:
    digest = hashlib.sha256(f"{avatar_id}\0{sample_rate}\0".encode())
    digest.update(pcm)
    return digest.hexdigest()
