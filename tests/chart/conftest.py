"""The first test may have to wait until helm is built, or the definitions of others' kinds are made."""

import pytest

BUILD_S = 1200


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Only the tests of this folder: each may be the first."""
    for item in items:
        if item.path.parent.name == "chart":
            item.add_marker(pytest.mark.timeout(BUILD_S))
