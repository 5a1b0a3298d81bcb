"""GKE's kinds, whose definitions no published module has: the fields that charts may use, as documented."""

from typing import Any

_PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
_TIMES = {
    "checkIntervalSec": {"type": "integer", "minimum": 1, "maximum": 300},
    "timeoutSec": {"type": "integer", "minimum": 1, "maximum": 300},
    "healthyThreshold": {"type": "integer", "minimum": 1, "maximum": 10},
    "unhealthyThreshold": {"type": "integer", "minimum": 1, "maximum": 10},
}


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


def _kind(spec: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "string"}
    return _object(("spec",), apiVersion=text, kind=text, metadata={"type": "object"}, spec=spec)


_PROBE = _object(
    requestPath={"type": "string", "pattern": "^/"},
    port=_PORT,
    portSpecification={"enum": ["USE_FIXED_PORT", "USE_NAMED_PORT", "USE_SERVING_PORT"]},
)

GKE: dict[tuple[str, str], dict[str, Any]] = {
    ("networking.gke.io", "HealthCheckPolicy"): _kind(
        _object(
            ("targetRef",),
            default=_object(
                **_TIMES,
                config=_object(
                    ("type",),
                    type={"enum": ["TCP", "HTTP", "HTTPS", "HTTP2", "GRPC"]},
                    httpHealthCheck=_PROBE,
                    httpsHealthCheck=_PROBE,
                )
                | {"minProperties": 2, "maxProperties": 2},
            ),
            targetRef=_object(
                ("group", "kind", "name"),
                group={"type": "string"},
                kind={"enum": ["Service", "ServiceImport"]},
                name={"type": "string", "minLength": 1, "maxLength": 253},
                namespace={"type": "string"},
            ),
        )
    ),
    ("networking.gke.io", "GCPBackendPolicy"): _kind(
        _object(
            ("targetRef",),
            default=_object(
                timeoutSec={"type": "integer", "minimum": 1, "maximum": 2147483647},
                connectionDraining=_object(
                    drainingTimeoutSec={"type": "integer", "minimum": 0, "maximum": 3600}
                ),
            ),
            targetRef=_object(
                ("group", "kind", "name"),
                group={"type": "string"},
                kind={"enum": ["Service", "ServiceImport"]},
                name={"type": "string", "minLength": 1, "maxLength": 253},
            ),
        )
    ),
    ("cloud.google.com", "BackendConfig"): _kind(
        _object(
            timeoutSec={"type": "integer", "minimum": 1},
            connectionDraining=_object(drainingTimeoutSec={"type": "integer", "minimum": 0, "maximum": 3600}),
            healthCheck=_object(
                **_TIMES,
                type={"enum": ["HTTP", "HTTPS", "HTTP2"]},
                requestPath={"type": "string", "pattern": "^/"},
                port=_PORT,
            ),
        )
    ),
}
"""By group and kind."""
