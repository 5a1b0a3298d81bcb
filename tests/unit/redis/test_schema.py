"""Schema: which check a reply must pass, and which keys of a command have which type."""

import pytest

from relay_redis.replies import Command, number, text
from relay_redis.schema import Schema
from relay_redis.script import Script

ADD = Script.of("add", "return 1", number)
PURGE = Script.of("purge", "return 0", number)
SCHEMA = Schema((ADD, PURGE), purge=PURGE, type_of=lambda key: b"hash" if str(key).startswith("h") else None)


def test_a_script_is_called_by_the_digest_of_its_text() -> None:
    """The digest is the one that Redis gives to the text, and both name the script and its check."""
    assert ADD.sha == "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
    assert SCHEMA.by_call == {name: script for script in (ADD, PURGE) for name in (script.sha, script.text)}
    assert SCHEMA.checks[ADD.sha] is SCHEMA.checks[ADD.text] is number
    assert SCHEMA.checks["GET"] is text


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (("HGETALL", "h:1"), ["h:1"]),
        (("XACK", "s:1", "h:no key"), []),
        (("EVALSHA", "sha", 2, "h:1", "h:2", "h:argument"), ["h:1", "h:2"]),
        (("EVAL", "text", 2, "s:1", "h:2", "h:argument"), ["h:2"]),
        (("EVALSHA", "sha", 0, "h:argument"), []),
        (("XREAD", "COUNT", 10, "STREAMS", "h:1", "s:1", "h:1", "0-0", "0-0", "0-0"), ["h:1"]),
        (("PING",), []),
        (("SET", 1, "h:value"), []),
    ],
)
def test_the_keys_of_a_command(command: Command, keys: list[str]) -> None:
    """Keys that have a type are found, once each; arguments, ids and keys without a type are not."""
    assert SCHEMA.types_of(command) == dict.fromkeys(keys, b"hash")
