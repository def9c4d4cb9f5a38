"""The prediction cache: exact, bounded in all bytes, what is used again stays; one flight for equal inputs."""

import gc
import random
import sys
import tracemalloc
from collections.abc import Callable

import pytest
from clipper.v1.query_service_pb2 import Prediction

from services.common.names import InputType
from services.common.records import Application, Change, ModelVersion
from services.query.engine.cache import CacheKey, PredictionCache
from services.query.engine.requests import NOBODY, DefaultReason, Request, Task
from services.query.engine.versions import Route, Version
from tests.fixtures.worlds import World, outputs, sizes

_VERSION = Version(ModelVersion("m", "1", InputType.DOUBLES), queue_capacity=1)
_OUTPUT = "output 001"


def _key(number: int, version: int = 0) -> CacheKey:
    return version, b"%100d" % number


def _task(key: CacheKey) -> Task:
    request = Request(Route(Application("app", InputType.DOUBLES, "", 1), {}), _VERSION, [key[1]], 0, 0.0, 1.0, NOBODY)
    return Task(_VERSION, key[1], request.queries[0], key)


_TASK = _task(_key(0))


def _compute(cache: PredictionCache, key: CacheKey, output: str = _OUTPUT, now_s: float = 0.0) -> None:
    cache.take_off(key, _TASK)
    cache.land(key, output, now_s)


def _filled(capacity_bytes: int, *numbers: int) -> PredictionCache:
    cache = PredictionCache(capacity_bytes)
    for number in numbers:
        _compute(cache, _key(number))
    return cache


_ENTRY_BYTES = _filled(10_000, 1).size_bytes
"""What an input of 100 bytes with an output of 10 is counted as."""


def _kept(cache: PredictionCache, numbers: range, version: int = 0) -> list[int]:
    return [number for number in numbers if cache.output(_key(number, version)) is not None]


def _ask(cache: PredictionCache, numbers: range) -> int:
    """Asks for each, computing what is missing; returns how many were there."""
    hits = 0
    for number in numbers:
        if cache.output(_key(number)) is None:
            _compute(cache, _key(number))
        else:
            hits += 1
    return hits


# Finding


def test_an_output_is_found_by_version_and_whole_input() -> None:
    cache = _filled(10_000, 1)
    assert cache.output(_key(1)) == _OUTPUT
    assert cache.output(_key(2)) is None
    assert cache.output(_key(1, version=1)) is None


def test_an_empty_output_is_an_output() -> None:
    cache = PredictionCache(10_000)
    _compute(cache, _key(1), "")
    assert cache.output(_key(1)) == ""
    assert cache.hits == 1


def test_an_output_is_found_only_by_those_whom_it_is_young_enough_for() -> None:
    cache = PredictionCache(10_000)
    _compute(cache, _key(1), now_s=10.0)
    assert cache.output(_key(1), not_before_s=10.0) == _OUTPUT
    assert cache.output(_key(1), not_before_s=10.1) is None
    assert cache.output(_key(1)) == _OUTPUT
    assert (cache.lookups, cache.hits) == (3, 2)


def test_an_output_that_is_learnt_again_replaces_the_old_one_and_is_counted_once() -> None:
    cache = _filled(10_000, 1)
    _compute(cache, _key(1), "other", now_s=10.0)
    assert cache.output(_key(1), not_before_s=10.0) == "other"
    assert cache.size_bytes == _ENTRY_BYTES - 5


def test_lookups_and_hits_are_counted() -> None:
    cache = _filled(10_000, 1)
    for number in (1, 1, 2):
        cache.output(_key(number))
    assert (cache.lookups, cache.hits) == (3, 2)


# What stays


def test_what_was_used_outlives_any_number_of_inputs_that_are_asked_for_once() -> None:
    cache = _filled(100 * _ENTRY_BYTES, *range(10))
    for scanned in range(1_000, 11_000, 100):
        assert _ask(cache, range(10)) == 10
        _ask(cache, range(scanned, scanned + 100))


def test_what_is_used_no_more_leaves() -> None:
    cache = _filled(100 * _ENTRY_BYTES, *range(100))
    _ask(cache, range(100))
    for begin in range(1_000, 1_500, 10):
        _ask(cache, range(begin, begin + 10))
        _ask(cache, range(begin, begin + 10))
    assert len(_kept(cache, range(100))) < 50


def test_what_is_new_can_wait_for_its_second_use_while_a_fifth_of_the_cache_is_replaced() -> None:
    cache = _filled(100 * _ENTRY_BYTES, *range(100))
    _ask(cache, range(100))
    for begin in range(1_000, 3_000, 15):
        _ask(cache, range(begin, begin + 15))
        assert _ask(cache, range(begin, begin + 15)) == 15


