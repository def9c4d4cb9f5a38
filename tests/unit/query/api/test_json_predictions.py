"""The JSON of the public REST endpoint, clause by clause."""

import struct
import time

import pytest

from services.common.errors import InvalidInput
from services.common.names import InputType
from services.common.records import Application
from services.query.api import json_predictions as rest
from services.query.api.asked import Asked
from services.query.api.request_limits import RequestLimits
from services.query.engine.requests import NOBODY, DefaultReason, Request, Spent
from services.query.engine.versions import Route
from tests.fixtures.choices import answered

LIMITS = RequestLimits(max_inputs=8)
MISSING_ADVICE = ". A missing value is NaN where an application of floats or doubles is registered with missing='nan'"
SCHEMA = '. Expected JSON schema: \n  {\n   "input" := [double] | [int] | [string] | [byte] | [float],\n  }\n'


def asked(body: bytes, input_type: InputType = InputType.INTS) -> Asked:
    """What a body asks of an application of a type."""
    return rest.read(body, Application("app", input_type, "", 1), LIMITS)[0]


def is_batch(body: bytes) -> bool:
    """Whether a body is answered as a batch."""
    return rest.read(body, Application("app", InputType.INTS, "", 1), LIMITS)[1]


def packed(input_type: InputType, body: bytes) -> list[bytes]:
    """The packed inputs of a whole body."""
    return list(asked(body, input_type).inputs)


def packed_input(input_type: InputType, value: str) -> bytes:
    """The packed input of a body with one input, given as JSON."""
    (data,) = packed(input_type, b'{"input":%b}' % value.encode())
    return data


def refusal(input_type: InputType, body: bytes) -> str:
    """What the caller of a bad body is told, without the frame that all such messages share."""
    with pytest.raises(InvalidInput) as refused:
        packed(input_type, body)
    message = str(refused.value)
    assert message.startswith("Error parsing JSON: ")
    assert message.endswith(SCHEMA)
    return message.removeprefix("Error parsing JSON: ").removesuffix(SCHEMA)


def refused_input(input_type: InputType, value: str) -> str:
    """What the caller of a body with one bad input, given as JSON, is told."""
    return refusal(input_type, b'{"input":%b}' % value.encode())


def finished(*outputs: str, first_query_id: int = 0) -> Request:
    """A request that a model answered with these outputs."""
    route = Route(Application("app", InputType.DOUBLES, "unused", 1_000), {})
    request = Request(route, None, [b""] * len(outputs), first_query_id, 0.0, 1.0, NOBODY)
    for query, output in zip(request.queries, outputs, strict=True):
        query.output = output
    return request


def defaulted(output: str, explanation: str) -> Request:
    """A request that was answered with a default."""
    request = finished(output, first_query_id=1)
    request.queries[0].reason = DefaultReason.MODEL_ERROR
    request.queries[0].explanation = explanation
    return request


# Inputs


@pytest.mark.parametrize(
    ("input_type", "value", "data"),
    [
        (InputType.DOUBLES, "[1.5, -0.0, 1e308]", struct.pack("<3d", 1.5, -0.0, 1e308)),
        (InputType.DOUBLES, "[1, -7, 18446744073709551615]", struct.pack("<3d", 1, -7, 2**64)),
        (InputType.DOUBLES, "[123456789012345678901234567890]", struct.pack("<d", 123456789012345678901234567890)),
        (InputType.DOUBLES, "[5e-324, 1e-999]", struct.pack("<2d", 5e-324, 0.0)),
        (InputType.DOUBLES, "[]", b""),
        (InputType.FLOATS, "[1.5, 2, -3e38]", struct.pack("<3f", 1.5, 2, -3e38)),
        (InputType.FLOATS, "[3.4028235e38]", b"\xff\xff\x7f\x7f"),
        (InputType.FLOATS, "[]", b""),
        (InputType.INTS, "[0, -0, 2147483647, -2147483648]", struct.pack("<4i", 0, 0, 2**31 - 1, -(2**31))),
        (InputType.INTS, "[]", b""),
        (InputType.STRINGS, '"plain"', b"plain"),
        (InputType.STRINGS, '""', b""),
        (InputType.STRINGS, '"é\\u00e9\\ud83d\\ude00\\u0000"', "éé😀\0".encode()),
        (InputType.STRINGS, '"true"', b"true"),
        (InputType.BYTES, '"AQL/+w=="', b"\x01\x02\xff\xfb"),
        (InputType.BYTES, '""', b""),
    ],
)
def test_an_input_is_packed_as_its_type_says(input_type: InputType, value: str, data: bytes) -> None:
    assert packed_input(input_type, value) == data


