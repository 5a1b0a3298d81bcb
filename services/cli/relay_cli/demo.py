"""The demo: a whole relay on this machine, whose viewers' frames are compared byte for byte."""

import asyncio
import hashlib
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

from relay_cli.recording import Recording, percentile
from relay_cli.stack import Stack
from relay_cli.webhook_receiver import WebhookReceiver
from relay_client import Backend, Viewer
from relay_redis.client import RedisClient
from relay_settings.environment import variable
from relay_settings.redis_url import RedisUrl
from relay_settings.store import StoreSettings
from relay_simulator.motion import expected_payloads
from relay_streams.keys import KeySpace
from relay_streams.scripts import SCHEMA
from relay_wire import samples
from relay_wire.frame import Frame, Kind
from relay_wire.pcm import AudioError, chunk_bytes, chunks, duration_ms

TURN_TIMEOUT_S = 120.0
"""Longest wait for a turn to reach every viewer, beyond its own length."""
WEBHOOKS_TIMEOUT_S = 30.0
"""Longest wait for the webhooks of the conversation after its end."""
_LIVE_CHUNK_MS = 40
_CLIP = Path(str(files("relay_cli").joinpath("data/speech.wav")))


class DemoError(Exception):
    """Raised when the demo cannot start or continue; the text names the fix."""


@dataclass(frozen=True)
class DemoOptions:
    """Options of the command line."""

    wav: Path | None = None
    turns: int = 2
    viewers: int = 2
    keep: bool = False
    real: bool = False


@dataclass(frozen=True)
class _Clip:
    pcm: bytes
    sample_rate: int
    wav: bytes

    @classmethod
    def load(cls, path: Path | None) -> "_Clip":
        try:
            wav = path.read_bytes() if path else files("relay_cli").joinpath("data/speech.wav").read_bytes()
            pcm, sample_rate = samples.read(wav, None, wav=True)
        except (OSError, AudioError) as error:
            raise DemoError(f"--wav {path}: {error}") from None
        if not pcm or not sample_rate:
            raise DemoError(f"--wav {path}: the file has no samples")
        return cls(pcm, sample_rate, wav)


@dataclass
class _Expected:
    """What every viewer must have received."""

    audio_sha256: str
    motion_sha256: str
    payloads: int
    frames: int


