"""The viewer's server over real sockets: what it gives out, what it never does, and how `view` starts and ends."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from omezarr_proc.app import view
from omezarr_proc.model.errors import OutputError, SettingsError
from omezarr_proc.viewer.ranges import byte_range
from omezarr_proc.viewer.serving import ViewerServer

CONTENT = bytes(range(256)) * 5
V3 = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", "multiscales": [{}]}}}


def make_dataset(folder: Path) -> Path:
    (folder / "0" / "c").mkdir(parents=True)
    (folder / "zarr.json").write_text(json.dumps(V3))
    (folder / "0" / "c" / "7").write_bytes(CONTENT)
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The folder to serve; beside it lies what must never come out."""
    (tmp_path / "secret.json").write_text("{}")
    (tmp_path / "output-2").mkdir()
    (tmp_path / "output-2" / "secret.json").write_text("{}")
    make_dataset(tmp_path / "output" / "a.ome.zarr")
    return tmp_path / "output"


@contextmanager
def serving(folder: Path, **options: object) -> Iterator[ViewerServer]:
    with ViewerServer(folder, **options) as server:  # type: ignore[arg-type]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server(output: Path) -> Iterator[ViewerServer]:
    with serving(output) as running:
        yield running


class Answer:
    def __init__(self, server: ViewerServer, path: str, method: str = "GET", **headers: str) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)) as connection:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            self.status = response.status
            self.headers = response.headers
            self.body = response.read()


def test_the_page_its_script_and_the_list(server: ViewerServer) -> None:
    page = Answer(server, "/")
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    for address in re.findall(rb"(?:src|href)=\"([^\"]+)\"", page.body):
        assert address in (b"viewer.js", b"data:,"), "the page may load nothing from elsewhere"
    for name in ("/viewer.js", "/decoder.js"):
        script = Answer(server, name)
        assert script.status == 200
        assert script.headers["Content-Type"].startswith("text/javascript")
        assert len(script.body) < 100_000
    assert json.loads(Answer(server, "/datasets.json").body) == {
        "folder": "output",
        "full": False,
        "datasets": [{"name": "a.ome.zarr", "url": "data/a.ome.zarr", "zarr_format": 3, "labels": [], "preview": None, "plate": False}],
    }


def test_the_policy_of_the_page_allows_no_other_host(server: ViewerServer) -> None:
    policy = Answer(server, "/").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe-eval" not in policy
    assert not re.search(r"\*|http|//", policy)


def test_files_come_with_their_type(server: ViewerServer) -> None:
    for path, kind in (("zarr.json", "application/json"), ("0/c/7", "application/octet-stream")):
        answer = Answer(server, f"/data/a.ome.zarr/{path}")
        assert answer.status == 200
        assert answer.headers["Content-Type"] == kind
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.body == CONTENT


def test_other_pages_read_datasets_only_where_they_are_named(output: Path) -> None:
    own, other = "https://viewer.example", "https://other.example"
    with serving(output, origins=[own]) as server:
        for path, origin, allowed in (
            ("/data/a.ome.zarr/zarr.json", own, own),
            ("/data/a.ome.zarr/0/c/8", own, own),  # absent: a page must be able to tell
            ("/data/a.ome.zarr/zarr.json", other, None),
            ("/datasets.json", own, None),
            ("/", own, None),
        ):
            answer = Answer(server, path, Origin=origin)
            assert answer.headers["Access-Control-Allow-Origin"] == allowed
            assert answer.headers["Vary"] == ("Origin" if path.startswith("/data/") else None)
        asked = Answer(server, "/data/a.ome.zarr/0/c/7", "OPTIONS", Origin=own, Access_Control_Request_Headers="range")
        assert (asked.status, asked.headers["Access-Control-Allow-Origin"]) == (204, own)
        assert "Range" in asked.headers["Access-Control-Allow-Headers"]
        assert Answer(server, "/data/a.ome.zarr/0/c/7", "OPTIONS", Origin=other).status == 403
        assert Answer(server, "/datasets.json", "OPTIONS", Origin=own).status == 403


