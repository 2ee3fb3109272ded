"""`llm-mcp install` and the MCP bundle: what they write is started as a client would start it."""
import json
import os
import re
import subprocess
import tomllib
import zipfile

import anyio
import jsonschema
import pytest
from mcp import ClientSession, StdioServerParameters, stdio_client

from harness import PROGRAM, ROOT

CLIENTS = ["claude-code", "claude-desktop", "cline", "codex", "continue", "copilot-cli", "cursor", "gemini-cli", "kiro",
           "lm-studio", "roo-code", "vscode", "vscode-insiders", "windsurf", "zed"]
CONTAINERS = {"codex": "mcp_servers", "vscode": "servers", "vscode-insiders": "servers", "zed": "context_servers"}

ZED = b"""// Zed settings
{
  "theme": "One Light", // by day
  "context_servers": {
    "other": {"command": "other", "args": []}, // kept
  },
}
"""
CURSOR = '\ufeff{\r\n\t"mcpServers": {\r\n\t\t"other": { "command": "\u00f6" }\r\n\t}\r\n}'.encode()
CODEX = b"""model = "m" # with a remark

[mcp_servers.other]
command = "other"
"""


@pytest.fixture
def place(home):
    return home(["tiny"])


def install(place, *arguments):
    return json.loads(place.must("install", "--json", *arguments).stdout)


def uninstall(place, *arguments):
    return json.loads(place.must("uninstall", "--json", *arguments).stdout)


def entry_in(file, container, name="local-llm"):
    """The entry as the client reads it; the files written from nothing have neither comments nor trailing commas."""
    text = file.read_text(encoding="utf-8-sig")
    return (tomllib.loads(text) if file.suffix == ".toml" else json.loads(text))[container][name]


def talk_to(place, entry, environment=None):
    """Starts what the entry says, lists tools and calls one; the tools' names."""
    found = []

    async def talk():
        parameters = StdioServerParameters(command=entry["command"], args=entry["args"], cwd=place.path,
                                           env={**place.env, **(environment or {}), **entry.get("env", {})})
        with anyio.fail_after(120), open(place.path / "stdio.err", "a") as errors:
            async with stdio_client(parameters, errlog=errors) as streams, ClientSession(*streams) as client:
                await client.initialize()
                found.extend(tool.name for tool in (await client.list_tools()).tools)
                listed = await client.call_tool("llm_list_models", {})
                assert not listed.is_error, listed.content
                assert [model["name"] for model in listed.structured_content["models"]] == ["tiny"]
    anyio.run(talk)
    return found


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_gets_an_entry_that_names_this_program(place, client):
    done = install(place, client)
    assert done["action"] == "installed" and done["backup"] is None
    file = place.path / os.path.relpath(done["file"], place.path)
    assert str(file).startswith(str(place.path)), "outside of the home of the test"
    assert file.stat().st_mode & 0o777 == 0o600
    entry = entry_in(file, CONTAINERS.get(client, "mcpServers"))
    assert entry["command"] == str(PROGRAM) and entry["args"] == ["stdio"]
    before = file.read_bytes()
    assert install(place, client)["action"] == "unchanged"
    assert file.read_bytes() == before
    assert uninstall(place, client)["action"] == "removed"
    assert uninstall(place, client)["action"] == "absent"


def test_the_entry_starts_a_server(place):
    done = install(place, "claude-desktop", "--arg=--standalone", "--config", place.config_file,
                   "--env", "LLM_MCP_OBSERVE__LOG_LEVEL=debug")
    entry = entry_in(place.path / "c/Claude/claude_desktop_config.json", "mcpServers")
    assert entry == done["entry"]
    assert entry["args"] == ["stdio", "--config", str(place.config_file), "--standalone"]
    assert "llm_chat" in talk_to(place, entry)


@pytest.mark.parametrize("client, name, original", [("zed", "c/zed/settings.json", ZED),
                                                    ("cursor", ".cursor/mcp.json", CURSOR),
                                                    ("codex", ".codex/config.toml", CODEX)])
