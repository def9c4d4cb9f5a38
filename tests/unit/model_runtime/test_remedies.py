"""What a deployer can do about an error of the model's."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.model_runtime.remedies import remedy


def _advice(fail: Callable[[], Any], directory: Path) -> str:
    try:
        fail()
    except BaseException as error:
        return remedy(error, directory)
    raise AssertionError("it did not fail")


@pytest.mark.parametrize(
    ("fail", "advice"),
    [
        (lambda: os.environ["NEVER_SET"], "deploy it with env={'NEVER_SET': ...}"),
        (lambda: Path("data/words.txt").read_text(), "files=['data/words.txt']"),
        (lambda: Path("/nowhere/words.txt").read_text(), "open it by such a path, and name it in files=[...]"),
        (lambda: Path("../words.nowhere").read_text(), "open it by such a path, and name it in files=[...]"),
        (lambda: __import__("absent_module.deeper"), "pkgs_to_install=['some-package==1.2']"),
        (lambda: __import__("private_module"), "If it is a module of your own"),
    ],
    ids=["variable", "file", "absolute path", "path that leads out", "package", "own module"],
)
def test_what_did_not_travel_is_named_with_where_to_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: Callable[[], Any], advice: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "func.packages.json").write_text('{"absent_module": "some-package==1.2"}')
    assert advice in _advice(fail, tmp_path)


@pytest.mark.parametrize("fail", [lambda: dict[str, int]()["NEVER_SET"], lambda: [][0], lambda: os.close(10_000)])
def test_of_other_errors_nothing_is_guessed(tmp_path: Path, fail: Callable[[], Any]) -> None:
    assert _advice(fail, tmp_path) == ""