@pytest.mark.parametrize(
    ("input_type", "value", "detail"),
    [
        (InputType.INTS, "[1, 1.0]", "Array input of type Number is not of type int"),
        (InputType.INTS, "[1e2]", "Array input of type Number is not of type int"),
        (InputType.INTS, "[2147483648]", "Array input has an integer outside of 32 bits"),
        (InputType.INTS, "[-2147483649]", "Array input has an integer outside of 32 bits"),
        (InputType.INTS, "[9223372036854775808]", "Array input has an integer outside of 32 bits"),
        (InputType.INTS, "[null]", "Array input of type Null is not of type int"),
        (InputType.DOUBLES, "[1.5, null]", f"Array input of type Null is not of type double{MISSING_ADVICE}"),
        (InputType.DOUBLES, '[1.5, "2"]', "Array input of type String is not of type double"),
        (InputType.DOUBLES, "[[1.5, 2.5], [3.5, 4.5]]", "Array input of type Array is not of type double"),
        (InputType.DOUBLES, "[1.5, [2.5]]", "Array input of type Array is not of type double"),
        (InputType.DOUBLES, "[{}]", "Array input of type Object is not of type double"),
        (InputType.DOUBLES, "1.5", "PredictionData of type Number is not of type array of doubles"),
        (InputType.DOUBLES, "null", "PredictionData of type Null is not of type array of doubles"),
        (InputType.DOUBLES, '"1.5"', "PredictionData of type String is not of type array of doubles"),
        (InputType.FLOATS, "true", "PredictionData of type Bool is not of type array of floats"),
        (InputType.FLOATS, "[3.4028236e38]", "Array input has a number outside of the range of floats"),
        (InputType.FLOATS, "[1.0, -1e300]", "Array input has a number outside of the range of floats"),
        (InputType.STRINGS, "5", "PredictionData of type Number is not of type string"),
        (InputType.STRINGS, '["a"]', "PredictionData of type Array is not of type string"),
        (InputType.STRINGS, "null", "PredictionData of type Null is not of type string"),
        (InputType.BYTES, "[1, 2]", "PredictionData of type Array is not of type base64-encoded string"),
    ],
)
def test_an_input_of_another_type_is_refused_with_the_types_it_has_and_needs(
    input_type: InputType, value: str, detail: str
) -> None:
    assert refused_input(input_type, value) == detail


@pytest.mark.parametrize("input_type", [InputType.INTS, InputType.FLOATS, InputType.DOUBLES])
@pytest.mark.parametrize("value", ["[true]", "[1, false]", "[0,true,0]"])
def test_a_boolean_is_not_a_number(input_type: InputType, value: str) -> None:
    assert refused_input(input_type, value).startswith("Array input of type Bool is not of type ")
    batch = b'{"input_batch":[[],%b]}' % value.encode()
    assert refusal(input_type, batch).startswith("Array input of type Bool is not of type ")


def test_a_boolean_elsewhere_in_the_body_does_no_harm() -> None:
    assert packed(InputType.INTS, b'{"explain":true,"input":[1]}') == [struct.pack("<i", 1)]


@pytest.mark.parametrize(
    "value",
    ['"A"', '"AQI=="', '"AQ="', '"AQI=AQI="', '"+_8="', '"AQ.I"', '"\\u00e9"', '"===="', '"data:image/png"',
     '"data:;base64"', '"data:;base64,A"', '"file:AQI="'],
)  # fmt: skip
def test_bytes_that_are_no_base64_are_refused_with_what_to_send(value: str) -> None:
    detail = refused_input(InputType.BYTES, value)
    assert detail.startswith("The base64-encoded string is invalid: ")
    assert "Send base64" in detail
    assert "data: URL" in detail


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("+/8=", b"\xfb\xff"),
        ("-_8=", b"\xfb\xff"),
        ("+/8", b"\xfb\xff"),
        ("-_8", b"\xfb\xff"),
        ("AQI=\\n", b"\1\2"),
        ("AQ\\r\\nI=\\r\\n", b"\1\2"),
        (" A Q\\tI ", b"\1\2"),
        ("AQIDBA\\nUG\\n", bytes(range(1, 7))),
        ("", b""),
        ("\\n", b""),
        ("data:image/png;base64,AQI=", b"\1\2"),
        ("DATA:image/png;BASE64,AQI", b"\1\2"),
        ("data:;base64,AQI%3D", b"\1\2"),
        ("data:text/plain;charset=utf-8;base64,aMOp", "hé".encode()),
        ("data:text/plain,h%C3%A9,%20you", "hé, you".encode()),
        ("data:,", b""),
    ],
)
def test_bytes_are_written_in_the_ways_that_people_do(value: str, data: bytes) -> None:
    assert packed_input(InputType.BYTES, f'"{value}"') == data


