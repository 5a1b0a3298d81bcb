"""The usage report: own usage, everybody's for an administrator, JSON and CSV, and bad ranges."""

from datetime import UTC, date, datetime, timedelta

import pytest
from tests.rigs.control import TOKEN_KEY

from relay_auth.api_keys import Scope, new_key
from relay_client import Backend
from relay_streams.keys import KeySpace
from relay_streams.usage import MAX_DAYS

KEY, ENTRY = new_key([Scope.CREATE])
ADMIN_KEY, ADMIN_ENTRY = new_key([Scope.ADMIN])
KEYS = f"{ENTRY},{ADMIN_ENTRY}"
DAY, NEXT = "2026-01-31", "2026-02-01"


async def count(store, app: str, day: str, partition: int = 0, **counts: int) -> None:
    """Counters as the jobs service writes them; ``__`` stands for a colon."""
    shared = KeySpace().shared(partition)
    await store.client.execute("SADD", shared.usage_apps(day), app)
    for name, value in counts.items():
        await store.client.execute("HINCRBY", shared.usage(app, day), name.replace("__", ":"), value)


async def test_a_key_gets_its_own_usage_and_an_administrator_all(open_rig) -> None:
    """Counters of all partitions are added; guests' conversations have no key: administrators see them."""
    async with open_rig(RELAY_API_KEYS=KEYS, RELAY_TOKEN_SECRET=TOKEN_KEY) as rig:
        await count(
            rig.store, ENTRY.id, DAY, conversations=2, turns__complete=3, turns__failed=1,
            audio_bytes__16000=32_000, motion_bytes=7, motion_ms=1500, credits=2, viewer_ms=90_000,
        )  # fmt: skip
        await count(
            rig.store, ENTRY.id, DAY, 5, conversations=1, audio_bytes__24000=24_000, audio_bytes__16000=2,
            estimated_motion_ms=500, estimated_credits=1, unknown=9,
        )  # fmt: skip
        await count(rig.store, ENTRY.id, NEXT, conversations=1)
        await count(rig.store, "", NEXT, conversations=4)

        rig.auth = {"Authorization": f"Bearer {KEY}"}
        status, mine, _ = await rig.call("GET", f"/v1/usage?from={DAY}&to={NEXT}")
        assert status == 200
        first, second = mine["usage"]
        assert first == {
            "day": DAY, "app": ENTRY.id, "conversations": 3, "turns_complete": 3, "turns_audio_only": 0,
            "turns_interrupted": 0, "turns_failed": 1, "speech_s": 1.500063, "motion_s": 2.0,
            "motion_estimated_s": 0.5, "credits": 3, "credits_estimated": 1, "viewer_minutes": 1.5,
            "audio_bytes": 56_002, "motion_bytes": 7,
        }  # fmt: skip
        assert (second["day"], second["conversations"]) == (NEXT, 1)

        rig.auth = {"Authorization": f"Bearer {ADMIN_KEY}"}
        _, every, _ = await rig.call("GET", f"/v1/usage?from={DAY}&to={NEXT}")
        assert [(row["day"], row["app"]) for row in every["usage"]] == [
            (DAY, ENTRY.id), (NEXT, ""), (NEXT, ENTRY.id),
        ]  # fmt: skip
        _, none, _ = await rig.call("GET", "/v1/usage?from=2020-01-01&to=2020-01-31")
        assert none == {"usage": []}


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/csv", "text/csv"),
        ("text/html, text/csv;q=0.9, application/json;q=0.8", "text/csv"),
        ("application/json, text/csv", "application/json"),
        ("*/*", "application/json"),
    ],
)
async def test_csv_by_accept(open_rig, accept: str, kind: str) -> None:
    """The first of both that the client names; JSON when it names none."""
    async with open_rig() as rig:
        await count(rig.store, "", DAY, conversations=4, viewer_ms=30_000)
        headers = {**rig.auth, "Accept": accept}
        async with rig.http.get(f"{rig.url}/v1/usage?from={DAY}&to={DAY}", headers=headers) as response:
            assert (response.status, response.content_type) == (200, kind)
            text = await response.text()
    if kind == "text/csv":
        names, row = text.splitlines()
        assert dict(zip(names.split(","), row.split(","), strict=True)) | {
            "day": DAY,
            "conversations": "4",
        } == (dict(zip(names.split(","), row.split(","), strict=True)))
        assert names.startswith("day,app,conversations,turns_complete")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=yesterday", "from"),
        ("to=2026-02-30", "to"),
        ("from=2026-01-02&to=2026-01-01", "from"),
        (f"to=2026-01-01&from={date(2026, 1, 1) - timedelta(days=MAX_DAYS)}", "from"),
        ("to=0001-01-01&from=9999-12-31", "from"),
    ],
)
async def test_a_bad_range_is_refused(open_rig, query: str, field: str) -> None:
    """The answer names the parameter."""
    async with open_rig() as rig:
        status, problem, _ = await rig.call("GET", f"/v1/usage?{query}")
        assert (status, problem["type"]) == (422, "urn:avatar-relay:problem:invalid-field")
        assert problem["field"] == field


async def test_the_earliest_days_can_be_read(open_rig) -> None:
    """A range that would begin before the first day of the calendar begins with it."""
    async with open_rig() as rig:
        status, answer, _ = await rig.call("GET", "/v1/usage?to=0001-01-03")
        assert (status, answer) == (200, {"usage": []})


async def test_a_backend_reads_its_usage(open_rig) -> None:
    """By days, and by default the last thirty."""
    async with open_rig() as rig:
        today = datetime.now(UTC).date()
        for back in (0, 29, 30):
            await count(rig.store, "", (today - timedelta(days=back)).isoformat(), conversations=1)
        async with Backend(rig.url, rig.key) as backend:
            rows = await backend.usage()
            assert [row.day for row in rows] == [str(today - timedelta(days=29)), str(today)]
            (row,) = await backend.usage(today, today)
            assert (row.app, row.conversations, row.speech_s) == ("", 1, 0.0)


async def test_it_needs_a_key(open_rig) -> None:
    """Without one, and with one that may only speak, it is refused."""
    speaker, entry = new_key([Scope.PUSH])
    async with open_rig(RELAY_API_KEYS=f"{entry}", RELAY_TOKEN_SECRET=TOKEN_KEY) as rig:
        rig.auth = {}
        assert (await rig.call("GET", "/v1/usage"))[0] == 401
        rig.auth = {"Authorization": f"Bearer {speaker}"}
        assert (await rig.call("GET", "/v1/usage"))[0] == 403
