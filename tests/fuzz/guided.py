"""One target, fed by coverage-guided mutation: ``guided.py NAME -runs=N CORPUS``."""

import sys

import atheris

with atheris.instrument_imports(
    include=["relay_wire", "relay_auth", "relay_control", "relay_streams", "jwt"]
):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    target = TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.probe)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
