"""Latency of commands: by client, and by the name of the command or of its script."""

from collections.abc import Callable, Mapping

from relay_redis.replies import BY_COMMAND
from relay_redis.schema import Key, Schema
from relay_telemetry.fast_histogram import OPEN, Distribution, FastHistograms

OTHER = "other"
"""The name of a command that the client does not know."""
OBSERVED_EVERY = 7
"""One command of so many is observed, since one observation costs a fifth of a command. It is no even number:
publishing alternates between two."""

COMMAND_SECONDS = FastHistograms(
    "relay_redis_command_seconds",
    "From submitting a command to its reply, by command or script; refusals are not observed. Observed is one"
    f" command in {OBSERVED_EVERY}, and a series exists from its first observation on.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
    client=OPEN,
    command=OPEN,
)


class CommandLatency:
    """The series of one client.

    Args:
        client: Its name.
        schema: Names the scripts.
    """

    def __init__(self, client: str, schema: Schema) -> None:
        self._client = client
        self._names: Mapping[Key, str] = {
            **{command: str(command) for command in BY_COMMAND},
            **{call: script.name for call, script in schema.by_call.items()},
        }

    def observer(self, call: Key) -> Callable[[float], None]:
        """What observes the seconds of a command: of this name, or of the script with this digest or text."""
        return self._series(self._names.get(call, OTHER)).observe

    def _series(self, name: str) -> Distribution:
        COMMAND_SECONDS.expect(client=self._client, command=name)
        return COMMAND_SECONDS[self._client, name]
