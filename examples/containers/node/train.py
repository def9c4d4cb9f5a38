"""Learns the topics of short texts with scikit-learn, and writes what it has learned as the container reads it."""

import argparse
import json
from pathlib import Path

from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline

TEXTS = {
    "billing": [
        "I was charged twice for the same invoice",
        "Please send the receipt of my last payment",
        "My card was refused when I paid the bill",
        "How do I get a refund of the monthly fee",
    ],
    "delivery": [
        "The parcel has not arrived and the tracking number does not work",
        "Can the courier deliver to another address",
        "My order came damaged, the box was open",
        "When will the parcel be shipped",
    ],
    "account": [
        "I forgot my password and cannot log in",
        "Please change the email address of my account",
        "How do I delete my account and all my data",
        "The login page says that my user name is unknown",
    ],
}


def train(directory: Path) -> Pipeline:
    """Writes topics.json: the topics, their log priors, and for each word its log likelihood under each topic."""
    texts = [text for examples in TEXTS.values() for text in examples]
    topics = [topic for topic, examples in TEXTS.items() for _ in examples]
    model = make_pipeline(CountVectorizer(), MultinomialNB()).fit(texts, topics)
    vectorizer, bayes = model
    directory.mkdir(parents=True, exist_ok=True)
    learned = {
        "topics": bayes.classes_.tolist(),
        "log_priors": bayes.class_log_prior_.tolist(),
        "log_likelihoods": dict(
            zip(vectorizer.get_feature_names_out(), bayes.feature_log_prob_.T.tolist(), strict=True)
        ),
    }
    (directory / "topics.json").write_text(json.dumps(learned))
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="the model's directory")
    train(parser.parse_args().directory)
