"""The contracts of predict and update, byte for byte: what was answered once to each request is answered again."""

import json
from pathlib import Path

from tests.fixtures.exchanges import played, serving
from tests.fixtures.redis_server import RedisServer

_RECORDED = Path(__file__).parent / "recorded" / "exchanges.json"


def test_every_recorded_request_is_answered_as_it_was(redis_server: RedisServer, tmp_path: Path) -> None:
    recorded = json.loads(_RECORDED.read_text())
    with serving(redis_server, tmp_path) as service:
        assert played(service) == recorded
