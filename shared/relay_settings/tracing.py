"""Settings of traces: the relay's, and OpenTelemetry's own variables where the relay's are unset."""

import re
from typing import Self

from pydantic import Field, model_validator

from relay_settings import environment
from relay_settings.base import Settings, named

_NUMBERS = re.compile(r"OTEL_(BSP_\w+|\w+_LIMIT)")
"""Variables that the library itself reads; it raises on some that are not numbers."""
_DIGITS = re.compile(r"\d{1,9}", re.ASCII)


class TraceSettings(Settings):
    """Export and sampling of traces."""

    otlp_endpoint: str | None = Field(
        None,
        description="OTLP/HTTP collector for traces, as http://host:4318. Unset: OpenTelemetry's own"
        " variables decide; without those no traces leave.",
    )
    trace_ratio: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of turns traced when the caller's traceparent does not decide. Unset:"
        " OTEL_TRACES_SAMPLER decides where it is set.",
    )
    trace_slow_s: float = Field(
        2.0,
        ge=0,
        description="A turn whose first motion comes later than this is traced although the sampler did not"
        " choose it, as are turns that fail or go on without motion; 0: no turn for being slow.",
    )
    otel_endpoint: str = named("OTEL_EXPORTER_OTLP_ENDPOINT", "Used without RELAY_OTLP_ENDPOINT.", default="")
    otel_traces_endpoint: str = named(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "The whole URL for traces; comes before OTEL_EXPORTER_OTLP_ENDPOINT.",
        default="",
    )
    otel_traces_exporter: str = named(
        "OTEL_TRACES_EXPORTER", "none: no traces leave by OpenTelemetry's own variables.", default=""
    )
    otel_traces_sampler: str = named(
        "OTEL_TRACES_SAMPLER", "With OTEL_TRACES_SAMPLER_ARG: used without RELAY_TRACE_RATIO.", default=""
    )
    otel_sdk_disabled: str = named("OTEL_SDK_DISABLED", "true: no traces leave.", default="")

    @model_validator(mode="after")
    def _numbers_are_numbers(self) -> Self:
        found = environment.values() if self.traces_url else {}
        wrong = sorted(
            name
            for name, text in found.items()
            if _NUMBERS.fullmatch(name)
            and not (_DIGITS.fullmatch(text) and ("_BSP_" not in name or int(text)))
        )
        if wrong:
            raise ValueError(f"{', '.join(wrong)} must be a whole number, for OTEL_BSP_ above 0")
        return self

    @property
    def traces_url(self) -> str:
        """Where spans are posted; empty: nowhere."""
        if self.otel_sdk_disabled.lower() == "true":
            return ""
        if self.otlp_endpoint:
            return f"{self.otlp_endpoint.rstrip('/')}/v1/traces"
        if self.otel_traces_exporter.lower() == "none":
            return ""
        if self.otel_traces_endpoint:
            return self.otel_traces_endpoint
        return f"{self.otel_endpoint.rstrip('/')}/v1/traces" if self.otel_endpoint else ""

    @property
    def sampled_ratio(self) -> float | None:
        """The share of traces recorded when no caller decided; None: OpenTelemetry's variables decide."""
        if self.otel_traces_sampler and "trace_ratio" not in self.model_fields_set:
            return None
        return self.trace_ratio
