"""``relay-ingest``, also ``python -m relay_ingest``."""

from relay_ingest.app import main as serve
from relay_runtime.process import run
from relay_settings.ingest import IngestSettings


def main() -> None:
    """Run an ingest worker."""
    run("ingest", IngestSettings, serve)


if __name__ == "__main__":
    main()
