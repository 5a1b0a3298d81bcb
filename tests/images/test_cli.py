"""The image of the command line."""

import pytest
from tests.rigs.containers import RESTRICTED, WITHOUT_SHELL, docker, need_image, version

pytestmark = pytest.mark.timeout(200)


def cli(*arguments: str, options: tuple[str, ...] = (), check: bool = True) -> str:
    """Run the image, restricted; returns what it prints."""
    done = docker(
        "run", "--rm", *RESTRICTED, *WITHOUT_SHELL, *options, need_image("cli"), *arguments, check=check
    )
    return done.stdout + done.stderr


def test_a_command() -> None:
    """A command runs without capabilities, a shell or a place to write."""
    assert cli("version").strip() == version()


@pytest.mark.parametrize(
    "module", ["relay_cli.demo", "relay_client", "relay_simulator.motion", "relay_cli.doctor"]
)
def test_what_the_verifier_needs(module: str) -> None:
    """Client, comparison and simulated motion are there, without the services' other dependencies."""
    cli("-c", f"import {module}", options=("--entrypoint", "python"))


def test_a_command_that_reads_redis(redis_network: str) -> None:
    """Commands reach Redis by the services' settings."""
    options = ("--network", redis_network, "--env", "RELAY_REDIS_URL=redis://redis:6379")
    assert "Redis version" in cli("doctor", options=options, check=False)


def test_a_command_about_recordings(redis_network: str) -> None:
    """Those have their dependencies, too."""
    options = (
        "--network", redis_network, "--env", "RELAY_REDIS_URL=redis://redis:6379",
        "--env", "RELAY_RECORDINGS_URL=file:///tmp/recordings", "--env", "RELAY_JOBS=true",
    )  # fmt: skip
    assert "[]" in cli("recordings", "list", "--json", options=options, check=False)
