"""The options of a run."""

from argparse import ArgumentParser
from typing import Any

import pytest
from tests.load import options
from tests.load.options import Load


class Parser(ArgumentParser):
    """As Locust's parser: an option may have a variable."""

    def add_argument(self, *names: Any, env_var: str = "", **rest: Any) -> Any:
        assert env_var.startswith("LOAD_")
        return super().add_argument(*names, **rest)


def test_every_option_has_a_default_a_variable_and_a_description() -> None:
    """The page shows the descriptions."""
    parser = Parser(add_help=False)
    options.declare(parser)

    load = Load.of(parser.parse_args([]))
    assert (load.scenario, load.conversations, load.gateway_urls) == ("all", 20, ())
    assert all(action.help for action in parser._actions)
    assert Load.of(parser.parse_args(["--gateway-urls", "ws://a  ws://b"])).gateway_urls == (
        "ws://a",
        "ws://b",
    )


def test_no_option_is_a_secret() -> None:
    """Locust shows every option on its page."""
    parser = Parser(add_help=False)
    options.declare(parser)

    assert not any("key" in action.dest or "token" in action.dest for action in parser._actions)


@pytest.mark.parametrize(
    ("url", "expected"),
    [("http://a:1/x", "ws://a:1/x"), ("https://a", "wss://a"), ("wss://a/b", "wss://a/b")],
)
def test_sockets_have_the_address_of_the_service(url: str, expected: str) -> None:
    """With TLS where it has TLS."""
    assert options.socket_url(url) == expected
