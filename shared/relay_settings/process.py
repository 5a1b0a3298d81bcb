"""Settings every process has: its logs, its admin port, its traces."""

from typing import Literal

from pydantic import Field

from relay_settings.base import Settings


class ProcessSettings(Settings):
    """Logs, admin port and traces."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log lines written."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="auto: coloured lines on a terminal, JSON lines elsewhere."
    )
    admin_host: str = Field(
        "127.0.0.1", description="Address of /livez, /readyz and /metrics; 0.0.0.0 opens it to scrapers."
    )
    admin_port: int = Field(0, ge=0, le=65535, description="Port of the admin address; 0 takes a free one.")
    drain_s: float = Field(
        10.0, ge=0, description="Time from SIGTERM in which work is handed over before the process ends."
    )
    otlp_endpoint: str | None = Field(
        None, description="OTLP/HTTP collector for traces, as http://host:4318; unset: no traces leave."
    )
    trace_ratio: float = Field(
        0.05, ge=0, le=1, description="Share of turns traced when the caller's traceparent does not decide."
    )
