"""Downloads from a stand-in of a model hub, by REST and by the command line."""
import concurrent.futures
import contextlib
import hashlib
import json
import os
import re
import subprocess

import httpx
import pytest

import tiny_gguf
from harness import error_of, wait_until
from hub import Hub
from mcp_lines import Stdio

REPO = "hf:acme/tiny-GGUF"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    folder = root / "acme/tiny-GGUF"
    folder.mkdir(parents=True)
    tiny_gguf.write(folder / "tiny-F32.gguf", seed=5)
    (folder / "README.md").write_text("# tiny")
    broken = root / "acme/broken-GGUF"
    broken.mkdir()
    (broken / "broken-F32.gguf").write_bytes(b"GGUF" + b"\xff" * 5000)
    return root


@pytest.fixture
def hub(repository):
    hub = Hub(repository)
    yield hub
    hub.close()


@pytest.fixture
def running(gateway, hub):
    return gateway([], {"models": {"hub_endpoint": hub.url}})


@pytest.fixture
def digest(repository):
    return hashlib.sha256((repository / "acme/tiny-GGUF/tiny-F32.gguf").read_bytes()).hexdigest()


def pull(gateway, source, **options):
    return gateway.post("/api/v1/models/pull", {"source": source, **options})


def stored(gateway):
    """Whole and partial files in the store."""
    blobs = [path for path in gateway.home.store.rglob("*") if path.is_file() and path.stat().st_size > 10_000]
    return sorted(path.name for path in blobs)


def test_pull_from_the_hub_and_use_it(running, hub, digest):
    answer = pull(running, REPO, name="fresh")
    assert answer.status_code == 200, answer.text
    model = answer.json()
    assert model["name"] == "fresh"
    assert model["digest"] == "sha256:" + digest
    assert model["source"].startswith(REPO)
    assert model["license"] == "mit"
    used = running.post("/api/v1/generate", {"model": "fresh", "prompt": "x", "max_tokens": 3})
    assert used.json()["usage"]["completion_tokens"] == 3
    again = pull(running, REPO, name="fresh")
    assert again.status_code == 200
    assert len(hub.downloads()) == 1  # the file is known by its digest
    other = pull(running, REPO, name="other")
    assert other.json()["digest"] == model["digest"]
    assert len(hub.downloads()) == 1


def test_pull_of_an_address(running, hub, digest):
    url = hub.url + "/files/acme/tiny-GGUF/tiny-F32.gguf"
    answer = pull(running, f"{url}#sha256={digest}", name="direct")
    assert answer.status_code == 200, answer.text
    assert answer.json()["source"] == url
    assert answer.json()["digest"] == "sha256:" + digest


@pytest.mark.parametrize("source", [REPO, "/files/acme/tiny-GGUF/tiny-F32.gguf"])
def test_the_expected_digest(running, hub, digest, source):
    source = source if source == REPO else hub.url + source
    wrong = pull(running, source, name="x", sha256="0" * 64)
    assert wrong.status_code >= 400
    assert digest in error_of(wrong)["message"] and "0" * 64 in error_of(wrong)["message"]
    assert error_of(pull(running, source, name="x", sha256="12"))["pointer"] == "/sha256"
    assert running.get("/api/v1/models/x").status_code == 404
    assert pull(running, source, name="x", sha256=digest).json()["digest"] == "sha256:" + digest
    with Stdio(running.home) as client:
        client.initialize()
        result = client.call("tools/call", {"name": "llm_pull_model", "arguments": {
            "source": source, "name": "by-mcp", "sha256": digest}})["result"]
    assert result["structuredContent"]["digest"] == "sha256:" + digest


def test_progress(running):
    payloads = running.stream("/api/v1/models/pull", {"source": REPO, "name": "watched"})
    assert payloads[-1] == "[DONE]"
    *progress, last = [json.loads(payload) for payload in payloads[:-1]]
    assert progress
    assert {event["status"] for event in progress} <= {"resolving", "downloading", "verifying", "finishing"}
    assert all(event["bytes_done"] <= event["bytes_total"] or not event["bytes_total"] for event in progress)
    assert last["done"] is True
    assert last["name"] == "watched"


def test_one_cut_is_not_even_noticed(running, hub):
    hub.set(cut_after=100_000, cuts=1)
    assert pull(running, REPO, name="cut").status_code == 200
    assert [entry["range"] for entry in hub.downloads()] == ["", "bytes=100000-"]


