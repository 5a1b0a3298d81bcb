"""``relay-ingest``, also ``python -m relay_ingest``."""

from relay_runtime import extra
from relay_runtime.process import run
from relay_settings.ingest import IngestSettings


def main() -> None:
    """Run an ingest worker."""
    run("ingest", IngestSettings, extra.load("relay_ingest.app", "ingest").main)


if __name__ == "__main__":
    main()
