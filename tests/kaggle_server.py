"""A stand-in for Kaggle on this machine, spoken to by the real client as through a proxy.

It keeps what it was told (submissions, kernels, datasets), and it can be told how to misbehave: see `fail`.
"""

import io
import json
import os
import re
import socket
import sys
import threading
import time
import zipfile
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from typing import Any

import pytest
from packaging.version import Version

KEY = "0123456789abcdef-secret-key"
USER = "ada"
SCORE = "0.87390"
IS_RECENT = Version(metadata.version("kaggle")) >= Version("2.2.4")
RECENT = pytest.mark.skipif(not IS_RECENT, reason="a client before 2.2.4 cannot do this: pip install -U kaggle")
COMMAND = [sys.executable, "-c", "from kaggle.cli import main; main()"]  # what the script `kaggle` does


@dataclass
class Page:
    """An answer that is not Kaggle's."""

    content: bytes
    kind: str = "text/html; charset=utf-8"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


CAPTIVE = Page(b"<!DOCTYPE html><title>Welcome to the hotel</title>" + b" " * 100_000)


class KaggleServer(ThreadingHTTPServer):
    """Kaggle's state, and the script of what goes wrong next."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.RLock()
        self.ended = threading.Event()  # of the test: calls that hang are let go
        self.calls: list[tuple[str, dict[str, Any]]] = []  # endpoint and body of every call, failed ones included
        self.authorizations: list[str] = []  # the header of every call
        self.failures: dict[str, deque] = defaultdict(deque)
        self.accepts = lambda authorization: True
        self.files: dict[str, bytes] = {}  # by competition: the zip of its files
        self.ranges: list[str] = []  # Range headers of downloads
        self.cut_downloads = 0  # how many downloads break off in the middle
        self.uploads: dict[str, bytes] = {}  # by token
        self.submissions: list[dict[str, Any]] = []  # newest first, as listed
        self.polls_until_scored = 1
        self.scoring_error = ""
        self.limits = {"numToday": 1, "numTotal": 3, "numAllowedNow": 4, "limitedByTotal": False}
        self.kernels: dict[str, dict[str, Any]] = {}  # by owner/slug: the SaveKernel request, status, outputs, log
        self.datasets: dict[str, dict[str, bytes]] = {}  # by owner/slug: file name to content
        self.names: dict[str, str] = {}  # file name by upload token

    def fail(self, endpoint: str, *answers: Any) -> None:
        """Say how the next calls go; None is a call that goes well.

        A status, (status, message) or (status, message, headers) is the answer, and "drop" breaks the connection;
        "lose" and a negative status do the same after the call was carried out. "silent" never answers, "drip" sends
        a byte a second, and a `Page` is sent as it is.
        """
        self.failures[endpoint].extend(answers)

    def called(self, endpoint: str) -> list[dict[str, Any]]:
        """The bodies of the calls of `endpoint` so far."""
        return [body for name, body in self.calls if name == endpoint]

    def environment(self, home: str) -> dict[str, str]:
        """Variables that send the real client here, signed in with a user name and key."""
        proxy = f"http://127.0.0.1:{self.server_address[1]}"
        return {
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            "HTTP_PROXY": proxy,
            "http_proxy": proxy,
            "NO_PROXY": "",
            "no_proxy": "",
            "KAGGLE_USERNAME": USER,
            "KAGGLE_KEY": KEY,
            "KAGGLE_CONFIG_DIR": home,
            "HOME": home,
        }


@pytest.fixture
def kaggle(monkeypatch, tmp_path):
    """A running stand-in, the client's environment set to it, and no waiting: `server.naps` holds the pauses."""
    server = KaggleServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    home = tmp_path / "home"
    home.mkdir()
    for name in [name for name in os.environ if name.startswith(("KAGGLE_", "KIT_", "VERBOSE", "XDG_"))]:
        monkeypatch.delenv(name)
    for name, value in server.environment(str(home)).items():
        monkeypatch.setenv(name, value)
    server.naps = []
    monkeypatch.setattr(time, "sleep", server.naps.append)
    if not _is_local(sys.modules.get("kaggle")):
        forget_client()
    yield server
    server.ended.set()
    server.shutdown()
    server.server_close()


