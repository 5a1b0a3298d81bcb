"""Script replies: every reply of a script passes its check."""

import re

import pytest

from relay_redis.script import Script
from relay_streams import scripts
from relay_streams.scripts.publish import PUBLISH

_ANSWERS = re.compile(r"(?:return |settled\()\{'(\w+)'([^}]*)")


@pytest.mark.parametrize("script", scripts.ALL, ids=lambda script: script.name)
def test_every_word_of_a_script_is_known(script: Script) -> None:
    """Every word that a script returns is in its check, since a reply outside it closes the connection."""
    types = {bytes: b"1", int: 1}
    for answer, values in _ANSWERS.findall(script.text):
        candidates = [[answer.encode()]]
        for _ in range(values.count(",")):
            candidates = [[*reply, value] for reply in candidates for value in types.values()]
        assert any(map(script.reply, candidates)), f"{script.name}.lua answers {answer!r}"


@pytest.mark.parametrize(
    "reply", [None, 1, b"ok", [], [None], [[b"ok"]], [b"ok"], [b"ok", b"1"], [b"other", 1]]
)
def test_replies_that_publishing_cannot_have(reply: object) -> None:
    """They close the connection."""
    assert not PUBLISH.reply(reply)