def test_everything_else_stays_byte_for_byte(place, client, name, original):
    file = place.path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(original)
    file.chmod(0o640)
    done = install(place, client)
    changed = file.read_bytes()
    # What was there is still there, in its order, with nothing but our lines (and a comma) between.
    left = iter(changed)
    assert all(byte in left for byte in original)
    assert str(PROGRAM).encode() in changed
    assert file.stat().st_mode & 0o777 == 0o640
    backup = place.path / os.path.relpath(done["backup"], place.path)
    assert re.fullmatch(re.escape(file.name) + r"\.bak-\d{8}T\d{6}Z", backup.name)
    assert backup.read_bytes() == original
    assert uninstall(place, client)["action"] == "removed"
    assert file.read_bytes() == original


def test_links_and_earlier_backups_stay(place):
    real = place.path / "dotfiles/claude.json"
    real.parent.mkdir()
    real.write_text("{}")
    link = place.path / ".claude.json"
    link.symlink_to(real)
    backups = {install(place, "claude-code")["backup"], uninstall(place, "claude-code")["backup"],
               install(place, "claude-code")["backup"]}
    assert len(backups) == 3 and all(os.path.exists(backup) for backup in backups)
    assert link.is_symlink()
    assert entry_in(real, "mcpServers")["type"] == "stdio"


def test_a_malformed_file_is_left_alone(place):
    file = place.path / ".gemini/settings.json"
    file.parent.mkdir()
    file.write_text('{\n  "theme": "x"\n  "mcpServers": {}\n}\n')
    for command in ("install", "uninstall"):
        done = place.run(command, "gemini-cli")
        assert done.returncode == 1
        assert f"{file}:3:3: expected a comma" in done.stderr
    assert [path.name for path in file.parent.iterdir()] == ["settings.json"]
    row = next(row for row in install(place, "--list")["clients"] if row["client"] == "gemini-cli")
    assert row["found"] and row["configured"] == "error" and ":3:3:" in row["error"]


def test_print_and_dry_run_write_nothing(place):
    assert json.loads(place.must("install", "vscode", "--print").stdout)["servers"]["local-llm"]["type"] == "stdio"
    snippet = tomllib.loads(place.must("install", "codex", "--print", "--env", "A=1").stdout)
    assert snippet["mcp_servers"]["local-llm"]["env"] == {"A": "1"}
    assert install(place, "vscode", "--dry-run")["action"] == "installed"
    assert "Would be done" in place.must("install", "codex", "--dry-run").stdout
    assert not (place.path / "c/Code").exists() and not (place.path / ".codex").exists()


def test_a_file_of_ones_own(place):
    file = place.path / "project/.vscode/mcp.json"
    done = install(place, "vscode", "--config-file", file, "--name", "mine")
    assert done["file"] == str(file)
    assert entry_in(file, "servers", "mine")["args"] == ["stdio"]
    assert uninstall(place, "vscode", "--config-file", file, "--name", "mine")["action"] == "removed"


def test_list_shows_what_is_here(place):
    (place.path / ".cursor").mkdir()
    install(place, "cursor")
    install(place, "zed", "--arg=--standalone")
    rows = {row["client"]: row for row in install(place, "--list")["clients"]}
    assert sorted(rows) == CLIENTS
    assert rows["cursor"]["found"] and rows["cursor"]["configured"] == "yes"
    assert rows["zed"]["configured"] == "other"
    assert not rows["windsurf"]["found"] and rows["windsurf"]["configured"] == "no"
    assert re.search(r"^cursor +yes +yes +\S+mcp.json$", place.must("install", "--list").stdout, re.M)


