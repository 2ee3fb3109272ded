#!/usr/bin/env python3
"""A stand-in for an OpenID Connect provider (Keycloak, Entra), for tests: discovery, keys, tokens, and bad habits.

    with Provider() as provider:
        provider.issuer                          "http://127.0.0.1:PORT/realms/test"
        provider.token(sub="ann", roles=["x"])   a signed access token; any claim by name, None drops one
        provider.rotate("ES256")                 another signing key; the old one stays published, or not
        provider.habits = {"keys": "redirect"}   what it does wrong from now on, by document
        provider.requests                        paths asked for, in order

Documents are "discovery" and "keys". Habits: "500", "redirect" (to /elsewhere), "html", "huge" (a body without end),
"silent" (never answers), "other-issuer" (discovery names another), "private" (keys with their private halves), "empty"
(no keys), "metadata" (discovery sends to a link-local address).

Run as a program it prints its issuer and one token on a line each, and serves until standard input ends.
"""
import base64
import http.server
import json
import sys
import threading
import time
import uuid

from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
CURVES = {"ES256": ("P-256", ec.SECP256R1, 32), "ES384": ("P-384", ec.SECP384R1, 48), "ES512": ("P-521", ec.SECP521R1, 66)}


def b64(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else data.encode()).rstrip(b"=").decode()


def number(value, size=None):
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


class Key:
    """One signing key of any algorithm that the gateway may accept."""

    def __init__(self, algorithm="RS256", kid=None):
        self.algorithm = algorithm
        self.kid = kid or uuid.uuid4().hex
        if algorithm == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
        elif algorithm in CURVES:
            self.private = ec.generate_private_key(CURVES[algorithm][1]())
        else:
            self.private = rsa.generate_private_key(65537, 2048)

    def jwk(self, private=False):
        out = {"kid": self.kid, "use": "sig", "alg": self.algorithm}
        public = self.private.public_key()
        if self.algorithm == "EdDSA":
            raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
            out |= {"kty": "OKP", "crv": "Ed25519", "x": b64(public.public_bytes(*raw))}
            if private:
                out["d"] = b64(self.private.private_bytes_raw())
        elif self.algorithm in CURVES:
            name, _, size = CURVES[self.algorithm]
            numbers = public.public_numbers()
            out |= {"kty": "EC", "crv": name, "x": number(numbers.x, size), "y": number(numbers.y, size)}
            if private:
                out["d"] = number(self.private.private_numbers().private_value, size)
        else:
            numbers = public.public_numbers()
            out |= {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
            if private:
                out["d"] = number(self.private.private_numbers().d)
        return out

    def sign(self, text):
        data = text.encode()
        if self.algorithm == "EdDSA":
            return self.private.sign(data)
        digest = HASHES[self.algorithm[2:]]()
        if self.algorithm in CURVES:
            r, s = utils.decode_dss_signature(self.private.sign(data, ec.ECDSA(digest)))
            size = CURVES[self.algorithm][2]
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        if self.algorithm.startswith("PS"):
            return self.private.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        return self.private.sign(data, padding.PKCS1v15(), digest)

    def public_pem(self):
        return self.private.public_key().public_bytes(serialization.Encoding.PEM,
                                                      serialization.PublicFormat.SubjectPublicKeyInfo)


def hs256(secret, text):
    mac = hmac.HMAC(secret, hashes.SHA256())
    mac.update(text.encode())
    return mac.finalize()


class Provider:
    def __init__(self, algorithm="RS256", audience="gateway"):
        self.audience = audience
        self.keys = [Key(algorithm)]  # published; the first signs
        self.habits = {}
        self.max_age = None
        self.requests = []
        self.stopping = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        self.issuer = f"{self.origin}/realms/test"
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def rotate(self, algorithm=None, keep=True):
        self.keys = [Key(algorithm or self.keys[0].algorithm), *(self.keys if keep else [])]
        return self.keys[0]

    def claims(self, **changes):
        now = int(time.time())
        out = {"iss": self.issuer, "aud": self.audience, "sub": "somebody", "iat": now, "exp": now + 300,
               "jti": uuid.uuid4().hex, "typ": "Bearer", **changes}
        return {name: value for name, value in out.items() if value is not None}

    def mint(self, header, claims, key=None, signature=None):
        """A token of exactly these parts, whatever they say; `claims` may be text."""
        text = claims if isinstance(claims, str) else json.dumps(claims)
        start = f"{b64(header if isinstance(header, str) else json.dumps(header))}.{b64(text)}"
        made = signature(start) if signature else (key or self.keys[0]).sign(start)
        return f"{start}.{b64(made)}"

    def token(self, key=None, typ="JWT", roles=None, **claims):
        key = key or self.keys[0]
        if roles is not None:
            claims["realm_access"] = {"roles": roles}
        return self.mint({"alg": key.algorithm, "typ": typ, "kid": key.kid}, self.claims(**claims), key)

    def fetches(self, path):
        return sum(one.endswith(path) for one in self.requests)

    def _document(self, name):
        habit = self.habits.get(name)
        if name == "keys":
            return {"keys": [] if habit == "empty" else [key.jwk(habit == "private") for key in self.keys]}
        out = {"issuer": self.issuer, "jwks_uri": f"{self.origin}/realms/test/certs"}
        if habit == "other-issuer":
            out["issuer"] = "https://issuer.example"
        if habit == "metadata":
            out["jwks_uri"] = "http://169.254.169.254/latest/meta-data/"
        return out

    def _handler(provider):
        paths = {"/realms/test/.well-known/openid-configuration": "discovery", "/realms/test/certs": "keys"}

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                provider.requests.append(self.path)
                name = paths.get(self.path)
                habit = provider.habits.get(name)
                if habit == "silent":
                    provider.stopping.wait()
                    self.close_connection = True
                elif habit == "huge":
                    self.huge()
                elif name is None or habit == "500":
                    self.answer(500 if name else 404, b"no", "text/plain")
                elif habit == "redirect":
                    self.answer(302, b"", "text/plain", {"Location": f"{provider.origin}/elsewhere"})
                elif habit == "html":
                    self.answer(200, b"<html>sign in</html>", "text/html")
                else:
                    self.answer(200, json.dumps(provider._document(name)).encode(), "application/json")

            def answer(self, status, body, kind, headers=()):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                if provider.max_age is not None:
                    self.send_header("Cache-Control", f"max-age={provider.max_age}")
                for header, value in dict(headers).items():
                    self.send_header(header, value)
                self.end_headers()
                self.wfile.write(body)

            def huge(self):
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Connection", "close")
                self.end_headers()
                self.close_connection = True
                try:
                    while not provider.stopping.is_set():
                        self.wfile.write(b" " * 65536)
                except OSError:
                    pass  # the reader has had enough, which is the point

            def log_message(self, *_):
                pass

        return Handler


if __name__ == "__main__":
    with Provider() as running:
        print(running.issuer, running.token(roles=["llm-users"]), sep="\n", flush=True)
        sys.stdin.read()
