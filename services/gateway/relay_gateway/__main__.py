"""``relay-gateway``, also ``python -m relay_gateway``."""

from relay_runtime import extra
from relay_runtime.process import run
from relay_settings.gateway import GatewaySettings


def main() -> None:
    """Run a gateway."""
    run("gateway", GatewaySettings, extra.load("relay_gateway.app", "gateway").main)


if __name__ == "__main__":
    main()
