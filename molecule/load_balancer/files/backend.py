# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A web server that shows what reached it: the application on 8080, the storage on 8333, readiness on 8089 (503 while /run/not-ready is there)."""

from __future__ import annotations

import http.server
import json
import os
import pathlib
import socket
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_GET(self) -> None:
        port = self.server.server_address[1]
        path, _question, _query = self.path.partition("?")
        if port == 8089 or path == "/healthz":
            self.answer(503 if os.path.exists("/run/not-ready") and port == 8089 else 200, "check")
            return
        if path == "/slow":
            under_way = pathlib.Path("/run/backend-slow")
            under_way.touch()
            while under_way.exists():  # whoever asked takes it away
                time.sleep(0.05)
        received = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with open(f"/run/backend-{self.command}.count", "a") as count:
            count.write("x")
        content = {"host": socket.gethostname(), "port": port, "path": path, "headers": dict(self.headers), "bytes": len(received)}
        self.answer(200, json.dumps(content) + "\n")

    do_POST = do_PUT = do_GET

    def log_message(self, *_arguments: object) -> None:
        """Silence."""


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256


for number in (8333, 8089):
    threading.Thread(target=Server(("", number), Handler).serve_forever, daemon=True).start()
Server(("", 8080), Handler).serve_forever()
