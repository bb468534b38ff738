"""What programs that are made from the API's document rely on stays as it is."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.hub import World

pytestmark = pytest.mark.anyio

# Two objects have the same name. Their keys are given where they are answered.
GIVEN = {"admin_LoggedOutOut", "api_LoggedOutOut"}


async def test_names_of_objects_do_not_come_from_where_they_stand(hub: World) -> None:
    """Types in a program that was made from the document keep their names when the hub changes."""
    document = (await hub.client().get("/api/openapi.json")).json()
    schemas = document["components"]["schemas"]
    assert {name for name, schema in schemas.items() if name != schema["title"]} == GIVEN
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert named == set(schemas)


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("delete", "/api/v1/me/logins", "api_LoggedOutOut"),
        ("post", "/api/v1/admin/users/{user}/logout", "admin_LoggedOutOut"),
    ],
)
async def test_both_answers_to_the_end_of_log_ins_keep_their_names(
    hub: World, method: str, path: str, name: str
) -> None:
    """A program still finds the answer of each of the two by the name that it knows."""
    document = (await hub.client().get("/api/openapi.json")).json()
    answers = document["paths"][path][method]["responses"]
    (answer,) = (given for status, given in answers.items() if status.startswith("2"))
    assert answer["content"]["application/json"]["schema"] == {
        "$ref": f"#/components/schemas/{name}"
    }
