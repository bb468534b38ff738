"""A document of the API for the page that shows it to people."""

from __future__ import annotations

from collections.abc import Mapping

from tests.support.page_views.common import HOSTILE, Pages

API: Mapping[str, object] = {
    "paths": {
        "/api/v1/sessions": {
            "post": {
                "summary": "Launch",
                "description": HOSTILE,
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/LaunchIn"}}
                    }
                },
                "responses": {
                    "202": {
                        "content": {
                            "application/json": {
                                "schema": {"$ref": "#/components/schemas/SessionOut"}
                            }
                        }
                    }
                },
            }
        }
    },
    "components": {
        "schemas": {
            "LaunchIn": {
                "properties": {
                    "profile": {"type": "string", "maxLength": 64},
                    "name": {"type": "string", "maxLength": 160},
                },
                "required": ["profile"],
            },
            "SessionOut": {
                "properties": {
                    "id": {"type": "string"},
                    "created_at": {"type": "string", "format": "date-time"},
                    "a_field_with_a_long_name_that_goes_on": {"enum": ["pending", "ready"]},
                },
            },
        }
    },
}

PAGES: Pages = {
    "docs": lambda r: r.docs(API),
}
