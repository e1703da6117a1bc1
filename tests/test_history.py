"""Back, forward, and on another way: the tree of what was asked."""

from __future__ import annotations

import pytest

from assistant.errors import QuestionError
from assistant.history import History


def grown(*states: str) -> History[str]:
    history = History("start")
    for state in states:
        history.add(state)
    return history


def test_back_and_forward_again():
    history = grown("a", "b")
    assert [history.back(), history.back()] == ["a", "start"]
    with pytest.raises(QuestionError, match="nothing to undo"):
        history.back()
    assert [history.forward(), history.forward()] == ["a", "b"]
    with pytest.raises(QuestionError, match="nothing to redo"):
        history.forward()


def test_another_way_leaves_the_first_one_whole():
    history = grown("a", "b", "c")
    history.go(1)
    history.add("other b")
    assert history.path() == [0, 1, 4]
    assert history.siblings(4) == [2, 4]
    assert history.next is None
    assert history.go(history.tip(2)) == "c"
    assert history.path() == [0, 1, 2, 3]
    history.go(1)
    assert history.forward() == "b"  # the way that was last gone


def test_a_step_keeps_its_number_and_its_state_can_be_replaced():
    history = grown("a")
    history.update("a, told")
    assert (history.step, history.state) == (1, "a, told")
    with pytest.raises(QuestionError, match="no step 7"):
        history.go(7)


def test_other_ways_are_forgotten_from_their_ends_and_the_oldest_first():
    history = grown("a", "b", "c")
    history.go(0)
    history.add("x")
    history.go(0)
    history.add("y")
    history.go(4)
    history.forget(lambda states: len(states) > 2)
    assert sorted(history.path() + history.siblings(1)) == [0, 1, 4, 4, 5]  # c and b went, then it was few enough
    history.back()
    history.forget(lambda states: True)
    assert history.siblings(4) == [4]
    assert history.forward() == "x"  # what was taken back last stays