def test_mistakes_are_answered_with_what_was_meant(place):
    done = place.run("install", "claude-dekstop")
    assert done.returncode == 2 and "did you mean claude-desktop" in done.stderr
    done = place.run("install")
    assert done.returncode == 2 and "--list" in done.stderr
    assert "--name" in place.run("install", "zed", "--name", "a b").stderr
    assert "NAME=VALUE" in place.run("install", "zed", "--env", "A").stderr
    assert not (place.path / "c/zed").exists()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    files = [folder / "a.mcpb", folder / "b.mcpb"]
    for file in files:
        done = subprocess.run([ROOT / "scripts/make-mcpb", "--build", PROGRAM.parent, "--output", file], text=True,
                              capture_output=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{file}\n"
    assert files[0].read_bytes() == files[1].read_bytes(), "not the same bytes twice"
    return files[0]


# The required members and ours, as MANIFEST.md of manifest version 0.3 describes them.
MANIFEST = {
    "type": "object",
    "required": ["manifest_version", "name", "version", "description", "author", "server"],
    "additionalProperties": False,
    "properties": {
        "manifest_version": {"const": "0.3"},
        "name": {"type": "string", "pattern": "^[a-z0-9-]+$"},
        "display_name": {"type": "string"},
        "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        "description": {"type": "string"},
        "long_description": {"type": "string"},
        "author": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
        "icon": {"const": "icon.png"},
        "server": {
            "type": "object",
            "required": ["type", "entry_point", "mcp_config"],
            "properties": {
                "type": {"const": "binary"},
                "entry_point": {"type": "string"},
                "mcp_config": {
                    "type": "object",
                    "required": ["command", "args"],
                    "additionalProperties": False,
                    "properties": {"command": {"type": "string"},
                                   "args": {"type": "array", "items": {"type": "string"}},
                                   "env": {"type": "object", "additionalProperties": {"type": "string"}}},
                },
            },
        },
        "tools": {"type": "array", "items": {"type": "object", "required": ["name"], "additionalProperties": False,
                                             "properties": {"name": {"type": "string"},
                                                            "description": {"type": "string"}}}},
        "tools_generated": {"type": "boolean"},
        "prompts_generated": {"type": "boolean"},
        "keywords": {"type": "array", "items": {"type": "string"}},
        "license": {"type": "string"},
        "compatibility": {"type": "object", "properties": {"platforms": {
            "type": "array", "items": {"enum": ["darwin", "win32", "linux"]}}}},
    },
}


def test_the_bundle_holds_what_its_manifest_says_and_runs(place, bundle):
    folder = place.path / "extension"
    with zipfile.ZipFile(bundle) as archive:
        assert archive.testzip() is None
        for entry in archive.infolist():
            archive.extract(entry, folder)
            (folder / entry.filename).chmod(entry.external_attr >> 16 & 0o777)
    manifest = json.loads((folder / "manifest.json").read_text())
    jsonschema.Draft202012Validator(MANIFEST).validate(manifest)
    assert (folder / manifest["icon"]).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert (folder / "LICENSE").is_file() and (folder / "licenses/llama.cpp").is_file()
    assert os.access(folder / manifest["server"]["entry_point"], os.X_OK)

    # Nothing but glibc comes from this machine.
    variables = {name: text.replace("${__dirname}", str(folder))
                 for name, text in manifest["server"]["mcp_config"]["env"].items()}
    for program in ("server/llm-mcp", "server/libexec/llm-mcp/llama-server"):
        listing = subprocess.run(["ldd", folder / program], env={**os.environ, **variables}, text=True,
                                 capture_output=True, check=True).stdout
        outside = {name for name, path in re.findall(r"^\s*(\S+) => (\S+)", listing, re.M)
                   if not path.startswith(str(folder))}
        assert outside <= {"libc.so.6", "libm.so.6", "libresolv.so.2", "libpthread.so.0", "libdl.so.2", "librt.so.1"}

    # As the client starts it, with the engine of the bundle itself.
    place.write_config({"engines": {"llama_server": ""}}, ["tiny"])
    configured = manifest["server"]["mcp_config"]
    entry = {"command": configured["command"].replace("${__dirname}", str(folder)),
             "args": [*configured["args"], "--standalone"], "env": variables}
    names = talk_to(place, entry)
    assert {tool["name"] for tool in manifest["tools"]} <= set(names)
