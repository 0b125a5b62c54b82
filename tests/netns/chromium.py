"""A headless Chromium that opens one file and is asked about it over the DevTools protocol, through
pipes. It has a network namespace of its own, with nothing in it."""

import json
import os
import select
import subprocess
import tempfile
import time

from netns import LabError

ANSWER_S = 30
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--remote-debugging-pipe")


class Page:
    """`with Page(path) as page`: loaded; page.complaints is all that its console said."""

    def __init__(self, path):
        self.complaints, self._events, self._next, self._left = [], [], 1, b""
        self._profile = tempfile.TemporaryDirectory(prefix="gml-chromium-")
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # Chromium reads from descriptor 3 and writes to 4.
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec unshare --net chromium "$@" 3<&{theirs_in} 4>&{theirs_out}', "-",
             *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"],
            pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            self._open(path)
        except BaseException:
            self.close()
            raise

    def _open(self, path):
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = None
        self._session = self._call("Target.attachToTarget", targetId=target,
                                   flatten=True)["sessionId"]
        for domain in ("Page", "Log", "Runtime"):
            self._call(f"{domain}.enable")
        self._call("Page.navigate", url=f"file://{path}")
        self._wait_for("Page.loadEventFired")

    def evaluate(self, expression):
        """The value of a JavaScript expression in the page."""
        done = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in done:
            raise LabError(f"{expression}: {done['exceptionDetails']}")
        return done["result"].get("value")

    def _call(self, method, **params):
        number, self._next = self._next, self._next + 1
        message = {"id": number, "method": method, "params": params}
        if getattr(self, "_session", None):
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            said = self._read()
            if said.get("id") == number:
                if "error" in said:
                    raise LabError(f"chromium: {method}: {said['error']}")
                return said["result"]
            self._take(said)

    def _wait_for(self, event):
        while event not in self._events:
            self._take(self._read())

    def _take(self, said):
        self._events.append(said.get("method"))
        if said.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown",
                                  "Runtime.consoleAPICalled"):
            self.complaints.append(json.dumps(said["params"]))

    def _read(self):
        end = time.monotonic() + ANSWER_S
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._in], [], [], max(0, end - time.monotonic()))
            got = os.read(self._in, 65536) if ready else b""
            if not got:
                raise LabError(f"chromium does not answer within {ANSWER_S} s, or has ended")
            self._left += got
        message, self._left = self._left.split(b"\0", 1)
        return json.loads(message)

    def close(self):
        os.close(self._out)                            # on which it ends
        os.close(self._in)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait(5)
        self._profile.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
