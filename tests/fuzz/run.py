"""Feed every decoder inputs found by coverage, a million each; any exception but a refusal fails."""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from rich.table import Table
from tests.fuzz.targets import TARGETS

from relay_cli.console import open_console

DOCUMENT = Path(__file__).parents[2] / "docs/reports/fuzzing.md"
LONGEST_BYTES = 4096
LIMIT_S = 900
HEAD = """# Fuzzing

Every decoder that reads what others have written is fed inputs found by coverage (`atheris`), beginning with
valid ones. It may take an input, or refuse it with the exceptions it names; anything else fails. `make fuzz`
writes this page; `make test` feeds each decoder mutated inputs, too.

| decoder | inputs | branches seen | defects |
|---|---|---|---|
"""


class Outcome(NamedTuple):
    """How a target stood it."""

    name: str
    inputs: int
    coverage: int
    defect: str


def fuzz(name: str, inputs: int, seed: int) -> Outcome:
    """Run one target in a process of its own, which the fuzzer ends."""
    with tempfile.TemporaryDirectory() as directory:
        corpus = Path(directory) / "corpus"
        corpus.mkdir()
        for number, valid in enumerate(TARGETS[name].seeds):
            (corpus / str(number)).write_bytes(valid)
        options = [
            f"-runs={inputs}",
            f"-seed={seed}",
            f"-max_len={LONGEST_BYTES}",
            f"-artifact_prefix={directory}/",
        ]
        command = [sys.executable, "-m", "tests.fuzz.guided", name, *options, corpus]
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
    done = re.search(r"#(\d+)\s+DONE\s+cov: (\d+)", ended.stderr)
    if ended.returncode or done is None:
        return Outcome(name, 0, 0, (ended.stdout + ended.stderr)[-3000:])
    return Outcome(name, int(done[1]), int(done[2]), "")


def main() -> None:
    """Fuzz what is asked for; without ``--only``, write the page."""
    options = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    options.add_argument("--inputs", type=int, default=1_000_000, help="inputs for each decoder")
    options.add_argument("--only", choices=TARGETS, action="append", help="a decoder; may be given again")
    options.add_argument("--seed", type=int, default=1, help="for the fuzzer's choices")
    asked = options.parse_args()
    console, table, outcomes = open_console(), Table("decoder", "inputs", "branches seen", "defects"), []
    for name in asked.only or TARGETS:
        with console.status(f"{name}: {asked.inputs:,} inputs"):
            outcome = fuzz(name, asked.inputs, asked.seed)
        outcomes.append(outcome)
        row = (name, f"{outcome.inputs:,}", str(outcome.coverage), "1" if outcome.defect else "0")
        console.print("ok" if not outcome.defect else "FAILED", *row[:2])
        table.add_row(*row)
    console.print(table)
    defects = [outcome for outcome in outcomes if outcome.defect]
    for outcome in defects:
        console.print(f"[bold]{outcome.name}[/]", outcome.defect, markup=True)
    if not asked.only and not defects:
        rows = (f"| {o.name} | {o.inputs:,} | {o.coverage} | 0 |\n" for o in outcomes)
        DOCUMENT.write_text(HEAD + "".join(rows))
    sys.exit(bool(defects))


if __name__ == "__main__":
    main()
