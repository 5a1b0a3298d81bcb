"""The command line as its users run it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from relay_redis.client import RedisClient
from relay_redis.local_server import LocalServer
from relay_streams import conversations
from relay_streams.conversations import Conversation
from relay_streams.keys import KeySpace
from relay_streams.scripts import SCHEMA
from relay_telemetry.version import hot_path
from relay_wire.frame import Codec, Kind


def run(*arguments: str, timeout_s: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "relay_cli", *arguments], capture_output=True, text=True, timeout=timeout_s,
        env={**os.environ, **environment}, check=False,
    )  # fmt: skip


def last_line(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    report: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return report


async def leave_a_conversation(redis_url: str) -> None:
    keys = KeySpace().conversation(str(ULID()))
    record = Conversation(keys.id, "open", "avatar", 16000, Codec.PCM_S16LE, 0)
    async with RedisClient(redis_url, SCHEMA, name="test") as client:
        await client.ready()
        await conversations.create(client, keys, record)


@pytest.mark.every_server
def test_the_demo(redis_server: LocalServer) -> None:
    """Exit status 0, one JSON object as the last line, everything in it that was promised.

    What else is in that Redis does not matter: here a conversation without an owner, which its workers claim.
    """
    asyncio.run(leave_a_conversation(redis_server.url))
    done = run("demo", "--json", "--turns", "3", "--viewers", "3", RELAY_REDIS_URL=redis_server.url)

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    report = last_line(done)
    assert report["ok"] is True
    assert report["turns"] == 3
    assert report["motion_payloads"] == 12
    assert report["webhooks"] == ["conversation.started", *["turn.ended"] * 3, "conversation.ended"]
    viewers = report["viewers"]
    assert isinstance(viewers, list)
    assert len(viewers) == 3
    for viewer in viewers:
        assert viewer["audio_sha256"] == report["expected_audio_sha256"]
        assert viewer["motion_sha256"] == report["expected_motion_sha256"]
        assert viewer["frames"] == report["frames_published"]
        assert (viewer["gaps"], viewer["duplicates"], viewer["out_of_order"]) == (0, 0, 0)
    assert [viewer["resumes"] for viewer in viewers] == [0, 0, 1]
    assert {"gateway-1", "gateway-2"} <= set(" ".join(v["gateway"] for v in viewers).split())
    latency = report["relay_latency_ms"]
    assert isinstance(latency, dict)
    assert 0 < latency["p50"] <= latency["p99"]
    assert {"audio_bytes_in", "first_audio_ms", "first_motion_ms"} <= report.keys()


def test_the_demo_starts_a_redis_of_its_own(tmp_path: Path) -> None:
    """With another rate, one viewer and a file of the user's."""
    path = tmp_path / "speech.wav"
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(24000)
        wav.writeframes(bytes(index % 199 for index in range(48000)))
    environment = {"RELAY_REDIS_URL": "", "PATH": str(Path(sys.executable).parent)}
    done = run("demo", "--json", "--turns", "1", "--viewers", "1", "--wav", str(path), **environment)

    assert done.returncode == 0, done.stderr
    assert last_line(done)["audio_bytes_in"] == 48000


@pytest.mark.parametrize("content", [None, b"", b"not a wav"])
def test_a_wav_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    """Named, with status 1, before anything is started."""
    path = tmp_path / "bad.wav"
    if content is not None:
        path.write_bytes(content)
    done = run("demo", "--wav", str(path))

    assert done.returncode == 1
    assert str(path) in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr


def test_the_real_vendor_needs_credentials() -> None:
    """--real without them names them."""
    done = run("demo", "--real", SPATIUS_API_KEY="")

    assert done.returncode == 1
    assert "SPATIUS_API_KEY" in done.stderr


@pytest.mark.parametrize(
    "command", [[], ["demo"], ["tail"], ["doctor"], ["settings"], ["capacity"], ["top"], ["explain"]]
)
def test_help_teaches(command: list[str]) -> None:
    """Every command explains itself."""
    done = run(*command, "--help")

    assert done.returncode == 0
    assert "Usage" in done.stdout


