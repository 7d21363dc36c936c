"""A real HTTP endpoint to send to."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


def pytest_configure(config):
    """Apprise imports what newer Pythons are without, where it is there."""
    config.addinivalue_line("filterwarnings", "ignore:'imghdr' is deprecated:DeprecationWarning")


class Endpoint:
    """Answers with ``statuses``, one after the other, then 200; keeps the JSON that it was sent, and from where to.

    While ``hangs`` is set it does not answer at all.
    """

    def __init__(self):
        self.statuses = []
        self.requests = []
        self.hangs = False
        self.release = threading.Event()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.requests.append((self.path, body))
                if endpoint.hangs:
                    endpoint.release.wait(60)
                self.send_response(endpoint.statuses.pop(0) if endpoint.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path="hook", *, user="user:canary-password@"):
        """Return the Apprise URL of a path of it."""
        return f"json://{user}127.0.0.1:{self.server.server_port}/{path}?rto=5"

    @property
    def bodies(self):
        """What it was sent."""
        return [body for _, body in self.requests]

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def endpoint():
    made = Endpoint()
    yield made
    made.close()
