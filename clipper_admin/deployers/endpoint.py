"""An endpoint: an application and a model of the same name, which are linked."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from clipper_admin.connection import ClipperConnection


@contextmanager
def endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    default_output: str,
    slo_micros: int,
    input_names: Sequence[str],
    *,
    exist_ok: bool,
) -> Iterator[None]:
    """Registers an application, and links it to the model that is deployed in this context; all of it or nothing.

    Args:
        clipper_conn: a connection to the cluster.
        name: of the application and of the model.
        input_type: "bytes", "integers", "floats", "doubles" or "strings".
        default_output: answered when there is no prediction in time.
        slo_micros: the latency objective in microseconds.
        input_names: what the elements of an input are called, for the application's schema; empty: it has none.
        exist_ok: whether application and link may be there already, if they are the same.

    Raises:
        ClipperException: something is there already, with what differs.
    """
    schema = {"names": [*input_names]} if input_names else None
    with clipper_conn.all_or_nothing():
        clipper_conn.register_application(
            name, input_type, default_output, slo_micros, schema=schema, exist_ok=exist_ok
        )
        yield
        clipper_conn.link_model_to_app(name, name, exist_ok=exist_ok)
