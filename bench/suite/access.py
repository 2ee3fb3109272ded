"""What access control adds to a request: who asks, limits, usage and audit, beside a gateway that has none of it to do."""
import json
import subprocess
import urllib.request

from . import measure
from .gateway import ENGINES, chat
from .servers import Gateway, Load, Upstream, Workplace

LIMITS = {"requests": {"count": 10**9}, "input_tokens": {"count": 10**12}, "output_tokens": {"count": 10**12},
          "concurrent": 10_000, "requests_per_day": 10**9, "tokens_per_month": 10**14}
QUIET = "access:\n  audit: {requests: false}\n"
AUDITED = "access:\n  audit: {requests: true}\n"


def cli(gateway, *arguments):
    command = [gateway.command[0], *arguments, "--json", "--config", str(gateway.config)]
    return json.loads(subprocess.run(command, env=gateway.environment, check=True, capture_output=True).stdout)


def token(gateway, key):
    """Trades the key for an access token."""
    request = urllib.request.Request(f"http://127.0.0.1:{gateway.port}/api/v1/auth/token", method="POST",
                                     data=json.dumps({"api_key": key}).encode(),
                                     headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)["access_token"]


def run(arguments, targets):
    with Workplace() as work:
        upstream = Upstream(work)
        engines = ENGINES.format(port=upstream.port)
        quiet = Gateway(work, engines, QUIET, name="quiet")
        audited = Gateway(work, engines, AUDITED, name="audited")
        load = Load(work)
        key = cli(quiet, "keys", "create", "--name", "bench")["key"]
        limited = cli(quiet, "keys", "create", "--name", "limited", "--limits", json.dumps(LIMITS))["key"]
        audited_key = cli(audited, "keys", "create", "--name", "bench")["key"]
        cases = {
            "local user": (quiet, None),
            "API key": (quiet, key),
            "access token (JWT)": (quiet, token(quiet, key)),
            "API key with 4 limits and 2 quotas": (quiet, limited),
            "local user, audited": (audited, None),
            "API key, audited": (audited, audited_key),
        }
        count = max(500, int(30000 * arguments.scale))
        results = {name: [] for name in cases}
        for number in range(-1, arguments.rounds):
            for name, (gateway, secret) in cases.items():
                result = load.measured(gateway, chat("canned"), connections=32,
                                       requests=2000 if number < 0 else count, bearer=secret)
                if number >= 0:
                    results[name].append(result["cpu"] / result["requests"] * 1e6)
            if number >= 0:
                measure.note(f"access: round {number + 1} of {arguments.rounds}")
        table = measure.Table("Access control: CPU time of the gateway for one 1 KB request, 32 connections", "who asks",
                              "us", "more than the local user, us", "spread")
        base = results["local user"]
        added = {name: measure.median([mine - theirs for mine, theirs in zip(values, base)])
                 for name, values in results.items()}
        for name, values in results.items():
            table.add(name, measure.median(values), f"{added[name]:+.2f}", f"{measure.spread(values):.0%}")
        table.show()
        limits = measure.median([mine - theirs for mine, theirs in
                                 zip(results["API key with 4 limits and 2 quotas"], results["API key"])])
        targets.most("an API key adds, per request", 3, added["API key"], "us")
        targets.most("a cached JWT adds, per request", 4, added["access token (JWT)"], "us")
        targets.most("limits and quotas add, per request", 2, limits, "us")
