"""The embedded API, asked without a network what ``tests/realcluster/golden.py`` asks a real API server."""

from __future__ import annotations

import json
import random
from typing import Any
from urllib.parse import parse_qsl

from headlessdns.lab.api.messages import Answer, Request
from headlessdns.lab.api.server import Api

Json = dict[str, Any]


class Asking:
    """An API of its own, with nothing in it but what every cluster has."""

    def __init__(self) -> None:
        self._api = Api(rng=random.Random(1))

    def ask(self, method: str, path: str, body: object, content_type: str = "application/json") -> tuple[bool, Json]:
        """Return whether the request was granted, and the object or the Status."""
        path, _, query = path.partition("?")
        octets = json.dumps(body).encode()
        request = Request(method, path, dict(parse_qsl(query)), octets, content_type, user_agent="tester/1")
        answer = self._api.handle(request)
        assert isinstance(answer, Answer)
        return answer.status < 400, json.loads(answer.body)
