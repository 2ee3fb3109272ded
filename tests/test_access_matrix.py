"""Every route and every MCP tool with no key, and with a key of each role: 401, 403 or allowed, as the table says."""
import httpx
import pytest

from access_clients import PROTECTED, ask, bearer, make_key

# What each role may, written down apart from the program.
ROLES = {
    "viewer": {"models:read", "engines:read", "metrics:read", "usage:read"},
    "user": {"generate", "models:read"},
    "operator": {"generate", "models:read", "models:write", "engines:read", "metrics:read", "usage:read"},
    "admin": None,  # everything
}

# Routes that answer 401 or 403 for another reason than the caller's rights.
OPEN_TO_ALL = {"public"}
OPEN_TO_KNOWN = {"public", "authenticated"}
# They read and write folders of the gateway's machine: for its own user on the socket, whatever a key may.
OWNER_ALONE = {"/api/v1/models/nothing-of-that-name/export", "/api/v1/models/import"}


@pytest.fixture(scope="module")
def guarded(models):
    from conftest import Factory
    factory = Factory(models)
    gateway = factory((), PROTECTED)
    keys = {role: make_key(gateway, role)["key"] for role in ROLES}
    yield gateway, keys
    factory.close()


def routes(gateway):
    listed = httpx.get(gateway.url + "/").json()["routes"]
    assert len(listed) > 40
    assert all(route["permission"] for route in listed)
    return [(r["method"], r["path"].replace("{name}", "nothing-of-that-name"), r["permission"]) for r in listed]


def call(gateway, key, method, path):
    """The status; a body that is wrong behind the check, so that nothing is done by those who may."""
    options = {"json": {"no such field": 1}} if method in ("POST", "PATCH", "PUT") else {}
    if path == "/mcp":
        options = {"content": b"{}", "headers": {"Content-Type": "application/json"}} if method == "POST" else {}
    with httpx.Client(timeout=60) as client:
        headers = {**(bearer(key) if key else {}), **options.pop("headers", {})}
        with client.stream(method, gateway.url + path, headers=headers, **options) as answer:
            return answer.status_code


def allowed(role, permission, path):
    if path in OWNER_ALONE:
        return False
    if permission in OPEN_TO_KNOWN:
        return True
    return ROLES[role] is None or permission in ROLES[role]


def test_without_a_key_only_what_is_public(guarded):
    gateway, _ = guarded
    for method, path, permission in routes(gateway):
        got = call(gateway, "", method, path)
        assert (got != 401) == (permission in OPEN_TO_ALL), (method, path, permission, got)
        assert got != 403, (method, path)


def test_a_wrong_key_is_no_key(guarded):
    gateway, keys = guarded
    wrong = keys["admin"][:-1] + ("0" if keys["admin"][-1] != "0" else "1")
    for method, path, permission in routes(gateway):
        got = call(gateway, wrong, method, path)
        assert (got != 401) == (permission in OPEN_TO_ALL), (method, path, permission, got)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_at_every_route(guarded, role):
    gateway, keys = guarded
    for method, path, permission in routes(gateway):
        got = call(gateway, keys[role], method, path)
        if allowed(role, permission, path):
            assert got not in (401, 403), (role, method, path, permission, got)
        else:
            assert got == 403, (role, method, path, permission, got)


def test_a_refusal_names_what_is_missing(guarded):
    gateway, keys = guarded
    answer = ask(gateway, keys["viewer"], "POST", "/api/v1/models/pull", json={"source": "x"})
    assert answer.status_code == 403
    assert answer.json()["error"]["permission"] == "models:write"
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def mcp(gateway, key, method, **params):
    """One call of the stateless era."""
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {}}
    headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json",
               "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method, **(bearer(key) if key else {})}
    if "name" in params:
        headers["Mcp-Name"] = params["name"]
    return httpx.post(gateway.url + "/mcp", headers=headers, timeout=60,
                      json={"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}})


def tools(gateway, key):
    answer = mcp(gateway, key, "tools/list")
    assert answer.status_code == 200, answer.text
    return {tool["name"] for tool in answer.json()["result"]["tools"]}


def test_tools_that_one_may_not_use_are_not_there(guarded):
    gateway, keys = guarded
    everything = tools(gateway, keys["admin"])
    assert {"llm_generate", "llm_list_models", "llm_status"} <= everything
    viewer, user, operator = (tools(gateway, keys[role]) for role in ("viewer", "user", "operator"))
    assert "llm_generate" not in viewer and "llm_list_models" in viewer
    assert "llm_generate" in user and "llm_pull_model" not in user
    assert "llm_pull_model" in operator
    assert viewer | user <= operator <= everything


def test_calling_a_tool_that_is_not_listed(guarded):
    gateway, keys = guarded
    hidden = sorted(tools(gateway, keys["admin"]) - tools(gateway, keys["viewer"]))
    assert hidden
    for name in hidden:
        answer = mcp(gateway, keys["viewer"], "tools/call", name=name, arguments={})
        assert answer.status_code == 403, (name, answer.status_code, answer.text)
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"], name
    assert mcp(gateway, "", "tools/call", name=hidden[0], arguments={}).status_code == 401


def test_mcp_says_where_tokens_come_from(guarded):
    gateway, _ = guarded
    answer = mcp(gateway, "", "tools/list")
    assert answer.status_code == 401
    challenge = answer.headers["www-authenticate"]
    place = f"{gateway.url}/.well-known/oauth-protected-resource/mcp"
    assert challenge.startswith("Bearer ") and f'resource_metadata="{place}"' in challenge and "scope=" in challenge
    metadata = httpx.get(place).json()
    assert metadata["resource"] == f"{gateway.url}/mcp"
    assert "generate" in metadata["scopes_supported"]
    assert metadata["bearer_methods_supported"] == ["header"]
    assert httpx.get(f"{gateway.url}/.well-known/oauth-protected-resource").json()["resource"] == gateway.url
