"""Several models behind one application, which finds out from feedback which of them to ask.

Run it with a local cluster running, as `make run` leaves one:

    $(.venv/bin/python -m clipper_admin environment scikit-learn==1.9.1) examples/selection.py

Three classifiers of different quality are trained on scikit-learn's digits, and all are linked to one application with
the selection policy "exp3". Then digits are asked about one at a time, and each answer is followed by what the digit
really was. The weights, with which the application asks one model or another, move to the best.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import requests
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from clipper_admin import ClipperConnection, ClipperException, ProcessContainerManager
from clipper_admin.deployers import python as python_deployer

APPLICATION = "selected-digits"
PACKAGES = ["scikit-learn==1.9.1"]
# Generous: a laptop may be busy with other things.
SLO_MICROS = 1_000_000
QUERIES = 300
SHOWN_EVERY = 50

Images = NDArray[np.float64]
Digits = NDArray[np.int64]
Classifier: TypeAlias = DecisionTreeClassifier | GaussianNB | SVC


def main(cluster_name: str = "default-cluster") -> None:
    """Runs the example, and takes away again what it has added."""
    clipper_conn = ClipperConnection(ProcessContainerManager(cluster_name))
    try:
        clipper_conn.connect()
    except ClipperException as error:
        sys.exit(f"{error.msg}\n`make run` starts a cluster and leaves it running.")
    images, digits = load_digits(return_X_y=True)
    train_images, images, train_digits, digits = train_test_split(images, digits, test_size=0.5, random_state=0)
    classifiers = train(train_images, train_digits)
    clear(clipper_conn, classifiers)
    try:
        deploy(clipper_conn, classifiers)
        ask(clipper_conn, images[:QUERIES], digits[:QUERIES])
        print("\nWithout any choice:")
        for name, classifier in classifiers.items():
            print(f"  {name} alone: {np.mean(classifier.predict(images[:QUERIES]) != digits[:QUERIES]):.1%} wrong")
    finally:
        clear(clipper_conn, classifiers)


def clear(clipper_conn: ClipperConnection, classifiers: Iterable[str]) -> None:
    """Takes away what this run, or an earlier one that was cut off, has added."""
    if APPLICATION in clipper_conn.get_all_apps():
        clipper_conn.unregister_application(APPLICATION)
    clipper_conn.stop_models(classifiers)


def train(images: Images, digits: Digits) -> Mapping[str, Classifier]:
    """Three classifiers by the names of their models, from bad to good."""
    return {
        "shallow-tree": DecisionTreeClassifier(max_depth=4, random_state=0).fit(images, digits),
        "naive-bayes": GaussianNB().fit(images, digits),
        "support-vectors": SVC(gamma=0.001).fit(images, digits),
    }


def deploy(clipper_conn: ClipperConnection, classifiers: Mapping[str, Classifier]) -> None:
    """Makes one application answer with whichever of the classifiers is best."""
    clipper_conn.register_application(
        name=APPLICATION, input_type="doubles", default_output="-1", slo_micros=SLO_MICROS, selection_policy="exp3"
    )
    for name, classifier in classifiers.items():

        def classify(inputs: Images, classifier: Classifier = classifier) -> list[str]:
            return [str(digit) for digit in classifier.predict(inputs)]

        python_deployer.deploy_python_closure(
            clipper_conn, name, version=1, input_type="doubles", func=classify, pkgs_to_install=PACKAGES
        )
        clipper_conn.link_model_to_app(APPLICATION, name)


def ask(clipper_conn: ClipperConnection, images: Images, digits: Digits) -> None:
    """Asks about each image, tells what it showed, and prints how the weights move."""
    url = f"http://{clipper_conn.get_query_addr()}/{APPLICATION}"
    wrong = 0
    with requests.Session() as session:
        for number, (image, digit) in enumerate(zip(images, digits, strict=True)):
            query = {"input": image.tolist(), "explain": True}
            answer = session.post(f"{url}/predict", json=query, timeout=10).json()
            if number % SHOWN_EVERY == 0:
                show(number, wrong, answer["selection"]["arms"])
            feedback = {"query_id": answer["query_id"], "label": int(digit)}
            session.post(f"{url}/update", json=feedback, timeout=10).raise_for_status()
            wrong += answer["output"] != digit
    show(len(images), wrong, answer["selection"]["arms"])


def show(queries: int, wrong: int, arms: Sequence[Mapping[str, object]]) -> None:
    """Prints one line: how much the application relies on each model after so many queries."""
    weights = "   ".join(f"{arm['model']} {arm['weight']:4.0%}" for arm in arms)
    print(f"after {queries:4} queries   {weights}   {wrong} answers wrong")


if __name__ == "__main__":
    main(*sys.argv[1:])
