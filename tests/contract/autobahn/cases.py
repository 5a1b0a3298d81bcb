"""Autobahn's cases against the gateway's WebSocket: run them, and report the results of each section.

``make autobahn`` writes docs/reports/autobahn.md; the test compares it with what it sees.
"""

import asyncio
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.contract.autobahn.echo import echo

from relay_redis.local_server import LocalServer

DOCUMENT = Path(__file__).parents[3] / "docs/reports/autobahn.md"
LEFT_OUT = ("9.*", "12.*", "13.*")
"""Throughput of an echo, which a relay is not; and compression, which the gateway does not offer."""
LIMIT_S = 300.0
SECTIONS = {
    1: "Framing", 2: "Pings and pongs", 3: "Reserved bits", 4: "Opcodes", 5: "Fragmentation",
    6: "UTF-8 handling", 7: "Close handling", 10: "Auto-fragmentation",
}  # fmt: skip
HEAD = """# Autobahn

The Autobahn test suite's cases against the gateway's WebSocket: its handshake, its reader and its writer,
with an echo behind them. `make autobahn` writes this page; the tests compare it with what they see.
Left out: 9 (throughput of an echo), 12 and 13 (compression, which the gateway does not offer).

| section | cases | as required | allowed, not strict | informational | failed |
|---|---|---|---|---|---|
"""


class Result(NamedTuple):
    """How one case went, in Autobahn's words."""

    case: str
    behaviour: str
    close: str

    @property
    def section(self) -> int:
        return int(self.case.partition(".")[0])

    @property
    def failed(self) -> bool:
        return not {self.behaviour, self.close} <= {"OK", "NON-STRICT", "INFORMATIONAL"}


async def run(address: str) -> list[Result]:
    """Run all cases that are not left out against a server that echoes."""
    with tempfile.TemporaryDirectory() as directory:
        options = [option for case in LEFT_OUT for option in ("-x", case)]
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).parent / "kosoku", *options, "-o", directory, address,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(LIMIT_S):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        index = Path(directory) / "index.json"
        assert index.exists(), output.decode()
        [cases] = json.loads(index.read_text()).values()
    return [Result(case, outcome["behavior"], outcome["behaviorClose"]) for case, outcome in cases.items()]


def document(results: list[Result]) -> str:
    """The page, from what was seen."""
    lines = []
    for section, title in SECTIONS.items():
        seen = [result for result in results if result.section == section]
        counts = Counter("failed" if result.failed else result.behaviour for result in seen)
        figures = [counts[name] for name in ("OK", "NON-STRICT", "INFORMATIONAL", "failed")]
        lines.append(f"| {section} {title} | {len(seen)} | " + " | ".join(map(str, figures)) + " |\n")
    others = [result for result in results if result.behaviour != "OK"]
    named = ", ".join(
        f"{result.case} ({result.behaviour.lower()})" for result in sorted(others, key=_numbers)
    )
    return HEAD + "".join(lines) + f"\nNot plainly as required: {named}.\n"


def _numbers(result: Result) -> list[int]:
    return [int(number) for number in result.case.split(".")]


async def main() -> None:
    """Run all, and write the page."""
    with LocalServer() as server:
        async with echo(server.url) as address:
            results = await run(address)
    DOCUMENT.write_text(document(results))
    failed = [result for result in results if result.failed]
    print(*failed, f"{len(results)} cases, {len(failed)} failed; see {DOCUMENT.name}", sep="\n")  # noqa: T201
    sys.exit(bool(failed))


if __name__ == "__main__":
    asyncio.run(main())