class Demo:
    """One run of the demo.

    Args:
        options: The options.
        console: Prints the live view and the summary.
    """

    def __init__(self, options: DemoOptions, console: Console) -> None:
        self._options = options
        self._console = console
        self._clip = _Clip.load(options.wav)
        self._recordings: list[Recording] = []
        self._status = "starting Redis, simulator, control, 2 ingest workers, 2 gateways and jobs"
        self._spoken_at = 0.0
        self._conversation = ""
        self._failures: list[str] = []
        self._receiver: WebhookReceiver | None = None

    async def run(self) -> dict[str, Any]:
        """Run the demo and return its report; ``ok`` is whether every check passed.

        Raises:
            DemoError: The vendor's settings are missing, or a turn did not arrive in time.
            StackError: A process did not start.
        """
        options = self._options
        if options.real and not variable("SPATIUS_API_KEY"):
            raise DemoError("--real: set SPATIUS_API_KEY, SPATIUS_APP_ID and SPATIUS_AVATAR_ID")
        redis_url = variable("RELAY_REDIS_URL")
        with tempfile.TemporaryDirectory(prefix="avatar-relay-demo-") as directory:
            async with WebhookReceiver(Path(directory)) as receiver:
                self._receiver = receiver if _can_run_jobs(redis_url) else None
                return await self._run(redis_url)

    async def _run(self, redis_url: str | None) -> dict[str, Any]:
        options, receiver = self._options, self._receiver
        async with self._live_view():
            stack = Stack(
                redis_url=redis_url,
                real=options.real,
                jobs=receiver is not None,
                settings=receiver.settings if receiver else None,
            )
            await stack.__aenter__()
        try:
            async with Backend(stack.control.url, stack.api_key) as backend:
                async with self._live_view():
                    await self._run_conversation(stack, backend)
                    expected = await self._expect(stack)
                    await self._wait_for_webhooks()
                report = self._report(expected)
                self._print_summary(report)
                if options.keep:
                    await self._keep(stack, backend)
        finally:
            await stack.__aexit__(None, None, None)
        return report

    # --- the conversation ----------------------------------------------------------------------

    async def _run_conversation(self, stack: Stack, backend: Backend) -> None:
        self._conversation = conversation = (await backend.create(sample_rate=self._clip.sample_rate)).id
        async with asyncio.TaskGroup() as viewers:
            for index in range(self._options.viewers):
                urls = stack.gateway_urls[index % 2 :] + stack.gateway_urls[: index % 2]
                viewer = await Viewer(
                    urls, conversation, (await backend.token(conversation)).token
                ).__aenter__()
                names = {gateway.url: gateway.name for gateway in stack.gateways}
                # The connection of the last viewer is cut.
                is_cut = index == self._options.viewers - 1
                recording = Recording(viewer, names, on_frame=_cut_once() if is_cut else None)
                self._recordings.append(recording)
                viewers.create_task(recording.run())
            for turn in range(1, self._options.turns + 1):
                await self._speak(backend, conversation, turn)
            await backend.end(conversation)
        for recording in self._recordings:
            await recording.viewer.close()

    async def _speak(self, backend: Backend, conversation: str, turn: int) -> None:
        """Speak an odd turn as one WAV, an even one live; wait until every viewer has its end."""
        clip = self._clip
        self._spoken_at = self._spoken_at or time.monotonic()
        if turn % 2:
            self._status = f"turn {turn} of {self._options.turns}: a WAV, posted whole"
            await backend.post_turn(conversation, clip.wav, content_type="audio/wav")
        else:
            self._status = f"turn {turn} of {self._options.turns}: live PCM, chunk by chunk"
            async with backend.speech(conversation, sample_rate=clip.sample_rate) as stream:
                for pcm in chunks(clip.pcm, chunk_bytes(_LIVE_CHUNK_MS, clip.sample_rate)):
                    await stream.send(pcm)
        timeout_s = TURN_TIMEOUT_S + duration_ms(len(clip.pcm), clip.sample_rate) / 1000
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*(recording.until_turn_ended(turn) for recording in self._recordings))
        except TimeoutError:
            raise DemoError(f"turn {turn} did not reach every viewer within {timeout_s:.0f} s") from None

    async def _wait_for_webhooks(self) -> None:
        if self._receiver is None:
            return
        self._status = "waiting for the webhooks of the conversation"
        with suppress(TimeoutError):  # what is missing is a failure of the comparison
            async with asyncio.timeout(WEBHOOKS_TIMEOUT_S):
                await self._receiver.until_complete(self._conversation)

    # --- the comparison ------------------------------------------------------------------------

    async def _expect(self, stack: Stack) -> _Expected:
        audio = hashlib.sha256(self._clip.pcm * self._options.turns).hexdigest()
        frames = await _frames_published(stack.redis_url, self._conversation)
        if stack.simulator is None:
            # The cloud's motion cannot be computed: a viewer that is not cut is the reference.
            reference = self._recordings[0]
            return _Expected(audio, reference.motion_sha256, reference.motion_payloads, frames)
        motion = hashlib.sha256()
        payloads = 0
        for request in await _requests(stack.simulator.url):
            expected = expected_payloads(
                seed=stack.seed,
                connection_id=request["connection_id"],
                req_id=request["req_id"],
                sample_rate=self._clip.sample_rate,
                pcm=self._clip.pcm,
            )
            sent = [hashlib.sha256(payload).hexdigest() for payload in expected]
            self._check(
                sent == request["payload_sha256"],
                f"the simulator's log of {request['req_id']} is not the computed motion",
            )
            payloads += len(expected)
            for payload in expected:
                motion.update(payload)
        return _Expected(audio, motion.hexdigest(), payloads, frames)

    def _report(self, expected: _Expected) -> dict[str, Any]:
        turns = self._options.turns
        for number, recording in enumerate(self._recordings, start=1):
            seen, viewer = recording.viewer.report, f"viewer {number}"
            self._check(recording.audio_sha256 == expected.audio_sha256, f"{viewer}: audio differs")
            self._check(recording.motion_sha256 == expected.motion_sha256, f"{viewer}: motion differs")
            self._check(
                seen.frames == expected.frames, f"{viewer}: {seen.frames} of {expected.frames} frames"
            )
            self._check(seen.gaps + seen.duplicates + seen.out_of_order == 0, f"{viewer}: {seen}")
            outcomes = dict.fromkeys(range(1, turns + 1), "complete")
            self._check(recording.outcomes == outcomes, f"{viewer}: turns ended as {recording.outcomes}")
        self._check(
            self._recordings[-1].viewer.report.resumes > 0, "the last viewer was not cut, or did not resume"
        )
        self._check(expected.payloads > 0, "there was no motion")
        webhooks = self._compare_webhooks()
        latencies = [latency for recording in self._recordings for latency in recording.latencies_ms]
        return {
            "ok": not self._failures,
            "failures": self._failures,
            "turns": turns,
            "audio_bytes_in": len(self._clip.pcm) * turns,
            "frames_published": expected.frames,
            "motion_payloads": expected.payloads,
            "viewers": [recording.summary() for recording in self._recordings],
            "webhooks": webhooks,
            "expected_audio_sha256": expected.audio_sha256,
            "expected_motion_sha256": expected.motion_sha256,
            "relay_latency_ms": {
                "p50": round(percentile(latencies, 0.50), 3),
                "p99": round(percentile(latencies, 0.99), 3),
            },
            "first_audio_ms": self._since_spoken(
                [recording.first_audio_at for recording in self._recordings]
            ),
            "first_motion_ms": self._since_spoken(
                [recording.first_motion_at for recording in self._recordings]
            ),
        }

    def _compare_webhooks(self) -> list[str] | None:
        """The types of the webhooks that were received, by their order numbers; None without jobs."""
        if self._receiver is None:
            return None
        webhooks = self._receiver.of(self._conversation)
        types = [webhook["type"] for webhook in webhooks]
        numbers = [webhook["data"]["order"] for webhook in webhooks]
        self._check(numbers == list(range(1, len(numbers) + 1)), f"webhooks: {numbers} were received")
        self._check(
            types[:1] == ["conversation.started"] and types[-1:] == ["conversation.ended"],
            f"webhooks: {types} were received",
        )
        self._check(types.count("turn.ended") == self._options.turns, f"webhooks: {types} were received")
        self._check(self._receiver.rejected == 0, f"{self._receiver.rejected} webhooks are not signed")
        return types

    def _since_spoken(self, moments: list[float | None]) -> float:
        return round((min(filter(None, moments), default=self._spoken_at) - self._spoken_at) * 1000, 1)

    def _check(self, passed: bool, failure: str) -> None:
        if not passed:
            self._failures.append(failure)

    # --- output -------------------------------------------------------------------------

    @asynccontextmanager
    async def _live_view(self) -> AsyncIterator[None]:
        with Live(console=self._console, refresh_per_second=8, transient=True, get_renderable=self._view):
            yield

    def _view(self) -> Group:
        spinner = Spinner("dots", self._status)
        return Group(spinner, self._viewers_table()) if self._recordings else Group(spinner)

    def _viewers_table(self) -> Table:
        table = Table("viewer", "gateway", "turn", "frames", "audio", "motion", "resumes")
        for number, recording in enumerate(self._recordings, start=1):
            seen = recording.viewer.report
            audio_s = duration_ms(recording.audio_bytes, self._clip.sample_rate) / 1000
            table.add_row(
                str(number), recording.gateways, str(recording.turn), str(seen.frames),
                f"{audio_s:.1f} s", f"{recording.motion_payloads} payloads", str(seen.resumes),
            )  # fmt: skip
        return table

    def _print_summary(self, report: dict[str, Any]) -> None:
        console = self._console
        console.print(self._viewers_table())
        latency = report["relay_latency_ms"]
        console.print(
            f"{report['turns']} turns, {report['frames_published']} frames,"
            f" {report['motion_payloads']} motion payloads;"
            f" first audio after {report['first_audio_ms']} ms, first motion after"
            f" {report['first_motion_ms']} ms; relay latency p50 {latency['p50']} ms, p99 {latency['p99']} ms"
        )
        if report["webhooks"] is None:
            console.print("no webhooks: jobs need avatar-relay[jobs], and a broker where Redis is a cluster")
        else:
            console.print(f"webhooks received, in order and signed: {', '.join(report['webhooks'])}")
        if report["ok"]:
            console.print("[bold green]ok[/]: every viewer has the same audio and motion, byte for byte")
        for failure in report["failures"]:
            console.print(f"[bold red]failed[/]: {failure}")

    async def _keep(self, stack: Stack, backend: Backend) -> None:
        conversation = (await backend.create(sample_rate=self._clip.sample_rate)).id
        token = (await backend.token(conversation, ttl_s=86_400)).token
        targets = " ".join(f"--target {child.admin}" for child in stack.children)
        console = self._console
        console.print("[bold]the relay runs until Ctrl-C[/]")
        for name, value in {
            "control": stack.control.url,
            "API key": stack.api_key,
            "gateways": ", ".join(stack.gateway_urls),
            "conversation": conversation,
            "viewer token": token,
            "Redis": stack.redis_url,
            "logs": str(stack.control.log_path.parent),
            **{f"metrics of {child.name}": f"{child.admin}/metrics" for child in stack.children},
        }.items():
            console.print(f"{name:>22}  {value}", soft_wrap=True, highlight=False)
        console.print(
            f"\nspeak a turn:\n  curl -H 'Authorization: Bearer {stack.api_key}'"
            f" -H 'Content-Type: audio/wav' --data-binary @{self._options.wav or _CLIP}"
            f" {stack.control.url}/v1/conversations/{conversation}/turns\n"
            f"watch it:\n  avatar-relay tail {conversation} --gateway {stack.gateway_urls[0]}"
            f" --token {token}\n"
            f"see all processes:\n  avatar-relay top {targets}\n"
            f"see where the last turn was slow:\n  RELAY_REDIS_URL={stack.redis_url} avatar-relay explain"
            f" {conversation}",
            soft_wrap=True, highlight=False,
        )  # fmt: skip
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            console.print("stopping")


