"""``relay-simulator``, also ``python -m relay_simulator``."""

from relay_runtime import extra
from relay_runtime.process import run
from relay_settings.simulator import SimulatorSettings


def main() -> None:
    """Run the simulator."""
    run("simulator", SimulatorSettings, extra.load("relay_simulator.app", "simulator").main)


if __name__ == "__main__":
    main()
