"""A headless Chromium for tests, driven through ChromeDriver's own HTTP interface; nothing else is needed."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1200,900"
).split()
_DEADLINE = 60  # seconds


class Browser:
    """One tab.

    Parameters
    ----------
    address : str
        Of the session, at ChromeDriver.
    """

    def __init__(self, address):
        self.address = address

    def post(self, path, **body):
        return call(f"{self.address}/{path}", body)

    def open(self, path):
        self.post("url", url=path.as_uri())

    def run(self, script):
        """Give what a script returns."""
        return self.post("execute/sync", script=script, args=[])

    def tool(self, command, **params):
        """Call a method of the DevTools protocol."""
        return self.post("goog/cdp/execute", cmd=command, params=params)

    def log(self, kind):
        return self.post("se/log", type=kind)

    def look(self, width, mode="light", media=""):
        """Set the width in CSS pixels, and light or dark."""
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        self.tool("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": mode}]
        self.tool("Emulation.setEmulatedMedia", media=media, features=features)

    def press(self, key):
        """Press and let go of a key, where the focus is."""
        code = {"Tab": 9, "Enter": 13, " ": 32}[key]
        text = {"Enter": "\r", " ": " "}.get(key)
        event = {"key": key, "windowsVirtualKeyCode": code, **({"text": text} if text else {})}
        self.tool("Input.dispatchKeyEvent", type="keyDown", **event)
        self.tool("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)


def call(address, body=None, method="POST"):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=_DEADLINE) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise RuntimeError(json.load(error)["value"]["message"]) from None


@contextlib.contextmanager
def browser():
    """Start ChromeDriver and a Chromium with a new profile, and end both."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [DRIVER, f"--port={port}", "--log-level=SEVERE"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": {**os.environ, "HOME": profile}}
        with subprocess.Popen(command, **quiet) as process:
            try:
                _wait_for(f"http://127.0.0.1:{port}/status", process)
                options = {"args": [*_FLAGS, f"--user-data-dir={profile}/data"], "binary": CHROMIUM}
                wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
                body = {"capabilities": {"alwaysMatch": wanted}}
                session = call(f"http://127.0.0.1:{port}/session", body)["sessionId"]
                address = f"http://127.0.0.1:{port}/session/{session}"
                yield Browser(address)
                call(address, method="DELETE")
            finally:
                process.terminate()


def _wait_for(address, process):
    end = time.monotonic() + _DEADLINE
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError):
            call(address, method="GET")
            return
        time.sleep(0.05)
    raise RuntimeError("ChromeDriver does not answer.")