def _is_local(client) -> bool:
    return client is not None and "--local" in client.api.args


def forget_client() -> None:
    """Let the next import of the client read the environment again; it does so only then."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("kaggle", "kagglesdk")]:
        del sys.modules[name]


def archive(files: dict[str, bytes]) -> bytes:
    """A zip of the files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as content:
        for name, data in files.items():
            content.writestr(name, data)
    return buffer.getvalue()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: KaggleServer

    def log_message(self, *arguments):
        pass

    # --- what is asked for; the client takes this server for a proxy, so paths are whole addresses

    def do_POST(self):
        endpoint = self.path.rsplit("/", 1)[-1]
        body = json.loads(self._body() or b"{}")
        with self.server.lock:
            self.server.calls.append((endpoint, body))
            self.server.authorizations.append(self.headers.get("Authorization", ""))
            failure = self.server.failures[endpoint].popleft() if self.server.failures[endpoint] else None
            if failure == "drop":
                return self._hang_up()
            if failure in ("silent", "drip"):
                self.server.lock.release()  # only this call hangs
                try:
                    return self._hang(failure)
                finally:
                    self.server.lock.acquire()
            if isinstance(failure, Page):
                return self._send(failure.status, failure.content, {"Content-Type": failure.kind} | failure.headers)
            refusal = failure if isinstance(failure, tuple) else (failure, "")
            if isinstance(refusal[0], int) and refusal[0] > 0:
                return self._refuse(*refusal)
            if not self.server.accepts(self.headers.get("Authorization", "")):
                return self._refuse(401, "Unauthenticated")
            answer = getattr(self, f"on_{endpoint}")(body)
            if failure == "lose":
                return self._hang_up()
            if isinstance(failure, int):
                return self._refuse(-failure, "")
        if isinstance(answer, str):
            return self._send(302, b"", {"Location": answer})
        return self._json(200, answer)

    def do_PUT(self):
        token = self.path.rsplit("/", 1)[-1]
        with self.server.lock:
            self.server.calls.append(("PUT", {"token": token}))
            failure = self.server.failures["PUT"].popleft() if self.server.failures["PUT"] else None
        if failure == "drop":  # halfway through
            self.rfile.read(int(self.headers["Content-Length"]) // 2)
            return self._hang_up()
        content = self._body()
        if failure:
            return self._refuse(failure, "")
        self.server.uploads[token] = content
        return self._json(200, {})

    def do_GET(self):
        if match := re.search(r"/storage/(.+)\.zip", self.path):
            return self._download(self.server.files[match[1]])
        owner, slug, name = re.search(r"/output/([^/]+)/([^/]+)/(.+)", self.path).groups()
        with self.server.lock:
            failure = self.server.failures["GET"].popleft() if self.server.failures["GET"] else None
        if failure in ("silent", "drip"):
            return self._hang(failure)
        if isinstance(failure, Page):
            return self._send(failure.status, failure.content, {"Content-Type": failure.kind} | failure.headers)
        if failure:
            return self._refuse(failure, "no file, but an error page")
        return self._send(200, self.server.kernels[f"{owner}/{slug}"]["output"][name])

    # --- Kaggle's services

    def on_IntrospectToken(self, body):
        good = self.server.accepts(f"Bearer {body['token']}")
        return {"active": good, "username": USER if good else ""}

    def on_DownloadDataFiles(self, body):
        return f"http://localhost/storage/{body['competitionName']}.zip?signed=1"

    def on_GetSubmissionLimits(self, body):
        return self.server.limits

    def on_StartSubmissionUpload(self, body):
        return self._start_upload(body["fileName"])

    def on_StartBlobUpload(self, body):
        return self._start_upload(body["name"])

    def on_CreateSubmission(self, body):
        token = body["blobFileTokens"]
        submission = {
            "ref": 1000 + len(self.server.submissions),
            "fileName": self.server.names[token],
            "description": body.get("submissionDescription"),
            "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "status": "PENDING",
            "totalBytes": len(self.server.uploads[token]),
            "competition": body["competitionName"],
            "polls": 0,
        }
        self.server.submissions.insert(0, submission)
        return {"message": "Successfully submitted", "ref": submission["ref"]}

    def on_ListSubmissions(self, body):
        size, page = body.get("pageSize", 20), body.get("page", 1)
        every = [each for each in self.server.submissions if each["competition"] == body["competitionName"]]
        shown = every[size * (page - 1) : size * page]
        answer = [{k: v for k, v in each.items() if k not in ("competition", "polls")} for each in shown]
        for each in shown:
            each["polls"] += 1
            if each["polls"] >= self.server.polls_until_scored and each["status"] == "PENDING":
                each["status"] = "ERROR" if self.server.scoring_error else "COMPLETE"
                each |= {"errorDescription": self.server.scoring_error} if self.server.scoring_error else {
                    "publicScore": SCORE, "privateScore": ""
                }  # fmt: skip
        return {"submissions": answer}

    def on_SaveKernel(self, body):
        known = self.server.kernels.setdefault(body["slug"], {"version": 0, "status": ["QUEUED"], "output": {}})
        known |= {"request": body, "version": known["version"] + 1}
        return {"ref": f"/code/{body['slug']}", "url": f"https://www.kaggle.com/code/{body['slug']}",
                "versionNumber": known["version"]}  # fmt: skip

    def on_GetKernelSessionStatus(self, body):
        kernel = self.server.kernels.get(f"{body['userName']}/{body['kernelSlug']}")
        if kernel is None:
            return {"code": 403, "message": "Permission 'kernels.get' was denied"}
        status = kernel["status"].pop(0) if len(kernel["status"]) > 1 else kernel["status"][0]
        return {"status": status, "failureMessage": kernel.get("failure", "")}

    def on_ListKernelSessionOutput(self, body):
        name = f"{body['userName']}/{body['kernelSlug']}"
        kernel, start = self.server.kernels[name], int(body.get("pageToken") or 0)
        listed = sorted(kernel["output"])
        files = [{"fileName": each, "url": f"http://localhost/output/{name}/{each}"} for each in listed]
        more = {"nextPageToken": str(start + 3)} if start + 3 < len(files) else {}
        return {"files": files[start : start + 3], "log": kernel.get("log", "")} | more

    def on_GetDatasetStatus(self, body):
        if f"{body['ownerSlug']}/{body['datasetSlug']}" not in self.server.datasets:
            return {"code": 403, "message": "Permission 'datasets.get' was denied"}
        return {"status": "READY"}

    def on_CreateDataset(self, body):
        return self._dataset(f"{body['ownerSlug']}/{body['slug']}", body["files"])

    def on_CreateDatasetVersion(self, body):
        return self._dataset(f"{body['ownerSlug']}/{body['datasetSlug']}", body["body"]["files"])

    def _dataset(self, name, files):
        content = {self.server.names[each["token"]]: self.server.uploads[each["token"]] for each in files}
        self.server.datasets[name] = content
        return {"ref": name, "url": f"https://www.kaggle.com/datasets/{name}", "status": "ok"}

    def _start_upload(self, name):
        token = f"token{len(self.server.names)}"
        self.server.names[token] = name
        return {"token": token, "createUrl": f"http://localhost/upload/{token}"}

    # --- how it is answered

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _json(self, status: int, value: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        code = value.get("code", status)
        self._send(code, json.dumps(value).encode(), {"Content-Type": "application/json"} | (headers or {}))

    def _refuse(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        self._json(status, {"code": status, "message": message}, headers)

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _download(self, content: bytes) -> None:
        start = int(re.match(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[1])
        if start:
            self.server.ranges.append(self.headers["Range"])
        rest = content[start:]
        self.send_response(206 if start else 200)
        headers = {"Content-Length": str(len(rest)), "Accept-Ranges": "bytes", "ETag": '"v1"',
                   "Last-Modified": "Mon, 03 Mar 2025 10:00:00 GMT"}  # fmt: skip
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with self.server.lock:
            cut = self.server.cut_downloads > 0
            self.server.cut_downloads -= cut
        self.wfile.write(rest[: len(rest) // 2] if cut else rest)
        if cut:
            self._hang_up()

    def _hang(self, way: str) -> None:
        if way == "drip":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not self.server.ended.wait(0.05):
            if way == "drip":
                self.wfile.write(b" ")
        self.close_connection = True

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)
