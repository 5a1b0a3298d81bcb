"""``avatar-relay``, the console script. It is installed with every extra, and its commands need ``cli``."""

from relay_runtime import extra


def main() -> None:
    """Run the command line."""
    extra.load("relay_cli.__main__", "cli").main()