def test_a_landing_finds_room_even_when_everything_was_used() -> None:
    cache = _filled(1_000 * _ENTRY_BYTES, *range(1_000))
    _ask(cache, range(1_000))
    _compute(cache, _key(1_000))
    assert cache.output(_key(1_000)) == _OUTPUT
    assert len(_kept(cache, range(1_000))) >= 998


@pytest.mark.parametrize("used", [True, False])
def test_a_landing_takes_no_longer_in_a_larger_cache(used: bool) -> None:
    small, large = (_calls_of_a_landing(entries, used) for entries in (500, 5_000))
    assert large <= small


def _calls_of_a_landing(entries: int, used: bool) -> int:
    cache = _filled(entries * _ENTRY_BYTES, *range(entries))
    if used:
        _ask(cache, range(entries))
    calls: list[str] = []
    sys.setprofile(lambda _frame, event, _argument: calls.append(event))
    try:
        _compute(cache, _key(entries))
    finally:
        sys.setprofile(None)
    return len(calls)


# Bounds


def test_an_empty_cache_takes_nothing() -> None:
    assert _filled(10_000).size_bytes == 0


def test_the_size_counts_every_input_and_output() -> None:
    cache = _filled(10_000, 1, 2)
    assert cache.size_bytes == 2 * _ENTRY_BYTES
    _compute(cache, (0, b"x" * 1_100), "x" * 1_010)
    assert cache.size_bytes == 3 * _ENTRY_BYTES + 2_000


def test_what_is_larger_than_the_cache_is_not_kept_and_evicts_nothing() -> None:
    cache = _filled(2 * _ENTRY_BYTES, 1, 2)
    _compute(cache, _key(3), "x" * 2 * _ENTRY_BYTES)
    assert _kept(cache, range(4)) == [1, 2]


def test_an_output_that_grew_makes_others_leave() -> None:
    cache = _filled(4 * _ENTRY_BYTES, 1, 2, 3, 4)
    _compute(cache, _key(4), "x" * _ENTRY_BYTES)
    assert cache.size_bytes <= 4 * _ENTRY_BYTES
    assert cache.output(_key(4)) == "x" * _ENTRY_BYTES


def test_the_capacity_is_never_exceeded_and_the_size_never_drifts() -> None:
    seeded = random.Random(11)
    cache = PredictionCache(20_000)
    version = 0
    for _ in range(20_000):
        key = _key(seeded.randrange(200), version - seeded.randrange(2))
        if seeded.random() < 0.5:
            cache.output(key)
        else:
            _compute(cache, key, seeded.choice("xäж𝄞") * seeded.randrange(500))
        if seeded.random() < 0.001:
            version += 1
            cache.forget(version - 2)
        assert 0 <= cache.size_bytes <= 20_000
    for number in (version - 1, version):
        cache.forget(number)
    _compute(cache, _key(0, version + 1), "x" * (20_000 - _ENTRY_BYTES + 10))
    assert cache.size_bytes == 20_000


_KINDS: dict[str, Callable[[random.Random], tuple[bytes, str]]] = {
    "vectors": lambda generator: (generator.randbytes(80), generator.choice(["0.25", "1"]) * 2),
    "images": lambda generator: (generator.randbytes(6_272), str(generator.random())),
    "mixed": lambda generator: (generator.randbytes(generator.randrange(4_000)), "x" * generator.randrange(2_000)),
    "words": lambda generator: (generator.randbytes(30), "ж" + "é" * generator.randrange(300)),
}


@pytest.mark.parametrize("forgetful", [True, False], ids=["each a version", "one version"])
@pytest.mark.parametrize("kinds", [["vectors", "images", "vectors"], ["mixed", "words", "images"]])
def test_the_memory_taken_is_never_more_than_the_capacity(kinds: list[str], forgetful: bool) -> None:
    capacity_bytes = 1_000_000
    generator = random.Random(5)
    cache = PredictionCache(capacity_bytes)
    # A collection empties the interpreter's lists of freed objects: what they gain counts here, whatever ran before.
    gc.collect()
    tracemalloc.start()
    try:
        before_bytes = tracemalloc.get_traced_memory()[0]
        for number, kind in enumerate(kinds):
            taken_bytes = 0
            for turn in range(4_000):
                data, output = _KINDS[kind](generator)
                # As production does; it makes CPython keep the output's UTF-8 with it.
                Prediction(output=output)
                _compute(cache, (number if forgetful else 0, data), output, turn * 0.5)
                taken_bytes = tracemalloc.get_traced_memory()[0] - before_bytes
                assert taken_bytes <= cache.size_bytes + 6_000
            assert taken_bytes >= 0.5 * cache.size_bytes
            assert cache.size_bytes >= 0.95 * capacity_bytes
            if forgetful:
                cache.forget(number)
    finally:
        tracemalloc.stop()


