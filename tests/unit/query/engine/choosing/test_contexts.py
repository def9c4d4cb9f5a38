"""What is known of contexts: how old it may be, when it is read again, and what is forgotten."""

import pytest

from services.common.names import InputType
from services.common.records import Application
from services.common.selection_records import ContextKey
from services.query.engine.choosing import contexts as module
from services.query.engine.choosing.contexts import Contexts
from services.query.engine.effects import Outbox
from services.query.engine.policies.registry import make
from services.query.engine.policies.selector import Selector


def _selector(*models: str) -> Selector:
    application = Application("app", InputType.DOUBLES, "", 1_000, models or ("a", "b"), selection_policy="exp3")
    return Selector(application, make(application))


class _Watched(Contexts):
    """Contexts, and what they want to have read since the last look."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        super().__init__(self.outbox)

    def reads(self) -> list[ContextKey]:
        return self.outbox.take().reads


_KEY = ContextKey("app", 0, "ann")
_COMMON = ContextKey("app", 0, "")
_STATE = {"log_weight:a": -1.0, "log_weight:b": -2.0}


def _read(now_s: float = 0.0) -> _Watched:
    """Contexts in which one was read at a time."""
    contexts = _Watched()
    contexts.state(_KEY, _selector(), now_s)
    contexts.read(_KEY, _STATE, now_s)
    contexts.reads()
    return contexts


def test_what_is_unknown_is_read_and_waited_for() -> None:
    contexts = _Watched()
    assert contexts.state(_KEY, _selector(), 0.0) is None
    assert contexts.reads() == [_COMMON, _KEY]


def test_there_is_one_read_of_a_context_at_a_time() -> None:
    contexts = _Watched()
    for _ in range(5):
        assert contexts.state(_KEY, _selector(), 0.0) is None
    assert contexts.reads() == [_COMMON, _KEY]


def test_what_was_just_read_is_used_without_another_read() -> None:
    contexts = _read()
    assert contexts.state(_KEY, _selector(), 0.09) == _STATE
    assert contexts.reads() == []


def test_what_is_older_is_used_and_read_again() -> None:
    contexts = _read()
    assert contexts.state(_KEY, _selector(), 0.5) == _STATE
    assert contexts.reads() == [_KEY]
    contexts.read(_KEY, {}, 0.501)
    assert contexts.state(_KEY, _selector(), 0.502) == {"log_weight:a": 0.0, "log_weight:b": 0.0}


def test_what_is_older_than_a_second_is_waited_for() -> None:
    contexts = _read()
    assert contexts.state(_KEY, _selector(), 1.0) is None
    assert contexts.reads() == [_KEY]


def test_the_same_state_is_the_same_object_so_that_policies_may_remember_it() -> None:
    contexts = _read()
    first = contexts.state(_KEY, _selector(), 0.01)
    assert contexts.state(_KEY, _selector(), 0.02) is first


def test_a_state_is_completed_for_models_that_are_new_to_it() -> None:
    contexts = _read()
    assert set(contexts.state(_KEY, _selector("a", "b", "c"), 0.01) or {}) == {*_STATE, "log_weight:c"}


def test_while_redis_is_away_nobody_waits_and_it_is_tried_ten_times_a_second() -> None:
    contexts = _read()
    reads = 0
    for turn in range(1, 400):
        now_s = 1.0 + turn * 0.01
        state = contexts.state(_KEY, _selector(), now_s)
        assert state == _STATE or reads == 0
        for key in contexts.reads():
            contexts.read(key, None, now_s)
            reads += 1
    assert 35 <= reads <= 41


def test_once_redis_is_back_states_are_fresh_again() -> None:
    contexts = _read()
    contexts.state(_KEY, _selector(), 2.0)
    contexts.read(_KEY, None, 2.0)
    contexts.state(_KEY, _selector(), 2.2)
    contexts.read(_KEY, {"log_weight:a": 5.0, "log_weight:b": 0.0}, 2.2)
    assert (contexts.state(_KEY, _selector(), 2.25) or {})["log_weight:a"] == 5.0
    assert contexts.state(_KEY, _selector(), 3.3) is None


def test_a_read_that_takes_too_long_keeps_nobody_else_waiting() -> None:
    contexts = _Watched()
    assert contexts.state(_KEY, _selector(), 0.0) is None
    contexts.miss(_KEY)
    assert contexts.state(_KEY, _selector(), 0.01) is not None
    contexts.read(_KEY, _STATE, 0.02)
    assert contexts.state(_KEY, _selector(), 0.03) == _STATE


def test_what_feedback_has_led_to_is_used_at_once() -> None:
    contexts = _read()
    contexts.learned(_KEY, {"log_weight:a": -7.0, "log_weight:b": 0.0}, 0.05)
    assert (contexts.state(_KEY, _selector(), 0.06) or {})["log_weight:a"] == -7.0


def test_a_read_does_not_undo_what_feedback_has_taught_meanwhile() -> None:
    contexts = _read()
    contexts.state(_KEY, _selector(), 0.5)
    contexts.learned(_KEY, {"log_weight:a": -7.0, "log_weight:b": 0.0}, 0.6)
    contexts.read(_KEY, _STATE, 0.7)
    assert (contexts.state(_KEY, _selector(), 0.71) or {})["log_weight:a"] == -7.0


def test_what_is_not_known_is_what_the_policy_begins_with() -> None:
    assert _Watched().known(_KEY, _selector()) == {"log_weight:a": 0.0, "log_weight:b": 0.0}


def test_a_context_in_which_nothing_was_learned_begins_with_what_was_learned_without_one() -> None:
    contexts = _Watched()
    contexts.state(_KEY, _selector(), 0.0)
    contexts.read(_COMMON, _STATE, 0.01)
    contexts.read(_KEY, {}, 0.01)
    assert contexts.state(_KEY, _selector(), 0.02) == _STATE
    assert contexts.beginning(_KEY, _selector()) == _STATE
    contexts.learned(_KEY, {"log_weight:a": -7.0, "log_weight:b": 0.0}, 0.03)
    assert contexts.state(_KEY, _selector(), 0.04) == {"log_weight:a": -7.0, "log_weight:b": 0.0}


def test_what_was_learned_without_a_context_does_not_begin_with_itself() -> None:
    contexts = _Watched()
    contexts.learned(_COMMON, _STATE, 0.0)
    assert contexts.beginning(_COMMON, _selector()) == {}


def test_contexts_that_are_not_used_give_way_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_CONTEXTS", 3)
    contexts = _Watched()
    keys = [ContextKey("app", 0, str(number)) for number in range(4)]
    for key in keys[:3]:
        contexts.learned(key, _STATE, 0.0)
    contexts.state(keys[0], _selector(), 0.01)
    contexts.learned(keys[3], _STATE, 0.02)
    known = [contexts.state(key, _selector(), 0.03) is not None for key in (keys[0], keys[2], keys[3])]
    assert known == [True, True, True]
    assert contexts.state(keys[1], _selector(), 0.03) is None
