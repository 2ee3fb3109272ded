"""Tokens of an OpenID Connect provider, and the gateway's own: who gets in, as whom, and who does not."""
import base64
import contextlib
import json
import time

import httpx
import pytest

import harness
from oidc_standin import Key, Provider, b64, hs256


def settings(provider, **changes):
    """A gateway that trusts this provider, and nobody who shows nothing."""
    issuer = {"issuer": provider.issuer, "audience": ["gateway"], "role_claim": "realm_access.roles",
              "roles": {"llm-users": "user", "llm-admins": "admin", "llm-viewers": "viewer"}, **changes}
    return {"access": {"local_user": "off", "issuers": {"corp": issuer}, "login": {"failures": 100000}}}


@pytest.fixture
def provider():
    with Provider() as running:
        yield running


@pytest.fixture
def start(gateway, provider):
    return lambda names=(), **changes: gateway(list(names), settings(provider, **changes))


def ask(running, token, path="/api/v1/auth/me"):
    return httpx.get(running.url + path, headers={"Authorization": f"Bearer {token}"})


def status(running, token, path="/api/v1/auth/me"):
    return ask(running, token, path).status_code


def test_a_token_of_the_provider_is_a_user(start, provider):
    running = start()
    answer = ask(running, provider.token(sub="ann", roles=["offline_access", "llm-users"], preferred_username="ann"))
    assert answer.status_code == 200, answer.text
    assert "token:corp:ann" in answer.text
    assert status(running, provider.token(roles=["llm-users"]), "/v1/models") == 200
    assert status(running, provider.token(roles=["llm-users"]), "/api/v1/keys") == 403
    assert status(running, provider.token(roles=["llm-admins"]), "/api/v1/keys") == 200
    # One look at the provider was enough.
    assert provider.fetches("openid-configuration") == 1
    assert provider.fetches("/certs") == 1


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_every_default_algorithm(gateway, algorithm):
    with Provider(algorithm) as provider:
        running = gateway([], settings(provider))
        assert status(running, provider.token(roles=["llm-users"])) == 200


def test_an_algorithm_must_be_listed(gateway):
    with Provider("RS512") as provider:
        assert status(gateway([], settings(provider)), provider.token(roles=["llm-users"])) == 401
        listed = gateway([], settings(provider, algorithms=["RS512", "ES384", "ES512", "PS384", "RS384", "PS512"]))
        for algorithm in ["RS512", "ES384", "ES512", "PS384", "RS384", "PS512"]:
            if algorithm != "RS512":
                provider.rotate(algorithm)
        for key in provider.keys:
            assert status(listed, provider.token(key, roles=["llm-users"])) == 200, key.algorithm


def test_tokens_without_rights_here(start, provider):
    running = start()
    assert status(running, provider.token()) == 403
    assert status(running, provider.token(roles=["admin"])) == 403
    assert status(running, provider.token(roles=[])) == 403


def test_claims_that_are_wrong(start, provider):
    running = start()
    roles = {"roles": ["llm-users"]}
    now = int(time.time())
    assert status(running, provider.token(**roles)) == 200
    refused = [
        dict(aud="another"), dict(aud=["another"]), dict(aud=None), dict(aud=[]), dict(aud={"gateway": 1}),
        dict(iss=provider.issuer + "/"), dict(iss="https://issuer.example"), dict(iss=None),
        dict(exp=now - 60), dict(exp=None), dict(exp=str(now + 300)), dict(exp=-1), dict(exp=10 ** 15), dict(exp=1e300),
        dict(nbf=now + 3600), dict(nbf="0"), dict(iat=now + 3600), dict(iat=now - 30 * 86400), dict(iat=None),
        dict(sub=None), dict(sub=""), dict(sub=7), dict(typ="Refresh"), dict(typ="ID"), dict(at_hash="x"),
    ]
    for changes in refused:
        # "typ" is a claim here, not the header.
        claims = provider.claims(realm_access=roles, **changes)
        token = provider.mint({"alg": "RS256", "typ": "JWT", "kid": provider.keys[0].kid}, claims)
        assert status(running, token) == 401, changes
    for fine in [dict(aud=["another", "gateway"]), dict(exp=now + 300.5), dict(nbf=now), dict(jti=None)]:
        assert status(running, provider.token(**roles, **fine)) == 200, fine


