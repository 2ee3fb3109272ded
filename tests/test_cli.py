"""The command line, as a person and a script use it."""
import json
import os
import pty
import re
import signal
import subprocess

import jsonschema
import pytest

import tiny_gguf
from harness import PROGRAM, alive, processes_naming, wait_until

COMMANDS = ["serve", "stdio", "chat", "pull", "import", "list", "show", "rm", "alias", "versions",
            "promote", "rollback", "export", "gc", "ps", "load", "unload",
            "status", "stop", "engine", "providers", "install", "uninstall", "keys", "projects", "users", "roles", "usage",
            "audit", "doctor", "config", "completion", "version", "help"]


@pytest.fixture
def place(home):
    return home(["tiny"])


def files(place):
    return {path.relative_to(place.store) for path in place.store.rglob("*") if path.is_file()}


def test_import_list_show_rm(place, models):
    place.must("import", models["tiny-embed"], "--name", "embed:v2")
    listing = json.loads(place.must("list", "--json").stdout)
    assert {model["name"] for model in listing["models"]} == {"tiny", "embed:v2"}
    assert place.must("list", "--quiet").stdout.split() == ["embed:v2", "tiny"]
    table = place.must("list").stdout
    assert table.splitlines()[0].split()[:3] == ["NAME", "VERSION", "SIZE"]
    assert "\x1b" not in table
    shown = place.must("show", "tiny").stdout
    for words in ("llama", "2048", "Memory when loaded"):
        assert words in shown
    assert json.loads(place.must("show", "tiny", "--json").stdout)["context_length"] == 2048
    refused = place.run("rm", "tiny")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    place.must("rm", "--yes", "tiny", "embed:v2")
    assert place.must("list", "--quiet").stdout == ""
    assert place.run("show", "tiny").returncode == 3


def test_import_if_missing(place, models, tmp_path):
    first = place.must("import", models["tiny"], "--name", "tiny", "--if-missing").stdout
    assert "already there" in first
    assert place.must("import", models["tiny"], "--name", "tiny", "--if-missing", "--quiet").stdout == ""
    taken = place.run("import", models["tiny-tools"], "--name", "tiny")
    assert taken.returncode == 1
    assert "replace" in taken.stderr
    place.must("import", models["tiny-tools"], "--name", "tiny", "--replace")


def test_import_checks_the_digest(place, models):
    wrong = place.run("import", models["tiny-tools"], "--name", "x", "--sha256", "0" * 64)
    assert wrong.returncode != 0
    assert "0" * 64 in wrong.stderr or "SHA-256" in wrong.stderr
    assert place.run("import", models["tiny"], "--name", "x", "--sha256", "12").returncode == 2


@pytest.mark.parametrize("name, damage", [
    ("empty", lambda data: b""), ("text", lambda data: b"not a model" * 1000), ("header", lambda data: data[:100]),
    ("truncated", lambda data: data[:-5000]), ("version", lambda data: data[:4] + b"\x63" + data[5:]),
    ("counts", lambda data: data[:8] + b"\xff" * 16 + data[24:]),
])
def test_damaged_files_are_refused_and_nothing_is_kept(place, models, tmp_path, name, damage):
    before = files(place)
    path = tmp_path / f"{name}.gguf"
    path.write_bytes(damage(models["tiny"].read_bytes()))
    done = place.run("import", path, "--name", name)
    assert done.returncode != 0
    assert done.stderr.startswith("llm-mcp: ") or "error" in done.stderr.lower()
    assert len(done.stderr) > 40  # the reason
    assert files(place) == before
    assert place.run("show", name).returncode == 3


def test_files_that_are_not_there(place):
    assert place.run("import", "/nowhere.gguf", "--name", "x").returncode == 3
    assert place.run("import", "/", "--name", "x").returncode != 0


def test_aliases(place):
    place.must("alias", "default", "tiny")
    assert "default" in place.must("alias").stdout
    assert json.loads(place.must("show", "default", "--json").stdout)["name"] == "tiny"
    assert place.run("alias", "other", "nothing").returncode == 3
    place.must("alias", "--remove", "default")
    assert place.run("show", "default").returncode == 3


def test_chat_streams_and_starts_a_gateway(place):
    try:
        done = place.must("chat", "tiny", "hello", "there", "--max-tokens", "7", "--temperature", "0")
        assert len(done.stdout.rstrip("\n")) == 7
        pid = place.state()["pid"]
        piped = place.must("chat", "tiny", "--raw", "--max-tokens", "5", "--seed", "1", input="from standard input")
        assert len(piped.stdout.rstrip("\n")) == 5
        assert place.state()["pid"] == pid
        whole = json.loads(place.must("chat", "tiny", "x", "--max-tokens", "3", "--json").stdout.splitlines()[-1])
        assert whole["usage"]["completion_tokens"] == 3
        assert place.run("chat", "nope", "x").returncode == 3
        assert place.run("chat", "tiny", "x", "--temperature", "9").returncode == 2
    finally:
        place.must("stop")
    wait_until(lambda: not processes_naming(str(place.path)), "the end of the background gateway")


def test_ps_load_unload_status_stop(place):
    assert "No gateway is running" in place.must("ps").stderr
    assert place.run("status").returncode == 4
    loaded = json.loads(place.must("load", "tiny", "--json").stdout.splitlines()[-1])
    assert loaded["state"] == "ready"
    assert json.loads(place.must("ps", "--json").stdout)["engines"][0]["state"] == "ready"
    assert "tiny" in place.must("ps").stdout
    assert json.loads(place.must("status", "--json").stdout)["engines_ready"] == 1
    place.must("unload", "tiny")
    assert json.loads(place.must("status", "--json").stdout)["engines_ready"] == 0
    pid = place.state()["pid"]
    place.must("stop")
    assert place.state() is None
    assert not (place.runtime / "gateway.sock").exists()
    wait_until(lambda: not alive(pid), "the last moments of the process")
    assert place.run("status").returncode == 4