# Bodies


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "01", "+1", ".5", "1.", "0x10"])
def test_what_is_not_a_json_number_is_refused(number: str) -> None:
    assert refused_input(InputType.DOUBLES, f"[{number}]").startswith("JSON parse error: ")


def test_an_integer_that_no_double_can_hold_is_refused() -> None:
    assert refused_input(InputType.DOUBLES, "[" + "9" * 5_000 + "]").startswith("JSON parse error: ")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b'{"input":[1.5]', b'{"input":[1.5],}', b'{"input":[1.5]} trailing', b"{'input':[1.5]}",
        b'\xef\xbb\xbf{"input":[1.5]}', b'\xff{"input":[1.5]}', b'{"input":[1.5],"note":"\xff"}',
        b'{"input":[1.5],"note":"\\ud800"}', b'{"input":[1.5],"note":"\\udc00x"}', b'{"input":[1.5],"note":"\n"}',
    ],
)  # fmt: skip
def test_a_body_that_is_not_json_is_refused(body: bytes) -> None:
    assert refusal(InputType.DOUBLES, body).startswith("JSON parse error: ")


@pytest.mark.parametrize("surrogate", [r'"\ud800"', r'"\udc00"', r'"\ud800x"', r'"\ud800\ud800"'])
def test_a_lone_surrogate_is_refused(surrogate: str) -> None:
    assert refused_input(InputType.STRINGS, surrogate).startswith("JSON parse error: ")


@pytest.mark.parametrize("body", [b"1", b'"input"', b"null", b"true", b"[]", b'[{"input":[1.5]}]'])
def test_a_body_that_is_not_an_object_is_refused(body: bytes) -> None:
    assert refusal(InputType.DOUBLES, body) == "Can only get key-value pair from an object"


@pytest.mark.parametrize("body", [b"{}", b'{"Input":[1.5]}', b'{"version":"1","uid":0}'])
def test_a_body_without_input_is_refused(body: bytes) -> None:
    assert refusal(InputType.DOUBLES, body) == "JSON object does not have required keys input or input_batch"


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 30_000,
        b'{"input":' * 30_000,
        b'{"input":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b'{"input":[1.5],"note":' + b'{"":' * 30_000 + b"1" + b"}" * 30_001,
    ],
)
def test_deep_nesting_is_refused_at_once(body: bytes) -> None:
    begun_s = time.thread_time()
    assert refusal(InputType.DOUBLES, body).startswith("JSON parse error: ")
    assert time.thread_time() - begun_s < 0.5


def test_of_equal_keys_the_last_counts() -> None:
    assert packed(InputType.INTS, b'{"input":[1],"input":[2]}') == [struct.pack("<i", 2)]


def test_of_both_inputs_the_single_one_wins() -> None:
    body = b'{"input_batch":[[1],[2]],"input":[3]}'
    assert asked(body).inputs == [struct.pack("<i", 3)]
    assert not is_batch(body)
    assert "of type Null" in refusal(InputType.INTS, b'{"input_batch":[[1]],"input":null}')


def test_a_batch_may_have_inputs_of_different_lengths() -> None:
    inputs = packed(InputType.INTS, b'{"input_batch":[[1,2],[],[3]]}')
    assert inputs == [struct.pack("<2i", 1, 2), b"", struct.pack("<i", 3)]


@pytest.mark.parametrize(("text", "count"), [(b"[]", 0), (b"[[1]]", 1)])
def test_a_batch_of_none_or_one_is_a_batch(text: bytes, count: int) -> None:
    body = b'{"input_batch":%b}' % text
    assert is_batch(body)
    assert len(asked(body).inputs) == count


