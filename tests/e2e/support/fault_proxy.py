"""A store's bad days: an HTTP proxy between Cairn and a store that fails as it is told.

    proxy = FaultProxy(store_port)
    proxy.plan = lambda request: Fault.status(503, "SlowDown") if request.is_log_file else None

`plan` is asked for every request and answers with a fault, or None to let it pass. Every request is
noted in `requests` with the fault it met, so that a test can see what was sent again. `after` is
called when an answer has been passed on.
"""

import hashlib
import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Fault:
    """`kind`: status, stall, reset (before the store sees it), lose (the store applies it, the
    answer is lost), tear (the answer breaks off in its middle)."""

    kind: str
    code: int = 0
    name: str = ""
    seconds: float = 0

    @staticmethod
    def status(code: int, name: str) -> "Fault":
        return Fault("status", code, name)


@dataclass
class Request:
    method: str
    path: str
    headers: dict
    sha256: str
    at: float = field(default_factory=time.monotonic)
    fault: Fault | None = None
    # Headers that the store does not get to see.
    withheld: tuple[str, ...] = ()

    @property
    def is_log_file(self) -> bool:
        return self.method == "PUT" and "/CloudTrail/" in self.path and self.path.endswith(".json.gz")

    @property
    def is_digest(self) -> bool:
        return self.method == "PUT" and "/CloudTrail-Digest/" in self.path and self.path.endswith(".json.gz")


class FaultProxy:
    def __init__(self, store_port: int, port: int = 0):
        self.plan: Callable[[Request], Fault | None] = lambda request: None
        self.after: Callable[[Request], None] = lambda request: None
        self.requests: list[Request] = []
        self.lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                proxy.pass_on(self, store_port)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            connections: list[socket.socket] = []

            def process_request(self, request, client_address):
                self.connections.append(request)
                super().process_request(request, client_address)
            request_queue_size = 64

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def heal(self) -> None:
        self.plan = lambda request: None
        self.after = lambda request: None

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        # A machine that is off does not go on with the connections it has.
        for connection in self.server.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def faults(self, *kinds: str) -> list[Request]:
        with self.lock:
            return [r for r in self.requests if r.fault and (not kinds or r.fault.kind in kinds)]

    def pass_on(self, handler: BaseHTTPRequestHandler, store_port: int) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if handler.path.startswith("http://"):
            # Asked as a forward proxy, which is how a test reaches names that no DNS knows.
            handler.path = "/" + handler.path.split("/", 3)[3] if handler.path.count("/") > 2 else "/"
        headers = {k.lower(): v for k, v in handler.headers.items()}
        request = Request(handler.command, handler.path, headers, hashlib.sha256(body).hexdigest())
        request.fault = fault = self.plan(request)
        with self.lock:
            self.requests.append(request)
        if fault and fault.kind == "stall":
            time.sleep(fault.seconds)
            return self.reset(handler)
        if fault and fault.kind == "reset":
            return self.reset(handler)
        if fault and fault.kind == "status":
            text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{fault.name}</Code><Message>as planned</Message></Error>'.encode()
            return self.answer(handler, fault.code, {"content-type": "application/xml"}, text)
        store = http.client.HTTPConnection("127.0.0.1", store_port, timeout=60)
        try:
            passed = {k: v for k, v in handler.headers.items() if k.lower() not in request.withheld}
            store.request(handler.command, handler.path, body=body, headers=passed)
            reply = store.getresponse()
            content = reply.read()
        finally:
            store.close()
        if fault and fault.kind == "lose":
            return self.reset(handler)
        kept = {k.lower(): v for k, v in reply.getheaders() if k.lower() not in ("transfer-encoding", "connection", "date", "server")}
        if fault and fault.kind == "tear":
            handler.wfile.write(f"HTTP/1.1 {reply.status} OK\r\nContent-Length: 100000\r\n\r\n".encode() + b"half of ")
            return self.reset(handler)
        self.answer(handler, reply.status, kept, content)
        self.after(request)

    @staticmethod
    def answer(handler: BaseHTTPRequestHandler, status: int, headers: dict, body: bytes) -> None:
        handler.send_response(status)
        length = headers.pop("content-length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", length if handler.command == "HEAD" else str(len(body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    @staticmethod
    def reset(handler: BaseHTTPRequestHandler) -> None:
        """Closes with RST instead of FIN."""
        handler.wfile.flush()
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.close_connection = True
        handler.connection.close()
