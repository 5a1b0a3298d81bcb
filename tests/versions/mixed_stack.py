"""A relay whose processes are of two versions, and are replaced one by one."""

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.rigs.proxy import Proxy
from tests.versions.builds import Build

from relay_cli.stack import Child, Stack

SERVICES = ("gateway", "ingest", "control", "jobs")


class VersionChild(Child):
    """A process of one version.

    Attributes:
        build: Its version.
    """

    def __init__(
        self, build: Build, name: str, service: str, environment: Mapping[str, str], directory: Path
    ) -> None:
        if build.foreign:  # which has its own modules, compiled or not
            environment = {**environment, "PYTHONPATH": ""}
        super().__init__(name, service, environment, directory)
        self.build = build

    @property
    def _command(self) -> list[str]:
        return [str(self.build.python), *super()._command[1:]]


class MixedStack(Stack):
    """A relay of two versions.

    Args:
        builds: The version of each service's next process; those without one are of ``rest``.
        rest: The version of the other processes.
        options: Of the stack.
    """

    def __init__(self, builds: Mapping[str, Build], rest: Build, **options: Any) -> None:
        super().__init__(**options)
        self._builds = dict(builds)
        self._rest = rest
        self._controls = 1

    def _new_child(self, name: str, service: str, environment: Mapping[str, str]) -> Child:
        build = self._builds.get(service.partition(" ")[0], self._rest)
        return VersionChild(build, name, service, environment, self._directory)

    def next_version(self, service: str, build: Build) -> None:
        """The version of the processes of a service that start from now on."""
        self._builds[service] = build

    async def replace_gateways(self, build: Build, balancers: Sequence[Proxy]) -> None:
        """One after the other behind the same addresses; viewers of each are advised to reconnect."""
        self.next_version("gateway", build)
        for place, (leaving, balancer) in enumerate(zip(list(self.gateways), balancers, strict=True)):
            joining = await self.add_gateway()
            self.gateways.remove(joining)
            self.gateways[place] = joining
            balancer.target = address_of(joining)
            await _drained(leaving)

    async def replace_workers(self, build: Build) -> None:
        """One after the other: what each owns is handed over."""
        self.next_version("ingest", build)
        for leaving in list(self.workers):
            await self.add_worker()
            self.workers.remove(leaving)
            await _drained(leaving)

    async def replace_control(self, build: Build, balancer: Proxy) -> None:
        """The next one behind the same address; the one before ends as the streams that it has allow."""
        self.next_version("control", build)
        leaving, self._controls = self.control, self._controls + 1
        self.control = await self._child(
            f"control-{self._controls}", "control", RELAY_GATEWAY_URL=self.gateway_urls[0]
        )
        balancer.target = address_of(self.control)
        await _drained(leaving)

    async def replace_jobs(self, build: Build) -> None:
        """Each role's process, one after the other."""
        self.next_version("jobs", build)
        for leaving in list(self.jobs):
            await _drained(leaving)
            self.jobs.remove(leaving)
            await self._add_job_process(leaving.name)

    async def kill(self, child: Child) -> None:
        """End a process without a word to anybody."""
        child.signal(signal.SIGKILL)
        await child.wait()
        if child in self.workers:
            self.workers.remove(child)


def address_of(child: Child) -> tuple[str, int]:
    """Where a process listens."""
    return "127.0.0.1", int(child.url.rpartition(":")[2])


async def _drained(child: Child) -> None:
    assert child.alive, f"{child.name} has ended:\n{child.log_tail()}"
    child.signal(signal.SIGTERM)
    status = await child.wait(timeout_s=30)
    assert status == 0, f"{child.name} ended with {status}:\n{child.log_tail()}"