@pytest.mark.parametrize("service", ["gateway", "ingest", "control", "simulator"])
def test_services_explain_their_settings(service: str) -> None:
    """As a flag list and as a table of variables; a missing one is named, with status 2."""
    shown = run("serve", service, "--help", COLUMNS="200")
    assert shown.returncode == 0
    assert "--admin-port" in shown.stdout

    table = run("settings", service, COLUMNS="240")
    assert "RELAY_ADMIN_PORT" in table.stdout

    clean = {name: "" for name in os.environ if name.startswith(("RELAY_", "SPATIUS_"))}
    if service != "simulator":
        missing = run("serve", service, **clean)
        assert missing.returncode == 2
        required = ("RELAY_TOKEN_SECRET", "RELAY_API_KEYS", "SPATIUS_API_KEY")
        assert any(variable in missing.stderr for variable in required)


def test_a_port_that_is_taken() -> None:
    """Named with its setting, with status 1."""
    with LocalServer() as occupied:
        done = run("serve", "simulator", "--simulator-port", str(occupied.port))
        admin = run("serve", "simulator", "--simulator-port", "0", "--admin-port", str(occupied.port))

    assert (done.returncode, admin.returncode) == (1, 1)
    assert "cannot listen" in done.stderr
    assert "RELAY_SIMULATOR_PORT" in done.stderr
    assert "RELAY_ADMIN_PORT" in admin.stderr


def test_the_doctor(redis_server: LocalServer) -> None:
    """What is fine, what is not, and the fix; status 1 when anything fails."""
    done = run(
        "doctor", "--json", RELAY_REDIS_URL=redis_server.url, RELAY_TOKEN_SECRET="x" * 32,
        RELAY_API_KEYS="y" * 16, SPATIUS_API_KEY="", SPATIUS_CONSOLE_ENDPOINT="http://127.0.0.1:1/",
    )  # fmt: skip
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)}

    assert done.returncode == 1
    assert findings["Redis version"]["state"] == "ok"
    assert findings["Redis maxmemory-policy"]["state"] == "ok"
    assert findings["settings of gateway"]["state"] == "ok"
    assert findings["settings of ingest"]["state"] == "fail"
    assert "SPATIUS_API_KEY" in findings["settings of ingest"]["found"]
    vendor = next(f for what, f in findings.items() if what.startswith("vendor") and f["state"] == "fail")
    assert "SPATIUS_CONSOLE_ENDPOINT" in vendor["fix"]
    assert ("--enable-optimizations" in findings["Python"]["fix"]) == (findings["Python"]["state"] == "warn")
    assert findings["hot path"]["found"] == hot_path()


def test_the_doctor_without_redis() -> None:
    """It names the address it tried and the setting."""
    done = run("doctor", RELAY_REDIS_URL="redis://127.0.0.1:1/0", COLUMNS="200")

    assert done.returncode == 1
    assert "RELAY_REDIS_URL" in done.stdout


async def test_tail(relay, speech) -> None:
    """One line a frame when it is not a terminal; it ends with the conversation."""
    async with relay(gateways=1, workers=1) as r:
        conversation = await r.converse()
        tail = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "relay_cli", "tail", conversation, "--gateway", r.stack.gateway_urls[0],
            "--control", r.stack.control.url, stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "RELAY_API_KEY": r.stack.api_key},
        )  # fmt: skip
        assert tail.stdout is not None
        assert b"Hello" in await tail.stdout.readline()
        await r.backend.post_turn(conversation, speech)
        lines = []
        while not any(b"TurnEnded" in line for line in lines):
            lines.append(await tail.stdout.readline())
        await r.backend.end(conversation)
        rest = (await tail.communicate())[0]

    assert tail.returncode == 0
    assert any(b"\tmotion\t" in line for line in lines)
    assert b"ConversationEnded" in rest


def test_tail_without_a_token() -> None:
    """It names the option for one."""
    done = run("tail", "x", RELAY_API_KEY="")

    assert done.returncode == 1
    assert "--token" in done.stderr