def test_headers_and_shapes_that_are_wrong(start, provider):
    running = start()
    key = provider.keys[0]
    claims = provider.claims(realm_access={"roles": ["llm-admins"]})
    good = {"alg": "RS256", "typ": "JWT", "kid": key.kid}
    assert status(running, provider.mint(good, claims)) == 200
    stranger = Key("RS256", kid=key.kid)
    pem = key.public_pem()
    modulus = key.jwk()["n"].encode()
    tokens = {
        "none": provider.mint({"alg": "none", "typ": "JWT"}, claims, signature=lambda _: b""),
        "None, signed": provider.mint({**good, "alg": "None"}, claims),
        "no alg": provider.mint({"typ": "JWT", "kid": key.kid}, claims),
        "a stranger's key": provider.mint(good, claims, stranger),
        "a stranger's embedded key": provider.mint({**good, "jwk": stranger.jwk()}, claims, stranger),
        "jku": provider.mint({**good, "jku": provider.origin + "/stolen"}, claims, stranger),
        "HS256 with the public key": provider.mint({**good, "alg": "HS256"}, claims, signature=lambda t: hs256(pem, t)),
        "HS256 with the modulus": provider.mint({**good, "alg": "HS256"}, claims, signature=lambda t: hs256(modulus, t)),
        "PS256 in the header": provider.mint({**good, "alg": "PS256"}, claims),
        "crit": provider.mint({**good, "crit": ["exp"]}, claims),
        "b64": provider.mint({**good, "b64": False, "crit": ["b64"]}, claims),
        "typ": provider.mint({**good, "typ": "logout+jwt"}, claims),
        "no typ": provider.mint({"alg": "RS256", "kid": key.kid}, claims),
        "two algs": provider.mint('{"alg":"none",' + json.dumps(good)[1:], claims),
        "two subjects": provider.mint(good, '{"sub":"admin",' + json.dumps(claims)[1:]),
        "kid as a path": provider.mint({**good, "kid": "../../../../dev/null"}, claims, stranger),
        "kid as SQL": provider.mint({**good, "kid": "x' UNION SELECT 'secret"}, claims, stranger),
        "huge": provider.mint(good, {**claims, "x": "y" * 20000}),
    }
    token = provider.mint(good, claims)
    header, payload, signature = token.split(".")
    tokens |= {
        "four parts": token + ".x", "two parts": header + "." + payload, "no signature": f"{header}.{payload}.",
        "padding": token + "=", "another alphabet": token.replace("-", "+").replace("_", "/") + "+",
        "a changed payload": f"{header}.{b64(json.dumps({**claims, 'sub': 'root'}))}.{signature}",
        "JSON": json.dumps({"protected": header, "payload": payload, "signature": signature}),
    }
    for name, one in tokens.items():
        assert status(running, one) == 401, name
    assert not any("stolen" in path for path in provider.requests)
    # Nothing of a token is in the answer or the log.
    assert signature not in ask(running, tokens["a changed payload"]).text


def test_keys_rotate(start, provider):
    running = start()
    old = provider.keys[0]
    assert status(running, provider.token(roles=["llm-users"])) == 200
    provider.rotate("ES256")
    assert status(running, provider.token(roles=["llm-users"])) == 200
    assert status(running, provider.token(old, roles=["llm-users"])) == 200
    assert provider.fetches("/certs") == 2
    # Unknown keys cost the provider nothing more.
    for _ in range(20):
        assert status(running, provider.token(Key("ES256"), roles=["llm-users"])) == 401
    assert provider.fetches("/certs") == 2


@pytest.mark.parametrize("document, habit", [
    ("discovery", "500"), ("discovery", "redirect"), ("discovery", "html"), ("discovery", "huge"),
    ("discovery", "other-issuer"), ("discovery", "metadata"), ("keys", "500"), ("keys", "redirect"), ("keys", "html"),
    ("keys", "huge"), ("keys", "empty")])
def test_a_provider_with_a_bad_habit_lets_nobody_in(start, provider, document, habit):
    provider.habits = {document: habit}
    running = start()
    for _ in range(3):
        answer = ask(running, provider.token(roles=["llm-users"]))
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) > 0
        harness.error_of(answer)
    # It is not asked for every request, and nobody follows it elsewhere.
    assert len(provider.requests) <= 2, provider.requests
    assert "/elsewhere" not in provider.requests
    assert status(running, "x") == 401


def test_private_keys_that_a_provider_shows_by_mistake_are_not_used(start, provider):
    provider.habits = {"keys": "private"}
    assert status(start(), provider.token(roles=["llm-users"])) == 200


def test_known_keys_outlive_the_provider(gateway):
    with Provider() as provider:
        running = gateway([], settings(provider))
        assert status(running, provider.token(roles=["llm-users"])) == 200
        later = provider.token(roles=["llm-users"])
    assert status(running, later) == 200


