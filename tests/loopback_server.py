"""A web server on loopback that misbehaves as it is told to."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves `files` (path -> bytes), and 404 for the rest.

    `plan` holds functions of the request's handler, one for each of the next requests; `requests` holds
    (path, Range, If-Range) of those that came; `released` is set when the test ends.
    """

    daemon_threads = True

    def __init__(self, files, etag='"one"'):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.etag, self.plan, self.requests = files, etag, [], []
        self.released = threading.Event()

    def url(self, name=""):
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def __enter__(self):
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.released.set()
        self.shutdown()
        self.server_close()
        self.thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        act = server.plan.pop(0) if server.plan else serve
        self.close_connection = True
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            act(self)

    def answer(self, status, *headers, body=b""):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def serve(handler, until=None, etag=True, ranges=True, length=None):
    """The file, or the part asked for: it breaks off at byte `until`; `length` is a lie."""
    server = handler.server
    data = server.files.get(handler.path)
    if data is None:
        handler.answer(404, ("Content-Length", "0"))
        return
    start, asked = 0, handler.headers.get("Range")
    tag = [("ETag", server.etag)] if etag else []
    if ranges and asked and handler.headers.get("If-Range") in (None, server.etag):
        start = int(asked[len("bytes=") : -1])
        if start >= len(data):
            handler.answer(416, ("Content-Range", f"bytes */{len(data)}"), ("Content-Length", "0"), *tag)
            return
    size = ("Content-Length", str(len(data) - start if length is None else length))
    if start:
        place = ("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        handler.answer(206, size, place, *tag, body=data[start:until])
    else:
        handler.answer(200, size, *tag, body=data[:until])


def breaks_off(at, **options):
    return lambda handler: serve(handler, until=at, **options)


def status(code):
    return lambda handler: handler.answer(code, ("Content-Length", "0"))


def chunked(*pieces):
    """Pieces of a file in chunked transfer; an empty one is the end mark."""

    def act(handler):
        handler.answer(200, ("Transfer-Encoding", "chunked"))
        for piece in pieces:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    return act


def without_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