async def shown_once(*targets: str) -> tuple[int | None, dict[str, Any]]:
    """The exit status and the report of ``top --once --json``."""
    options = [option for target in targets for option in ("--target", target)]
    top = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay_cli", "top", "--once", "--json", "--interval", "1", *options,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    report: dict[str, Any] = json.loads((await top.communicate())[0])
    return top.returncode, report


async def test_top(relay, speech) -> None:
    """Every process with its state, the conversation and its speech; one that ended is away, and critical."""
    async with relay() as r:
        conversation = await r.converse()
        admins = [child.admin for child in r.stack.children]
        _, (_, report) = await asyncio.gather(r.backend.post_turn(conversation, speech), shown_once(*admins))
        await r.stack.gateways[1].stop()
        status, after = await shown_once(*admins)

    assert [process["state"] for process in report["processes"]] == ["ready"] * 6
    services = sorted(process["service"] for process in report["processes"])
    assert services == ["control", "gateway", "gateway", "ingest", "ingest", "simulator"]
    assert report["conversations"]["owned"] == 1
    assert report["motion"]["sessions"] is not None
    assert status == 1
    assert after["processes"][0]["state"] == "away"
    assert after["processes"][0]["why"] == "Connection refused"
    assert after["problems"][0]["severity"] == "critical"


@pytest.mark.parametrize("wrong", ["gateway", "ftp://gateway:1"])
def test_top_of_what_is_no_address(wrong: str) -> None:
    """The target is named, with status 1."""
    done = run("top", "--target", wrong)

    assert done.returncode == 1
    assert wrong in done.stderr


async def explained(redis_url: str, *arguments: str) -> tuple[int | None, dict[str, Any], str]:
    """The exit status, the report and the error of ``explain --json``."""
    explain = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay_cli", "explain", "--json", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "RELAY_REDIS_URL": redis_url},
    )  # fmt: skip
    shown, error = await explain.communicate()
    return explain.returncode, json.loads(shown) if shown else {}, " ".join(error.decode().split())


async def test_explain(relay, speech, eventually) -> None:
    """Of a whole turn every hop, in numbers that agree with the speech; of absent turns the reason."""
    async with relay(gateways=1, workers=1) as r:
        conversation = await r.converse()
        _, _, not_begun = await explained(r.stack.redis_url, conversation)
        await r.backend.post_turn(conversation, speech)
        await eventually(lambda: ended(r, conversation, 1), within_s=30)
        status, turn, _ = await explained(r.stack.redis_url, conversation)
        absent_status, _, absent = await explained(r.stack.redis_url, conversation, "--turn", "7")
        _, _, unknown = await explained(r.stack.redis_url, "unknown")

    assert status == 0
    assert (turn["turn"], turn["state"]) == (1, "complete")
    assert (turn["audio_bytes"], turn["audio_s"]) == (len(speech), 3.0)
    assert turn["motion_bytes"] > 0
    whats = [step["what"] for step in turn["steps"]]
    assert whats[-1] == "turn_ended published"
    assert whats.index("first audio published") < whats.index("first motion published")
    assert turn["slowest"] in turn["verdict"]
    assert "no turn has begun" in not_begun
    assert absent_status == 1
    assert "turn 7 has not begun; the last is 1" in absent
    assert "no record of conversation unknown" in unknown


async def ended(r: Any, conversation: str, turn: int) -> bool:
    """Whether the turn's frames are all in the stream."""
    status, found, _ = await explained(r.stack.redis_url, conversation, "--turn", str(turn))
    return status == 0 and found["state"] != "under way"


