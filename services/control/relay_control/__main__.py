"""``relay-control``, also ``python -m relay_control``."""

from relay_runtime import extra
from relay_runtime.process import run
from relay_settings.control import ControlSettings


def main() -> None:
    """Run control."""
    run("control", ControlSettings, extra.load("relay_control.app", "control").main)


if __name__ == "__main__":
    main()
