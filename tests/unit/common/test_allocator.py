"""The allocator keeps what it is given back."""

import subprocess
import sys

# Inputs are joined into a batch, and what is made of the batch is copied, as on the way of every prediction.
_PROGRAM = """
import resource
from services.common import allocator

def page_faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def pass_batches_on():
    for _ in range(20):
        inputs = [bytes(1_000_000) for _ in range(8)]
        batch = b"".join(inputs)
        inputs = None
        message = batch[8:]
        batch = message = None

{first}
pass_batches_on()
before = page_faults()
pass_batches_on()
print(page_faults() - before)
"""


def _page_faults(first: str) -> int:
    """How many it takes to pass batches on, after this statement."""
    return int(subprocess.check_output([sys.executable, "-c", _PROGRAM.format(first=first)]))


def test_batches_are_passed_on_in_the_same_memory_again_and_again() -> None:
    assert _page_faults("allocator.keep_freed_memory()") < _page_faults("pass") / 10
