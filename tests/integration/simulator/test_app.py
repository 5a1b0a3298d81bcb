"""The simulator's admin API: faults are armed, shown, refused and removed."""

import pytest
from tests.rigs.simulator import simulated

SECOND = bytes(32_000)


async def test_the_faults_by_place() -> None:
    """The list of faults has those of every place that can have one."""
    async with simulated() as s:
        places = await s.admin("GET", "faults")
    assert {"token", "bootstrap", "session"} <= set(places)
    assert "http_500" in places["token"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", "Input data was truncated"),
        (b'{"at": "nowhere", "fault": "hang"}', "at: one of"),
        (b'{"at": "token", "fault": "none"}', "fault: one of"),
        (b'{"at": "token", "fault": "hang", "times": "often"}', "times"),
    ],
)
async def test_a_fault_that_cannot_be(body, named) -> None:
    """A fault that cannot happen is refused by the name of its field, and nothing is armed."""
    async with simulated() as s:
        async with s.http.post(f"{s.url}/admin/faults", data=body) as response:
            problem = await response.json(content_type=None)
        assert response.status == 422
        assert named in problem["detail"]
        async with s.client():
            pass


async def test_a_removed_fault_does_not_happen() -> None:
    """DELETE disarms every fault: the next session opens."""
    async with simulated() as s:
        await s.admin("POST", "faults", at="token", fault="http_500", times=9)
        await s.admin("DELETE", "faults")
        async with s.client() as client:
            await client.session.send_audio(SECOND, end=True)
            await client.until_end()
        assert (await s.requests())[-1]["req_id"]


async def test_a_fault_of_an_open_session(eventually) -> None:
    """An open session takes a fault of sessions; another place or another session is refused."""
    async with simulated() as s, s.client() as client:
        [session] = await s.sessions()
        url = f"{s.url}/admin/connections"
        at_token = {"at": "token", "fault": "hang"}
        async with s.http.post(f"{url}/{session['connection_id']}/faults", json=at_token) as response:
            assert response.status == 422
            assert "an open session" in (await response.json(content_type=None))["detail"]
        close = {"at": "session", "fault": "close", "code": 4001}
        async with s.http.post(f"{url}/another/faults", json=close) as response:
            assert response.status == 404
        async with s.http.post(f"{url}/{session['connection_id']}/faults", json=close) as response:
            assert response.status == 204
        await client.session.send_audio(SECOND, end=True)
        await client.closed.wait()
        await eventually(lambda: client.errors)
    assert client.errors[-1].close_code == 4001


async def test_bootstrap() -> None:
    """It names a region, or fails as an armed fault demands."""
    async with simulated() as s:
        url = f"{s.url}/bootstrap"
        async with s.http.post(url) as response:
            assert (await response.json())["region"]["current"] == "us-west"
        for fault, status, keys in (("http_500", 500, set()), ("no_region", 200, {"time_sync"})):
            await s.admin("POST", "faults", at="bootstrap", fault=fault)
            async with s.http.post(url) as response:
                assert response.status == status
                assert set(await response.json()) == keys
