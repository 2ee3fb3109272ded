"""keys, projects, users, roles, usage and audit on the command line, with a gateway and without one."""
import csv
import io
import json
import pathlib
import re

import httpx
import pytest

from access_clients import PROTECTED, bearer
from harness import processes_naming, wait_until

KEY = re.compile(r"llm_[0-9a-z]{16}_[0-9a-z]{50,}")


@pytest.fixture(params=["gateway", "database"])
def place(request, gateway, home):
    """A home in which the commands work, by way of a gateway or on the database."""
    if request.param == "gateway":
        return gateway(settings=PROTECTED).home
    return home(["tiny"], PROTECTED)


def asked(place, *arguments):
    return json.loads(place.must(*arguments, "--json").stdout)


def shape(value):
    """A document without what no two runs have in common."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()
                if name not in ("id", "key", "created", "expires", "last_used", "revoked", "old_secret_until")}
    return [shape(member) for member in value] if isinstance(value, list) else value


def test_a_key_is_shown_once_and_alone(place):
    made = place.must("keys", "create", "--name", "ci", "--role", "user", "--expires", "90d")
    secret = made.stdout.removesuffix("\n")
    assert KEY.fullmatch(secret), made.stdout
    assert "only time" in made.stderr and secret not in made.stderr
    assert "in 89 days" in made.stderr or "in 90 days" in made.stderr
    document = asked(place, "keys", "create", "ops", "--role", "operator")
    assert KEY.fullmatch(document["key"]) and document["name"] == "ops"
    table = place.must("keys", "list").stdout
    assert table.splitlines()[0].split()[:3] == ["ID", "NAME", "ROLE"]
    assert {"ci", "ops"} <= set(table.split())
    for shown in (table, place.must("keys", "show", document["id"]).stdout,
                  place.must("keys", "list", "--json").stdout):
        assert secret.rpartition("_")[2] not in shown and not KEY.search(shown)


def test_a_key_in_all_its_states(place):
    made = asked(place, "keys", "create", "ci", "--model", "qwen3*", "--model", "e5", "--address", "10.0.0.0/8",
                 "--scope", "generate", "--limits", '{"concurrent": 2}')
    assert made["models"] == ["qwen3*", "e5"] and made["scopes"] == ["generate"]
    assert made["limits"]["concurrent"] == 2
    changed = asked(place, "keys", "update", made["id"], "--name", "build", "--priority", "batch")
    assert changed["name"] == "build" and changed["priority"] == "batch" and "key" not in changed
    rotated = place.must("keys", "rotate", made["id"], "--overlap", "1h")
    assert KEY.fullmatch(rotated.stdout.strip()) and rotated.stdout.strip() != made["key"]
    assert "in 59 minutes" in rotated.stderr or "in 1 hour" in rotated.stderr
    place.must("keys", "revoke", made["id"])
    assert made["id"] not in place.must("keys", "list").stdout
    assert made["id"] in place.must("keys", "list", "--all").stdout
    assert asked(place, "keys", "show", made["id"])["state"] == "revoked"


def test_mistakes(place):
    assert place.run("keys", "show", "0000000000000000").returncode == 3
    for arguments, words in ((["keys", "create"], "name"), (["keys", "show"], "id"),
                             (["keys", "create", "x", "--role", "nobody"], "/role"),
                             (["keys", "create", "x", "--limits", "{"], "JSON"),
                             (["keys", "create", "x", "--expires", "soon"], "expires"),
                             (["keys", "create", "x", "--scope", "everything"], "/scopes/0"),
                             (["roles", "create", "x", "--rule", "fly"], "/rules/0"),
                             (["keys", "list", "x"], "id")):
        done = place.run(*arguments)
        assert done.returncode in (1, 2, 3), (arguments, done.returncode)
        assert words in done.stderr, (arguments, done.stderr)
        assert done.stdout == ""


def test_the_last_admin_key_stays_unless_forced(place):
    first = asked(place, "keys", "create", "admin", "--role", "admin")
    refused = place.run("keys", "revoke", first["id"])
    assert refused.returncode == 1 and "--force" in refused.stderr or "force" in refused.stderr, refused.stderr
    assert asked(place, "keys", "show", first["id"])["state"] == "active"
    place.must("keys", "revoke", first["id"], "--force")


def test_projects_users_roles(place):
    project = asked(place, "projects", "create", "search", "--name", "Search team", "--weight", "2")
    assert (project["id"], project["name"], project["weight"]) == ("search", "Search team", 2)
    user = asked(place, "users", "create", "ada", "--project", "search", "--kind", "service_account")
    assert user["kind"] == "service_account"
    key = asked(place, "keys", "create", "of-ada", "--project", "search", "--user", user["id"])
    assert key["user"] == user["id"]
    role = asked(place, "roles", "create", "qwen-user", "--rule", "generate,models:read=qwen3*", "--description", "d")
    assert role["rules"] == [{"permissions": ["generate", "models:read"], "models": ["qwen3*"]}]
    assert "generate, models:read on qwen3*" in place.must("roles", "list").stdout
    assert "viewer" in place.must("roles", "list").stdout
    place.must("users", "disable", user["id"])
    assert asked(place, "keys", "show", key["id"])["state"] != "active"
    place.must("users", "enable", user["id"])
    assert asked(place, "keys", "show", key["id"])["state"] == "active"
    place.must("projects", "update", "search", "--audit-prompts", "on")
    assert asked(place, "projects", "show", "search")["audit_prompts"] is True
    place.must("projects", "disable", "search")
    assert "search" in place.must("projects", "list").stdout
    place.must("roles", "remove", "qwen-user")
    assert "qwen-user" not in place.must("roles", "list").stdout


def test_with_and_without_a_gateway_it_is_the_same(gateway, home):
    commands = [["projects", "create", "search"], ["users", "create", "ada", "--project", "search"],
                ["roles", "create", "r", "--rule", "generate=a*"], ["keys", "create", "k", "--project", "search"],
                ["keys", "list"], ["projects", "list"], ["users", "list"], ["roles", "list"], ["usage"]]
    one, other = gateway(settings=PROTECTED).home, home(["tiny"], PROTECTED)
    for command in commands:
        assert shape(asked(one, *command)) == shape(asked(other, *command)), command


def files_with(folder, secret):
    return [path for path in pathlib.Path(folder).rglob("*")
            if path.is_file() and not path.is_symlink() and secret.encode() in path.read_bytes()]


def test_secrets_stay_where_they_belong(place):
    """Neither in a file (logs, state, database, audit trail) nor in the arguments of a process."""
    first = place.must("keys", "create", "--name", "a", "--role", "admin").stdout.strip()
    made = asked(place, "keys", "create", "b")
    second = place.must("keys", "rotate", made["id"]).stdout.strip()
    for key in (first, made["key"], second):
        secret = key.rpartition("_")[2]
        assert files_with(place.path, secret) == []
        assert processes_naming(secret) == []


def test_keys_made_without_a_gateway_work_with_one(gateway, home):
    place = home(["tiny"], PROTECTED)
    admin = place.must("keys", "create", "--name", "a", "--role", "admin").stdout.strip()
    running = gateway(home=place)
    get = lambda key: httpx.get(running.url + "/api/v1/keys", headers=bearer(key)).status_code
    assert get(admin) == 200
    other = place.must("keys", "create", "--name", "b", "--role", "admin").stdout.strip()
    assert get(other) == 200, "at once"
    place.must("keys", "revoke", other.split("_")[1])
    assert get(other) == 401, "at once"
    # Every other command goes on working, as the Unix socket is its owner's.
    for command in (["list"], ["status"], ["ps"], ["load", "tiny"], ["unload", "tiny"], ["show", "tiny"],
                    ["chat", "tiny", "hello", "--max-tokens", "2"]):
        place.must(*command)
    running.stop()
    assert {"a"} <= {key["name"] for key in asked(place, "keys", "list")["keys"]}


def test_usage(gateway):
    running = gateway(settings=PROTECTED)
    place = running.home
    key = asked(place, "keys", "create", "counted", "--role", "user")
    answer = httpx.post(running.url + "/v1/completions", headers=bearer(key["key"]), timeout=60,
                        json={"model": "tiny", "prompt": "abc", "max_tokens": 3})
    assert answer.status_code == 200, answer.text
    used = answer.json()["usage"]

    def rows(*arguments):
        return list(csv.DictReader(io.StringIO(place.must("usage", "--csv", *arguments).stdout)))

    def of_key():  # usage is written once a second
        return next((row for row in rows("--by", "key") if row["key"] == key["id"]), None)

    row = wait_until(of_key, "the usage of the key")
    assert (row["requests"], row["output_tokens"]) == ("1", str(used["completion_tokens"]))
    assert int(row["input_tokens"]) == used["prompt_tokens"]
    assert set(rows("--by", "project,model")[0]) >= {"project", "model", "requests"}
    document = asked(place, "usage", "--by", "model", "--key", key["id"])
    assert document["usage"][0]["model"].startswith("tiny")
    table = place.must("usage", "--by", "key,day").stdout
    assert "REQUESTS" in table and key["id"] in table and "total" in table
    assert rows("--from", "2001-01-01", "--to", "2001-01-31") == []
    assert place.run("usage", "--by", "colour").returncode == 2


def test_audit(place, tmp_path):
    made = asked(place, "keys", "create", "watched")
    place.must("keys", "revoke", made["id"])
    listed = asked(place, "audit", "list", "--action", "key.")["records"]
    assert {record["action"] for record in listed} == {"key.create", "key.revoke"}
    assert all(record["target"].endswith(made["id"]) or made["id"] in json.dumps(record) for record in listed)
    assert "key.create" in place.must("audit", "list", "--limit", "5").stdout
    whole = place.must("audit", "verify")
    assert "whole" in whole.stdout
    folder = place.path / "d/llm-mcp/access/audit"
    copy = tmp_path / "audit"
    copy.mkdir()
    for file in folder.glob("*.jsonl"):
        (copy / file.name).write_bytes(file.read_bytes())
    assert place.must("audit", "verify", copy).returncode == 0
    [file] = copy.glob("*.jsonl")
    lines = file.read_text().splitlines(keepends=True)
    number = next(i for i, line in enumerate(lines) if '"key.create"' in line)
    lines[number] = lines[number].replace("watched", "nothing")
    file.write_text("".join(lines))
    broken = place.run("audit", "verify", copy)
    assert broken.returncode == 1
    assert file.name in broken.stderr and str(number + 1) in broken.stderr, broken.stderr
    assert place.run("audit", "verify", tmp_path / "nowhere").returncode != 0


def test_a_bind_address_that_needs_a_key_says_which_command(home):
    place = home([], {"server": {"host": "0.0.0.0"}})
    refused = place.run("serve", "--config", place.config_file)
    assert refused.returncode != 0
    command = re.search(r"llm-mcp (keys create [^\n`'\"]*)", refused.stderr)
    assert command, refused.stderr
    made = place.must(*command[1].strip().rstrip(".").split())
    assert KEY.fullmatch(made.stdout.strip())
