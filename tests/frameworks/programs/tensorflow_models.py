"""Models of TensorFlow: a module with a function, by its signature, and a session of TensorFlow 1."""

from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_diabetes

from clipper_admin.deployers import tensorflow as deployer
from tests.fixtures.frameworks import SLO_MICROS, Deployed, packages


class Line(tf.Module):  # type: ignore[misc]  # tensorflow has no types
    def __init__(self, weights: Any) -> None:
        super().__init__()
        self.weights = tf.Variable(weights, dtype=tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, 10), tf.float32)])  # type: ignore[untyped-decorator]
    def __call__(self, rows: Any) -> Any:
        return tf.linalg.matvec(rows, self.weights)


def by_session(session: Any, inputs: Any) -> Any:
    return session.run("sums:0", feed_dict={"rows:0": inputs})


deployed = Deployed()
connection = deployed.connection
options: dict[str, Any] = {"slo_micros": SLO_MICROS, "pkgs_to_install": packages()}

rows, progress = load_diabetes(return_X_y=True)
train, held_out = rows[:300].astype("float32"), rows[300:].astype("float32")
weights = np.linalg.lstsq(train, progress[:300], rcond=None)[0]
line = Line(weights)
deployer.create_endpoint(connection, "tf-line", "floats", None, line, sample_input=held_out[0], **options)
deployed.serves("tf-line", "floats", held_out, line(held_out).numpy())

graph = tf.Graph()
with graph.as_default():
    placeholder = tf.compat.v1.placeholder(tf.float32, (None, 10), "rows")
    variable = tf.compat.v1.get_variable("weights", initializer=weights.astype("float32")[:, None])
    tf.reduce_sum(tf.matmul(placeholder, variable), axis=1, name="sums")
    session = tf.compat.v1.Session(graph=graph)
    session.run(tf.compat.v1.global_variables_initializer())
deployer.create_endpoint(connection, "tf-session", "floats", by_session, session, sample_input=held_out[0], **options)
deployed.serves("tf-session", "floats", held_out, by_session(session, held_out))

deployed.is_refused("no model", lambda: deployer.deploy_tensorflow_model(connection, "tf-bad", 1, "floats", None, rows))
deployed.is_refused(
    "no such path", lambda: deployer.deploy_tensorflow_model(connection, "tf-bad", 1, "floats", None, "absent")
)
deployed.tell()
