"""The load test: ``python -m locust -f tests/load/locustfile.py``, from the root of the project.

docs/operations/load.md describes its options, its figures and its limits.
"""

from collections.abc import Mapping
from typing import Any

from locust import events
from locust.runners import MasterRunner, WorkerRunner
from rich.console import Console
from tests.load import options
from tests.load.avatarkit import AvatarKitClient
from tests.load.backend import Backend
from tests.load.client import Client
from tests.load.conversations import Conversation, Conversations
from tests.load.options import Load
from tests.load.schedule import Schedule
from tests.load.verdict import Figures, complaints
from tests.load.viewer import Viewer

__all__ = ["AvatarKitClient", "Backend", "Schedule", "Viewer"]

KNOWN = Conversations()
COMPLAINTS: list[str] = []
"""What is wrong with the run."""
Client.conversations = Backend.conversations = KNOWN
Backend.host = Client.host = options.control_url()


@events.init_command_line_parser.add_listener
def _declare(parser: Any) -> None:
    options.declare(parser)


@events.init.add_listener
def _register(environment: Any, runner: Any, **_: Any) -> None:
    if environment.host is None:
        environment.host = options.control_url()
    listeners = {"opened": _on_opened, "ended": _on_ended, "break": _on_break, "finish": _on_finish}
    for name, listener in listeners.items():
        runner.register_message(name, listener)


@events.test_start.add_listener
def _begin(environment: Any, **_: Any) -> None:
    KNOWN.clear()
    load = Load.of(environment.parsed_options)
    Backend.fixed_count = load.conversations
    AvatarKitClient.fixed_count = load.avatarkit_clients


@events.quitting.add_listener
def _judge(environment: Any, **_: Any) -> None:
    """Set the exit status. A worker's figures are its master's."""
    if isinstance(environment.runner, WorkerRunner) or not environment.stats.total.num_requests:
        return
    limits = Load.of(environment.parsed_options).limits
    COMPLAINTS[:] = complaints(_figures(environment.stats), len(environment.runner.exceptions), limits)
    environment.process_exit_code = 1 if COMPLAINTS else 0


@events.quit.add_listener
def _print(exit_code: int) -> None:
    """The verdict is the last line, below Locust's tables."""
    console = Console()
    for complaint in COMPLAINTS:
        console.print(f"[bold red]failed[/]: {complaint}", highlight=False)
    if exit_code == 0:
        console.print("[bold green]ok[/]: every viewer has every frame, once and in order", highlight=False)


# --- messages between Locust's processes -------------------------------------------------------------


def _on_opened(environment: Any, msg: Any) -> None:
    KNOWN.add(Conversation(**msg.data))
    _pass_on(environment, msg)


def _on_ended(environment: Any, msg: Any) -> None:
    KNOWN.remove(Conversation(**msg.data))
    _pass_on(environment, msg)


def _pass_on(environment: Any, msg: Any) -> None:
    """From the worker of the backend to the workers of the viewers."""
    if isinstance(environment.runner, MasterRunner):
        environment.runner.send_message(msg.type, msg.data)


def _on_break(msg: Any, **_: Any) -> None:
    for client in [one for one in Client.everyone if one.number % msg.data["parts"] == msg.data["part"]]:
        client.cut()


def _on_finish(**_: Any) -> None:
    KNOWN.finishing.set()


# --- figures -----------------------------------------------------------------------------------------


def _figures(stats: Any) -> Mapping[str, Figures]:
    """By name; clients of several kinds share one."""
    found: dict[str, Figures] = {}
    for (name, _), entry in stats.entries.items():
        before = found.get(name, Figures(0, 0))
        p99_ms = max(before.p99_ms, entry.get_response_time_percentile(0.99) or 0.0)
        requests, failures = before.requests + entry.num_requests, before.failures + entry.num_failures
        found[name] = Figures(requests, failures, p99_ms)
    return found
