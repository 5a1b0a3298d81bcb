"""The OpenAPI document: generated from the table of operations and the structs of their bodies."""

from collections.abc import Sequence
from typing import Any

import msgspec

from relay_control.operation import Operation
from relay_telemetry.version import version
from relay_wire import problems
from relay_wire.problems import ProblemType

_SCHEMAS = "#/components/schemas/{name}"
_EVERYWHERE = (problems.BAD_REQUEST, problems.STORE_UNAVAILABLE)
_GUARDED = (problems.UNAUTHORIZED, problems.FORBIDDEN, problems.RATE_LIMITED)
_METHODS_WITH_BODY = ("POST", "PUT", "PATCH")
_ABOUT = """Create conversations, speak into them, make viewer tokens.

Live speech uses a WebSocket, `/v1/conversations/{id}/audio`: docs/reference/audio-socket.md.
Every error is a problem object (RFC 9457); its `type` ends in the name of the problem.
"""


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Generate the document, in OpenAPI 3.1."""
    structs = [kind for operation in operations for kind in (operation.body, operation.answer) if kind]
    _, schemas = msgspec.json.schema_components(structs, ref_template=_SCHEMAS)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Avatar Relay control", "version": version(), "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Problem": _PROBLEM},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.handler.__name__.strip("_"),
        "summary": operation.summary,
        "description": operation.description,
        "parameters": _parameters(operation),
        "responses": _responses(operation),
        "security": [{"bearer": []}, {"apiKey": []}] if operation.guarded else [],
    }
    if operation.body is not None or operation.media:
        described["requestBody"] = _body(operation)
    if operation.scope is not None:
        described["x-scope"] = operation.scope.value
    return described


def _body(operation: Operation) -> dict[str, Any]:
    binary = {"schema": {"type": "string", "format": "binary"}}
    content: dict[str, Any] = dict.fromkeys(operation.media, binary)
    if operation.body is not None:
        content["application/json"] = {"schema": _ref(operation.body)}
    # JSON alone is not required: a missing body counts as an empty one.
    return {"content": content, **({"required": True} if operation.media else {})}


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": each.name, "in": each.where, "description": each.description, "schema": each.schema}
        for each in operation.parameters
    ]
    if "{id}" in operation.path:
        what = "clip" if operation.path.startswith("/v1/clips") else "conversation"
        described = {"description": f"The {what}'s id.", "schema": {"type": "string"}}
        parameters.append({"name": "id", "in": "path", "required": True, **described})
    return parameters


def _responses(operation: Operation) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Success."}
    if operation.answer is not None:
        success["content"] = {
            "application/json": {"schema": _ref(operation.answer)},
            **{kind: {"schema": {"type": "string"}} for kind in operation.texts},
        }
    responses = {str(operation.status): success}
    kinds = {*operation.problems, *_EVERYWHERE, *(_GUARDED if operation.guarded else ())}
    if operation.method in _METHODS_WITH_BODY:
        kinds |= {problems.TOO_LARGE, problems.UNSUPPORTED_MEDIA}
    if operation.body is not None or operation.media:
        kinds |= {problems.REQUEST_TIMEOUT, problems.OVERLOADED}
    for kind in sorted(kinds):
        _add_problem(responses, kind)
    return responses


def _add_problem(responses: dict[str, Any], kind: ProblemType) -> None:
    text = f"`{kind.name}`: {kind.title}."
    known = responses.get(str(kind.status))
    if known is not None:
        known["description"] += f" {text}"
        return
    responses[str(kind.status)] = {
        "description": text,
        "content": {problems.CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _ref(kind: type) -> dict[str, str]:
    return {"$ref": _SCHEMAS.format(name=kind.__name__)}


_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "enum": [problems.type_of(kind) for kind in problems.REGISTRY.values()]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
