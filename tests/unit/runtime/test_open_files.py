"""Open files: the limit on connections of clients, and when a process has reached it."""

import pytest

from relay_runtime.open_files import ConnectionLimit


@pytest.mark.parametrize(("open_files", "connections"), [(1, 1), (100, 50), (1024, 768), (65536, 65280)])
def test_some_open_files_are_not_for_clients(open_files, connections) -> None:
    assert ConnectionLimit.of(open_files).connections == connections


async def test_a_process_at_its_limit_is_not_ready_until_a_client_leaves() -> None:
    limit = ConnectionLimit(2)
    assert limit.acquire()
    assert limit.readiness() == ""

    assert limit.acquire()
    assert limit.readiness() == "2 connections, as many as the limit"
    assert not limit.acquire()

    limit.release()
    assert limit.readiness() == ""
    assert limit.acquire()
