"""``relay-simulator``, also ``python -m relay_simulator``."""

from relay_runtime.process import run
from relay_settings.simulator import SimulatorSettings
from relay_simulator.app import main as serve


def main() -> None:
    """Run the simulator."""
    run("simulator", SimulatorSettings, serve)


if __name__ == "__main__":
    main()