@pytest.mark.parametrize(("batch", "kind"), [("{}", "Object"), ("null", "Null"), ('"ab"', "String"), ("1", "Number")])
def test_a_batch_that_is_not_an_array_is_refused(batch: str, kind: str) -> None:
    body = b'{"input_batch":%b}' % batch.encode()
    assert refusal(InputType.STRINGS, body) == f"Input batch of type {kind} is not of type array"


def test_one_bad_input_refuses_the_whole_batch() -> None:
    detail = refusal(InputType.DOUBLES, b'{"input_batch":[[1.5],2.5]}')
    assert detail == "PredictionData of type Number is not of type array of doubles"


@pytest.mark.parametrize(("text", "version"), [('"2"', "2"), ('""', ""), ("null", None)])
def test_a_version_may_be_asked_for(text: str, version: str | None) -> None:
    assert asked(b'{"input":[],"version":%b}' % text.encode()).version == version
    assert asked(b'{"input":[]}').version is None


@pytest.mark.parametrize(("uid", "context"), [('"someone"', "someone"), ("7", "7"), ("-1", "-1"), ("null", "")])
def test_a_uid_is_the_context(uid: str, context: str) -> None:
    assert asked(b'{"input":[],"uid":%b}' % uid.encode()).context == context
    assert asked(b'{"input":[]}').context == ""


@pytest.mark.parametrize("key", ["version", "uid"])
@pytest.mark.parametrize(("value", "kind"), [("true", "Bool"), ("1.5", "Number"), ("[]", "Array"), ("{}", "Object")])
def test_a_version_or_uid_of_a_wrong_type_is_refused(key: str, value: str, kind: str) -> None:
    detail = refusal(InputType.INTS, b'{"input":[],"%b":%b}' % (key.encode(), value.encode()))
    assert detail == f"Type mismatch! JSON key {key} expected type String but found type {kind}"


def test_a_number_is_not_a_version() -> None:
    detail = refusal(InputType.INTS, b'{"input":[],"version":1}')
    assert detail == "Type mismatch! JSON key version expected type String but found type Number"


@pytest.mark.parametrize("key", ["explain", "forbid_default"])
@pytest.mark.parametrize(("value", "flag"), [("true", True), ("false", False), ("null", False)])
def test_a_flag_may_be_set(key: str, value: str, flag: bool) -> None:
    body = asked(b'{"input":[],"%b":%b}' % (key.encode(), value.encode()))
    others = {"explain", "forbid_default"} - {key}
    assert getattr(body, key) is flag
    assert not any(getattr(body, other) for other in others)


def test_no_flag_is_set_unless_asked_for() -> None:
    body = asked(b'{"input_batch":[]}')
    assert not body.explain
    assert not body.forbid_default


@pytest.mark.parametrize("key", ["explain", "forbid_default"])
@pytest.mark.parametrize(
    ("value", "kind"), [("1", "Number"), ("0", "Number"), ('"true"', "String"), ("[]", "Array"), ("{}", "Object")]
)
def test_a_flag_that_is_no_boolean_is_refused(key: str, value: str, kind: str) -> None:
    detail = refusal(InputType.INTS, b'{"input":[],"%b":%b}' % (key.encode(), value.encode()))
    assert detail == f"Type mismatch! JSON key {key} expected type Bool but found type {kind}"


def test_a_set_flag_does_not_make_numbers_booleans() -> None:
    assert packed(InputType.DOUBLES, b'{"input":[1],"explain":true}') == [struct.pack("<d", 1)]
    assert "of type Bool" in refusal(InputType.DOUBLES, b'{"input":[true],"explain":true}')


# Answers


