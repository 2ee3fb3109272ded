"""Versions of a model: two behind one name, moved under traffic, split, shadowed, carried elsewhere, collected."""
import collections
import concurrent.futures
import hashlib
import json
import re
import shutil
import stat
import struct
import sys
import threading

import httpx
import pytest

import tiny_gguf
from access_clients import PROTECTED, ask, local, make_key
from harness import ROOT, error_of, wait_until
from hub import Hub
from mcp_lines import Stdio

# One request at a time: what a model says at temperature 0 must not depend on who else asks.
CALM = {"models": {"settings": {name: {"parallel": 1} for name in ("tiny", "tiny-long")}}}
SHORT = re.compile(r"[a-z-]+:[a-z0-9]+@sha256:[0-9a-f]{12}")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three models that say different things."""
    folder = tmp_path_factory.mktemp("versions")
    paths = [folder / f"v{seed}.gguf" for seed in (11, 12, 13)]
    for path in paths:
        tiny_gguf.write(path, seed=int(path.stem[1:]))
    return paths


def say(gateway, model, session=None, user=None, client=None):
    """What a model says, in which version, and by which engine."""
    body = {"messages": [{"role": "user", "content": "go"}], "max_tokens": 6, "temperature": 0}
    if model:
        body["model"] = model
    if user:
        body["user"] = user
    headers = {"X-Session-Id": session} if session else {}
    answer = (client or gateway.client).post("/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return Said(answer.json()["choices"][0]["message"]["content"], answer.headers["x-llm-model-version"],
                answer.headers["x-llm-engine"])


Said = collections.namedtuple("Said", "text version engine")


def versions(gateway, name):
    answer = gateway.get(f"/api/v1/models/{name}/versions")
    assert answer.status_code == 200, answer.text
    return answer.json()


def do(gateway, method, path, body=None, status=200):
    answer = gateway.client.request(method, path, json={} if body is None else body)
    assert answer.status_code == status, answer.text
    return answer.json()


def promote(gateway, version, to=None):
    return do(gateway, "POST", f"/api/v1/models/{version}/promote", {"to": to} if to else {})


def rollback(gateway, name, status=200):
    return do(gateway, "POST", f"/api/v1/models/{name}/rollback", status=status)


@pytest.fixture
def two(gateway, files):
    """A gateway with two versions of "tiny", v2 the current one, and what each says: (gateway, v1, v2)."""
    running = gateway(["tiny"], CALM)
    said = []
    for file in files[:2]:
        running.home.import_model(file, "tiny", "--replace")
        now = versions(running, "tiny")["current"]
        wait_until(lambda: running.get("/api/v1/models/tiny").json()["model_version"] == now, "the new version")
        said.append(say(running, "tiny"))
    assert [one.version for one in said][-1] == now
    assert said[0].text != said[1].text and said[0].version != said[1].version
    return running, *said


def test_two_versions_side_by_side(two):
    gateway, v1, v2 = two
    listed = versions(gateway, "tiny")
    assert listed["current"] == v2.version
    assert [one["version"] for one in listed["versions"] if one["current"]] == [v2.version]
    assert {v1.version, v2.version} < {one["version"] for one in listed["versions"]}
    assert {"source", "revision", "digest", "license", "creator", "notes", "created"} <= listed["versions"][0].keys()
    # By its digest, in full or by twelve digits; each version in an engine of its own, the current one in the tag's.
    assert say(gateway, v1.version) == v1
    assert say(gateway, v2.version) == v2
    assert say(gateway, SHORT.match(v1.version).group()) == v1
    assert v1.engine != v2.engine
    assert say(gateway, "tiny").engine == v2.engine
    ready = [e["key"] for e in gateway.get("/api/v1/engines").json()["engines"] if e["state"] == "ready"]
    assert {v1.engine, v2.engine} <= set(ready)
    unknown = gateway.post("/v1/chat/completions", {"model": "tiny@sha256:" + "0" * 64, "messages": [
        {"role": "user", "content": "go"}]})
    assert unknown.status_code == 404


def test_promotion_and_rollback_hold_for_the_next_request(two):
    gateway, v1, v2 = two
    moved = promote(gateway, v1.version)
    assert (moved["version"], moved["before"]) == (v1.version, v2.version)
    assert say(gateway, "tiny") == v1
    rollback(gateway, "tiny")
    assert say(gateway, "tiny") == v2
    # An alias leads to the version for good; a tag that moves does not move it.
    promote(gateway, v1.version, "prod")
    assert say(gateway, "prod") == v1
    promote(gateway, "tiny", "prod")
    assert say(gateway, "prod") == v2
    rollback(gateway, "prod")
    assert say(gateway, "prod") == v1
    assert "nothing to go back to" in rollback(gateway, "prod", 409)["error"]["message"]


def test_removing_one_version_leaves_the_others(two):
    gateway, v1, v2 = two
    assert gateway.delete(f"/api/v1/models/{v2.version}").status_code == 409  # the current one
    assert say(gateway, v1.version) == v1
    gone = gateway.delete(f"/api/v1/models/{v1.version}")
    assert gone.status_code == 200 and gone.json()["model"] == v1.version, gone.text
    assert gateway.post("/api/v1/generate", {"model": v1.version, "prompt": "x"}).status_code == 404
    assert say(gateway, "tiny") == v2
    assert gateway.delete("/api/v1/models/tiny").status_code == 200
    wait_until(lambda: not gateway.home.engine_pids(), "the end of every version's engine")


def test_the_command_line_does_the_same_with_a_gateway_and_without(two, home):
    gateway, v1, v2 = two
    run = gateway.home.must
    assert SHORT.match(v1.version).group() in run("versions", "tiny").stdout
    assert "tiny:latest is now" in run("promote", SHORT.match(v1.version).group()).stdout
    assert say(gateway, "tiny") == v1  # at once: the gateway did it
    run("promote", "tiny", "prod")
    run("rollback", "tiny")
    assert (say(gateway, "tiny"), say(gateway, "prod")) == (v2, v1)
    assert SHORT.match(v1.version).group() in run("alias", "list").stdout
    shown = run("info", "tiny").stdout
    assert v2.version in shown
    assert SHORT.match(v2.version).group()[-12:] in run("list").stdout
    assert gateway.home.run("rm", "--yes", v1.version).returncode == 1  # the alias leads to it
    run("alias", "rm", "prod")
    run("rm", "--yes", v1.version)
    assert v1.version not in {one["version"] for one in versions(gateway, "tiny")["versions"]}
    alone = home(["tiny"])
    alone.must("alias", "set", "prod", "tiny=3", "tiny:latest@sha256:" + json.loads(
        alone.must("versions", "tiny", "--json").stdout)["current"][-64:] + "=1")
    assert "tiny:latest 75%" in alone.must("alias").stdout
    assert alone.run("rollback", "prod").returncode == 1
    assert "Nothing to collect" in alone.must("gc", "--versions", "--partial").stderr


def test_moves_under_traffic(two):
    """Every answer is of the version that it names, and none fails."""
    gateway, v1, v2 = two
    truth = {one.version: one.text for one in (v1, v2)}
    stop = threading.Event()

    def ask_on(number):
        seen = collections.Counter()
        with httpx.Client(base_url=gateway.url, timeout=120) as client:
            while not stop.is_set():
                said = say(gateway, "tiny", client=client)
                assert said.text == truth[said.version]
                seen[said.version] += 1
        return seen

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        callers = [pool.submit(ask_on, n) for n in range(4)]
        try:
            for _ in range(5):
                promote(gateway, v1.version)
                assert say(gateway, "tiny") == v1
                rollback(gateway, "tiny")
                assert say(gateway, "tiny") == v2
        finally:
            stop.set()
        seen = sum((caller.result() for caller in callers), collections.Counter())
    assert set(seen) == set(truth), seen
    assert len([e for e in gateway.log("engine starting")]) == 2, "going back costs no load"


def test_what_runs_ends_with_its_version(gateway, models, files):
    running = gateway(["tiny-long"], CALM)
    old = versions(running, "tiny-long")["current"]
    body = {"model": "tiny-long", "prompt": "x", "max_tokens": 2000, "stream": True}
    with running.client.stream("POST", "/api/v1/generate", json=body) as answer:
        assert answer.headers["x-llm-model-version"] == old
        lines = answer.iter_lines()
        next(line for line in lines if line.startswith("data: "))
        running.home.import_model(files[0], "other")
        wait_until(lambda: running.get("/api/v1/models/other").status_code == 200, "the other model")
        now = promote(running, "other", "tiny-long")["version"]
        assert say(running, "tiny-long").version == now != old
        payloads = [line[6:] for line in lines if line.startswith("data: ")]
    assert json.loads(payloads[-2])["usage"]["completion_tokens"] == 2000


def test_a_canary_stays_with_its_callers(two):
    gateway, v1, v2 = two
    promote(gateway, v1.version, "tiny:stable")
    promote(gateway, v2.version, "tiny:next")
    sessions = [f"session-{n}" for n in range(200)]

    def tag_of(**caller):
        said = say(gateway, "prod", **caller)
        tag = said.version.partition("@")[0]
        assert said.text == {"tiny:stable": v1, "tiny:next": v2}[tag].text
        return tag

    def tags():
        return {session: tag_of(session=session) for session in sessions}

    def split(canary):
        gateway.home.must("alias", "set", "prod", f"tiny:stable={100 - canary}", f"tiny:next={canary}")
        found = tags()
        share = sum(tag == "tiny:next" for tag in found.values())
        print(f"canary of {canary} %: {share} of {len(sessions)} callers")
        return found, share

    # The choice is a hash of names, which are the same in every run: these counts are no matter of luck.
    small, share = split(5)
    assert 4 <= share <= 18, share
    assert tags() == small
    large, share = split(20)
    assert 26 <= share <= 54, share
    # Who had the canary keeps it when it grows.
    assert all(large[s] == "tiny:next" for s in sessions if small[s] == "tiny:next")
    users = {user: tag_of(user=user) for user in (f"user-{n}" for n in range(60))}
    assert set(users.values()) == {"tiny:stable", "tiny:next"}
    assert {user: tag_of(user=user) for user in users} == users
    rollback(gateway, "prod")
    assert tags() == small
    # Splits among versions by their digests: both are asked for, each caller stays.
    gateway.home.must("alias", "set", "prod", f"{v1.version}=1", f"{v2.version}=1")
    first = [say(gateway, "prod", session) for session in sessions[:40]]
    assert set(first) == {v1, v2}  # all 40 alike: once in 5e11 runs
    assert [say(gateway, "prod", session) for session in sessions[:40]] == first


def test_shadows_hear_everything_and_change_nothing(two):
    gateway, v1, v2 = two
    do(gateway, "PUT", "/api/v1/aliases/prod", {"targets": [{"model": v1.version}],
                                               "shadow": [{"model": v2.version, "weight": 1}]})
    for number in range(5):
        assert say(gateway, "prod", f"s{number}") == v1
    entries = wait_until(lambda: len(gateway.log("shadow")) == 5 and gateway.log("shadow"), "five copies")
    assert {(e["version"], e["outcome"], e["completion_tokens"]) for e in entries} == {(v2.version, "ok", 6)}
    # A shadow of a tenth gets about that, one that cannot answer harms nobody, and a streamed answer has its copy, too.
    do(gateway, "PUT", "/api/v1/aliases/prod", {"targets": [{"model": v1.version}],
                                               "shadow": [{"model": v2.version, "weight": 0}]})
    for number in range(5):
        assert say(gateway, "prod", f"s{number}") == v1
    do(gateway, "PUT", "/api/v1/aliases/prod", {"targets": [{"model": v1.version}],
                                               "shadow": [{"model": v2.version, "weight": 1}]})
    assert gateway.stream("/v1/chat/completions", {"model": "prod", "max_tokens": 4, "messages": [
        {"role": "user", "content": "go"}]})[-1] == "[DONE]"
    wait_until(lambda: len(gateway.log("shadow")) == 6, "the copy of the stream, and none of those without a shadow")
    wrong = do(gateway, "PUT", "/api/v1/aliases/prod", {"targets": [{"model": "tiny"}],
                                                       "shadow": [{"model": "tiny", "weight": 2}]}, 400)
    assert wrong["error"]["pointer"] == "/shadow/0/weight"


def test_an_alias_as_the_default(gateway, files):
    running = gateway(["tiny"], {**CALM, "models": {"default": "default", **CALM["models"]}})
    running.home.import_model(files[1], "other")
    running.home.must("alias", "set", "default", "tiny")
    first = say(running, None)
    assert first.version.startswith("tiny:latest@")
    promote(running, "other", "default")
    assert say(running, None).version.startswith("other:latest@")
    rollback(running, "default")
    assert say(running, None) == first


def blob(gateway, version):
    found = [one for one in versions(gateway, "tiny")["versions"] if one["version"] == version]
    return gateway.home.store / "blobs" / found[0]["digest"].replace(":", "-") if found else None


def test_garbage_is_only_what_nobody_uses(two):
    gateway, v1, v2 = two
    rollback(gateway, "tiny")  # nothing remembers v2 now, but its engine runs
    assert say(gateway, "tiny") == v1
    file = blob(gateway, v2.version)
    collect = {"versions": True, "partial": True}
    assert do(gateway, "POST", "/api/v1/models/gc", collect)["items"] == []
    assert say(gateway, v2.version) == v2
    assert file.is_file()
    do(gateway, "POST", f"/api/v1/models/{v2.version}/unload")
    wait_until(lambda: v2.engine not in [e["key"] for e in gateway.get("/api/v1/engines").json()["engines"]
                                         if e["state"] != "stopped"], "the end of the engine")
    would = do(gateway, "POST", "/api/v1/models/gc", {**collect, "dry_run": True})
    assert {item["kind"] for item in would["items"]} == {"version", "blob"} and file.is_file()
    done = do(gateway, "POST", "/api/v1/models/gc", collect)
    assert done["items"] == would["items"] and done["bytes"] == would["bytes"] > 100_000
    assert not file.exists()
    assert say(gateway, "tiny") == v1
    assert gateway.post("/api/v1/generate", {"model": v2.version, "prompt": "x"}).status_code == 404


@pytest.fixture
def bundle(two, tmp_path):
    """An export of v2 through the gateway."""
    gateway, _, v2 = two
    folder = tmp_path / "bundle"
    out = gateway.home.must("export", "tiny", folder)
    assert "exported tiny:latest@sha256:" in out.stdout
    return gateway, v2, folder


def test_bundles_are_carried_elsewhere(bundle, gateway):
    _, v2, folder = bundle
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, path = line.split(maxsplit=1)
        assert hashlib.sha256((folder / path).read_bytes()).hexdigest() == digest
    elsewhere = gateway.home()
    elsewhere.write_config(CALM, ["tiny"])
    assert "imported" in elsewhere.must("import", folder).stdout  # without a gateway
    running = gateway(home=elsewhere)
    assert say(running, "tiny")[:2] == v2[:2]
    elsewhere.must("import", folder, "--name", "again")  # through it
    assert say(running, "again").text == v2.text
    # Out of the second one once more: the same version, byte for byte.
    elsewhere.must("export", "tiny", elsewhere.path / "out")
    assert (elsewhere.path / "out/manifest.json").read_bytes() == (folder / "manifest.json").read_bytes()


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "manifest", "sums"])
def test_a_damaged_bundle_is_refused_by_name(bundle, home, damage):
    _, _, folder = bundle
    [file] = (folder / "blobs").iterdir()
    victim = {"manifest": folder / "manifest.json", "sums": folder / "SHA256SUMS"}.get(damage, file)
    content = bytearray(victim.read_bytes())
    if damage == "cut":
        victim.write_bytes(content[:-1])
    elif damage in ("gone", "sums"):
        victim.unlink()
    else:
        content[len(content) // 2] ^= 1
        victim.write_bytes(content)
    elsewhere = home()
    refused = elsewhere.run("import", folder)
    assert refused.returncode != 0
    assert victim.name in refused.stderr, refused.stderr
    assert elsewhere.must("list", "--quiet").stdout == ""
    assert not list(elsewhere.store.glob("blobs/*"))


def test_folders_are_for_the_owner_alone(gateway, tmp_path):
    running = gateway(["tiny"], PROTECTED)
    admin = make_key(running, "admin")["key"]
    body = {"directory": str(tmp_path / "out")}
    assert ask(running, admin, "POST", "/api/v1/models/tiny/export", json=body).status_code == 403
    assert ask(running, admin, "POST", "/api/v1/models/import", json=body).status_code == 403
    assert not (tmp_path / "out").exists()
    with local(running) as owner:
        assert owner.post("/api/v1/models/tiny/export", json=body).status_code == 200
        assert owner.post("/api/v1/models/tiny/export", json={"directory": "out"}).json()["error"]["pointer"] == "/directory"


def test_rights(gateway, files):
    running = gateway(["tiny"], PROTECTED)
    home = running.home
    home.import_model(files[0], "tiny", "--replace")
    home.import_model(files[1], "secret")
    with local(running) as owner:
        listed = owner.get("/api/v1/models/tiny/versions").json()
        old = next(one["version"] for one in listed["versions"] if not one["current"])
        owner.put("/api/v1/aliases/prod", json={"targets": [{"model": "secret"}]}).raise_for_status()

    def status(key, method, path, body=None):
        return ask(running, key, method, path, **({} if method == "GET" else {"json": body or {}})).status_code

    viewer, user, operator = (make_key(running, role)["key"] for role in ("viewer", "user", "operator"))
    only_tiny = make_key(running, "operator", scopes=["generate", "models:read", "models:write"], models=["tiny:*"])["key"]
    assert status(viewer, "GET", "/api/v1/models/tiny/versions") == 200
    for key in (viewer, user):
        assert status(key, "POST", f"/api/v1/models/{old}/promote") == 403
        assert status(key, "POST", "/api/v1/models/tiny/rollback") == 403
        assert status(key, "PUT", "/api/v1/aliases/x", {"targets": [{"model": "tiny"}]}) == 403
    for key in (viewer, user, operator):
        assert status(key, "POST", "/api/v1/models/gc") == 403
        assert status(key, "POST", f"/api/v1/models/{old}/remove-version") == 403
    # Who may use one model alone: every version of it, and no other by way of a name or an alias.
    chat = {"messages": [{"role": "user", "content": "go"}], "max_tokens": 1}
    assert status(only_tiny, "POST", "/v1/chat/completions", {**chat, "model": old}) == 200
    assert status(only_tiny, "POST", "/v1/chat/completions", {**chat, "model": "prod"}) == 403
    assert status(only_tiny, "GET", "/api/v1/models/secret/versions") == 403
    assert status(only_tiny, "POST", "/api/v1/models/secret/promote", {"to": "tiny:latest"}) == 403
    assert status(only_tiny, "POST", "/api/v1/models/tiny/promote", {"to": "prod"}) == 403
    assert status(only_tiny, "PUT", "/api/v1/aliases/tiny:x", {"targets": [{"model": "secret"}]}) == 403
    aliases = ask(running, only_tiny, path="/api/v1/aliases").json()["aliases"]
    assert [one["name"] for one in aliases] == []
    assert status(only_tiny, "POST", f"/api/v1/models/{old}/promote") == 200
    assert status(operator, "POST", "/api/v1/models/tiny/rollback") == 200


# --- whole repositories, and where models may come from


def safetensors(tensors):
    header, data = {}, b""
    for name, shape in tensors.items():
        size = 2
        for n in shape:
            size *= n
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [len(data), len(data) + size]}
        data += b"\0" * size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.fixture
def hub(tmp_path):
    folder = tmp_path / "hub/acme/Tiny-Instruct"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "max_position_embeddings": 2048, "hidden_size": 8,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 16}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(safetensors({"a": [300, 100], "b": [7]}))
    (folder / "modeling_tiny.py").write_text("raise SystemExit")
    both = tmp_path / "hub/acme/Both"
    shutil.copytree(folder, both)
    tiny_gguf.write(both / "both-F32.gguf", seed=5)
    hub = Hub(tmp_path / "hub")
    yield hub
    hub.close()


def test_a_whole_repository_for_vllm(gateway, hub):
    home = gateway.home([], {"models": {"hub_endpoint": hub.url}})
    program = home.path / "vllm"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/tests/vllm_standin.py" "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    home.write_config({"models": {"hub_endpoint": hub.url}, "engines": {"vllm": {"big": {
        "runtime": "process", "model": "store:tiny-instruct", "process": {"program": str(program)}}}}})
    running = gateway(home=home)
    chat = {"model": "big", "messages": [{"role": "user", "content": "count"}], "max_tokens": 3}
    missing = running.post("/v1/chat/completions", chat)
    assert missing.status_code >= 400 and "pull the whole repository first" in error_of(missing)["message"]
    pulled = home.must("pull", "hf:acme/Tiny-Instruct", "--notes", "for the big one")
    assert "Licence: mit" in pulled.stderr and "store:tiny-instruct" in pulled.stderr
    assert "every file has its digest" in home.run("doctor", "--verify").stdout
    model = running.get("/api/v1/models/tiny-instruct").json()
    assert (model["kind"], model["license"], model["notes"]) == ("repository", "mit", "for the big one")
    assert re.fullmatch("[0-9a-f]{40}", model["revision"])
    # llama.cpp cannot read it and says who can; vLLM is pointed to its folder.
    refused = running.post("/v1/chat/completions", {**chat, "model": "tiny-instruct"})
    assert refused.status_code == 400, refused.text
    assert "engines.vllm" in error_of(refused)["message"]
    answer = wait_until(lambda: (r := running.post("/v1/chat/completions", chat)).status_code == 200 and r,
                        "vLLM's answer")
    assert answer.headers["x-llm-model-version"] == model["model_version"]
    url = running.engine("big")["endpoint"].removesuffix("/v1")
    command = json.dumps(httpx.get(url + "/standin/state", timeout=30).json())
    folder = home.store / "repositories" / model["digest"].removeprefix("sha256:")
    assert str(folder) in command
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    # A bundle of it holds all its files.
    home.must("export", "tiny-instruct", home.path / "out")
    assert len(list((home.path / "out/blobs").iterdir())) == 3


def test_gguf_or_repository(gateway, hub):
    running = gateway([], {"models": {"hub_endpoint": hub.url}})
    home = running.home
    kind = lambda name: running.get(f"/api/v1/models/{name}").json()["kind"]
    home.must("pull", "hf:acme/Both")
    assert kind("both") == "gguf"
    home.must("pull", "hf:acme/Both", "--name", "whole", "--format", "repository")
    assert kind("whole") == "repository"
    assert home.run("pull", "hf:acme/Tiny-Instruct", "--format", "gguf").returncode == 3
    hub.set(status=403, gated=1)
    gated = home.run("pull", "hf:acme/Gated")
    assert gated.returncode != 0
    assert "accept its terms" in gated.stderr and "models.hub_token" in gated.stderr, gated.stderr


def test_only_allowed_sources(gateway, hub):
    settings = {"models": {"hub_endpoint": hub.url, "allowed_sources": ["hf:acme/Both", "hf:other/*"]}}
    running = gateway([], settings)
    home = running.home
    answer = running.post("/api/v1/models/pull", {"source": "hf:acme/Tiny-Instruct"})
    assert answer.status_code == 403
    message = error_of(answer)["message"]
    assert "hf:acme/Tiny-Instruct" in message and "models.allowed_sources" in message and "hf:other/*" in message
    url = hub.url + "/files/acme/Both/both-F32.gguf"
    assert running.post("/api/v1/models/pull", {"source": url}).status_code == 403
    with Stdio(home) as client:
        client.initialize()
        result = client.call("tools/call", {"name": "llm_pull_model", "arguments": {
            "source": "hf:acme/Tiny-Instruct"}})["result"]
        assert result["isError"] and "models.allowed_sources" in json.dumps(result)
    refused = home.run("pull", "hf:acme/Tiny-Instruct")
    assert refused.returncode != 0 and "models.allowed_sources" in refused.stderr
    assert hub.log() == [], "nobody is asked"
    home.must("pull", "hf:acme/Both")
    running.stop()
    alone = home.run("pull", "hf:acme/Tiny-Instruct")
    assert alone.returncode == refused.returncode and "models.allowed_sources" in alone.stderr