def test_no_other_page_reads_or_shows_anything_unless_asked_for(server: ViewerServer, output: Path) -> None:
    (output / "a.ome.zarr.png").write_bytes(CONTENT)
    for path in ("/datasets.json", "/data/a.ome.zarr/zarr.json", "/data/a.ome.zarr.png"):
        answer = Answer(server, path, Origin="https://viewer.example")
        assert answer.headers["Access-Control-Allow-Origin"] is None
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/datasets.json", "/", "/data/a.ome.zarr/zarr.json"])
def test_a_foreign_name_that_points_here_gets_nothing(server: ViewerServer, path: str) -> None:
    assert Answer(server, path, Host="evil.example").status == 403
    assert Answer(server, path, Host=f"localhost:{server.server_port}").status == 200


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-9", 0, 9),
        ("bytes=5-5", 5, 5),
        ("bytes=1270-", 1270, 1279),
        ("bytes=-3", 1277, 1279),
        ("bytes=1000-99999", 1000, 1279),
        (f"bytes=1000-{'9' * 6000}", 1000, 1279),
        (f"bytes=-{'9' * 6000}", 0, 1279),
    ],
)
def test_a_range_is_answered_with_that_part(server: ViewerServer, header: str, first: int, last: int) -> None:
    answer = Answer(server, "/data/a.ome.zarr/0/c/7", Range=header)
    assert answer.status == 206
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/1280"
    assert answer.body == CONTENT[first : last + 1]


@pytest.mark.parametrize(
    "header", ["bytes=1280-", "bytes=5000-6000", "bytes=-0", f"bytes={'9' * 6000}-", f"bytes={'9' * 30000}-{'9' * 30000}"]
)
def test_a_range_without_a_byte_is_416(server: ViewerServer, header: str) -> None:
    answer = Answer(server, "/data/a.ome.zarr/0/c/7", Range=header)
    assert answer.status == 416
    assert answer.headers["Content-Range"] == "bytes */1280"
    assert answer.body == b""


@pytest.mark.parametrize("header", ["bytes=9-2", "bytes=a-b", "bytes=-", "lines=0-3", "bytes=0-1,5-6", "bytes=٣-٤"])
def test_a_range_that_is_none_is_ignored(header: str) -> None:
    assert byte_range(header, 1280) == (0, 1280, False)


def test_no_range_of_an_empty_file() -> None:
    assert byte_range(None, 0) == (0, 0, False)
    assert byte_range("bytes=0-", 0) is None
    assert byte_range("bytes=-5", 0) is None


def test_head_has_the_headers_of_get_and_no_body(server: ViewerServer) -> None:
    for path in ("/", "/datasets.json", "/data/a.ome.zarr/0/c/7", "/data/a.ome.zarr/nothing"):
        get, head = Answer(server, path), Answer(server, path, "HEAD")
        assert head.status == get.status
        assert head.headers["Content-Length"] == str(len(get.body))
        assert head.body == b""


def test_a_connection_serves_several_requests(server: ViewerServer) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)) as connection:
        for path, method, length in (("0/c/7", "HEAD", 0), ("0/c/9", "GET", 0), ("0/c/7", "GET", len(CONTENT)), ("zarr.json", "GET", None)):
            connection.request(method, f"/data/a.ome.zarr/{path}")
            body = connection.getresponse().read()
            assert length is None or len(body) == length
        assert json.loads(body) == V3


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(server: ViewerServer, method: str) -> None:
    assert Answer(server, "/data/a.ome.zarr/zarr.json", method).status == 501
    assert Answer(server, "/data/a.ome.zarr/zarr.json").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/data/a.ome.zarr/0/c/8",
        "/data/a.ome.zarr",
        "/data/a.ome.zarr/",
        "/data/",
        "/data",
        "/nothing",
        "/data/../secret.json",
        "/data/a.ome.zarr/../../secret.json",
        "/data/%2e%2e/secret.json",
        "/data/%2E%2E%2Fsecret.json",
        "/data/..%2fsecret.json",
        "/data/%252e%252e/secret.json",
        "/data/..\\secret.json",
        "/data/%2e%2e/output-2/secret.json",
        "/data//etc/passwd",
        "/data/%2Fetc/passwd",
        "/data/a.ome.zarr/./zarr.json",
        "/data/a.ome.zarr//zarr.json",
        "/data/a.ome.zarr/zarr.json/",
        "/data/a.ome.zarr/zarr.json%00",
        "/data/" + "x" * 5000,
        "/data/%ff",
        "/serving.py",
        "/viewer/LICENSES.txt",
    ],
)
def test_what_is_absent_or_outside_is_404(server: ViewerServer, path: str) -> None:
    answer = Answer(server, path)
    assert answer.status == 404
    assert answer.body == b""


