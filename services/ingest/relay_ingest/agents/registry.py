"""Agent registry: the agents that conversations can name."""

from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import get_args

from relay_ingest.agents.api import Agent
from relay_ingest.agents.builtin.clips import Clips
from relay_ingest.agents.builtin.echo import Echo
from relay_ingest.agents.builtin.push import Push
from relay_settings.agents import AgentSettings
from relay_settings.base import SettingsError
from relay_streams.conversations import PUSH
from relay_wire.uplink import AgentMessage

GROUP = "avatar_relay.agents"
"""The group of entry points in which packages offer agents."""

_BUILT_IN: dict[str, type[Agent]] = {PUSH: Push, "clips": Clips, "echo": Echo}


class UnknownAgent(LookupError):
    """Raised when a conversation names an agent that this worker does not have."""


class AgentRegistry:
    """The agents that the settings name; no other is imported.

    The constructor reads files and imports packages, so call it in a thread.

    Args:
        settings: The operator's.

    Raises:
        SettingsError: An agent that the settings name is not installed, is no ``Agent``, or accepts what
            is no message of viewers.
    """

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._kinds = {name: _find(name) for name in {PUSH, *settings.agents}}

    def create(self, name: str) -> Agent:
        """A new agent.

        Raises:
            UnknownAgent: There is none of this name.
            Exception: Whatever the agent's constructor raises.
        """
        try:
            kind = self._kinds[name]
        except KeyError:
            raise UnknownAgent(name) from None
        return kind(self._settings)

    def accepts(self, name: str) -> frozenset[type[AgentMessage]]:
        """The messages that the agent of this name accepts; none, if there is no such agent."""
        return self._kinds[name].accepts if name in self._kinds else frozenset()

    @property
    def accepted(self) -> Mapping[str, str]:
        """By the name of each agent, the kinds of messages that it accepts, as in a record."""
        return {name: _kinds_of(agent.accepts) for name, agent in self._kinds.items()}


def _kinds_of(accepts: frozenset[type[AgentMessage]]) -> str:
    return " ".join(sorted(str(message.__struct_config__.tag) for message in accepts)) or "-"


def _find(name: str) -> type[Agent]:
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    installed = entry_points(group=GROUP)
    if name not in installed.names:
        raise SettingsError(f"RELAY_AGENTS: no agent {name!r}; {_known(installed.names)}")
    try:
        kind = installed[name].load()
    except Exception as error:  # any package's import
        raise SettingsError(f"RELAY_AGENTS: agent {name!r} cannot be imported: {error!r}") from error
    if not (isinstance(kind, type) and issubclass(kind, Agent)):
        raise SettingsError(f"RELAY_AGENTS: {name!r} is not a subclass of relay_ingest.agents.api.Agent")
    messages = get_args(AgentMessage)
    accepts: object = kind.accepts
    if not (isinstance(accepts, frozenset) and accepts <= set(messages)):
        allowed = ", ".join(message.__name__ for message in messages)
        raise SettingsError(f"RELAY_AGENTS: accepts of agent {name!r} is not a frozenset of {allowed}")
    return kind


def _known(installed: Iterable[str]) -> str:
    return f"there are {', '.join(sorted({*_BUILT_IN, *installed}))}"
