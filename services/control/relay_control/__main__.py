"""``relay-control``, also ``python -m relay_control``."""

from relay_control.app import main as serve
from relay_runtime.process import run
from relay_settings.control import ControlSettings


def main() -> None:
    """Run control."""
    run("control", ControlSettings, serve)


if __name__ == "__main__":
    main()