def test_a_link_that_leads_outside_is_404_and_one_inside_is_followed(server: ViewerServer, output: Path) -> None:
    (output / "out.json").symlink_to(output.parent / "secret.json")
    (output / "outside").symlink_to(output.parent)
    (output / "sibling").symlink_to(output.parent / "output-2")
    (output / "circle").symlink_to(output / "circle")
    chunks = output / "a.ome.zarr" / "0" / "c"
    (chunks / "8").symlink_to(output.parent / "secret.json")
    (chunks / "9").symlink_to(output / "a.ome.zarr" / "zarr.json")
    (chunks / "10").symlink_to(chunks / "10")
    for path in ("out.json", "outside/secret.json", "sibling/secret.json", "circle", "a.ome.zarr/0/c/8", "a.ome.zarr/0/c/10"):
        assert Answer(server, f"/data/{path}").status == 404
    assert Answer(server, "/data/a.ome.zarr/0/c/9").status == 200


def test_what_is_no_plain_file_is_404(server: ViewerServer, output: Path) -> None:
    os.mkfifo(output / "a.ome.zarr" / "0" / "c" / "8")  # opening it would wait for a writer for ever
    assert Answer(server, "/data/a.ome.zarr/0/c/8").status == 404


def test_only_what_belongs_to_datasets_is_given_out(server: ViewerServer, output: Path) -> None:
    make_dataset(output / ".b.ome.zarr.partial")
    make_dataset(output / "sub" / "c.ome.zarr")
    hidden = output / "a.ome.zarr" / ".hidden"
    hidden.mkdir()
    for place in (output, hidden, hidden.parent, hidden.parent / "0", output / "sub"):
        for name in ("notes.txt", "notes.png", ".hidden.png", "x", ".secret", "7"):
            (place / name).write_text("private")
    (output / "OME").mkdir()
    (output / "OME" / "METADATA.ome.xml").write_text("<OME/>")
    (output / "sub" / "c.ome.zarr.png").write_bytes(CONTENT)
    (output / "sub" / "c.ome.zarr" / "OME").mkdir()
    (output / "sub" / "c.ome.zarr" / "OME" / "METADATA.ome.xml").write_text("<OME/>")
    make_dataset(output / "plate.ome.zarr" / "A" / "1" / "0")
    for place, kind in (("", "plate"), ("A/1", "well")):
        (output / "plate.ome.zarr" / place / "zarr.json").write_text(json.dumps({"attributes": {"ome": {kind: {}}}}))
    given = {
        str(path.relative_to(output))
        for path in output.rglob("*")
        if path.is_file() and Answer(server, f"/data/{path.relative_to(output)}").status == 200
    }
    dataset = {"zarr.json", "0/c/7"}
    assert given == {
        *(f"a.ome.zarr/{path}" for path in dataset | {"7", "0/7"}),  # these have the names of chunks
        *(f"sub/c.ome.zarr/{path}" for path in dataset | {"OME/METADATA.ome.xml"}),
        "sub/c.ome.zarr.png",
        *(f"plate.ome.zarr/{path}" for path in ("zarr.json", "A/1/zarr.json", "A/1/0/zarr.json", "A/1/0/0/c/7")),
    }
    listed = json.loads(Answer(server, "/datasets.json").body)["datasets"]
    assert [found["preview"] for found in listed] == [None, None, "data/sub/c.ome.zarr.png"]
    assert [found["url"] for found in listed if found["plate"]] == ["data/plate.ome.zarr"]  # its fields are no datasets of their own


def test_any_file_name_is_found_by_its_bytes(output: Path) -> None:
    for name in ("a b#?%é.ome.zarr".encode(), b"\xff\xfe.ome.zarr"):
        make_dataset(output / os.fsdecode(name))
    with serving(output) as server:
        listed = json.loads(Answer(server, "/datasets.json").body)["datasets"]
        assert {found["name"] for found in listed} == {"a.ome.zarr", "a b#?%é.ome.zarr", "��.ome.zarr"}
        for found in listed:
            assert json.loads(Answer(server, f"/{found['url']}/zarr.json").body) == V3


