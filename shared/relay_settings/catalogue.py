"""The catalogue: every service's settings."""

from relay_settings.control import ControlSettings
from relay_settings.gateway import GatewaySettings
from relay_settings.ingest import IngestSettings
from relay_settings.jobs import JobsSettings
from relay_settings.process import ProcessSettings
from relay_settings.simulator import SimulatorSettings

SERVICES: dict[str, type[ProcessSettings]] = {
    "gateway": GatewaySettings,
    "ingest": IngestSettings,
    "control": ControlSettings,
    "jobs": JobsSettings,
    "simulator": SimulatorSettings,
}
