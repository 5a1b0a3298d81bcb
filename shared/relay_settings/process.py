"""Settings of every process: logs, admin port, TLS, drain and traces."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from relay_settings.host import Host
from relay_settings.tracing import TraceSettings


class ProcessSettings(TraceSettings):
    """Logs, admin port and traces."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log lines written; /loglevel changes it while the process runs."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="auto: coloured lines on a terminal, JSON lines elsewhere."
    )
    log_buffer_bytes: int = Field(
        1024 * 1024,
        ge=64 * 1024,
        description="Bytes of log lines that wait while standard error is not read; further lines are"
        " dropped and counted.",
    )
    log_repeats_per_s: int = Field(
        50, ge=1, description="Log lines of one event per second; further ones are dropped and counted."
    )
    admin_host: Host = Field(
        "127.0.0.1",
        description=(
            "Address of /livez, /readyz, /metrics, /loglevel, /demand; :: or 0.0.0.0 opens it to scrapers."
        ),
    )
    admin_port: int = Field(0, ge=0, le=65535, description="Port of the admin address; 0 takes a free one.")
    tls_cert: Path | None = Field(
        None, description="Certificate chain in PEM: serve over TLS. Loaded again when the file changes."
    )
    tls_key: Path | None = Field(None, description="The certificate's private key in PEM, not encrypted.")
    tls_admin: bool = Field(False, description="Serve the admin address over TLS, too.")
    header_s: float = Field(
        10.0,
        gt=0,
        description="How long a connection may take to send its first request's header, TLS and all.",
    )
    keepalive_s: float = Field(
        650.0,
        gt=0,
        description="How long a connection may be idle between requests before it is closed: longer than the"
        " idle timeout of the balancer before it (up to 600 s by default), which otherwise sends a request"
        " into a connection that is being closed.",
    )
    drain_accept_s: float = Field(
        5.0,
        ge=0,
        description="How long gateways and control, not ready any more, accept connections after"
        " SIGTERM: balancers and endpoints notice it seconds later.",
    )
    drain_s: float = Field(
        10.0,
        ge=0,
        description="How long work may then take to be handed over or finished before the process ends.",
    )

    @model_validator(mode="after")
    def _has_both_parts(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("RELAY_TLS_CERT and RELAY_TLS_KEY go together")
        if self.tls_admin and self.tls_cert is None:
            raise ValueError("RELAY_TLS_ADMIN needs RELAY_TLS_CERT")
        return self
