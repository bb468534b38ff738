"""The API's own document (OpenAPI): adds the refusals, and prepares it for the API's page.

It reads only the parts of OpenAPI that the hub's API uses. Programs get the document itself at
``/api/openapi.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

_SHAPES = "#/components/schemas/"

_PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "Why a request was refused (RFC 9457); ``detail`` says what to do.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "session": {"type": "string", "description": "the one that is already running"},
        "cause": {"type": "string", "description": "for the administrator"},
    },
}

_REFUSALS = {
    "400": "A value in the request is not accepted",
    "401": "No log-in, or one that has ended",
    "403": "Not allowed",
    "404": "It does not exist, or is not yours",
    "409": "It conflicts with the present state",
    "410": "The link no longer works",
    "413": "The request is too large",
    "415": "The request is not JSON",
    "429": "Too many, or too often; try again after Retry-After seconds",
    "503": "A part of the hub does not answer; try again after Retry-After seconds",
}

_CHANGING = frozenset({"post", "put", "delete", "patch"})

_ASKS_THE_DIRECTORY = "/people"

_CONFLICTS = ("/sessions", "/restart", "/files")  # ends of addresses where 409 may be answered

_LINKS = "/join"


class Field(msgspec.Struct, frozen=True):
    """A value that is sent or answered."""

    name: str
    kind: str  # in words, such as "text, at most 64 characters"
    shape: str = ""  # name of the shape that ``kind`` speaks of, if any
    required: bool = True


class Shape(msgspec.Struct, frozen=True):
    """A JSON object with a name of its own."""

    name: str
    fields: tuple[Field, ...]


class Reply(msgspec.Struct, frozen=True):
    """What an endpoint answers when all is well."""

    status: str
    kind: str = ""
    shape: str = ""


class Endpoint(msgspec.Struct, frozen=True):
    """One method of one address."""

    method: str  # upper case
    path: str
    summary: str
    description: str
    fields: tuple[Field, ...]  # of the address and of the JSON object that is sent
    replies: tuple[Reply, ...]

    @property
    def anchor(self) -> str:
        """Name for a link to it; unique, as method and path are."""
        return f"{self.method}-{self.path.strip('/').replace('/', '-')}".lower()


class _Schema(msgspec.Struct, frozen=True, rename="camel"):
    ref: str = msgspec.field(default="", name="$ref")
    type: str | list[str] = ""
    format: str = ""
    enum: list[str | int | None] = []
    items: _Schema | None = None
    properties: dict[str, _Schema] = {}
    required: list[str] = []
    one_of: list[_Schema] = []
    max_length: int | None = None


class _Media(msgspec.Struct, frozen=True):
    schema: _Schema = _Schema()


class _Content(msgspec.Struct, frozen=True):
    content: dict[str, _Media] = {}


class _Parameter(msgspec.Struct, frozen=True):
    name: str
    schema: _Schema = _Schema()
    required: bool = False


class _Operation(msgspec.Struct, frozen=True, rename="camel"):
    summary: str = ""
    description: str = ""
    parameters: list[_Parameter] = []
    request_body: _Content = _Content()
    responses: dict[str, _Content] = {}


class _Components(msgspec.Struct, frozen=True):
    schemas: dict[str, _Schema] = {}


class _Document(msgspec.Struct, frozen=True):
    paths: dict[str, dict[str, _Operation]]
    components: _Components = _Components()


def read(document: Mapping[str, object]) -> tuple[tuple[Endpoint, ...], tuple[Shape, ...]]:
    """Return the endpoints in the document's order, and the shapes that they use.

    Raises:
        msgspec.ValidationError: it is not an OpenAPI document.
    """
    parsed = msgspec.convert(document, _Document)
    shapes = parsed.components.schemas
    endpoints = tuple(
        _endpoint(method, path, operation, shapes)
        for path, operations in parsed.paths.items()
        for method, operation in operations.items()
    )
    named = tuple(
        Shape(name, _fields(schema, shapes))
        for name, schema in sorted(shapes.items())
        if schema.properties
    )
    return endpoints, named


def with_refusals(document: Mapping[str, object]) -> dict[str, Any]:
    """Return the document with the refusals of each endpoint."""
    described = cast("dict[str, Any]", document)
    components = described.get("components", {})
    schemas = components.get("schemas", {}) | {"Problem": _PROBLEM}
    paths = {
        path: {
            method: operation
            | {"responses": operation["responses"] | _refusals(method, path, operation)}
            for method, operation in operations.items()
        }
        for path, operations in described["paths"].items()
    }
    return described | {"paths": paths, "components": components | {"schemas": schemas}}


def _refusals(method: str, path: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    statuses = {"400", "503"}
    if operation.get("security") != []:
        statuses |= {"401", "403"}
    else:
        statuses |= {"401"}  # the password
    if "{" in path:
        statuses |= {"404"}
    if "requestBody" in operation:
        statuses |= {"413", "415"}
    if method in _CHANGING or path.endswith(_ASKS_THE_DIRECTORY):
        statuses |= {"429"}
    if method in _CHANGING and path.endswith(_CONFLICTS):
        statuses |= {"409"}
    if path.endswith(_LINKS):
        statuses |= {"410"}
    content = {"application/problem+json": {"schema": {"$ref": f"{_SHAPES}Problem"}}}
    return {
        status: {"description": _REFUSALS[status], "content": content}
        for status in sorted(statuses)
    }


def _endpoint(
    method: str, path: str, operation: _Operation, shapes: dict[str, _Schema]
) -> Endpoint:
    given = tuple(
        Field(one.name, *_kind(one.schema, shapes), one.required) for one in operation.parameters
    )
    sent = tuple(
        field
        for media in operation.request_body.content.values()
        for field in _fields(_resolve(media.schema, shapes), shapes)
    )
    replies = tuple(
        Reply(status, *_kind(media.schema, shapes))
        for status, reply in operation.responses.items()
        if status.startswith("2")
        for media in list(reply.content.values()) or [_Media()]
    )
    return Endpoint(
        method=method.upper(),
        path=path,
        summary=operation.summary,
        description=operation.description.replace("``", ""),
        fields=given + sent,
        replies=replies,
    )


def _fields(schema: _Schema, shapes: dict[str, _Schema]) -> tuple[Field, ...]:
    return tuple(
        Field(name, *_kind(one, shapes), name in schema.required)
        for name, one in schema.properties.items()
    )


def _resolve(schema: _Schema, shapes: dict[str, _Schema]) -> _Schema:
    return shapes.get(schema.ref.removeprefix(_SHAPES), _Schema()) if schema.ref else schema


def _kind(schema: _Schema, shapes: dict[str, _Schema]) -> tuple[str, str]:
    """Describe ``schema`` in words, and name the shape that it is or contains."""
    if schema.ref:
        name = schema.ref.removeprefix(_SHAPES)
        target = _resolve(schema, shapes)
        return ("", name) if target.properties else _kind(target, shapes)
    if schema.enum:
        return "one of " + ", ".join(str(value) for value in schema.enum), ""
    if schema.one_of:
        kinds = [_kind(one, shapes) for one in schema.one_of]
        return " or ".join(words for words, _ in kinds if words), "".join(name for _, name in kinds)
    if schema.items is not None:
        words, name = _kind(schema.items, shapes)
        return f"list of {words}".rstrip(), name
    if schema.format == "date-time":
        return "time (RFC 3339)", ""
    names = [schema.type] if isinstance(schema.type, str) else schema.type
    words = " or ".join({"string": "text", "integer": "whole number"}.get(n, n) for n in names)
    limit = "" if schema.max_length is None else f", at most {schema.max_length} characters"
    return words + limit, ""
