"""The schema: what a client knows of its caller's data."""

from collections.abc import Callable, Sequence
from typing import Final

from relay_redis.replies import BY_COMMAND, Check, Command
from relay_redis.script import Script

Key = str | bytes | int


class Schema:
    """The scripts of a caller, and the types of its keys. One value serves every client of a process.

    Args:
        scripts: Loaded at each connect; a client runs no others.
        purge: The one of them that deletes each of its KEYS whose type is not the ARGV at the same index.
        type_of: Gives the type a key must have (``stream``, ``hash``), by its name; None for a key that must
            not be deleted whatever its type.
    """

    def __init__(
        self,
        scripts: Sequence[Script],
        *,
        purge: Script,
        type_of: Callable[[str | bytes], bytes | None],
    ) -> None:
        self.scripts: Final = tuple(scripts)
        self.purge: Final = purge
        self._type_of = type_of
        self.by_call: Final[dict[Key, Script]] = {
            name: script for script in self.scripts for name in (script.sha, script.text)
        }
        """Scripts by the first argument of EVALSHA and of EVAL."""
        self.checks: Final[dict[Key, Check]] = {
            **BY_COMMAND,
            **{name: script.reply for name, script in self.by_call.items()},
        }
        """Checks of replies, by the command's name, or by the script's digest or text."""

    def types_of(self, command: Command) -> dict[str | bytes, bytes]:
        """The keys that a command touches, with the type of each; without those that have none."""
        return {
            key: key_type
            for key in _keys_of(command)
            if isinstance(key, str | bytes) and (key_type := self._type_of(key)) is not None
        }


def _keys_of(command: Command) -> Sequence[Key]:
    match command[0]:
        case "EVALSHA" | "EVAL":
            return command[3 : 3 + int(command[2])]
        case "XREAD":
            after = command.index("STREAMS") + 1
            return command[after : after + (len(command) - after) // 2]
        case _:
            return command[1:2]
