"""Whether a CPU of the machine stood still: then a test that measures time has proven nothing.

A virtual CPU that its host takes away runs nothing, no real-time task and no timer either. One
observer a CPU, with the highest priority there is, sleeps STEP_S over and over; what oversleeps by
STALL_S was held up by the machine, not by what is tested."""

import contextlib
import os
import signal
import subprocess
import sys
import time

STEP_S = 0.02
STALL_S = 0.12                          # less than what VRRP at 100 ms forgives


class StallMeter:
    """Until stop(). since() tells the stalls that ended after a moment of time.monotonic()."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, start_new_session=True)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.text, self.stalls = b"", []

    def since(self, moment):
        """[(cpu, seconds)]"""
        time.sleep(2 * STEP_S)          # one that has just ended is told by now
        self.text += self.process.stdout.read() or b""
        *lines, self.text = self.text.split(b"\n")
        for line in lines:
            cpu, ended, length = line.split()
            self.stalls.append((float(ended), int(cpu), float(length)))
        return [(cpu, length) for ended, cpu, length in self.stalls if ended >= moment]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def observe(cpu):
    os.sched_setaffinity(0, [cpu])
    highest = os.sched_param(os.sched_get_priority_max(os.SCHED_FIFO))
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, highest)
    before = time.monotonic()
    while True:
        time.sleep(STEP_S)
        now = time.monotonic()
        if now - before > STEP_S + STALL_S:
            os.write(1, f"{cpu} {now:.3f} {now - before:.3f}\n".encode())
        before = now


def main():
    """Until standard input ends, as it does when who started this is gone."""
    children = []
    for cpu in sorted(os.sched_getaffinity(0)):
        pid = os.fork()
        if pid == 0:
            observe(cpu)
        children.append(pid)
    sys.stdin.buffer.read()
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