def test_large_inputs_get_the_whole_cache_after_small_ones() -> None:
    large = [(0, b"%6000d" % number) for number in range(300)]
    cache, other = PredictionCache(1_000_000), PredictionCache(1_000_000)
    _ask(cache, range(5_000))
    for key in large:
        _compute(cache, key)
        _compute(other, key)
    kept, most = (sum(each.output(key) is not None for key in large) for each in (cache, other))
    assert kept >= 0.95 * most


# Versions


def test_a_forgotten_version_is_not_found() -> None:
    cache = _filled(10_000, 1)
    cache.forget(0)
    assert cache.output(_key(1)) is None


def test_the_room_of_a_forgotten_version_is_used_before_any_others() -> None:
    cache = PredictionCache(100 * _ENTRY_BYTES)
    for number in range(50):
        _compute(cache, _key(number, version=1))
        _compute(cache, _key(number, version=2))
    cache.forget(1)
    for number in range(30):
        _compute(cache, _key(number, version=3))
    assert _kept(cache, range(50), version=2) == list(range(50))
    assert _kept(cache, range(30), version=3) == list(range(30))


def test_a_forgotten_version_gives_its_memory_back_while_others_are_used() -> None:
    cache = PredictionCache(10_000_000)
    for number in range(100):
        _compute(cache, _key(number, version=1), "x" * 10_000)
    cache.forget(1)
    for number in range(10):
        _compute(cache, _key(number, version=2))
    assert cache.size_bytes < 100 * _ENTRY_BYTES


def test_what_lands_after_its_version_was_forgotten_is_not_kept() -> None:
    cache = PredictionCache(10_000)
    cache.take_off(_key(1), _TASK)
    cache.forget(0)
    cache.land(_key(1), _OUTPUT, 0.0)
    assert cache.flight(_key(1)) is None
    assert cache.output(_key(1)) is None
    assert cache.size_bytes == 0


def test_a_version_that_was_never_asked_can_be_forgotten() -> None:
    cache = _filled(10_000, 1)
    cache.forget(7)
    assert cache.output(_key(1)) == _OUTPUT


# Flights


def test_a_flight_is_found_until_it_lands_or_is_abandoned() -> None:
    cache = PredictionCache(10_000)
    task = _task(_key(1))
    cache.take_off(_key(1), task)
    assert cache.flight(_key(1)) is task
    cache.abandon(_key(1))
    assert cache.flight(_key(1)) is None
    assert cache.output(_key(1)) is None
    cache.take_off(_key(1), task)
    cache.land(_key(1), _OUTPUT, 0.0)
    assert cache.flight(_key(1)) is None
    assert cache.output(_key(1)) == _OUTPUT


def test_flights_take_no_room() -> None:
    cache = PredictionCache(_ENTRY_BYTES)
    for number in range(10):
        cache.take_off(_key(number), _task(_key(number)))
    assert cache.size_bytes == 0


def test_a_capacity_of_0_turns_the_cache_off() -> None:
    assert not PredictionCache(0).enabled
    assert PredictionCache(1).enabled


# In the engine


def test_a_thousand_equal_queries_at_once_reach_the_model_once() -> None:
    world = World(cache_bytes=10_000)
    requests = [world.ask(b"x") for _ in range(1_000)]
    assert sizes(world.batches) == [1]
    world.answer_all()
    assert all(outputs(request) == ["answer to x"] for request in requests)
    assert outputs(world.ask(b"x")) == ["answer to x"]
    assert not world.batches


def test_the_predictions_of_a_deleted_version_leave_the_cache() -> None:
    world = World(cache_bytes=1_000_000)
    world.ask(*(b"%d" % number for number in range(20)))
    world.answer_all()
    taken = world.engine.cache.size_bytes
    world.change(Change.delete(world.configuration.model_versions["m:1"]))
    world.change(Change.put(ModelVersion("m", "1", InputType.DOUBLES, registration=9)))
    world.ask(b"x")
    world.answer_all()
    world.ask(b"y")
    world.answer_all()
    assert 0 < world.engine.cache.size_bytes < taken / 2


def test_a_batch_of_a_deleted_version_is_not_kept() -> None:
    world = World(cache_bytes=10_000)
    request = world.ask(b"x")
    world.change(Change.delete(world.configuration.model_versions["m:1"]))
    world.answer_all()
    assert request.queries[0].reason is DefaultReason.NONE
    assert world.engine.cache.size_bytes == 0
