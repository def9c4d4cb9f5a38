"""The prediction cache: bounded in bytes, least recently used first out, one flight for equal inputs."""

import random
import sys

from services.common.names import InputType
from services.common.records import Application, ModelVersion
from services.query.engine.cache import CacheKey, PredictionCache
from services.query.engine.requests import Request, Task
from services.query.engine.versions import Route, Version

_VERSION = Version(ModelVersion("m", "1", InputType.DOUBLES), queue_capacity=1)
# An input of 100 bytes with an output of 10 is counted with 280 bytes of bookkeeping.
_ENTRY_BYTES = 390


def _key(number: int, version: int = 0) -> CacheKey:
    return version, b"%100d" % number


def _task(key: CacheKey) -> Task:
    request = Request(Route(Application("app", InputType.DOUBLES, "", 1), None), _VERSION, [key[1]], 0, 0.0, 1.0, None)
    return Task(_VERSION, key[1], request.queries[0], key)


def _filled(capacity_bytes: int, *numbers: int) -> PredictionCache:
    cache = PredictionCache(capacity_bytes)
    for number in numbers:
        cache.land(_key(number), f"output {number:03}")
    return cache


def _kept(cache: PredictionCache, numbers: range) -> list[int]:
    return [number for number in numbers if cache.output(_key(number)) is not None]


def test_an_output_is_found_by_version_and_whole_input() -> None:
    cache = _filled(10_000, 1)
    assert cache.output(_key(1)) == "output 001"
    assert cache.output(_key(2)) is None
    assert cache.output(_key(1, version=1)) is None


def test_an_empty_output_is_an_output() -> None:
    cache = PredictionCache(10_000)
    cache.land(_key(1), "")
    assert cache.output(_key(1)) == ""
    assert cache.hits == 1


def test_the_least_recently_used_leaves_first() -> None:
    cache = _filled(3 * _ENTRY_BYTES, 1, 2, 3)
    cache.output(_key(1))
    cache.land(_key(4), "x" * 10)
    assert _kept(cache, range(6)) == [1, 3, 4]


def test_the_size_counts_keys_outputs_and_bookkeeping() -> None:
    assert _filled(10_000).size_bytes == 0
    assert _filled(10_000, 1).size_bytes == _ENTRY_BYTES
    assert _filled(10_000, 1, 2).size_bytes == 2 * _ENTRY_BYTES


def test_the_bookkeeping_is_no_less_than_what_python_needs() -> None:
    key, output = _key(1), "output"
    needed = sys.getsizeof(key) + sys.getsizeof(key[1]) + sys.getsizeof(output)
    cache = PredictionCache(10_000)
    cache.land(key, output)
    assert cache.size_bytes >= needed


def test_an_output_that_is_learnt_again_replaces_the_old_one_and_is_counted_once() -> None:
    cache = _filled(10_000, 1)
    cache.land(_key(1), "other")
    assert cache.output(_key(1)) == "other"
    assert cache.size_bytes == _ENTRY_BYTES - 5


def test_what_is_larger_than_the_cache_is_not_kept_and_evicts_nothing() -> None:
    cache = _filled(2 * _ENTRY_BYTES, 1, 2)
    cache.land(_key(3), "x" * 2 * _ENTRY_BYTES)
    assert _kept(cache, range(4)) == [1, 2]


def test_the_capacity_is_never_exceeded_and_the_size_never_drifts() -> None:
    seeded = random.Random(11)
    cache = PredictionCache(20_000)
    for _ in range(5_000):
        if seeded.random() < 0.5:
            cache.output(_key(seeded.randrange(200)))
        else:
            cache.land(_key(seeded.randrange(200)), "x" * seeded.randrange(2_000))
        assert 0 <= cache.size_bytes <= 20_000
    cache.land(_key(-1), "x" * (20_000 - _ENTRY_BYTES + 10))
    assert _kept(cache, range(200)) == []
    assert cache.size_bytes == 20_000


def test_lookups_and_hits_are_counted() -> None:
    cache = _filled(10_000, 1)
    for number in (1, 1, 2):
        cache.output(_key(number))
    assert (cache.lookups, cache.hits) == (3, 2)


def test_a_flight_is_found_until_it_lands_with_or_without_an_output() -> None:
    cache = PredictionCache(10_000)
    for output in ("output", None):
        task = _task(_key(1))
        cache.take_off(_key(1), task)
        assert cache.flight(_key(1)) is task
        cache.land(_key(1), output)
        assert cache.flight(_key(1)) is None
    assert cache.output(_key(1)) == "output"


def test_flights_take_no_room() -> None:
    cache = PredictionCache(_ENTRY_BYTES)
    for number in range(10):
        cache.take_off(_key(number), _task(_key(number)))
    assert cache.size_bytes == 0


def test_a_capacity_of_0_turns_the_cache_off() -> None:
    assert not PredictionCache(0).enabled
    assert PredictionCache(1).enabled
