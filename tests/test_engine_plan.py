"""`llm-mcp engine`: what would be started for an entry of engines.vllm, from the configuration alone and by REST."""
import json
import re
import shlex

import pytest

SECRETS = {"hf_token": "hf_SECRET-token", "api_key": "SECRET-key"}
ENTRIES = {
    "one": {"model": "Qwen/Qwen3-8B", "max_model_len": 32768, **SECRETS},
    "eight": {"model": "Qwen/Qwen3-235B-A22B", "tensor_parallel_size": 8, "gpus": [str(i) for i in range(8)],
              "port": 8100, "sleep_mode": True, **SECRETS},
    "two-hosts": {"model": "deepseek-ai/DeepSeek-V3", "tensor_parallel_size": 8, "pipeline_parallel_size": 2,
                  "port": 8100, "multi_node": {"hosts": ["10.0.0.1", "10.0.0.2"], "backend": "mp"},
                  "container": {"image": "vllm/vllm-openai:v0.33.0"}},
    "process": {"runtime": "process", "model": "/models/qwen", "gpus": ["1"], "port": 8200,
                "environment": {"NOTE": "it's $HOME"}, "process": {"python": "/opt/vllm"}, **SECRETS},
    "far": {"runtime": "remote", "base_url": "http://127.0.0.1:1/v1"},
}
FORMATS = ["argv", "docker", "compose", "kubernetes"]


@pytest.fixture
def place(home):
    return home([], {"engines": {"vllm": ENTRIES}})


def plan(place, name, form):
    return place.must("engine", "plan", name, "--format", form).stdout


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", [name for name in ENTRIES if name != "far"])
def test_no_plan_shows_a_secret(place, name, form):
    text = plan(place, name, form)
    assert "SECRET" not in text
    assert text.endswith("\n")
    if name != "two-hosts":
        assert "HF_TOKEN" in text and "VLLM_API_KEY" in text


def test_argv_of_a_process_is_a_shell_line(place):
    words = shlex.split(plan(place, "process", "argv"))
    assert "NOTE=it's $HOME" in words
    assert "CUDA_VISIBLE_DEVICES=1" in words
    assert "HF_HUB_OFFLINE=1" in words
    assert "HF_TOKEN=$HF_TOKEN" in words  # in double quotes, where the shell puts the value in
    command = words[words.index("/opt/vllm/bin/vllm"):]
    assert command[1:3] == ["serve", "/models/qwen"]
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--port") + 1] == "8200"


def test_argv_of_a_container_publishes_on_loopback(place):
    words = shlex.split(plan(place, "eight", "argv"))
    assert words[:2] == ["docker", "run"]
    assert words[words.index("--publish") + 1] == "127.0.0.1:8100:8000"
    assert words[words.index("--gpus") + 1] == '"device=0,1,2,3,4,5,6,7"'
    assert "--privileged" not in words
    assert words[words.index("--tensor-parallel-size") + 1] == "8"


def test_the_container_is_the_bodys_json(place):
    body = json.loads(plan(place, "one", "docker"))
    assert body["Image"] == "vllm/vllm-openai:0.10.1"
    assert body["HostConfig"]["PortBindings"] == {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
    assert body["HostConfig"]["DeviceRequests"] == [{"Driver": "", "Capabilities": [["gpu"]], "Count": 1}]
    assert body["HostConfig"]["RestartPolicy"] == {"Name": "no"}
    assert "HF_TOKEN=$HF_TOKEN" in body["Env"]
    assert re.fullmatch("[0-9a-f]{64}", body["Labels"]["llm-mcp.hash"])


def test_the_same_entry_on_two_hosts(place):
    nodes = json.loads(plan(place, "two-hosts", "docker"))
    assert [(node["host"], node["role"]) for node in nodes] == [("10.0.0.1", "head"), ("10.0.0.2", "worker")]
    for rank, node in enumerate(nodes):
        command = node["container"]["Cmd"]
        assert command[command.index("--node-rank") + 1] == str(rank)
        assert command[command.index("--master-addr") + 1] == "10.0.0.1"
        assert ("--headless" in command) == (rank > 0)
    cluster = plan(place, "two-hosts", "kubernetes")
    assert "kind: LeaderWorkerSet" in cluster
    assert "$(LWS_WORKER_INDEX)" in cluster
    assert "10.0.0.1" not in cluster


def test_kubernetes_objects(place):
    text = plan(place, "eight", "kubernetes")
    assert re.findall("^kind: (.*)$", text, re.M) == ["PersistentVolumeClaim", "Deployment", "Service"]
    assert "nvidia.com/gpu: 8" in text
    assert "secretKeyRef" in text
    assert "mountPath: /dev/shm" in text
    assert not re.search("^ *name: vllm$", text, re.M)


def test_what_cannot_be_planned_is_said(place):
    remote = place.run("engine", "plan", "far")
    assert remote.returncode == 2
    assert "nothing to start" in remote.stderr
    unknown = place.run("engine", "plan", "nine")
    assert unknown.returncode == 3
    assert "there is eight, far, one, process, two-hosts" in unknown.stderr
    for words in (["plan"], ["list", "one"], ["plan", "one", "--level", "1"], ["stop", "one", "--format", "argv"],
                  ["adapters", "one", "--load", "sql"], ["plan", "one", "--format", "yaml"], ["fly"]):
        refused = place.run("engine", *words)
        assert refused.returncode == 2, words


def test_what_cannot_be_started_is_refused_before_anything_starts(home):
    place = home([], {"engines": {"vllm": {"big": {"model": "a/b", "tensor_parallel_size": 2, "gpus": ["0"]}}}})
    refused = place.run("engine", "plan", "big")
    assert refused.returncode == 2
    assert "engines.vllm.big.gpus" in refused.stderr
    assert "needs 2 GPUs, got 1" in refused.stderr


def test_list_without_a_gateway(place):
    engines = json.loads(place.must("engine", "list", "--json").stdout)["engines"]
    assert {engine["name"]: engine["runtime"] for engine in engines} == {
        "one": "container", "eight": "container", "two-hosts": "container", "process": "process", "far": "remote"}
    assert "SECRET" not in json.dumps(engines)
    refused = place.run("engine", "sleep", "one")
    assert "no gateway is running" in refused.stderr


def test_the_gateway_plans_the_same(gateway):
    server = gateway([], {"engines": {"vllm": ENTRIES}})
    answer = server.get("/api/v1/engines/eight/plan", params={"format": "compose"})
    assert answer.status_code == 200
    assert answer.json()["text"] == plan(server.home, "eight", "compose")
    listed = server.get("/api/v1/vllm").json()["engines"]
    assert [engine["name"] for engine in listed if engine["replicas"]] == []
    info = server.get("/api/v1/engines/eight").json()
    assert info["kind"] == "vllm"
    assert info["settings"]["tensor_parallel_size"] == 8
    assert "SECRET" not in json.dumps(info)
    wrong = server.get("/api/v1/engines/eight/plan", params={"format": "helm"})
    assert wrong.status_code == 400
    assert "/format" in json.dumps(wrong.json())
    asleep = server.post("/api/v1/engines/eight/sleep", {"level": 1})
    assert asleep.status_code == 404
    assert "does not run" in json.dumps(asleep.json())
    level = server.post("/api/v1/engines/eight/sleep", {"level": 3})
    assert level.status_code == 400
    path = server.post("/api/v1/engines/eight/adapters", {"adapter": "sql", "path": "../../etc"})
    assert path.status_code == 400
    assert "/path" in json.dumps(path.json())