def test_a_provider_that_never_answers_holds_up_nobody_else(start, provider):
    provider.habits = {"discovery": "silent"}
    running = start()
    with contextlib.suppress(httpx.ReadTimeout):
        httpx.get(running.url + "/v1/models", timeout=0.2,
                  headers={"Authorization": f"Bearer {provider.token(roles=['llm-users'])}"})
    assert httpx.get(running.url + "/health").status_code == 200
    assert status(running, "llm_0123456789abcdef_" + "0" * 52) == 401


def test_projects_scopes_and_required_claims(start, provider):
    running = start(project_claim="tenant", projects={"t1": "default"}, required_claims={"azp": "my-app"})
    good = {"roles": ["llm-users"], "tenant": "t1", "azp": "my-app"}
    assert status(running, provider.token(**good)) == 200
    assert status(running, provider.token(**{**good, "tenant": "t2"})) == 403
    assert status(running, provider.token(**{**good, "azp": "another"})) == 401
    assert status(running, provider.token(**good, scope="openid models:read"), "/v1/models") == 200
    assert status(running, provider.token(**good, scope="openid generate"), "/v1/models") == 403


def test_settings_that_cannot_be_right_end_the_start(home, provider):
    for changes in [{"issuer": "http://idp.example"}, {"audience": []}, {"algorithms": ["HS256"]},
                    {"algorithms": ["none"]}, {"roles": {}}, {"jwks_uri": "file:///etc/passwd"}]:
        made = home((), settings(provider, **changes))
        done = made.run("serve", timeout=30)
        assert done.returncode != 0, changes
        assert next(iter(changes)) in done.stderr, (changes, done.stderr)


# The gateway's own tokens.


@pytest.fixture
def own(gateway):
    """A gateway, and a key of the role user on it."""
    running = gateway([], {"access": {"local_user": "off", "login": {"failures": 100000}}})
    made = running.home.must("keys", "create", "--name", "tests", "--role", "user", "--json")
    return running, json.loads(made.stdout)["key"]


def trade(running, **body):
    return httpx.post(running.url + "/api/v1/auth/token", json=body)


def test_a_key_is_traded_for_tokens(own):
    running, key = own
    answer = trade(running, api_key=key)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    grant = answer.json()
    assert grant["token_type"] == "Bearer" and grant["expires_in"] == 900
    assert status(running, grant["access_token"], "/v1/models") == 200
    header, payload, _ = (part + "=" * (-len(part) % 4) for part in grant["access_token"].split("."))
    assert json.loads(base64.urlsafe_b64decode(header))["typ"] == "at+jwt"
    kid = json.loads(base64.urlsafe_b64decode(header))["kid"]
    published = httpx.get(running.url + "/.well-known/jwks.json").json()["keys"]
    assert [one["kid"] for one in published] == [kid] and "d" not in published[0]
    # A narrower one.
    narrow = trade(running, api_key=key, scope="models:read").json()
    assert narrow["scope"] == "models:read"
    assert trade(running, api_key=key, scope="admin").status_code == 400


def test_refresh_tokens_are_good_once(own):
    running, key = own
    first = trade(running, api_key=key).json()
    second = trade(running, refresh_token=first["refresh_token"])
    assert second.status_code == 200
    assert trade(running, refresh_token=first["refresh_token"]).status_code == 401
    # Reuse: everything of that sign-in is over.
    assert trade(running, refresh_token=second.json()["refresh_token"]).status_code == 401
    assert status(running, second.json()["access_token"]) == 401
    assert status(running, key) == 200


def test_tokens_of_a_revoked_key_are_dead(own):
    running, key = own
    grant = trade(running, api_key=key).json()
    assert status(running, grant["access_token"]) == 200
    running.home.must("keys", "revoke", key.split("_")[1])
    harness.wait_until(lambda: status(running, grant["access_token"]) == 401, "the token outlives its key")
    assert trade(running, refresh_token=grant["refresh_token"]).status_code == 401
    assert trade(running, api_key=key).status_code == 401


def test_a_token_of_one_kind_in_every_other_slot(own):
    running, key = own
    grant = trade(running, api_key=key).json()
    for text in [grant["refresh_token"], key.split("_")[1], key.split("_")[2], "llm-mcp"]:
        assert status(running, text) == 401, text
    for text in [grant["access_token"], grant["refresh_token"], "x"]:
        assert trade(running, api_key=text).status_code == 401
    for text in [grant["access_token"], key, "x"]:
        assert trade(running, refresh_token=text).status_code == 401
    assert trade(running, refresh_token=grant["refresh_token"]).status_code == 200
