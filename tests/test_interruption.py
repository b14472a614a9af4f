"""Ctrl-C twice."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

PRELUDE = """
import ctypes, threading, time
from multiprocessing import get_context
from pathlib import Path
from neuron_catalog.interruption import watch
from neuron_catalog.storage.publish import publication

def stuck():
    # In C code that goes on after a signal, as a long operator of torch does.
    threading.Timer(0.5, ready).start()
    mutex = ctypes.create_string_buffer(64)
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)

def ready():
    print("ready", flush=True)

if __name__ == "__main__":
    watch()
"""


@pytest.fixture
def running(tmp_path):
    """Start Python code in a folder and wait until it says that it is ready."""
    processes = []

    def run(code):
        script = tmp_path / "script.py"
        script.write_text(PRELUDE + textwrap.indent(textwrap.dedent(code), "    "))
        process = subprocess.Popen(
            [sys.executable, str(script)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        processes.append(process)
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


EXPORT = """
with publication(Path("out")) as folder:
    (folder / "model.pt").write_text("half")
    {}
"""


def test_a_second_ctrl_c_ends_what_cannot_be_interrupted_and_cleans(running, tmp_path):
    process = running(EXPORT.format("stuck()"))
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "\n"
    assert process.stderr.readline() == "Stopping. Ctrl-C once more stops at once.\n"
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name]
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


def test_a_second_ctrl_c_cuts_unwinding_short_and_cleans(running, tmp_path):
    process = running(
        """
        with publication(Path("out")) as folder:
            (folder / "model.pt").write_text("half")
            try:
                ready()
                time.sleep(600)
            finally:
                print("unwinding", flush=True)
                time.sleep(600)
        """
    )
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "unwinding\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(20) in (130, -signal.SIGINT)  # Python is as fast as the one who listens
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


def test_the_first_ctrl_c_is_pythons(running, tmp_path):
    process = running(EXPORT.format("ready(); time.sleep(600)"))
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == -signal.SIGINT
    assert "KeyboardInterrupt" in process.stderr.read()
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


def test_children_end_with_the_process(running, tmp_path):
    process = running(
        """
        child = get_context("spawn").Process(target=stuck)
        child.start()
        Path("pid").write_text(str(child.pid))
        stuck()
        """
    )
    pid = int((tmp_path / "pid").read_text())
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    assert process.wait(20) == 130
    with pytest.raises(ProcessLookupError):
        _wait_until_gone(pid)


def _wait_until_gone(pid):
    for _ in range(200):
        os.kill(pid, 0)
        time.sleep(0.1)
