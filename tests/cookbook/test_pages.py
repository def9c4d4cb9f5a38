"""The cookbook as its reader follows it: each page's program answers as what it deploys does offline."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.cookbook import COOKBOOK, Reader

# A page makes the environment that it needs.
pytestmark = pytest.mark.timeout(300)

_TESTS = Path(__file__).parent


def test_every_page_is_in_the_index_and_followed_by_a_test() -> None:
    index = COOKBOOK / "README.md"
    pages = {page.name for page in COOKBOOK.glob("*.md")} - {index.name}
    tests = "".join(file.read_text() for file in _TESTS.glob("test_*.py"))

    assert set(re.findall(r"^\| \[(.+?)\]\(\1\) \|", index.read_text(), re.MULTILINE)) == pages
    assert {f"{name}.md" for name in re.findall(r'follow\("([a-z-]+)"', tests)} == pages


def test_scikit_learn(reader: Reader) -> None:
    own = """[
        [text, {"label": label, "sure": round(probabilities.max(), 2)}]
        for text in (*MAILS, "", "an invoice in error", "ein Fehler")
        for label, probabilities in zip(pipeline.predict([text]), pipeline.predict_proba([text]))
    ]"""
    texts, outputs = zip(*reader.follow("scikit-learn", own), strict=True)

    assert reader.ask("mails", texts) == list(outputs)


def test_images(reader: Reader) -> None:
    own = """[
        [base64.b64encode(png_of(row)).decode(), int(classifier.predict([row])[0])] for row in pixels[1000:1050]
    ]"""
    files, outputs = zip(*reader.follow("images", own), strict=True)

    assert reader.ask("images", files) == list(outputs)


def test_xgboost(reader: Reader) -> None:
    own = "[features[400:].tolist(), classifier.predict_proba(features[400:]).tolist()]"
    rows, outputs = reader.follow("xgboost", own)

    assert np.array(reader.ask("tumours", rows)) == pytest.approx(np.array(outputs), abs=1e-6)


def test_onnx(reader: Reader) -> None:
    own = "[pixels[1000:1100].tolist(), classifier.predict(pixels[1000:1100]).tolist()]"
    rows, outputs = reader.follow("onnx", own)

    assert reader.ask("onnx-digits", rows) == outputs


def test_dataframes(reader: Reader) -> None:
    own = "[flats[columns].to_dict('records'), pipeline.predict(flats[columns]).round(2).tolist()]"
    rows, rents = reader.follow("dataframes", own)
    shuffled = [json.dumps(dict(reversed(row.items()))) for row in rows]

    assert [output["rent"] for output in reader.ask("rents", shuffled)] == rents


def test_records(reader: Reader) -> None:
    reader.follow("records")

    (output,) = reader.ask("weather", [[31.1, 0.1]])
    assert output["advice"] == {"kind": "heat", "text": None}
    assert output["forecasts"] == [{"day": "2026-07-01", "degrees": 31.1}, {"day": "2026-07-02", "degrees": 0.1}]


def test_files(reader: Reader) -> None:
    reader.follow("files")

    assert reader.ask("words", ["fyi asap", "nothing"]) == ["for your information as soon as possible", "nothing"]


def test_slow_loaders(reader: Reader) -> None:
    asked_meanwhile = reader.follow("slow-loaders", "len(answers)")

    assert asked_meanwhile > 10
    assert reader.ask("squares", [[3], [99]]) == [9, 9801]


def test_ensembles(reader: Reader) -> None:
    own = """[pixels[1000:1100].tolist(), [
        [int(classifier.predict([row])[0]) for classifier in classifiers.values()] for row in pixels[1000:1100]
    ]]"""
    rows, votes = reader.follow("ensembles", own)

    outputs = reader.ask("ensemble", rows)
    assert all(output in vote for output, vote in zip(outputs, votes, strict=True))
    unanimous = [number for number, vote in enumerate(votes) if len(set(vote)) == 1]
    assert len(unanimous) > 20
    assert [outputs[number] for number in unanimous] == [votes[number][0] for number in unanimous]


def test_http_services(reader: Reader) -> None:
    reader.follow("http-services")


def test_external(reader: Reader) -> None:
    reader.follow("external")
