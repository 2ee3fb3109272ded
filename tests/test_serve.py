"""`llm-mcp serve`: what stops it from starting, and what it leaves for others."""
import json
import socket
import stat

import pytest

from harness import PROGRAM, wait_until


def refused(home, *arguments, status=None):
    done = home.run("serve", *arguments, timeout=30)
    assert done.returncode != 0
    assert status is None or done.returncode == status, done
    assert done.stdout == ""
    assert done.stderr.startswith("llm-mcp: ") and done.stderr.count("\n") <= 3, done.stderr
    assert not (home.runtime / "gateway.json").exists()
    return done.stderr


def test_a_port_in_use(home):
    place = home()
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        message = refused(place, "--port", port)
    assert str(port) in message
    assert "python" in message  # who holds it
    assert "--port" in message or "server.port" in message  # the way out


def test_another_gateway_of_the_same_user(gateway):
    running = gateway()
    done = running.home.run("serve", timeout=30)
    assert done.returncode != 0
    assert "gateway.sock" in done.stderr
    assert running.get("/livez").status_code == 200  # unharmed
    assert running.home.state()["pid"] == running.pid


def test_two_gateways_in_two_homes(gateway):
    first, second = gateway(), gateway()
    assert first.url != second.url
    assert first.get("/livez").status_code == second.get("/livez").status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
def test_other_addresses_need_an_admin_key(home, host):
    message = refused(home(), "--host", host, status=2)
    assert "llm-mcp keys create" in message
    assert host in message


def test_ipv6_loopback(gateway):
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("no IPv6 here")
    running = gateway(["tiny"], {"server": {"host": "::1"}})
    assert running.url.startswith("http://[::1]:")
    assert running.get("/livez").status_code == 200


@pytest.mark.parametrize("arguments", [["--model", "/etc/passwd"], ["--port=1"], ["--host", "0.0.0.0"], ["--rpc", "x:1"]])
def test_engine_arguments_that_leave_the_gateway_s_hand(home, arguments):
    place = home([], {"models": {"settings": {"tiny": {"extra_args": ["--temp", "0.5", *arguments]}}}})
    message = refused(place, status=2)
    assert arguments[0].split("=")[0] in message
    assert "extra_args" in message


def test_engine_arguments_that_are_allowed(gateway):
    running = gateway(["tiny"], {"models": {"settings": {"tiny": {"extra_args": ["--temp", "0"]}}}})
    request = {"model": "tiny", "prompt": "x", "max_tokens": 8}
    assert running.post("/api/v1/generate", request).json()["text"] == running.post(
        "/api/v1/generate", {**request, "temperature": 0}).json()["text"]


@pytest.mark.parametrize("text, place, words", [
    ("server:\n  prot: 1\n", ":2:3", 'did you mean "port"?'),
    ("server:\n  port: many\n", ":2:3", "server.port: expected an integer"),
    ("server:\n  port: 70000\n", ":2:3", "65535"),
    ("sever:\n  port: 1\n", ":1:1", 'did you mean "server"?'),
    ("server:\n  port: [1\n", ":", ""),
    ("models:\n  settings:\n    tiny:\n      paralel: 2\n", ":4:7", 'did you mean "parallel"?'),
    ("server:\n  host: a\n  host: b\n", ":3:3", "host"),
])
def test_a_wrong_configuration_says_where(home, text, place, words):
    here = home()
    here.config_file.write_text(text)
    message = refused(here, status=2)
    assert str(here.config_file) + place in message, message
    assert words in message, message


def test_a_configuration_that_is_not_there(home):
    assert "nowhere.yaml" in refused(home(), "--config", "nowhere.yaml")


def test_wrong_environment_and_flags(home):
    here = home()
    here.env["LLM_MCP_SERVER__PROT"] = "1"
    message = refused(here, status=2)
    assert "LLM_MCP_SERVER__PROT" in message
    del here.env["LLM_MCP_SERVER__PROT"]
    assert "--port" in refused(here, "--port", "x", status=2)
    assert "--set" in refused(here, "--set", "server.prot=1", status=2)


def test_flags_win_over_environment_and_file(gateway):
    here = gateway.home([], {"server": {"drain_timeout": "5s"}, "observe": {"metrics": False}})
    here.env["LLM_MCP_OBSERVE__METRICS"] = "true"
    running = gateway(home=here, arguments=["--set", "server.limits.max_header_count=20"])
    assert running.get("/metrics").status_code == 200
    assert running.get("/livez", headers={f"x-{n}": "1" for n in range(30)}).status_code == 431


def test_files_are_private_and_say_where_it_is(gateway):
    running = gateway()
    assert stat.S_IMODE(running.home.runtime.stat().st_mode) == 0o700
    assert running.state.keys() >= {"pid", "port", "url", "unix_socket", "version"}
    assert (running.home.runtime / "gateway.pid").read_text() == f"{running.pid}\n"
    banner = running.stderr()
    for part in (running.url, "/v1", f"ws://127.0.0.1:{running.state['port']}/api/v1/ws", "curl -s", str(PROGRAM)):
        assert part in banner
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(running.state["unix_socket"])
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_the_log_is_json_lines_without_prompts(gateway):
    running = gateway()
    secret = "a-secret-in-the-prompt"
    answer = running.post("/api/v1/generate", {"model": "tiny", "prompt": secret, "max_tokens": 3},
                          headers={"X-Request-Id": "log-1"})
    assert answer.status_code == 200
    entry, = wait_until(lambda: running.log("log-1"), "the line of the request")
    assert entry["model"] == "tiny:latest"
    assert entry["outcome"] == "ok"
    assert entry["completion_tokens"] == 3
    assert entry["ms"] > 0
    assert secret not in running.stderr()


def test_idle_exit(gateway):
    running = gateway(["tiny"], {"server": {"idle_exit": "300ms"}})
    running.client.close()
    assert running.process.wait(30) == 0
    assert any(entry.get("reason") == "idle" for entry in running.log("stopping"))


def test_what_a_dead_gateway_left_is_no_obstacle(gateway):
    here = gateway.home()
    here.runtime.mkdir(mode=0o700, exist_ok=True)
    (here.runtime / "gateway.json").write_text(json.dumps({"pid": 999999, "url": "http://127.0.0.1:1"}))
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(here.runtime / "gateway.sock"))
    assert gateway(home=here).get("/livez").status_code == 200
