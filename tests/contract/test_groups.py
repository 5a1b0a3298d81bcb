"""Groups of tests: those that share costly parts run in one process."""

import pytest

pytestmark = pytest.mark.xdist_group("grouped")


@pytest.mark.skipif(
    "not getattr(config.option, 'loadgroup', False)", reason="groups are not asked for (--dist loadgroup)"
)
def test_a_group_has_its_name_in_the_id(request: pytest.FixtureRequest) -> None:
    """By that pytest-xdist keeps a group together; with a pytest that it does not know, the id has none."""
    assert request.node.nodeid.endswith("@grouped")
