"""TLS: the clients that people use get through, and nobody who should not; certificates change while it serves."""
import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess

import httpx
import openai
import pytest
from websockets.sync.client import connect

import certificates
from certificates import Identity
from harness import error_of, wait_until

ENDLESS = {"model": "tiny-long", "prompt": "on and on", "max_tokens": 120_000, "stream": True}


class Encrypted:
    """A gateway behind TLS, and what its clients need."""

    def __init__(self, factory, folder, models=("tiny",), server=None, **tls):
        self.folder = folder
        self.authority = Identity("Test Authority", authority=True)
        self.server = server(self.authority) if server else certificates.server(self.authority)
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(self.authority.certificate_pem())
        self.certificate, self.key = self.server.write(folder, "server")
        if "client_certificate" in tls:
            tls["client_ca"] = str(self.ca)
        self.gateway = factory(models, {"server": {"tls": {"certificate": str(self.certificate),
                                                           "key": str(self.key), **tls}}})
        self.url = self.gateway.url
        self.port = self.gateway.state["port"]

    def context(self, identity=None, version=None):
        context = ssl.create_default_context(cafile=str(self.ca))
        if identity:
            context.load_cert_chain(*identity.write(self.folder, "client"))
        if version:
            context.minimum_version = context.maximum_version = version
        return context

    def client(self, identity=None, version=None):
        return httpx.Client(base_url=self.url, verify=self.context(identity, version), timeout=60)

    def s_client(self, *arguments):
        """`openssl s_client`: its output, of both kinds."""
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-CAfile", str(self.ca),
                               *arguments], input="", text=True, capture_output=True, timeout=60)
        return done.stdout + done.stderr

    def serial(self):
        """Of the certificate that a new connection gets."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as plain, \
                self.context().wrap_socket(plain, server_hostname="localhost") as encrypted:
            return int(encrypted.getpeercert()["serialNumber"], 16)


@pytest.fixture
def encrypted(gateway, tmp_path):
    return lambda *arguments, **options: Encrypted(gateway, tmp_path, *arguments, **options)


def test_ordinary_clients(encrypted):
    served = encrypted()
    assert served.url == f"https://127.0.0.1:{served.port}"
    for url in (served.url, f"https://localhost:{served.port}"):
        done = subprocess.run(["curl", "-sS", "--cacert", str(served.ca), f"{url}/v1/models"], text=True,
                              capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert [model["id"] for model in json.loads(done.stdout)["data"]] == ["tiny"]
    with httpx.Client(verify=served.context()) as http:
        sdk = openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", http_client=http)
        message = [{"role": "user", "content": "abc"}]
        whole = sdk.chat.completions.create(model="tiny", messages=message, max_tokens=20, temperature=0)
        parts = sdk.chat.completions.create(model="tiny", messages=message, max_tokens=20, temperature=0, stream=True)
        text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
        assert text == whole.choices[0].message.content
    with connect(served.url.replace("https", "wss", 1) + "/api/v1/ws", ssl=served.context()) as web:
        web.send(json.dumps({"type": "generate", "id": "1", "model": "tiny", "prompt": "abc", "max_tokens": 5}))
        types = []
        while not types or types[-1] not in ("done", "error"):
            types.append(json.loads(web.recv(timeout=60))["type"])
        assert types[-1] == "done", types


def test_a_client_that_goes_away_stops_the_work(encrypted):
    served = encrypted(["tiny-long"])
    slots = httpx.Client(transport=httpx.HTTPTransport(uds=str(served.gateway.home.runtime / "gateway.sock")),
                         base_url="http://localhost", timeout=60)
    served.gateway.client.close()
    served.gateway.client = slots
    served.gateway.load("tiny-long")
    with served.client() as client, client.stream("POST", "/v1/completions", json=ENDLESS) as response:
        lines = response.iter_lines()  # kept: the end of the iterator is the end of the stream
        next(lines)
        served.gateway.wait_busy("tiny-long")
    served.gateway.wait_idle("tiny-long")


def test_who_does_not_trust_it_says_so(encrypted, tmp_path):
    served = encrypted()
    stranger = tmp_path / "stranger.pem"
    stranger.write_bytes(Identity("Test Authority", authority=True).certificate_pem())
    for options in (["--cacert", str(stranger)], ["--cacert", str(served.ca), "--resolve", "elsewhere:1:127.0.0.1",
                                                  "--connect-to", f"elsewhere:443:127.0.0.1:{served.port}"]):
        url = "https://elsewhere/" if "--resolve" in options else served.url
        done = subprocess.run(["curl", "-sS", *options, url], text=True, capture_output=True, timeout=60)
        assert done.returncode == 60, done.stderr  # the certificate is not to be trusted
    with served.client() as client:
        assert client.get("/v1/models").status_code == 200


def test_versions_ciphers_and_protocols(encrypted):
    served = encrypted()
    for version in ("-tls1", "-tls1_1"):
        said = served.s_client(version, "-cipher", "ALL:@SECLEVEL=0")
        assert "alert protocol version" in said, said
    old = served.s_client("-tls1_2")
    assert "Protocol  : TLSv1.2" in old and "Verify return code: 0 (ok)" in old, old
    assert "Cipher is ECDHE-ECDSA-AES256-GCM-SHA384" in old
    assert "Compression: NONE" in old
    assert "TLS session ticket" not in old and "Session-ID: \n" in old, "sessions are not resumed"
    new = served.s_client("-tls1_3", "-verify_hostname", "localhost")
    assert "New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384" in new and "Verification: OK" in new, new
    for weak in ("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "AES128-GCM-SHA256", "NULL", "aNULL"):
        said = served.s_client("-tls1_2", "-cipher", f"{weak}:@SECLEVEL=0")
        assert "Cipher is (NONE)" in said, (weak, said)
    assert "ALPN protocol: http/1.1" in served.s_client("-alpn", "h2,http/1.1")
    assert "alert no application protocol" in served.s_client("-alpn", "h2")
    assert "No ALPN negotiated" in served.s_client()


def test_only_13_if_wished(encrypted):
    served = encrypted(minimum_version="1.3")
    assert "alert protocol version" in served.s_client("-tls1_2")
    assert "New, TLSv1.3" in served.s_client()


def test_plain_http_is_told_so(encrypted):
    served = encrypted()
    answer = httpx.get(f"http://127.0.0.1:{served.port}/v1/models")
    assert answer.status_code == 400
    assert "https" in error_of(answer)["message"]


def refused(served, identity, version):
    """What the client is told. In TLS 1.3 it learns it when it reads."""
    try:
        with served.client(identity, version) as client:
            client.get("/v1/models")
    except httpx.HTTPError as error:
        return str(error).lower()
    return None


def test_client_certificates(encrypted):
    served = encrypted(client_certificate="required")
    good = Identity("ci", served.authority, client=True, uris=["spiffe://example.org/ci"])
    other = Identity("Other Authority", authority=True)
    bad = {"certificate expired": Identity("ci", served.authority, client=True, days=(-3, -1)),
           "unknown ca": Identity("ci", other, client=True),
           "unsupported certificate": Identity("ci", served.authority)}
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with served.client(good, version) as client:
            assert client.get("/health").status_code == 200
        for words, identity in bad.items():
            assert words in (refused(served, identity, version) or "no refusal"), (words, version)
    assert "handshake failure" in refused(served, None, ssl.TLSVersion.TLSv1_2)
    assert "certificate required" in refused(served, None, ssl.TLSVersion.TLSv1_3)


def test_a_new_certificate_without_dropping_a_stream(encrypted):
    served = encrypted(["tiny-long"])
    log = served.gateway.log
    with served.client() as client, client.stream("POST", "/v1/completions", json=ENDLESS) as response:
        lines = response.iter_lines()
        for _ in range(10):
            next(lines)
        assert served.serial() == served.server.serial
        renewed = certificates.server(served.authority, kind="rsa")
        # The certificate comes first: what was in use stays until the key is there too.
        certificates.replace(served.certificate, renewed.certificate_pem())
        wait_until(lambda: "does not belong to" in served.gateway.stderr(), "the complaint in the log")
        assert served.serial() == served.server.serial
        certificates.replace(served.key, renewed.key_pem())
        wait_until(lambda: served.serial() == renewed.serial, "the new certificate")
        for _ in range(100):
            next(lines)
        expired = certificates.server(served.authority, days=(-3, -1))
        certificates.replace(served.key, expired.key_pem())
        certificates.replace(served.certificate, expired.certificate_pem())
        wait_until(lambda: "expired on" in served.gateway.stderr(), "the complaint in the log")
        assert served.serial() == renewed.serial
        for _ in range(100):
            next(lines)
    assert not any("PRIVATE KEY" in json.dumps(entry) for entry in log())


def test_files_that_cannot_be_used(home, tmp_path):
    authority = Identity("Test Authority", authority=True)
    good, good_key = certificates.server(authority).write(tmp_path, "good")
    _, other_key = certificates.server(authority).write(tmp_path, "other")
    expired, expired_key = certificates.server(authority, days=(-3, -1)).write(tmp_path, "expired")
    for words, tls in (("No such file", {"certificate": str(tmp_path / "none.pem")}),
                       ("expired on", {"certificate": str(expired), "key": str(expired_key)}),
                       ("does not belong to", {"certificate": str(good), "key": str(other_key)}),
                       ("no private key", {"certificate": str(good), "key": str(good)}),
                       ("client_ca", {"certificate": str(good), "key": str(good_key),
                                      "client_certificate": "required"})):
        done = home((), {"server": {"tls": tls}}).run("serve")
        assert done.returncode != 0
        assert words in done.stderr, done.stderr


def find_testssl():
    found = shutil.which("testssl") or shutil.which("testssl.sh")
    if not found and os.environ.get("CI") == "true":
        pytest.fail("there is no testssl; Debian has it in testssl.sh")
    return found or pytest.skip("there is no testssl")


# What it cannot like here: an authority of our own revokes nothing.
HARMLESS = {"cert_revocation"}
SEVERE = {"HIGH", "CRITICAL", "FATAL"}


def test_testssl_finds_nothing(encrypted, tmp_path):
    program = find_testssl()
    served = encrypted(server=lambda authority: certificates.server(authority, kind="rsa", days=(-30, 300)))
    report = tmp_path / "report.json"
    checks = ["--protocols", "--server-defaults", "--heartbleed", "--ccs-injection", "--ticketbleed", "--robot",
              "--renegotiation", "--compression", "--poodle", "--tls-fallback", "--sweet32", "--beast", "--freak",
              "--logjam", "--drown", "--rc4"]
    done = subprocess.run([program, "--quiet", "--warnings", "off", "--color", "0", "--nodns", "none", "--ip",
                           "127.0.0.1", "--add-ca", str(served.ca), *checks, "--jsonfile", str(report),
                           f"localhost:{served.port}"], text=True, capture_output=True, timeout=170,
                          stdin=subprocess.DEVNULL)
    findings = {one["id"]: one for one in json.loads(report.read_text())}
    said = done.stdout[-4000:]
    for old in ("SSLv2", "SSLv3", "TLS1", "TLS1_1"):
        assert findings[old]["finding"].startswith("not offered"), (findings[old], said)
    for new in ("TLS1_2", "TLS1_3"):
        assert findings[new]["finding"].startswith("offered"), (findings[new], said)
    assert findings["heartbleed"]["severity"] == "OK", said
    severe = [one for one in findings.values() if one["severity"] in SEVERE and one["id"] not in HARMLESS]
    assert not severe, (severe, said)
    with contextlib.closing(served.client()) as client:
        assert client.get("/health").status_code == 200