def _cut_once() -> Any:
    """A callback that cuts the viewer's connection at its first motion: in the middle of a turn."""
    done = False

    def on_frame(recording: Recording, frame: Frame) -> None:
        nonlocal done
        if not done and frame.kind is Kind.MOTION:
            done = True
            recording.viewer.cut()

    return on_frame


def _can_run_jobs(redis_url: str | None) -> bool:
    """Whether Celery is installed and has a broker."""
    has_broker = bool(variable("RELAY_JOBS_BROKER_URL"))
    return find_spec("celery") is not None and (
        has_broker or redis_url is None or RedisUrl.parse(redis_url).topology != "cluster"
    )


async def _requests(simulator: str) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"{simulator}/admin/requests") as response:
        requests: list[dict[str, Any]] = (await response.json())["requests"]
        return requests


async def _frames_published(redis_url: str, conversation: str) -> int:
    """The number of frames appended to the conversation's down stream, with those already trimmed."""
    settings = StoreSettings.load(redis_url=redis_url)
    down = KeySpace.of(settings).conversation(conversation).down
    async with RedisClient(settings.store_url, SCHEMA, name="demo") as client:
        await client.ready()
        info = await client.execute("XINFO", "STREAM", down)
    return int(info[info.index(b"entries-added") + 1])
