"""vLLM in a container: its whole life through a real container engine, with an image of the stand-in."""
import concurrent.futures
import contextlib
import json
import os
import re
import signal
import socket
import stat

import httpx
import pytest

import container_engine
from harness import alive, error_of, sse_payloads, wait_until
from registry_standin import Registry

IMAGE = f"{container_engine.IMAGE}:0.10.1"
CHAT = {"model": "big", "messages": [{"role": "user", "content": "count"}], "max_tokens": 4}
SECRET = "hf_SECRETTOKEN"


@pytest.fixture(scope="session")
def engine():
    """(Docker, PrivateDaemon or None); only where none can be had the tests are skipped, and never in CI unless
    LLM_MCP_TEST_DOCKER=none says so."""
    if os.environ.get("LLM_MCP_TEST_DOCKER") == "none":
        pytest.skip("LLM_MCP_TEST_DOCKER=none")
    running = container_engine.running()
    try:
        pair = running.__enter__()
    except container_engine.Unavailable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no container engine: {error}")
        pytest.skip(f"no container engine: {error}")
    yield pair
    running.__exit__(None, None, None)


@pytest.fixture
def docker(engine):
    """The container engine; at the end of each test no container may be left."""
    docker = engine[0]
    yield docker
    left = docker.containers()
    for container in left:
        docker.remove(container["Id"])
    assert not left, [container["Names"] for container in left]


class Vllm:
    """A gateway with one engine "big" in a container."""

    def __init__(self, factory, docker, settings=None, environment=None, container=None, home=None):
        self.factory, self.docker = factory, docker
        self.home = home or factory.home([])
        self.configure(settings, environment, container)
        self.begin()

    def configure(self, settings=None, environment=None, container=None):
        entry = {"runtime": "container", "model": "acme/big", "hf_token": SECRET, "stop_timeout": "20s",
                 "environment": environment or {},
                 "container": {"image": IMAGE, "docker_host": self.docker.host, "gpus": False,
                               "shared_memory": "64MiB", **(container or {})},
                 **(settings or {})}
        self.home.write_config({"engines": {"vllm": {"big": entry}, "restart_backoff": "10ms"}})

    def begin(self):
        self.gateway = self.factory(home=self.home)
        self.get, self.post = self.gateway.get, self.gateway.post

    def engine(self):
        return self.gateway.engine("big") or {"state": "stopped", "phase": ""}

    def state(self):
        return self.engine()["state"]

    def start(self):
        answer = self.post("/api/v1/engines/big/start")
        assert answer.status_code == 200, answer.text
        return self.engine()

    def wait_for_restart(self):
        wait_until(lambda: (e := self.engine())["state"] == "ready" and e["restarts"] == 1, "the restart")

    def stop(self):
        answer = self.post("/api/v1/engines/big/stop")
        assert answer.status_code == 200, answer.text

    def url(self, path):
        return self.engine()["endpoint"].removesuffix("/v1") + path

    def standin(self):
        return httpx.get(self.url("/standin/state"), timeout=30).json()

    def set(self, **values):
        return httpx.post(self.url("/standin/set"), json=values, timeout=30).json()

    def containers(self):
        return self.docker.containers(llm_mcp_engine="big")

    def container(self):
        one, = self.containers()
        return one["Id"]

    def crash(self):
        """kill -9 of the gateway; its containers go on."""
        self.gateway.expected_exit = -signal.SIGKILL
        self.gateway.kill()
        self.gateway.process.wait(30)

    @contextlib.contextmanager
    def held_stream(self):
        """A stream that has given two words and gives no more until the stand-in lets it."""
        self.set(hold=True)
        with self.gateway.client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as response:
            assert response.status_code == 200, response.read()
            lines = response.iter_lines()
            seen = 0
            while seen < 2:
                line = next(lines)
                seen += 1 if line.startswith("data: ") and words([line]) else 0
            yield lines


