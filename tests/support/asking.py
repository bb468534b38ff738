"""Single requests, as patient as a browser: a machine that runs the tests may be slow to answer."""

from __future__ import annotations

from functools import partial

import httpx

PATIENCE = 30  # seconds

get = partial(httpx.get, timeout=PATIENCE)
post = partial(httpx.post, timeout=PATIENCE)
