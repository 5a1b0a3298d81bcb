"""What a process that is loaded does about its memory."""

import subprocess
import sys

PROGRAM = """
import gc, resource, sys
from relay_runtime import heap

def burst():
    kept = [bytes(3000) for _ in range(3000)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    del kept
    kept = [bytes(3000) for _ in range(3000)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "settled":
    heap.tune()
    assert gc.get_threshold() == heap.COLLECTIONS
    assert gc.get_freeze_count() > 0
print(burst())
"""


def faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, timeout=30
    )
    return int(done.stdout)


def test_what_a_burst_freed_is_there_for_the_next() -> None:
    """9 MB are 2,200 pages: else each comes anew from the system."""
    assert faults("as it is") > 1000
    assert faults("settled") < 200
