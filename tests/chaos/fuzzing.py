"""Cases from a seed: each has a number and can be made again alone."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from clipper.v1 import management_service_pb2 as management_pb2
from clipper.v1 import model_container_service_pb2, query_service_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tests.chaos.cases import Call, Case, Exchange, Noise
from tests.chaos.mutations import message, mutated
from tests.fixtures.raw_http2 import frame, header_block, unary_call

_CORPUS = Path(__file__).with_name("corpus")
_CONTRACTS = {
    "query": query_service_pb2,
    "admin": management_pb2,
    "query service": query_service_pb2,
    "management": management_pb2,
    "model container": model_container_service_pb2,
}
_GENERAL = (health_pb2, reflection_pb2)
# Envoy answers health checks and reflection itself, or passes them to whom it likes.
_EDGE = ("query", "admin")
_METHODS = [
    (port, f"/{method.containing_service.full_name}/{method.name}", method)
    for port, contract in _CONTRACTS.items()
    for module in ((contract,) if port in _EDGE else (contract, *_GENERAL))
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    # The query service has no Health.List.
    if (port, method.name) != ("query service", "List")
]
_HUGE_BYTES = (70_000, 1 << 20, 5 << 20)
_REPEATED_FRAMES = 40


class Fuzzing:
    """All cases of one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._requests = _read("rest.jsonl")
        self._headers = [(name, value.encode("latin-1")) for name, value in _read("headers.jsonl")]

    def case(self, number: int) -> Case:
        """The case of a number."""
        random = Random(f"{self._seed}:{number}")
        kinds: tuple[Callable[[Random], Case], ...]
        kinds = (self._exchange, self._call, self._http1_noise, self._http2_noise)
        return random.choices(kinds, weights=(35, 45, 8, 12))[0](random)

    def _exchange(self, random: Random) -> Case:
        asked = random.choice(self._requests)
        path, body = asked["path"].encode(), asked["body"].encode()
        if random.random() < 0.2:
            path = b"/" + bytes(byte for byte in mutated(random, path) if byte not in b" \r\n\t\0").lstrip(b"/")
        if random.random() < 0.8:
            body = mutated(random, body)
        if random.random() < 0.002:
            body = body.ljust(random.choice(_HUGE_BYTES), b" ")
        line = asked["method"].encode() + b" " + path + b" HTTP/1.1\r\nhost: clipper\r\n"
        return Exchange(asked["port"], line + self._header_lines(random), body)

    def _header_lines(self, random: Random) -> bytes:
        chosen = random.sample(self._headers, random.choice((0, 0, 1, 1, 2)))
        framing = ("transfer-encoding", "expect", "connection", "upgrade", "host")
        return b"".join(name.encode() + b": " + value + b"\r\n" for name, value in chosen if name not in framing)

    def _call(self, random: Random) -> Case:
        port, path, method = random.choice(_METHODS)
        count = random.randint(1, 3) if method.client_streaming else 1
        messages = [self._message(random, method.input_type) for _ in range(count)]
        return Call(port, path, method.input_type, messages)

    def _message(self, random: Random, kind: Any) -> bytes:
        data = message(random, kind).SerializeToString()
        if random.random() < 0.6:
            data = mutated(random, data)
        return data * (random.choice(_HUGE_BYTES) // (len(data) + 1)) if random.random() < 0.002 else data

    def _http1_noise(self, random: Random) -> Case:
        asked = random.choice(self._requests)
        body = asked["body"].encode()
        lines = b"".join(b"%s: %s\r\n" % (name.encode(), value) for name, value in random.sample(self._headers, 2))
        head = f"{asked['method']} {asked['path']} HTTP/1.1\r\nhost: clipper\r\ncontent-length: {len(body)}\r\n"
        return Noise(asked["port"], mutated(random, head.encode() + lines + b"\r\n" + body))

    def _http2_noise(self, random: Random) -> Case:
        port, path, method = random.choice(_METHODS)
        headers = random.sample(self._headers, random.choice((0, 1, 2)))
        data = unary_call("clipper", path, message(random, method.input_type).SerializeToString(), headers)
        more = b""
        if random.random() < 0.5:
            more = b"".join(_random_frame(random) for _ in range(random.choice((1, 3, _REPEATED_FRAMES))))
        if random.random() < 0.3:
            return Noise(port, data + more)
        return Noise(port, mutated(random, data + more))


def _random_frame(random: Random) -> bytes:
    kind, flags, stream = random.randrange(12), random.choice((0, 1, 4, 5, 8, 32, 255)), random.choice((0, 1, 2, 3, 5))
    payload = random.choice(
        (b"", struct.pack("!I", random.getrandbits(32)), random.randbytes(random.choice((6, 8, 50))))
    )
    if random.random() < 0.3:
        kind, payload = 1, header_block({":method": b"POST", ":path": b"/"}, [("x", random.randbytes(20))])
    return frame(kind, flags, stream, payload)


def _read(name: str) -> list[Any]:
    return [json.loads(line) for line in (_CORPUS / name).read_text().splitlines()]