def words(lines):
    out = []
    for payload in sse_payloads(lines):
        if payload != "[DONE]":
            for choice in json.loads(payload).get("choices", []):
                out += (choice["delta"].get("content") or "").split()
    return out


@pytest.fixture
def vllm(gateway, docker):
    """Makes gateways with the engine; they end before the containers are counted."""
    made = []

    def make(**options):
        made.append(Vllm(gateway, docker, **options))
        return made[-1]

    yield make
    for one in gateway.gateways:
        one.stop()


def test_a_container_from_start_to_stop(vllm, docker, tmp_path):
    gates = tmp_path / "gates"
    gates.mkdir()
    big = vllm(environment={"VLLM_STANDIN_GATES": "/gates"}, container={"mounts": [f"{gates}:/gates:ro"]})
    assert big.state() == "stopped"
    assert big.containers() == [], "nothing runs before it is asked for"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(big.post, "/v1/chat/completions", CHAT)
        fractions = []
        for gate, phase in [("download", "downloading weights"), ("weights", "loading weights"),
                            ("compile", "compiling"), ("graphs", "allocating the KV cache"),
                            ("serve", "starting to serve")]:
            seen = wait_until(lambda: (e := big.engine())["phase"].startswith(phase) and e, phase)
            assert seen["state"] == "starting"
            fractions.append(seen["progress"])
            (gates / gate).touch()
        assert fractions == sorted(set(fractions)), fractions
        answer = answer.result(60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"].split() == ["w0", "w1", "w2", "w3"]
    seen = docker.inspect(big.container())
    assert seen["Config"]["Labels"]["llm-mcp.engine"] == "big"
    assert re.fullmatch("[0-9a-f]{64}", seen["Config"]["Labels"]["llm-mcp.hash"])
    assert seen["Config"]["Labels"]["llm-mcp.gateway"]
    binding, = seen["NetworkSettings"]["Ports"]["8000/tcp"]
    assert binding["HostIp"] == "127.0.0.1"
    assert big.engine()["endpoint"].startswith(f"http://127.0.0.1:{binding['HostPort']}")
    assert seen["HostConfig"]["RestartPolicy"]["Name"] == "no"
    assert seen["HostConfig"]["ShmSize"] == 64 << 20
    assert seen["State"]["Pid"] == big.engine()["pid"]
    mount, = (mount for mount in seen["Mounts"] if mount["Destination"] == "/gates")
    assert mount["Source"] == str(gates) and not mount["RW"]
    # Nothing of the gateway's environment gets in but what was asked for.
    environment = dict(entry.split("=", 1) for entry in seen["Config"]["Env"])
    own = {"PATH", "HOME", "HOSTNAME", "TERM", "container"}  # of a container engine's own making
    assert set(environment) - own == {"DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY", "PYTHONUNBUFFERED", "HF_HOME",
                                      "VLLM_NO_USAGE_STATS", "VLLM_CACHE_ROOT", "VLLM_STANDIN_GATES", "HF_TOKEN",
                                      "VLLM_API_KEY"}
    # Secrets are in the environment and nowhere else.
    assert environment["HF_TOKEN"] == SECRET
    key = environment["VLLM_API_KEY"]
    public = json.dumps([seen["Config"]["Labels"], seen["Config"]["Cmd"], seen["Path"], seen["Args"], seen["Name"]])
    for secret in (SECRET, key):
        assert secret not in public
        assert secret not in big.gateway.stderr()
        assert secret not in big.get("/api/v1/engines").text
    kept = [path for path in big.home.path.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept] == [0o600], kept
    assert httpx.get(big.url("/v1/models"), timeout=30).status_code == 401
    big.stop()
    assert big.containers() == []
    assert big.state() == "stopped"
    assert not kept[0].exists()


CAUSES = {"oom": (503, "gpu_memory_utilization"), "no_gpu": (502, "sees no GPU"), "gated": (403, "accept its licence"),
          "arch": (None, "NovelForCausalLM"), "port": (502, "port is taken"), "shm": (502, "shm")}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_start_that_fails_says_why_and_leaves_nothing(vllm, cause):
    big = vllm(environment={"VLLM_STANDIN_FAIL": cause})
    answer = big.post("/v1/chat/completions", CHAT)
    status, text = CAUSES[cause]
    assert answer.status_code == status or (not status and answer.status_code >= 400), answer.text
    assert text in error_of(answer)["message"], answer.text
    assert big.containers() == []


def test_what_is_killed_while_it_starts_is_said_to_be(vllm, docker, tmp_path):
    big = vllm(environment={"VLLM_STANDIN_GATES": "/gates"}, container={"mounts": [f"{tmp_path}:/gates"]})
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(big.post, "/v1/chat/completions", CHAT)
        wait_until(lambda: big.engine()["phase"].startswith("downloading"), "the start")
        docker.kill(big.container())
        answer = answer.result(60)
    assert answer.status_code == 502, answer.text
    assert "signal 9" in error_of(answer)["message"], answer.text
    assert big.containers() == []


def test_a_port_that_is_taken(vllm):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        big = vllm(settings={"port": taken.getsockname()[1]})
        answer = big.post("/v1/chat/completions", CHAT)
        assert answer.status_code == 502, answer.text
        assert "port" in error_of(answer)["message"], answer.text
        assert big.containers() == []


def test_a_start_is_idempotent(vllm):
    big = vllm()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda _: big.post("/api/v1/engines/big/start"), range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    container = big.container()
    big.start()
    assert big.container() == container
    assert big.engine()["restarts"] == 0


@pytest.fixture
def newer_image(docker):
    image = f"{container_engine.IMAGE}:0.33.0"
    docker.load_standin(image)
    yield image
    docker.remove_image(image)  # it shares its layers with what other tests pull


def test_a_model_over_two_machines(vllm, docker, newer_image):
    """Both of them are this one: the head's container and its worker's share the host's network."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    nodes = {"hosts": ["198.18.0.1", "198.18.0.2"], "backend": "mp", "docker_hosts": [docker.host]}
    options = {"settings": {"pipeline_parallel_size": 2, "port": port, "multi_node": nodes},
               "environment": {"VLLM_STANDIN_VERSION": "0.33.0"}, "container": {"image": newer_image}}
    big = vllm(**options)
    big.start()

    def machines():
        return {one["Labels"]["llm-mcp.engine"]: one["Id"] for one in docker.containers()}

    first = machines()
    assert set(first) == {"big", "big@1"}
    ranks = {}
    for engine, container in first.items():
        seen = docker.inspect(container)
        assert seen["HostConfig"]["NetworkMode"] == "host"
        words = seen["Config"]["Cmd"]
        ranks[engine] = words[words.index("--node-rank") + 1], "--headless" in words
        assert words[words.index("--master-addr") + 1] == "198.18.0.1"
    assert ranks == {"big": ("0", False), "big@1": ("1", True)}
    assert big.post("/v1/chat/completions", CHAT).status_code == 200
    # The next gateway takes both over.
    big.crash()
    big.begin()
    wait_until(lambda: big.state() == "ready", "the adoption")
    assert machines() == first
    # Without its worker the head is nothing: both are replaced.
    docker.kill(first["big@1"])
    big.wait_for_restart()
    again = machines()
    assert set(again) == set(first) and not set(again.values()) & set(first.values())
    assert big.post("/v1/chat/completions", CHAT).status_code == 200
    big.stop()
    assert machines() == {}


@pytest.mark.parametrize("container, text", [
    ({"gpus": True}, "nvidia-container-toolkit"),
    ({"gpus": True, "gpu_runtime": "nvidia"}, "gpu_runtime"),
    ({"mounts": ["/nowhere/at/all:/x:ro"]}, "container.mounts"),
    ({"image": "acme/missing:1", "pull": False}, "container.pull"),
    ({"docker_host": "unix:/nowhere/docker.sock"}, "no container engine at unix:/nowhere/docker.sock"),
])
def test_what_the_container_engine_refuses_is_explained(vllm, private, container, text):
    big = vllm(container=container)
    answer = big.post("/v1/chat/completions", CHAT)
    assert answer.status_code in (502, 503), answer.text
    assert text in error_of(answer)["message"], answer.text


def test_a_killed_gateway_leaves_it_running_for_the_next_one(vllm):
    big = vllm()
    big.start()
    assert big.post("/v1/chat/completions", CHAT).status_code == 200
    before = big.standin()["requests"]
    container, pid = big.container(), big.engine()["pid"]
    big.crash()
    assert big.container() == container and alive(pid)
    big.begin()
    assert big.container() == container, "the start of a gateway removes nothing that is wanted"
    answer = big.post("/v1/chat/completions", CHAT)
    assert answer.status_code == 200, answer.text
    assert big.container() == container
    assert big.engine()["pid"] == pid
    assert big.standin()["requests"] > before, "it is the same one"
    big.stop()
    assert big.containers() == []


def test_what_runs_with_other_settings_is_replaced(vllm):
    big = vllm()
    big.start()
    container = big.container()
    big.crash()
    big.configure({"max_model_len": 1024})
    big.begin()
    assert big.start()["context"] == 1024
    assert big.container() != container


def test_what_nobody_wants_any_more_is_removed_at_the_start(vllm):
    big = vllm()
    big.start()
    big.crash()
    assert len(big.containers()) == 1
    big.configure({"max_model_len": 1024})
    big.begin()
    wait_until(lambda: not big.containers(), "the end of the orphan")
    wait_until(lambda: "nobody wants any more" in big.gateway.stderr(), "the word of it")
    assert big.state() == "stopped", "and nothing is started that nobody asked for"


def test_it_can_outlive_an_orderly_stop(vllm):
    big = vllm(settings={"keep_running": True})
    big.start()
    container = big.container()
    big.gateway.stop()
    assert big.container() == container
    big.configure({"keep_running": False})
    big.begin()
    big.start()
    assert big.container() == container, "whether it is kept is no part of what runs"
    big.gateway.stop()
    assert big.containers() == []


def test_the_gateways_orderly_end_is_its_end(vllm):
    big = vllm()
    big.start()
    big.gateway.stop()
    assert big.containers() == []


def test_a_stop_waits_for_what_runs(vllm):
    big = vllm()
    big.start()
    container = big.container()
    standin = big.url("/standin/set")
    with big.held_stream() as lines, concurrent.futures.ThreadPoolExecutor() as pool:
        stopped = pool.submit(big.post, "/api/v1/engines/big/stop")
        wait_until(lambda: big.state() == "stopping", "the stop")
        assert big.container() == container
        httpx.post(standin, json={"hold": False}, timeout=30)
        assert words(list(lines)) == ["w2", "w3"]
        assert stopped.result(60).status_code == 200
    assert big.containers() == []


@pytest.mark.parametrize("level", [1, 2])
def test_sleep_and_wake(vllm, level):
    big = vllm(settings={"sleep_mode": True})
    big.start()
    container, url = big.container(), big.url("")
    assert big.post("/api/v1/engines/big/sleep", {"level": level}).status_code == 200
    assert big.state() == "asleep"
    assert httpx.get(url + "/is_sleeping", timeout=30).json()["is_sleeping"] is True
    assert big.post("/v1/chat/completions", CHAT).status_code == 200
    assert big.state() == "ready"
    assert big.container() == container


def test_a_crash_is_followed_by_a_new_container(vllm, docker):
    big = vllm()
    big.start()
    first = big.container()
    with big.held_stream() as lines:
        docker.kill(first)
        payloads = sse_payloads(lines)
    assert "signal 9" in json.loads(payloads[-1])["error"]["message"], payloads
    big.wait_for_restart()
    assert big.container() != first, "and nothing of the first one is left"
    assert big.post("/v1/chat/completions", CHAT).status_code == 200


def test_the_container_engine_may_start_anew_meanwhile(vllm, private, engine):
    daemon = engine[1]
    big = vllm()
    big.start()
    container, pid = big.container(), big.engine()["pid"]
    daemon.end()
    try:
        assert big.state() == "ready"
    finally:
        daemon.start()
    assert big.state() == "ready"
    assert big.container() == container and big.engine()["pid"] == pid
    # Its end is noticed again.
    os.kill(pid, signal.SIGKILL)
    big.wait_for_restart()
    assert big.container() != container


@pytest.fixture(scope="module")
def image_parts():
    return container_engine.image_parts()[:2]


@pytest.fixture
def private(engine):
    """Where the answers are those of dockerd: Podman makes the folders it is to mount, passes over GPUs that it cannot
    give, and takes registries without TLS only from its own configuration."""
    if not engine[1]:
        pytest.skip("not with a container engine that others use")


@pytest.fixture
def registry(docker, private, image_parts):
    registry = Registry(*image_parts)
    yield registry
    registry.close()
    docker.remove_image(f"{registry.host}/acme/vllm:1")


def test_an_image_is_pulled_with_progress(vllm, docker, registry):
    name = f"{registry.host}/acme/vllm:1"
    registry.gate.clear()
    registry.account = "me:SECRETpassword"
    docker.remove_image(IMAGE)  # else its layers are here already
    try:
        big = vllm(container={"image": name, "registry_auth": "me:SECRETpassword"})
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answer = pool.submit(big.post, "/v1/chat/completions", CHAT)
            seen = wait_until(lambda: (e := big.engine())["phase"] == "pulling image" and e["progress"] > 0 and e,
                              "a part of the image")
            assert seen["state"] == "starting" and seen["progress"] < 1
            assert big.containers() == []
            registry.gate.set()
            answer = answer.result(60)
        assert answer.status_code == 200, answer.text
        assert docker.has_image(name)
        assert "SECRETpassword" not in big.gateway.stderr()
        big.stop()
    finally:
        docker.load_standin(IMAGE)


def test_a_pull_that_is_given_up_leaves_nothing(vllm, docker, registry):
    registry.gate.clear()
    docker.remove_image(IMAGE)
    try:
        big = vllm(container={"image": f"{registry.host}/acme/vllm:1"})
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answer = pool.submit(big.post, "/api/v1/engines/big/start")
            wait_until(lambda: big.engine()["phase"] == "pulling image", "the pull")
            big.stop()
            assert answer.result(60).status_code >= 400
        assert big.containers() == []
        assert not docker.has_image(f"{registry.host}/acme/vllm:1")
    finally:
        registry.gate.set()
        docker.load_standin(IMAGE)


@pytest.mark.parametrize("account, given, image, text", [
    ("me:right", None, "acme/vllm:1", "give the account in container.registry_auth"),
    ("me:right", "me:SECRETwrong", "acme/vllm:1", "does not accept container.registry_auth"),
    (None, None, "acme/vllm:2", "no such name or tag"),
])
def test_a_pull_that_fails_says_what_to_do(vllm, registry, account, given, image, text):
    registry.account = account
    container = {"image": f"{registry.host}/{image}", **({"registry_auth": given} if given else {})}
    big = vllm(container=container)
    answer = big.post("/v1/chat/completions", CHAT)
    assert answer.status_code == 502, answer.text
    message = error_of(answer)["message"]
    assert text in message.lower() or text in message, message
    assert "SECRET" not in answer.text + big.gateway.stderr()
    assert registry.seen
