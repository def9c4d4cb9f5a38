"""What bodies and answers may be, by what clients say of them."""

import pytest

from services.common.errors import NotAcceptable, UnsupportedMediaType
from services.common.names import InputType
from services.common.records import Application
from services.common.status import from_exception
from services.query.api import media_types


@pytest.mark.parametrize(
    ("content_type", "is_json"),
    [
        ("", True),
        ("application/json", True),
        ("APPLICATION/JSON ; charset=utf-8", True),
        ("application/x-www-form-urlencoded", True),
        ("text/plain;charset=UTF-8", True),
        ("application/problem+json", True),
        ("application/octet-stream", False),
        ("image/png", False),
        ("application/jsonx", False),
        ("text/csv", False),
        (";", True),
    ],
)
def test_what_does_not_say_that_it_is_something_else_is_json(content_type: str, is_json: bool) -> None:
    assert media_types.is_json(content_type) is is_json


@pytest.mark.parametrize(
    ("input_type", "media_type", "fits"),
    [
        (InputType.BYTES, "application/octet-stream", True),
        (InputType.BYTES, "image/svg+xml", True),
        (InputType.BYTES, "application/x-npy", False),
        (InputType.DOUBLES, "application/x-npy", True),
        (InputType.INTS, "application/x-npy", True),
        (InputType.FLOATS, "image/png", False),
        (InputType.STRINGS, "application/octet-stream", False),
        (InputType.STRINGS, "x" * 100_000, False),
    ],
)
def test_a_body_is_of_a_kind_that_the_type_has(input_type: InputType, media_type: str, fits: bool) -> None:
    application = Application("app", input_type, "", 1)
    if fits:
        media_types.check_raw(media_type, application)
    else:
        with pytest.raises(UnsupportedMediaType, match=f"takes {input_type} as application/json") as refused:
            media_types.check_raw(media_type, application)
        assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        ("*/*", "application/json"),
        ("text/plain", "text/plain"),
        ("TEXT/PLAIN", "text/plain"),
        ("application/octet-stream, */*;q=0.1", "application/octet-stream"),
        ("application/*", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("text/plain, application/json", "application/json"),
        ("text/plain, application/json;q=0.999", "text/plain"),
        ("application/json;q=0, application/*", "application/octet-stream"),
        ("text/plain;charset=utf-8;q=0.5, application/json ; q=0.4", "text/plain"),
        (",;,text/plain,;q=1", "text/plain"),
    ],
)
def test_the_answer_is_what_is_liked_best(accept: str, answer: str) -> None:
    assert media_types.answer(accept, is_batch=False) == answer


@pytest.mark.parametrize(
    "accept",
    ["image/png", "", "json", "application/json;q=0", "*/*;q=0", "*/*;q=-1", "*/*;q=nan", "*/*;q=2", "*/*;q=inf", "é",
     "x," * 100_000 + "*/*"],
)  # fmt: skip
def test_what_is_not_offered_is_refused_with_what_is(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="An answer is application/json or text/plain or") as refused:
        media_types.answer(accept, is_batch=False)
    assert len(str(refused.value)) < 400


def test_several_predictions_are_json() -> None:
    assert media_types.answer("text/plain, */*;q=0.1", is_batch=True) == "application/json"
    with pytest.raises(NotAcceptable, match="of several predictions is application/json, but"):
        media_types.answer("text/plain", is_batch=True)


@pytest.mark.parametrize(
    ("error", "http_status"), [(UnsupportedMediaType("a é\n\0b"), "415"), (NotAcceptable("a é\n\0b"), "406")]
)
def test_the_edge_is_told_the_status_that_grpc_does_not_have_in_what_a_header_can_hold(
    error: Exception, http_status: str
) -> None:
    told = dict(from_exception(error).trailing_metadata)
    assert (told["x-clipper-status"], told["x-clipper-message"]) == (http_status, "a ???b")