@pytest.mark.parametrize("behaviour", [{"corrupt": 1}, {"wrong_hash": 1}])
def test_a_wrong_digest_is_refused(running, hub, behaviour):
    hub.set(**behaviour)
    answer = pull(running, REPO, name="wrong")
    assert answer.status_code >= 400
    assert "SHA-256" in error_of(answer)["message"] or "digest" in error_of(answer)["message"]
    assert running.get("/api/v1/models/wrong").status_code == 404
    assert stored(running) == []
    hub.reset()
    assert pull(running, REPO, name="wrong").status_code == 200  # nothing bad was kept


def test_a_broken_file_is_refused(running):
    answer = pull(running, "hf:acme/broken-GGUF", name="broken")
    assert answer.status_code >= 400
    assert "GGUF" in error_of(answer)["message"]
    assert running.get("/api/v1/models/broken").status_code == 404
    assert not [path for path in running.home.store.rglob("*") if path.is_file() and path.stat().st_size > 4000]


@pytest.mark.parametrize("source, behaviour, words", [
    ("hf:acme/nothing", {}, "acme/nothing"), (REPO + ":Q9_X", {}, "Q9_X"), (REPO + "@missing", {}, "missing"),
    (REPO, {"status": 403, "gated": 1}, "hub_token"), (REPO, {"token": "t"}, "hub_token"), (REPO, {"loop": 1}, "redirect"),
])
def test_what_the_hub_says_is_passed_on(running, hub, source, behaviour, words):
    hub.set(**behaviour)
    answer = pull(running, source)
    assert answer.status_code >= 400
    assert words in error_of(answer)["message"], error_of(answer)


def test_the_token_goes_to_the_hub_alone(gateway, hub):
    running = gateway([], {"models": {"hub_endpoint": hub.url, "hub_token": "very-secret"}})
    hub.set(token="very-secret")
    assert pull(running, REPO).status_code == 200
    entries = httpx.get(hub.url + "/_log").json()
    for entry in entries:
        expected = "" if entry["port"] == hub.cdn_port else "Bearer very-secret"
        assert entry["authorization"] == expected
    assert "very-secret" not in running.stderr()


def test_pulls_of_the_same_join(running, hub):
    hub.set(stall_after=50_000)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            response = stack.enter_context(running.client.stream(
                "POST", "/api/v1/models/pull", json={"source": REPO, "name": "joined", "stream": True}))
            lines = response.iter_lines()
            stack.callback(lines.close)
            assert next(line for line in lines if '"status":"downloading"' in line)
        assert len(hub.downloads()) == 1
    # Once all of them have left the download ends; the next one goes on where it stopped.
    ended = re.compile(r'^llm_mcp_http_requests_total{.*route="/api/v1/models/pull".*} 3$', re.M)
    wait_until(lambda: ended.search(running.get("/metrics").text), "the end of three requests")
    hub.set(stall_after=0)
    assert pull(running, REPO, name="joined").status_code == 200
    assert [entry["range"] for entry in hub.downloads()] == ["", "bytes=50000-"]


def test_two_pulls_fetch_once(running, hub):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda _: pull(running, REPO, name="once"), range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(hub.downloads()) == 1


def test_a_full_disk(gateway, hub):
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    here = gateway.home([], {"models": {"hub_endpoint": hub.url}})
    here.store.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(here.store)],
                             capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount: {mounted.stderr}")
    try:
        running = gateway(home=here)
        answer = pull(running, REPO, name="large")
        assert answer.status_code == 507
        error = error_of(answer)
        assert error["code"] == "disk_full"
        assert "KiB" in error["message"] or "MiB" in error["message"] or "space" in error["message"], error
        assert running.get("/api/v1/models").json()["models"] == []
        subprocess.run(["mount", "-o", "remount,size=1g", str(here.store)], check=True)
        assert pull(running, REPO, name="large").status_code == 200
        running.stop()
    finally:
        subprocess.run(["umount", "-l", str(here.store)], check=False)


def test_the_command_line_without_a_gateway(home, hub, digest):
    place = home([], {"models": {"hub_endpoint": hub.url}})
    done = place.must("pull", REPO, "--name", "mine", "--json")
    assert json.loads(done.stdout)["digest"] == "sha256:" + digest
    assert place.state() is None
    assert place.must("list", "--quiet").stdout == "mine\n"
    hub.set(corrupt=1)
    assert place.run("pull", "hf:acme/broken-GGUF").returncode != 0
    assert place.run("pull", "hf:acme/nothing").returncode == 3
    assert place.run("pull", "gopher:x").returncode == 2


def test_the_command_line_with_a_gateway(running, hub):
    done = running.home.must("pull", REPO, "--name", "mine")
    assert "mine" in done.stdout
    assert running.get("/api/v1/models/mine").status_code == 200
