"""The machine of a new conversation."""

import pytest
from tests.rigs.turn_machine import RULES

from relay_turns.machine import TurnMachine


@pytest.fixture
def machine() -> TurnMachine:
    """A new conversation's machine."""
    return TurnMachine(RULES)
