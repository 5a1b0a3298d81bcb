"""The fast faults, three at a time; ``make faults`` runs them all, one by one."""

import asyncio
from pathlib import Path

import pytest
import uvloop
from tests.faults.guarantees import BEGIN, END, write
from tests.faults.run import STORIES
from tests.faults.scenario import SCENARIOS, Outcome, Part, run

FAST = [name for name, one in SCENARIOS.items() if one.fast]
_AT_ONCE = 3


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """What came of each of them."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str) -> Outcome:
        async with room:
            return await run(SCENARIOS[name], limit_s=120)

    async def everyone() -> list[Outcome]:
        return await asyncio.gather(*map(one, FAST))

    return dict(zip(FAST, uvloop.run(everyone()), strict=True))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", FAST)
def test_what_is_promised_holds(outcomes: dict[str, Outcome], name: str) -> None:
    """Every frame once, in order, the same bytes, and what its story checks. How fast is not asked here."""
    outcome = outcomes[name]
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.right, "; ".join(outcome.problems) or str(outcome.verdict)


def test_every_fault_is_registered() -> None:
    """Each module of stories adds to the registry, and each states what it promises."""
    defined_by = {one.story.__module__ for one in SCENARIOS.values()}
    assert defined_by == {module.__name__ for module in STORIES}
    assert all(one.promise.endswith(".") and one.bound_ms > 0 for one in SCENARIOS.values())


def test_the_table_is_written_between_its_marks(tmp_path: Path) -> None:
    """A row per fault; the rest of the page stays."""
    page = tmp_path / "guarantees.md"
    page.write_text(f"before\n{BEGIN}\nan earlier table\n{END}\nafter\n", "utf-8")
    write([Outcome(SCENARIOS["gateway_killed"], problems=["something"])], page)
    text = page.read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "an earlier table" not in text
    assert "| `gateway_killed` **failed** |" in text


def test_a_fault_without_its_part_is_skipped_on_a_laptop_and_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The refusal names the package; the others run."""
    one = SCENARIOS["gateway_killed"]._replace(needs=Part("a part", "/nowhere/part"))
    monkeypatch.delenv("CI", raising=False)
    outcome = uvloop.run(run(one))
    assert outcome.ok
    assert outcome.skipped == "a part is missing"

    monkeypatch.setenv("CI", "1")
    outcome = uvloop.run(run(one))
    assert not outcome.ok
    assert outcome.complaints == ["a part is missing"]
