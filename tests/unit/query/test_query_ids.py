"""Query ids within their blocks."""

import random

from services.query.query_ids import QueryIds

_BLOCK = 1 << 32


def _block(number: int) -> range:
    return range(number * _BLOCK, (number + 1) * _BLOCK)


def test_ids_count_up_from_the_start_of_the_block() -> None:
    ids = QueryIds(range(100, 200))
    assert [ids.take(1), ids.take(3), ids.take(1)] == [100, 101, 104]


def test_taking_none_uses_none() -> None:
    ids = QueryIds(range(100, 200))
    assert ids.take(0) == ids.take(1) == 100


def test_no_id_is_given_twice_across_blocks() -> None:
    seeded = random.Random(7)
    ids = QueryIds(range(1_000))
    seen: set[int] = set()
    for block in range(1, 20):
        ids.reserve(range(block * 1_000, (block + 1) * 1_000))
        for _ in range(30):
            count = seeded.randrange(1, 40)
            first = ids.take(count)
            taken = set(range(first, first + count))
            assert not taken & seen
            seen |= taken


def test_the_ids_of_one_request_are_successive_across_the_end_of_a_block() -> None:
    ids = QueryIds(range(10))
    ids.reserve(range(100, 200))
    ids.take(8)
    assert ids.take(3) == 100
    assert ids.take(1) == 103


def test_a_further_block_is_wanted_long_before_the_end_and_not_twice() -> None:
    ids = QueryIds(_block(0))
    assert not ids.running_low
    ids.take(_BLOCK - (1 << 30))
    assert not ids.running_low
    ids.take(1)
    assert ids.running_low
    ids.reserve(_block(5))
    assert not ids.running_low


def test_a_used_up_block_makes_way_for_the_reserve_which_needs_one_in_turn() -> None:
    ids = QueryIds(_block(0))
    ids.reserve(_block(5))
    ids.take(_BLOCK)
    assert ids.take(1) == 5 * _BLOCK
    assert not ids.running_low
    ids.take(_BLOCK - 2)
    assert ids.running_low


def test_ids_fit_a_json_number() -> None:
    last_block = _block((1 << 21) - 1)
    assert QueryIds(last_block).take(_BLOCK) + _BLOCK - 1 < 2**53
