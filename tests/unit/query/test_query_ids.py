"""Query ids within their blocks."""

import random

from services.query.redis_thread.query_ids import FIRST_BLOCK, QueryIds


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


def test_a_further_block_is_wanted_whenever_there_is_none_in_reserve() -> None:
    ids = QueryIds(range(FIRST_BLOCK))
    assert ids.wanted
    ids.reserve(range(5 * FIRST_BLOCK, 9 * FIRST_BLOCK))
    assert not ids.wanted
    ids.take(FIRST_BLOCK)
    assert not ids.wanted
    assert ids.take(1) == 5 * FIRST_BLOCK
    assert ids.wanted


def test_blocks_grow_with_what_is_used_so_that_what_is_left_lasts_for_some_times_as_long() -> None:
    ids, end, used = QueryIds(range(FIRST_BLOCK)), FIRST_BLOCK, 0
    sizes = []
    while used < 20 * FIRST_BLOCK:
        if wanted := ids.wanted:
            sizes.append(wanted)
            ids.reserve(range(end, end := end + wanted))
        ids.take(FIRST_BLOCK // 64)
        used += FIRST_BLOCK // 64
        assert end - used >= 3 * used
    assert sizes == [4 * FIRST_BLOCK, 16 * FIRST_BLOCK, 64 * FIRST_BLOCK]


def test_a_block_is_never_so_large_that_it_takes_the_ids_of_more_than_ten_seconds() -> None:
    assert QueryIds(range(1 << 26)).wanted == 1 << 26