@pytest.mark.parametrize(
    ("output", "embedded"),
    [
        ("6.6", "6.6"),
        ("-1.0", "-1.0"),
        ("1e3", "1e3"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("true", "true"),
        ("null", "null"),
        ('"quoted"', '"quoted"'),
        ('{"b": [1, 2], "a": null}', '{"b": [1, 2], "a": null}'),
        ("[1,2]", "[1,2]"),
        ("", '""'),
        ("DEFAULT", '"DEFAULT"'),
        ("None", '"None"'),
        ("NaN", '"NaN"'),
        ("Infinity", '"Infinity"'),
        ("1e999", '"1e999"'),
        ("01", '"01"'),
        ("['a']", "\"['a']\""),
        ('say "hé"\n\\', '"say \\"hé\\"\\n\\\\"'),
        ("😀", '"😀"'),
        ("\0", '"\\u0000"'),
    ],
)
def test_an_output_that_is_json_is_embedded_as_it_stands_and_any_other_as_a_string(output: str, embedded: str) -> None:
    assert rest.answer(finished(output), is_batch=False) == (
        b'{"query_id":0,"output":%b,"default":false}' % embedded.encode()
    )


def test_a_default_explains_itself() -> None:
    request = defaulted("-1.0", 'ValueError: "é" is\nno number')
    assert rest.answer(request, is_batch=False).decode() == (
        '{"query_id":1,"output":-1.0,"default":true,"default_explanation":"ValueError: \\"é\\" is\\nno number"}'
    )


def test_a_batch_is_answered_in_order_with_ids_that_count_up() -> None:
    request = finished("1", "b", first_query_id=2**53 - 2)
    assert rest.answer(request, is_batch=True) == (
        b'{"batch_predictions":[{"query_id":9007199254740990,"output":1,"default":false},'
        b'{"query_id":9007199254740991,"output":"b","default":false}]}'
    )


def test_a_batch_of_one_keeps_its_envelope() -> None:
    assert rest.answer(finished("1"), is_batch=True) == (
        b'{"batch_predictions":[{"query_id":0,"output":1,"default":false}]}'
    )


def test_an_empty_batch_is_answered_with_an_empty_list() -> None:
    assert rest.answer(finished(), is_batch=True) == b'{"batch_predictions":[]}'


def test_an_explained_prediction_tells_where_the_time_went() -> None:
    request = finished("1", "b")
    request.queries[0].spent = Spent(cached=False, queue_s=0.0012, batch_size=2, model_s=3.0, network_s=0.0000004)
    request.queries[1].spent = Spent(cached=True, queue_s=0.0, batch_size=0, model_s=0.0, network_s=0.0)
    assert rest.answer(request, is_batch=True) == (
        b'{"batch_predictions":[{"query_id":0,"output":1,"default":false,"timing":{"cached":false,'
        b'"queue_micros":1200,"batch_size":2,"model_micros":3000000,"network_micros":0}},'
        b'{"query_id":1,"output":"b","default":false,"timing":{"cached":true,'
        b'"queue_micros":0,"batch_size":0,"model_micros":0,"network_micros":0}}]}'
    )


# Choices among models


def test_an_ensemble_tells_its_confidence() -> None:
    request = answered("majority", {"a": "1", "b": "1", "c": "1"})
    assert rest.answer(request, is_batch=False) == b'{"query_id":0,"output":1,"default":false,"confidence":1.0}'
    assert rest.answer(request, is_batch=True) == (
        b'{"batch_predictions":[{"query_id":0,"output":1,"default":false,"confidence":1.0}]}'
    )


def test_an_explained_choice_tells_whom_it_asked_and_what_they_said() -> None:
    request = answered("static", {"b": '{"x": [1]}'}, explain=True, policy_parameters=(("b", 3.0), ("c", 1.0)))
    request.queries[0].spent = None
    assert rest.answer(request, is_batch=False) == (
        b'{"query_id":0,"output":{"x": [1]},"default":false,"selection":{"probability":0.75,"arms":['
        b'{"model":"a","weight":0.0,"asked":false},'
        b'{"model":"b","weight":0.75,"asked":true,"output":{"x": [1]}},'
        b'{"model":"c","weight":0.25,"asked":false}]}}'
    )


def test_a_default_of_an_ensemble_tells_its_confidence_too() -> None:
    request = answered("majority", {"a": "cat"}, confidence_threshold=0.5)
    assert rest.answer(request, is_batch=False) == (
        b'{"query_id":0,"output":"default","default":true,"default_explanation":'
        b'"The models agree less than the application\'s confidence threshold asks for",'
        b'"confidence":0.3333333333333333}'
    )


def test_a_choice_of_one_model_looks_like_any_answer() -> None:
    request = answered("static", {"b": "1"}, policy_parameters=(("b", 1.0),))
    assert rest.answer(request, is_batch=False) == b'{"query_id":0,"output":1,"default":false}'


def test_a_policy_that_fails_to_weigh_its_models_is_explained_without_weights() -> None:
    request = answered("tests.fixtures.choices:FailsToWeigh", {"a": "1", "b": "2"}, explain=True)
    assert b'"arms":[{"model":"a","weight":0.0,"asked":true,"output":1}' in rest.answer(request, is_batch=False)