async def test_explain_a_turn_whose_owner_died(relay, speech, watching, eventually) -> None:
    """The change of the owner is a slow hop, with its gap; no position is missing."""
    async with relay(gateways=1, speed=1.0) as r:
        conversation = await r.converse()
        seen = await r.watch(conversation)
        async with watching(seen):
            await r.backend.post_turn(conversation, speech * 3)
            await eventually(lambda: seen.of(Kind.MOTION, 1))
            (await r.owner_of(conversation)).signal(signal.SIGKILL)
            await eventually(lambda: 1 in seen.outcomes, within_s=30)
            _, turn, _ = await explained(r.stack.redis_url, conversation)
            await r.backend.end(conversation)

    faults = {step["what"]: step["detail"] for step in turn["steps"] if step["is_fault"]}
    assert turn["state"] == "audio_only"
    assert faults["audio only"] == "owner_changed"
    assert "without a frame" in faults["owner changed"]
    assert "positions missing" not in faults
    [change] = [hop for hop in turn["hops"] if hop["name"] == "the change of the owner"]
    assert change["is_slow"]
    assert "Look at" in turn["verdict"]
    [before, first] = sorted({f.generation for f in seen.frames})
    last = max(f.published_at_us for f in seen.frames if f.generation == before)
    next_one = min(f.published_at_us for f in seen.frames if f.generation == first)
    assert change["seconds"] == pytest.approx((next_one - last) / 1e6, abs=0.001)


def test_the_capacity() -> None:
    """A column for each scale, what it assumes and where each cost is from; costs can be one's own."""
    shown = run("capacity", COLUMNS="160")
    assert shown.returncode == 0, shown.stderr
    for part in ("1,000,000", "gateway processes", "Redis shards", "cores per 1,000", "Viewers of each"):
        assert part in shown.stdout
    assert "performance.md" in shown.stdout

    asked = ("--conversations", "5000", "--conversations", "7", "--viewers", "2", "--gateway-us", "10")
    found = last_line(run("capacity", "--json", *asked))
    plans, costs, sources = found["plans"], found["costs"], found["sources"]
    assert isinstance(plans, list)
    assert isinstance(costs, dict)
    assert isinstance(sources, dict)
    assert [plan["conversations"] for plan in plans] == [5000, 7]
    assert all(plan["delivered_per_s"] == 2 * plan["published_per_s"] for plan in plans)
    assert costs["gateway_us"] == 10
    assert sources["gateway_us"] == "--gateway-us"


@pytest.mark.parametrize(
    "wrong",
    [
        ("--conversations", "0"),
        ("--viewers", "-1"),
        ("--speaking", "nan"),
        ("--utilisation", "1.5"),
        ("--redis-us", "0"),
    ],
)
def test_a_capacity_that_cannot_be(wrong: tuple[str, str]) -> None:
    """The option is named, with status 2."""
    done = run("capacity", *wrong)

    assert done.returncode == 2
    assert wrong[0] in done.stderr
    assert "is not above 0" in " ".join(done.stderr.split())


@pytest.mark.parametrize("command", [["settings", "gateway"], ["capacity"], ["doctor"]])
def test_a_table_in_a_pipe_has_whole_names(command: list[str]) -> None:
    """What searches the lines finds a row, its name and its text on one of them."""
    done = run(*command)
    rows = [line.split("│") for line in done.stdout.splitlines() if line.startswith("│")]

    assert "…" not in done.stdout
    assert all(row[1].strip() for row in rows), "a row that continues in the next line"


async def test_a_demo_that_is_kept(redis_server: LocalServer) -> None:
    """It prints where everything is and how to speak and watch, and Ctrl-C ends it tidily."""
    demo = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay_cli", "demo", "--turns", "1", "--keep",
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "RELAY_REDIS_URL": redis_server.url},
    )  # fmt: skip
    assert demo.stdout is not None
    shown = ""
    async with asyncio.timeout(50):
        while "watch it:" not in shown:
            shown += (await demo.stdout.readline()).decode()
        watch = (await demo.stdout.readline()).decode()
        while "avatar-relay top" not in shown:
            shown += (await demo.stdout.readline()).decode()
        demo.send_signal(signal.SIGINT)
        rest = (await demo.communicate())[0].decode()

    assert demo.returncode == 0
    assert shown.count("--target http://127.0.0.1:") == 9
    assert f"avatar-relay tail {shown.split('conversation  ')[1].split()[0]} --gateway" in watch
    assert "stopping" in rest
