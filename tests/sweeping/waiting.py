"""Wait for what another process does."""

import time


def wait_for(what):
    """Return what a function gives, as soon as that is something."""
    deadline = time.monotonic() + 300
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found