def test_the_list_has_datasets_of_both_formats_at_any_depth_and_nothing_else(server: ViewerServer, output: Path) -> None:
    make_dataset(output / "sub" / "deep" / "b.ome.zarr")
    make_dataset(output / ".staging" / "c.ome.zarr")
    make_dataset(output / "a.ome.zarr" / "1")  # inside a dataset
    v2 = output / "v2.ome.zarr"
    v2.mkdir()
    (v2 / ".zgroup").write_text('{"zarr_format": 2}')
    (v2 / ".zattrs").write_text('{"multiscales": [{}]}')
    for name, text in (("broken", "{"), ("list", "[]"), ("array", '{"node_type": "array"}'), ("odd", '{"attributes": {"ome": null}}')):
        (output / name).mkdir()
        (output / name / "zarr.json").write_text(text)
    (output / "loop").symlink_to(output)
    listed = json.loads(Answer(server, "/datasets.json").body)["datasets"]
    assert [(found["name"], found["zarr_format"]) for found in listed] == [
        ("a.ome.zarr", 3),
        ("sub/deep/b.ome.zarr", 3),
        ("v2.ome.zarr", 2),
    ]


def test_a_dataset_alone_is_served_without_its_neighbours(output: Path) -> None:
    make_dataset(output / "b.ome.zarr")
    with serving(output / "b.ome.zarr", name="b.ome.zarr") as server:
        (listed,) = json.loads(Answer(server, "/datasets.json").body)["datasets"]
        assert listed == {"name": "b.ome.zarr", "url": "data/b.ome.zarr", "zarr_format": 3, "labels": [], "preview": None, "plate": False}
        assert Answer(server, "/data/b.ome.zarr/zarr.json").status == 200
        for path in ("/data/a.ome.zarr/zarr.json", "/data/b.ome.zarr/../a.ome.zarr/zarr.json", "/data/zarr.json"):
            assert Answer(server, path).status == 404


def test_many_at_once(server: ViewerServer) -> None:
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(Answer(server, "/data/a.ome.zarr/0/c/7"))) for _ in range(16)]
    with socket.create_connection(("127.0.0.1", server.server_port)):  # one that says nothing holds nobody up
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [answer.body for answer in answers] == [CONTENT] * 16


def test_only_loopback_listens(server: ViewerServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("named", ["a.ome.zarr", None])
def test_view_prints_its_address_and_ends_with_ctrl_c_in_one_line(output: Path, named: str | None) -> None:
    words = [sys.executable, "-m", "omezarr_proc", "view", "--no-browser", *([str(output / named)] if named else [])]
    with subprocess.Popen(
        words, env=os.environ | {"OUTPUT_DIR": str(output)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = re.match(r"http://127\.0\.0\.1:(\d+)/ shows ", process.stdout.readline())
        assert address is not None
        with closing(http.client.HTTPConnection("127.0.0.1", int(address[1]), timeout=10)) as connection:
            connection.request("GET", "/data/a.ome.zarr/zarr.json")
            assert json.loads(connection.getresponse().read()) == V3
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert out == ""
    assert err.split() == ["ended"]


def test_view_opens_the_page_in_the_browser(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def press_ctrl_c(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(ViewerServer, "serve_forever", press_ctrl_c)
    assert view.main([str(output)]) == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", *opened)
    assert view.main([str(output), "--no-browser"]) == 0
    assert len(opened) == 1


def test_view_without_a_folder_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OUTPUT_DIR", raising=False)
    with pytest.raises(SettingsError, match="OUTPUT_DIR"):
        view.main([])
    with pytest.raises(SettingsError, match=r"absent is not a folder"):
        view.main([str(tmp_path / "absent")])


def test_a_port_that_is_taken_is_named(server: ViewerServer, output: Path) -> None:
    with pytest.raises(OutputError, match=rf"port {server.server_port} .*--port"):
        view.main([str(output), "--no-browser", "--port", str(server.server_port)])


@pytest.mark.parametrize("origin", ["*", "viewer.example", "https://viewer.example/", "https://viewer.example/page", "file:///tmp", ""])
def test_what_is_no_origin_ends_with_2(output: Path, origin: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        view.main([str(output), f"--cors={origin}"])
    assert ended.value.code == 2
    assert "is not an origin" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["-1", "65536", "x", "1e3"])
def test_a_wrong_port_ends_with_2(output: Path, port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        view.main([str(output), f"--port={port}"])
    assert ended.value.code == 2
    assert "is not a port" in capsys.readouterr().err