def test_an_interrupted_chat_ends_the_generation(gateway):
    running = gateway(["tiny-long"])
    running.load("tiny-long")
    chat = subprocess.Popen([str(PROGRAM), "chat", "tiny-long", "on", "--max-tokens", "100000"], env=running.home.env,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert chat.stdout.read(10)
    chat.send_signal(signal.SIGINT)
    chat.communicate(timeout=30)
    assert chat.returncode == 130
    running.wait_idle("tiny-long")


def test_colours_only_on_a_terminal(place):
    leader, follower = pty.openpty()
    with subprocess.Popen([str(PROGRAM), "list"], env={**place.env, "TERM": "xterm"}, stdout=follower,
                          stderr=follower, stdin=follower) as process:
        os.close(follower)
        text = b""
        while True:
            try:
                chunk = os.read(leader, 4096)
            except OSError:
                break
            if not chunk:
                break
            text += chunk
    os.close(leader)
    assert process.returncode == 0
    assert b"tiny" in text
    assert b"\x1b[" in text


def test_doctor(place):
    done = place.run("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "engine" in done.stdout.lower()
    report = json.loads(place.must("doctor", "--json", "--verify").stdout)
    assert isinstance(report, dict)
    place.write_config({"engines": {"llama_server": "/nowhere/llama-server"}}, ["tiny"])
    broken = place.run("doctor")
    assert broken.returncode == 1
    assert "/nowhere/llama-server" in broken.stdout + broken.stderr


def test_doctor_finds_a_damaged_model(place):
    blob = max((path for path in place.store.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(blob.read_bytes())
    data[-10] ^= 1
    blob.chmod(0o600)
    blob.write_bytes(data)
    done = place.run("doctor", "--verify")
    assert done.returncode == 1
    assert "tiny" in done.stdout + done.stderr


def test_config(place):
    shown = place.must("config", "show").stdout
    assert "llama_server" in shown
    assert str(place.config_file) in shown
    schema = json.loads(place.must("config", "schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(place.config_file.read_text()), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"server": {"prot": 1}}, schema)
    reference = place.must("config", "reference").stdout
    for key in ("drain_timeout", "max_body_bytes", "keep_alive", "memory_limit", "progress_interval", "log_level"):
        assert key in reference
    assert place.must("config", "path").stdout.strip() == str(place.config_file)
    place.config_file.write_text(reference)  # the reference is a valid file that changes nothing
    place.must("config", "show")


def test_secrets_are_not_shown(place):
    place.env["LLM_MCP_MODELS__HUB_TOKEN"] = "very-secret"
    for arguments in (["config", "show"], ["config", "show", "--json"], ["doctor"]):
        done = place.run(*arguments)
        assert "very-secret" not in done.stdout + done.stderr


@pytest.mark.parametrize("arguments, words", [
    (["srve"], "did you mean serve"), (["chta", "x"], "did you mean chat"), (["list", "--jsno"], "did you mean --json"),
    (["serve", "--prot", "1"], "did you mean --port"), (["show"], "MODEL is missing"), (["chat"], "MODEL is missing"),
    (["completion", "csh"], "bash"), (["config", "shw"], "show"), (["--set", "x", "list"], "KEY=VALUE"),
    (["list", "extra"], "unexpected argument"), (["help", "srve"], "did you mean serve"),
    (["import", "a", "--move", "--hardlink"], "--hardlink"), (["load", "tiny", "--keep-alive", "soon"], "keep"),
])
def test_wrong_arguments(place, arguments, words):
    done = place.run(*arguments)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert words in done.stderr, done.stderr


def test_a_wrong_configuration_stops_every_command(place):
    place.config_file.write_text("models:\n  keep_alife: 5m\n")
    for arguments in (["list"], ["show", "tiny"], ["doctor"], ["stdio"], ["config", "show"]):
        done = place.run(*arguments)
        assert done.returncode in (1, 2), arguments
        assert f"{place.config_file}:2:3" in done.stdout + done.stderr, (arguments, done)
        assert "keep_alive" in done.stdout + done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(place, command):
    page = place.must(command, "--help").stdout
    assert page == place.must("help", command).stdout
    assert f"llm-mcp {command}" in page
    assert max(map(len, page.splitlines())) <= 120
    assert re.search(r"(?i)example", page) or command in ("help", "version")


def test_help_lists_every_command(place):
    page = place.must("--help").stdout
    assert place.must().stdout == page
    for command in COMMANDS:
        assert re.search(rf"^\s+{command}\b", page, re.M), command


def test_version(place):
    plain = place.must("--version").stdout
    assert json.loads(place.must("version", "--json").stdout)["version"] in plain


@pytest.mark.parametrize("shell, check", [("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]), ("fish", ["fish", "-n"])])
def test_completion(place, shell, check):
    script = place.must("completion", shell).stdout
    for command in COMMANDS:
        assert command in script
    try:
        done = subprocess.run(check, input=script, text=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip(f"no {shell} here")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_the_generator_of_models_is_repeatable(tmp_path):
    for name in "ab":
        tiny_gguf.write(tmp_path / name, tools=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
