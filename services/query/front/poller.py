"""The poller: a thread that does the core's work on the connections, so that the front's thread need not.

It runs inside grpcio's core, without the interpreter: it accepts connections, reads requests, and sends along the
answers that the front's thread has handed over meanwhile, several in one system call (docs/decisions/0013-poller.md).
"""

from grpc._cython import cygrpc  # type: ignore[attr-defined]

from services.common.lifecycle import VitalThread


class Poller:
    """A thread on a completion queue on which no event ever arrives but its shutdown.

    Attributes:
        queue: to be registered with a server before that starts.
    """

    def __init__(self) -> None:
        self.queue = cygrpc.CompletionQueue()
        self._thread = VitalThread(target=self._poll, name="poller")

    def start(self) -> None:
        """Polls from now on; to be called once."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread; the server must be destroyed."""
        self.queue.shutdown()
        self._thread.join()

    def _poll(self) -> None:
        while self.queue.poll().completion_type != cygrpc.CompletionType.queue_shutdown:
            pass
