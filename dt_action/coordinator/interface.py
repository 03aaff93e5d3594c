"""The interface's own description, `/openapi.json`, with the bodies, which the framework does not read."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from dt_action.remote import wire

MESSAGES = (
    wire.Submission,
    wire.Cancel,
    wire.Enrolment,
    wire.Poll,
    wire.Told,
    wire.KeyWish,
    wire.EnrolmentWish,
    wire.Maintenance,
)
_REFERENCE = "#/components/schemas/{model}"


def takes(kind: type) -> dict[str, Any]:
    """For `openapi_extra` of a path: its body is this message of `wire`, as JSON."""
    schema = {"$ref": _REFERENCE.format(model=kind.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def takes_bytes(media_type: str) -> dict[str, Any]:
    """The same for a body that is no JSON."""
    schema = {"type": "string", "format": "binary"}
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}


def describe(app: FastAPI) -> None:
    """Have the application describe itself with the messages that its paths take."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, routes=app.routes)
            schemas = made.setdefault("components", {}).setdefault("schemas", {})
            for kind in MESSAGES:
                schema: dict[str, Any] = TypeAdapter(kind).json_schema(ref_template=_REFERENCE)
                schemas.update(schema.pop("$defs", {}))
                schemas[kind.__name__] = schema
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the documented way to extend it
