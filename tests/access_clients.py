"""Clients of a gateway that asks who they are: the local user over the Unix socket, and keys over HTTP."""
import httpx

# Nobody is the local user over TCP; many wrong keys may come from one address, as tests show many.
PROTECTED = {"access": {"local_user": "off", "login": {"failures": 100000}}}


def local(gateway):
    """The local user, over the gateway's Unix socket: who makes the first keys."""
    transport = httpx.HTTPTransport(uds=str(gateway.home.runtime / "gateway.sock"))
    return httpx.Client(transport=transport, base_url="http://localhost", timeout=60)


def make_key(gateway, role="user", **more):
    """A new key: the answer to its creation, with `key` and `id`."""
    with local(gateway) as client:
        answer = client.post("/api/v1/keys", json={"name": f"a {role}", "role": role, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def ask(gateway, key, method="GET", path="/v1/models", **options):
    """One request on a connection of its own; without a key if it is empty."""
    headers = {**(bearer(key) if key else {}), **options.pop("headers", {})}
    return httpx.request(method, gateway.url + path, headers=headers, timeout=60, **options)


def status(gateway, key, method="GET", path="/v1/models", **options):
    return ask(gateway, key, method, path, **options).status_code
