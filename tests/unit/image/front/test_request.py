"""The head of a request is read in one way, or not at all."""

from __future__ import annotations

import pytest
from app.front.request import parse_head


def test_the_head_of_a_request() -> None:
    """Method, path without its query, and headers by their usual names."""
    head = b"POST /-/kick?x=1 HTTP/1.1\r\ncontent-LENGTH: 2\r\nX-Slicerhub-Role: view\r\n\r\n"
    request = parse_head(head)
    assert (request.method, request.path) == ("POST", "/-/kick")
    assert request.headers == {"Content-Length": "2", "X-Slicerhub-Role": "view"}
    with pytest.raises(ValueError, match="unpack"):
        parse_head(b"nonsense\r\n\r\n")
