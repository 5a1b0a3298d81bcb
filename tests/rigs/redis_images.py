"""Images of Redis and Valkey for tests in containers: public ones, or built here from a plain program.

A variable overrides each image's name. A machine that reaches no registry may have the servers as programs
instead (``RELAY_TOOLS``, or a folder of tools beside the checkout); an image is built from those.
``python -m tests.rigs.redis_images`` pulls or builds all of them before a test has to wait for one.
"""

import fcntl
import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_BASE = "debian:bookworm-slim"
_PART_TIMEOUT_S = 300


@dataclass(frozen=True)
class Image:
    """An image of a server.

    Attributes:
        part: The server's name, as in ``--server container:<part>``.
        variable: What overrides the name.
        public: The name in the public registry.
    """

    part: str
    variable: str
    public: str

    @property
    def name(self) -> str:
        """The name to use where a registry, or this machine, has it."""
        return os.environ.get(self.variable) or self.public

    @property
    def built(self) -> str:
        """The name of the one that is built here."""
        return f"avatar-relay-tests/{self.part}:local"


IMAGES = {
    image.part: image
    for image in (
        Image("redis-7", "REDIS_IMAGE", "redis:7-bookworm"),
        Image("redis-8", "REDIS_8_IMAGE", "redis:8-bookworm"),
        Image("valkey-8", "VALKEY_IMAGE", "valkey/valkey:8-bookworm"),
    )
}


@cache
def engine() -> Any:
    """A client of the Docker engine of this machine, or of ``DOCKER_HOST``; None when there is none."""
    try:
        import docker  # most tests need none, and importing it takes longer than they do
    except ImportError:
        return None
    try:
        client = docker.from_env(timeout=60)
        client.ping()
    except docker.errors.DockerException:
        return None
    return client


def found(image: Image) -> str | None:
    """The name of an image that the engine has after this: it may be pulled or built. Blocks.

    Returns:
        None where there is no engine, or the image can neither be pulled nor built.
    """
    client = engine()
    if client is None:
        return None
    with _one_at_a_time():
        for name in (image.name, image.built):
            if _present(client, name):
                return name
        if _pulled(client, image.name):
            return image.name
        return image.built if _build(client, image) else None


def _present(client: Any, name: str) -> bool:
    from docker.errors import ImageNotFound

    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True


def _pulled(client: Any, name: str) -> bool:
    from docker.errors import DockerException

    try:
        client.images.pull(name)
    except DockerException:
        return False
    return True


def _build(client: Any, image: Image) -> bool:
    program = _program(image.part)
    if program is None or not _present(client, _BASE):
        return False
    # The program names its libraries by their paths on this machine, so the image has them at the same paths.
    recipe = f'FROM {_BASE}\nADD . {program.parent}\nWORKDIR /data\nENTRYPOINT ["{program}"]\n'.encode()
    with tempfile.TemporaryFile() as context:
        with tarfile.open(fileobj=context, mode="w") as archive:
            entry = tarfile.TarInfo("Dockerfile")
            entry.size = len(recipe)
            archive.addfile(entry, io.BytesIO(recipe))
            archive.add(program.parent, arcname=".")
        context.seek(0)
        client.images.build(fileobj=context, custom_context=True, tag=image.built, rm=True)
    return True


def _program(part: str) -> Path | None:
    """The server as a program of this machine."""
    beside = Path(__file__).parents[2].parent / "shared" / "tools"
    tool = Path(os.environ.get("RELAY_TOOLS") or beside) / "redis-part"
    if not tool.exists():
        return None
    done = subprocess.run([tool, part], capture_output=True, text=True, timeout=_PART_TIMEOUT_S, check=False)
    return Path(done.stdout.strip()) if done.returncode == 0 else None


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Test processes that need the same image wait for the one that pulls or builds it."""
    with (Path(tempfile.gettempdir()) / "avatar-relay-test-images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    for image in IMAGES.values():
        print(image.part, found(image) or "missing")  # noqa: T201  # a command prints
