"""What an answer under load means: a refusal, a moment's trouble or neither."""

from __future__ import annotations

import httpx
from e2e.stack import URL

REFUSED = {401, 403, 404}


def is_temporary(answer: httpx.Response) -> bool:
    """Tell whether an answer says that it is worth another try."""
    if "x-echo" in answer.headers:
        return False  # it is a session's own
    if answer.status_code in {502, 503, 504}:
        return True
    # Traefik's own word for a forwardAuth that is away; it says nothing besides.
    return answer.status_code == 500 and not answer.content


def is_bare(answer: httpx.Response) -> bool:
    """Tell whether it is Traefik that knows nothing: in the first moment after its start.

    It listens before it has read what it shall serve. The hub's own 404 is a problem or a page.
    """
    kind = answer.headers.get("content-type", "").partition(";")[0]
    return answer.status_code == 404 and kind not in {"application/problem+json", "text/html"}


def is_refusal(answer: httpx.Response) -> bool:
    """Tell whether an answer lets nobody in."""
    if "x-echo" in answer.headers or is_bare(answer):
        return False
    if answer.status_code == 302:  # to the hub, which is asked and lets nobody in
        return answer.headers["location"].startswith(f"{URL}/")
    return answer.status_code in REFUSED


def words_of(answer: httpx.Response) -> str:
    """Return what an answer says, without what differs from one to the next."""
    again = ", Retry-After" if "retry-after" in answer.headers else ""
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if kind == "application/problem+json":
        told = answer.json()
        detail = str(told.get("detail", "")).partition(" (")[0]
        return f"{answer.status_code} {told.get('title')}: {detail}{again}"
    return f"{answer.status_code} {kind or 'nothing'}{again}"
