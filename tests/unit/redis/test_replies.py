"""Replies: which shapes each check accepts."""

import pytest

from relay_redis import replies
from relay_redis.replies import Check, Reply, word

ENTRY = [b"1-0", [b"f", b"frame"]]
OUTCOME = word("missing", ok=(int, bytes))


@pytest.mark.parametrize(
    ("check", "accepted", "rejected"),
    [
        (replies.anything, [b"", 1, [], None], [{}, 1.5, True, "text"]),
        (replies.text, [b"", None], [1, [b""]]),
        (replies.number, [0], [b"0", None, True]),
        (replies.three_numbers, [[1, 2, 3]], [[1, 2], [1, 2, b"3"], 3, None]),
        (replies.texts, [[], [b"a"]], [[1], [None], b"a"]),
        (replies.pairs, [[], [b"a", b"1"]], [[b"a"], [b"a", 1]]),
        (replies.two_lists, [[[], [b"a"]]], [[[]], [[], [1]], [[], [], []], None]),
        (
            replies.entries,
            [[], [ENTRY, ENTRY]],
            [None, [[b"1-0"]], [[1, []]], [[b"1-0", [b"f"]]]],
        ),
        (
            replies.streams,
            [None, [], [[b"s", [ENTRY]]]],
            [[b"s"], [[b"s", None]], [[1, []]]],
        ),
        (replies.role, [[b"master", 1]], [[], [1], b"master"]),
        (OUTCOME, [[b"missing"], [b"ok", 1, b"x"], [b"ok", 1, b"x", None]], [[b"ok"], [b"ok", b"1", b"x"]]),
        (OUTCOME, [], [[], [b"other"], [[b"ok"]], None, 1, b"ok"]),
    ],
)
def test_shapes(check: Check, accepted: list[Reply], rejected: list[Reply]) -> None:
    """A check accepts what its command can return, and nothing that belongs to another command."""
    assert [reply for reply in accepted if not check(reply)] == []
    assert [reply for reply in rejected if check(reply)] == []
