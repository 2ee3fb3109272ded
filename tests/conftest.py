"""Fixtures: gateways in homes of their own, with tiny generated models or the real sample model."""
import os
import pathlib
import subprocess

import pytest

import harness
import node_clients
import tiny_gguf


def pytest_sessionstart(session):
    if not os.access(harness.PROGRAM, os.X_OK):
        pytest.exit(f"there is no program {harness.PROGRAM}: build it, or name one in LLM_MCP_TEST_PROGRAM", 2)


LONG_CONTEXT = 131072  # tokens; enough for a generation that does not end before the test does


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Paths of generated models by name."""
    folder = tmp_path_factory.mktemp("models")
    kinds = {"tiny": {}, "tiny-tools": {"tools": True}, "tiny-embed": {"embedding": True},
             "tiny-long": {"context": LONG_CONTEXT, "seed": 2}}
    for name, options in kinds.items():
        tiny_gguf.write(folder / f"{name}.gguf", **options)
    return {name: folder / f"{name}.gguf" for name in kinds}


@pytest.fixture(scope="session")
def sample_model():
    """The real sample model; only where it cannot be had the test is skipped, and never in CI."""
    script = harness.ROOT / "scripts/fetch-sample-model"
    done = subprocess.run([str(script)], text=True, capture_output=True)
    if done.returncode != 0:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no sample model: {done.stderr}")
        pytest.skip(f"no sample model: {done.stderr}")
    return pathlib.Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def node_tools():
    """The folder of the Node programs; only where they cannot be had the test is skipped, and never in CI."""
    try:
        return node_clients.folder()
    except RuntimeError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


def settings_of(models, changes):
    """Settings with the long context for the model that is made for it."""
    settings = {"models": {"settings": {"tiny-long": {"context": LONG_CONTEXT}}}} if "tiny-long" in models else {}
    harness.merge(settings, changes or {})
    return settings


class Factory:
    def __init__(self, generated):
        self.generated = generated
        self.homes = []
        self.gateways = []

    def home(self, names=(), settings=None):
        """A home with these generated models imported and a configuration for them."""
        home = harness.Home()
        self.homes.append(home)
        home.write_config(settings_of(names, settings), names)
        for name in names:
            home.import_model(self.generated[name], name)
        return home

    def __call__(self, names=("tiny",), settings=None, home=None, arguments=()):
        """Starts a gateway with these models; in a given home, as that one is."""
        home = home or self.home(names, settings)
        gateway = harness.Gateway(home, *arguments)
        self.gateways.append(gateway)
        return gateway

    def close(self):
        try:
            for gateway in self.gateways:
                gateway.stop()
        finally:
            for home in self.homes:
                home.remove()


@pytest.fixture
def gateway(models):
    """Makes gateways: `gateway(["tiny"], {"models": {"keep_alive": "1s"}})`. Their clean end is part of the test."""
    factory = Factory(models)
    yield factory
    factory.close()


@pytest.fixture
def home(models):
    """Makes homes without a gateway: `home(["tiny"])`."""
    factory = Factory(models)
    yield factory.home
    factory.close()


@pytest.fixture(scope="session")
def tiny(models):
    """One gateway with all the tiny models, for tests that leave it as they found it."""
    factory = Factory(models)
    yield factory(list(models))
    factory.close()


@pytest.fixture(scope="session")
def real(models, sample_model):
    """One gateway with the sample model as `smollm2`."""
    factory = Factory({**models, "smollm2": sample_model})
    yield factory(["smollm2"])
    factory.close()
