"""``relay-gateway``, also ``python -m relay_gateway``."""

from relay_gateway.app import main as serve
from relay_runtime.process import run
from relay_settings.gateway import GatewaySettings


def main() -> None:
    """Run a gateway."""
    run("gateway", GatewaySettings, serve)


if __name__ == "__main__":
    main()
