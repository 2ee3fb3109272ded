"""Two gateways over one PostgreSQL, hundreds of clients that cancel as they like, one gateway killed and started again:
afterwards no limit has granted more than it promises, and what is booked is what was counted."""
import asyncio
import contextlib
import os
import pathlib
import pwd
import random
import secrets
import shutil
import signal
import subprocess
import tempfile
import time

import httpx
import pytest

from harness import wait_until

MODEL = "tiny"
CLIENTS = 200
REQUESTS = 3  # of each
QUOTA = 350  # requests a day, of the project
RATE = {"count": 1800, "window": "1m", "burst": 60}  # of the key "mixed"
CONCURRENT = 12


def postgres_programs():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    return found[-1].parent if found else None


class Postgres:
    """A server of this test's own, on a Unix socket, as a user without rights."""

    def __init__(self):
        self.programs = postgres_programs()
        if self.programs is None:
            if os.environ.get("CI") == "true":
                pytest.fail("PostgreSQL is not installed")
            pytest.skip("PostgreSQL is not installed")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lmpg", dir="/tmp"))
        self.user = {}
        if os.geteuid() == 0:
            entry = pwd.getpwnam("postgres")
            self.user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        self.run("initdb", "-D", self.folder / "data", "-U", "llm", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8",
                 "--no-sync")
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen(
            [self.programs / "postgres", "-D", self.folder / "data", "-k", self.folder, "-c", "listen_addresses=",
             "-c", "fsync=off"], stdout=self.log, stderr=self.log, cwd="/", **self.user)
        wait_until(lambda: subprocess.run([self.programs / "pg_isready", "-q", "-h", self.folder]).returncode == 0,
                   "PostgreSQL")
        self.url = f"postgresql://llm@/postgres?host={self.folder}"

    def run(self, program, *arguments):
        done = subprocess.run([self.programs / program, *arguments], text=True, capture_output=True, cwd="/", **self.user)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def ask(self, sql):
        return self.run("psql", "-h", self.folder, "-U", "llm", "-d", "postgres", "-At", "-c", sql)

    def close(self):
        self.process.send_signal(signal.SIGINT)  # ends connections, too
        self.process.wait(30)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def postgres():
    server = Postgres()
    yield server
    server.close()


class Record:
    """What one request was: when it was sent and answered, and what its answer says that the engine counted."""

    def __init__(self, key):
        self.key, self.sent, self.answered = key, time.monotonic(), None
        self.status = None  # None: cancelled, or the gateway died
        self.usage = None


def keeps_rate(records, rate, window_s):
    """Was there a stretch with more grants than its length allows? A grant was made between sending and answer, so that
    only those that lie wholly inside count."""
    granted = sorted((r for r in records if r.status == 200), key=lambda r: r.answered)
    for start in (r.sent for r in granted):
        inside = 0
        for one in granted:
            if one.sent >= start:
                inside += 1
                allowed = rate["burst"] + rate["count"] * (one.answered - start) / window_s
                if inside > allowed:
                    return False
    return True


async def client(number, keys, urls, records, progress):
    chance = random.Random(number)
    async with httpx.AsyncClient(timeout=60) as session:
        for turn in range(REQUESTS):
            name = "steady" if number % 4 == 0 else "mixed"
            # The steady key is only used on the gateway that lives, by clients that wait for their answers.
            url = urls[0] if name == "steady" else urls[chance.randrange(2)]
            record = Record(name)
            records.append(record)
            body = {"model": MODEL, "prompt": "abcdefgh"[:1 + chance.randrange(8)], "max_tokens": 1 + chance.randrange(8),
                    "temperature": 0}
            asked = asyncio.ensure_future(session.post(url + "/v1/completions", json=body,
                                                       headers={"Authorization": f"Bearer {keys[name]}"}))
            cancels = name == "mixed" and chance.randrange(4) == 0
            if cancels:
                for _ in range(chance.randrange(30)):  # turns of the loop, not time
                    await asyncio.sleep(0)
                asked.cancel()
            with contextlib.suppress(httpx.TransportError, asyncio.CancelledError):
                answer = await asked
                record.answered = time.monotonic()
                record.status = answer.status_code
                if answer.status_code == 200:
                    record.usage = answer.json()["usage"]
            progress[0] += 1


