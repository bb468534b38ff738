"""The API's own page tells from its document what can be asked, sent and answered."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import pytest
from litestar import Litestar, get, post
from litestar.openapi.config import OpenAPIConfig
from litestar.params import FromPath, JSONBody

from controller.web import apidoc
from controller.web.apidoc import Field, Reply


class Colour(StrEnum):
    """Two of them."""

    RED = "red"
    GREEN = "green"


class Wish(msgspec.Struct):
    """What is asked for."""

    title: Annotated[str, msgspec.Meta(max_length=40)]
    number: int = 1


class Thing(msgspec.Struct):
    """What comes of it."""

    made_at: datetime
    gone_at: datetime | None
    colour: Colour


class Things(msgspec.Struct):
    """Several of them."""

    items: list[Thing]


@pytest.fixture
def document() -> dict[str, Any]:
    """The document that Litestar writes for two endpoints."""

    @post("/things", summary="Make one", description="It takes a while.", sync_to_thread=False)
    def make(data: JSONBody[Wish]) -> Thing:
        raise NotImplementedError(data)

    @get("/things/{thing:str}/all", summary="See all", sync_to_thread=False)
    def see(thing: FromPath[str]) -> Things:
        raise NotImplementedError(thing)

    config = OpenAPIConfig(title="Things", version="1")
    return Litestar([make, see], openapi_config=config).openapi_schema.to_schema()


def test_endpoints_say_what_they_take_and_answer(document: dict[str, Any]) -> None:
    """Each endpoint stands there with its fields, which of them may be left out, and the answer."""
    endpoints, _ = apidoc.read(document)
    by_summary = {one.summary: one for one in endpoints}
    make, see = by_summary["Make one"], by_summary["See all"]
    assert (make.method, make.path, make.description) == ("POST", "/things", "It takes a while.")
    assert make.fields == (
        Field("title", "text, at most 40 characters"),
        Field("number", "whole number", required=False),
    )
    assert make.replies == (Reply("201", shape="Thing"),)
    assert (see.path, see.fields) == ("/things/{thing}/all", (Field("thing", "text"),))
    assert make.anchor != see.anchor


def test_shapes_say_what_their_fields_hold(document: dict[str, Any]) -> None:
    """Times, choices, lists and what may be missing are told in words."""
    _, shapes = apidoc.read(document)
    assert {shape.name: shape.fields for shape in shapes} == {
        "Wish": (
            Field("title", "text, at most 40 characters"),
            Field("number", "whole number", required=False),
        ),
        "Thing": (
            Field("made_at", "time (RFC 3339)"),
            Field("gone_at", "time (RFC 3339) or null"),
            Field("colour", "one of red, green"),
        ),
        "Things": (Field("items", "list of", "Thing"),),
    }


def test_something_else_than_a_document_is_refused() -> None:
    """A document that is none is an error, and never an empty page."""
    with pytest.raises(msgspec.ValidationError):
        apidoc.read({"paths": 1})


def document_of(paths: dict[str, Any]) -> dict[str, Any]:
    """Return an OpenAPI document of these endpoints."""
    return {"openapi": "3.1.0", "paths": paths, "components": {"schemas": {"Thing": {}}}}


def test_refusals_are_documented() -> None:
    """Each endpoint says which refusals it may answer, as the problems that they are."""
    made: dict[str, Any] = {"responses": {"200": {}, "400": {"content": {"application/json": {}}}}}
    found = apidoc.with_refusals(
        document_of(
            {
                "/login": {"post": made | {"security": [], "requestBody": {}}},
                "/sessions": {"get": made, "post": made | {"requestBody": {}}},
                "/sessions/{id}": {"get": made},
                "/join": {"post": made},
            }
        )
    )
    statuses = {
        (method, path): set(operation["responses"])
        for path, operations in found["paths"].items()
        for method, operation in operations.items()
    }
    usual = {"200", "400", "503"}
    assert statuses == {
        ("post", "/login"): usual | {"401", "413", "415", "429"},
        ("get", "/sessions"): usual | {"401", "403"},
        ("post", "/sessions"): usual | {"401", "403", "409", "413", "415", "429"},
        ("get", "/sessions/{id}"): usual | {"401", "403", "404"},
        ("post", "/join"): usual | {"401", "403", "410", "429"},
    }
    assert found["components"]["schemas"].keys() == {"Thing", "Problem"}
    for operations in found["paths"].values():
        for operation in operations.values():
            assert list(operation["responses"]["400"]["content"]) == ["application/problem+json"]
