"""The tests that the vendor's SDK comes with, its end-to-end tests included, against the simulator.

``make sdk-test`` fetches the SDK's source distribution, which has the tests, and runs this with its folder.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from relay_cli.stack import Child

KEY, APP, AVATAR = "simulated-key", "simulated-app", "simulated-avatar"
RATE = 16_000
SPEECH_S = 5
NOBODY = "ws://127.0.0.1:9"
"""A LiveKit server where the environment names none: the tests send it a token that is none."""
LIMIT_S = 300.0
OPUS = {"SPATIUS_E2E_AUDIO_FORMAT": "ogg_opus", "SPATIUS_E2E_USE_INTERNAL_OGG_OPUS_ENCODER": "1"}
"""What the SDK's test of a request reads, to send Ogg Opus instead of PCM."""


async def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tests; returns the status of the first run that failed, or 0."""
    parser = argparse.ArgumentParser(prog="make sdk-test", description=__doc__)
    parser.add_argument("source", type=Path, help="the SDK's source distribution, unpacked")
    source: Path = parser.parse_args(arguments).source
    with tempfile.TemporaryDirectory() as scratch:
        simulator = Child(
            "simulator", "simulator",
            {
                "RELAY_SIMULATOR_PORT": "0", "RELAY_SIMULATOR_ACCEPTED_KEY": KEY,
                "RELAY_SIMULATOR_AVATARS": AVATAR,
            },
            Path(scratch),
        )  # fmt: skip
        await simulator.start()
        try:
            environment = {**os.environ, **named(simulator, speech(Path(scratch)))}
            return await tests(source, environment) or await tests(
                source, {**environment, **OPUS}, "tests/test_e2e_request.py"
            )
        finally:
            await simulator.stop()


def speech(directory: Path) -> Path:
    """A file of PCM; the SDK's own is not in its distribution."""
    path = directory / "speech.pcm"
    path.write_bytes(b"".join((at * 97 % 8000).to_bytes(2, "little") for at in range(RATE * SPEECH_S)))
    return path


def named(simulator: Child, pcm: Path) -> dict[str, str]:
    """What the SDK's end-to-end tests read of their environment."""
    return {
        "SPATIUS_RUN_E2E": "1",
        "SPATIUS_E2E_API_KEY": KEY,
        "SPATIUS_E2E_APP_ID": APP,
        "SPATIUS_E2E_AVATAR_ID": AVATAR,
        "SPATIUS_E2E_CONSOLE_ENDPOINT": simulator.addresses["console"],
        "SPATIUS_E2E_INGRESS_ENDPOINT": simulator.addresses["ingress"],
        "SPATIUS_E2E_LIVEKIT_URL": os.environ.get("LIVEKIT_URL", NOBODY),
        "SPATIUS_E2E_AUDIO_PATH": str(pcm),
    }


async def tests(source: Path, environment: dict[str, str], *paths: str) -> int:
    """Run the SDK's tests with the installed SDK; returns the status."""
    options = ["-q", "-rs", "-p", "no:asyncio", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", "."]
    return await run([sys.executable, "-m", "pytest", *options, *(paths or ("tests",))], source, environment)


async def run(command: list[str], directory: Path, environment: dict[str, str]) -> int:
    """Run a program to its end; returns its status."""
    process = await asyncio.create_subprocess_exec(*command, cwd=directory, env=environment)
    try:
        async with asyncio.timeout(LIMIT_S):
            return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
