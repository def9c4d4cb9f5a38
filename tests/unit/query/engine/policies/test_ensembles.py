"""majority and average."""

from random import Random

from services.query.engine.policies.ensembles import Average, Majority

_ARMS = ("forest", "net", "svm")


def test_everybody_is_asked() -> None:
    assert Majority({}).select({}, _ARMS, (), Random(1)) == (_ARMS, 1.0)
    assert Majority.asks_all
    assert Average.asks_all


def test_the_majority_decides_whatever_the_application_says_of_combining() -> None:
    said = {"forest": "1", "net": "4", "svm": "4"}
    assert Majority({}, "average").combine({}, _ARMS, said) == ("4", 2 / 3)
    assert Average({}, "vote").combine({}, _ARMS, said) == ("3.0", 0.0)


def test_the_average_has_the_confidence_of_those_within_the_tolerance() -> None:
    said = {"forest": "1", "net": "4", "svm": "4"}
    assert Average({"tolerance": 1.0}).combine({}, _ARMS, said) == ("3.0", 2 / 3)
    assert Average({"tolerance": 2.0}).combine({}, _ARMS, said) == ("3.0", 1.0)
