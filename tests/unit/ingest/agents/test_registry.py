"""The agent registry: which agents it has, what it imports, and when a worker does not start."""

import sys
from pathlib import Path

import pytest

from relay_ingest.agents.api import Interrupted, Text
from relay_ingest.agents.builtin.echo import Echo
from relay_ingest.agents.builtin.push import Push
from relay_ingest.agents.registry import AgentRegistry, UnknownAgent
from relay_settings.agents import AgentSettings
from relay_settings.base import SettingsError

EXAMPLES = Path(__file__).parents[3] / "example_agents"


def test_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the agents that the settings name, and push; it imports no other."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    settings = AgentSettings.load(agents="toner, echo")
    registry = AgentRegistry(settings)

    assert type(registry.create("toner")).__name__ == "Toner"
    assert isinstance(registry.create("echo"), Echo)
    assert isinstance(registry.create("push"), Push)
    assert "troubled" not in sys.modules
    for name in ("clips", "raises"):
        with pytest.raises(UnknownAgent):
            registry.create(name)
    sys.modules.pop("toner")


def test_what_agents_accept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each agent its own messages, one without a declaration all; an agent that is not here accepts none."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    registry = AgentRegistry(AgentSettings.load(agents="toner, echo, clips, slow"))

    assert registry.accepted == {
        "push": "-", "toner": "text", "echo": "mic text", "clips": "sample", "slow": "mic sample text",
    }  # fmt: skip
    assert registry.accepts("toner") == {Text}
    assert registry.accepts("raises") == frozenset()
    for name in ("toner", "troubled"):
        sys.modules.pop(name)


@pytest.mark.parametrize("accepts", [frozenset((Text, Interrupted)), {Text}, "text", None])
def test_an_agent_accepts_messages_of_viewers_alone(monkeypatch, accepts: object) -> None:
    """Anything else is an error of the agent's author, at the worker's start."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    AgentRegistry(AgentSettings.load(agents="toner"))
    monkeypatch.setattr(sys.modules["toner"].Toner, "accepts", accepts)
    with pytest.raises(
        SettingsError, match="accepts of agent 'toner' is not a frozenset of Text, Microphone"
    ):
        AgentRegistry(AgentSettings.load(agents="toner"))
    sys.modules.pop("toner")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nobody", "no agent 'nobody'; there are cannot-be-imported, clips, echo"),
        ("cannot-be-imported", "cannot be imported: ModuleNotFoundError"),
        ("no-agent", "is not a subclass of relay_ingest.agents.api.Agent"),
    ],
)
def test_a_worker_without_its_agents_does_not_start(monkeypatch, name: str, text: str) -> None:
    """The operator named it, so it is needed."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    with pytest.raises(SettingsError, match="RELAY_AGENTS") as refusal:
        AgentRegistry(AgentSettings.load(agents=(name,)))
    assert text in str(refusal.value)
    sys.modules.pop("troubled", None)


def test_the_example_is_the_documented_one() -> None:
    """docs/guide/agents.md shows the code that is tested."""
    docs = Path(__file__).parents[4] / "docs" / "guide" / "agents.md"
    assert (EXAMPLES / "toner.py").read_text() in docs.read_text()
