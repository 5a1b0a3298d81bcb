"""``make load``: Locust without its page, against a relay that it starts, or that of LOAD_CONTROL_URL."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from tests.load.options import KEY_VARIABLE, control_url
from tests.rigs.imports import ROOT

from relay_cli.stack import Stack

OUTPUT = ROOT / "build" / "load"
SETTINGS = {
    "RELAY_AVATARKIT_CLIENTS": "true",
    # All users come from one address and one key.
    "RELAY_MAX_ADDRESS_VIEWERS": "20000",
    "RELAY_REQUESTS_PER_S": "10000",
    "RELAY_REQUESTS_BURST": "20000",
    "RELAY_KEY_REQUESTS_PER_S": "10000",
    "RELAY_KEY_REQUESTS_BURST": "20000",
    "RELAY_KEY_CONVERSATIONS": "10000",
}
"""Of the relay that is started."""


def main(
    viewers: Annotated[int, typer.Option(min=1, help="Viewers of the native protocol.")] = 60,
    conversations: Annotated[int, typer.Option(min=1, help="Conversations, each with a backend.")] = 20,
    avatarkit: Annotated[int, typer.Option(min=0, help="Clients of AvatarKit.")] = 6,
    seconds: Annotated[float, typer.Option(min=5, help="Length of the run.")] = 30,
    rate: Annotated[float, typer.Option(min=1, help="Users started a second.")] = 20,
    scenario: Annotated[str, typer.Option(help="ramp, avalanche, rolling or all.")] = "all",
    page: Annotated[int, typer.Option(help="Port of Locust's page instead of a run; 0: none.")] = 0,
) -> None:
    """Put load on a relay, and fail on any frame that is lost, repeated or out of order.

    Starts Redis, the simulator, control, two ingest workers and two gateways on free loopback ports, unless
    LOAD_CONTROL_URL names a relay; LOAD_API_KEY is then its key, with the scopes create, push and tokens.
    """
    OUTPUT.mkdir(parents=True, exist_ok=True)
    users = viewers + conversations + avatarkit
    arguments = [
        "--users", str(users), "--spawn-rate", str(rate), "--run-time", f"{seconds:g}s",
        "--scenario", scenario, "--conversations", str(conversations), "--avatarkit-clients", str(avatarkit),
        *(["--web-host", "127.0.0.1", "--web-port", str(page)] if page else _headless()),
    ]  # fmt: skip
    raise typer.Exit(asyncio.run(_run(arguments)))


def _headless() -> list[str]:
    return ["--headless", "--only-summary", "--loglevel", "WARNING", "--html", str(OUTPUT / "report.html")]


async def _run(arguments: list[str]) -> int:
    if "LOAD_CONTROL_URL" in os.environ:
        return await _locust(arguments, {"LOAD_CONTROL_URL": control_url()})
    async with Stack(settings=SETTINGS) as stack:
        relay = {
            "LOAD_CONTROL_URL": stack.control.url,
            KEY_VARIABLE: stack.api_key,
            "LOAD_GATEWAY_URLS": " ".join(stack.gateway_urls),
        }
        return await _locust(arguments, relay)


async def _locust(arguments: list[str], variables: Mapping[str, str]) -> int:
    file = Path(__file__).with_name("locustfile.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "locust", "--locustfile", str(file), *arguments,
        cwd=ROOT, env={**os.environ, **variables},
    )  # fmt: skip
    return await process.wait()


if __name__ == "__main__":
    typer.run(main)