async def crowd(keys, urls, kill_and_restart):
    records, progress = [], [0]
    tasks = [asyncio.create_task(client(number, keys, urls, records, progress)) for number in range(CLIENTS)]
    while progress[0] < CLIENTS * REQUESTS // 3:
        await asyncio.sleep(0)
        if all(task.done() for task in tasks):
            break
    await asyncio.to_thread(kill_and_restart)
    await asyncio.gather(*tasks)
    return records


def test_limits_are_exact_over_two_gateways_with_crashes(postgres, gateway):
    shared = {"access": {"database": {"url": postgres.url}, "usage": {"durability": "strict"},
                         "secret": secrets.token_hex(32)}}
    homes = [gateway.home([MODEL], shared) for _ in range(2)]
    first, second = (gateway(home=home) for home in homes)
    for running in (first, second):
        running.load(MODEL)
    assert first.post("/api/v1/projects", {"id": "team", "limits": {"requests_per_day": QUOTA,
                                                                    "tokens_per_month": 1_000_000}}).status_code == 201
    keys, ids = {}, {}
    for name, limits in {"steady": {"concurrent": 50}, "mixed": {"requests": RATE, "concurrent": CONCURRENT}}.items():
        answer = first.post("/api/v1/keys", {"name": name, "project": "team", "limits": limits})
        assert answer.status_code == 201, answer.text
        keys[name], ids[name] = answer.json()["key"], answer.json()["id"]
    # The other gateway knows them, within a second.
    wait_until(lambda: httpx.get(second.url + "/v1/models", headers={"Authorization": f"Bearer {keys['mixed']}"})
               .status_code == 200, "the keys at the second gateway")
    urls = [first.url, second.url]

    def kill_and_restart():
        second.kill()
        second.expected_exit = -9
        second.stop()
        urls[1] = gateway(home=homes[1]).url

    records = asyncio.run(crowd(keys, urls, kill_and_restart))
    assert len(records) == CLIENTS * REQUESTS
    granted = {name: [r for r in records if r.key == name and r.status == 200] for name in keys}
    refused = [r for r in records if r.status == 429]
    assert granted["steady"] and granted["mixed"] and refused
    assert not [r for r in records if r.status not in (None, 200, 429, 503)], {r.status for r in records}
    # No limit granted more than it promises.
    assert len(granted["steady"]) + len(granted["mixed"]) <= QUOTA
    assert keeps_rate(granted["mixed"], RATE, 60)
    # What is booked is what the engines counted. Of the steady key every request was answered, and nothing is missing
    # or too much; of the other one everything that was answered is there, and no more than was asked for.
    def booked(key):
        answer = first.get("/api/v1/usage", params={"key": ids[key]})
        assert answer.status_code == 200, answer.text
        return answer.json()["total"]

    def counted(key):
        return {"input_tokens": sum(r.usage["prompt_tokens"] for r in granted[key]),
                "output_tokens": sum(r.usage["completion_tokens"] for r in granted[key])}

    steady = booked("steady")
    assert {name: steady[name] for name in counted("steady")} == counted("steady")
    assert steady["requests"] - steady["failed"] == len(granted["steady"])
    mixed = booked("mixed")
    assert mixed["requests"] - mixed["failed"] >= len(granted["mixed"])
    assert mixed["output_tokens"] >= counted("mixed")["output_tokens"]
    assert mixed["requests"] <= len([r for r in records if r.key == "mixed"])
    # The database agrees: what it handed out covers what was used, and stays within the quota.
    leased = int(postgres.ask("SELECT leased FROM shared_quotas WHERE name = 'project:team:requests_per_day'"))
    assert steady["requests"] - steady["failed"] + mixed["requests"] - mixed["failed"] <= leased <= QUOTA
