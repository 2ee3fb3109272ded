"""A container engine for tests: a private dockerd in a folder of its own, with an image of the vLLM stand-in.

Nothing of the machine's own Docker is used or touched: another data folder, another bridge, no firewall rules. Needs
dockerd and root; where it cannot start, `start()` raises Unavailable with the reason. LLM_MCP_TEST_DOCKER names another
container engine to use instead (unix:/path, such as Podman's): the image is then imported there.

The image is made of this machine's Python, without a network: the interpreter, its standard library and what they are
linked with. It is kept in the build cache by its content.
"""
import contextlib
import ctypes
import fcntl
import gzip
import hashlib
import http.client
import io
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import urllib.parse

STANDIN = pathlib.Path(__file__).resolve().parent / "vllm_standin.py"
IMAGE = "vllm-standin"
ENTRY = "/opt/vllm_standin.py"
# Parts of the standard library that the stand-in does not need, and C modules that drag graphics and the like along.
LEFT_OUT = {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data", "distutils",
            "site-packages", "dist-packages", "__pycache__", "unittest", "asyncio", "multiprocessing", "sqlite3"}
LEFT_OUT_MODULES = re.compile(r"(_tkinter|_test|_ctypes_test|xx|_dbm|_gdbm|_curses|readline|nis|_codecs_|_sqlite3)")


class Unavailable(Exception):
    """There is no container engine for tests here; the text says why."""


# ---- the image ----

def linked(file):
    """Paths of the shared libraries that a program or library is linked with, the loader's included."""
    out = subprocess.run(["ldd", str(file)], text=True, capture_output=True, check=False).stdout
    return set(re.findall(r"(/\S+) \(0x", out))


def python_files():
    program = os.path.realpath(sys.executable)
    library = pathlib.Path(sysconfig.get_path("stdlib"))
    files = {program}
    for folder, folders, names in os.walk(library):
        folders[:] = [name for name in folders if name not in LEFT_OUT and not name.startswith("config-")]
        for name in names:
            binary = name.endswith(".so")
            if name.endswith(".py") or (binary and not LEFT_OUT_MODULES.match(name)):
                files.add(os.path.join(folder, name))
                if binary:
                    files |= linked(os.path.join(folder, name))
    return program, sorted(files | linked(program))


def layer(files, texts):
    """A tar of files of this machine at their places, and of texts by path. The same content gives the same bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", dereference=True) as tar:
        for path in files:
            info = tar.gettarinfo(path, arcname=path.lstrip("/"))
            info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "", ""
            with open(path, "rb") as content:
                tar.addfile(info, content)
        for path, text in texts.items():
            info = tarfile.TarInfo(path.lstrip("/"))
            info.size, info.mode = len(text), 0o755
            tar.addfile(info, io.BytesIO(text))
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(folder)
    return out.getvalue()


def cache_folder():
    cache = os.environ.get("LLM_MCP_BUILD_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "llm-mcp-build")
    return pathlib.Path(cache)


def image_layers():
    """(entry point, [tar files]): Python's layer from the cache, the stand-in's small one beside it."""
    program, files = python_files()
    facts = [(path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in files]
    key = hashlib.sha256(json.dumps(["1", program, facts]).encode()).hexdigest()[:12]
    folder = cache_folder() / f"container-{key}"
    python = folder / "python.tar"
    if not python.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"partial-{os.getpid()}"
        partial.write_bytes(layer(files, {}))
        partial.rename(python)
    text = STANDIN.read_bytes()
    standin = folder / f"standin-{hashlib.sha256(text).hexdigest()[:12]}.tar"
    if not standin.exists():
        partial = folder / f"partial-{os.getpid()}"
        partial.write_bytes(layer([], {ENTRY: text}))
        partial.rename(standin)
    return [program, "-u", ENTRY], [python, standin]


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def image_parts():
    """The image as a registry has it: (manifest, {digest: bytes}), and the same as an archive that Docker loads."""
    entry, tars = image_layers()
    raw = [tar.read_bytes() for tar in tars]
    packed = []
    for tar, data in zip(tars, raw):
        file = tar.with_suffix(".tgz")
        if not file.exists():
            partial = tar.with_suffix(f".{os.getpid()}")
            partial.write_bytes(gzip.compress(data, 1, mtime=0))
            partial.rename(file)
        packed.append(file.read_bytes())
    config = json.dumps({"architecture": machine(), "os": "linux", "config": {"Entrypoint": entry},
                         "rootfs": {"type": "layers", "diff_ids": [digest_of(data) for data in raw]}}).encode()
    kind = "application/vnd.docker.{}"
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": kind.format("distribution.manifest.v2+json"),
        "config": {"mediaType": kind.format("container.image.v1+json"), "size": len(config),
                   "digest": digest_of(config)},
        "layers": [{"mediaType": kind.format("image.rootfs.diff.tar.gzip"), "size": len(data),
                    "digest": digest_of(data)} for data in packed]}).encode()
    return manifest, {digest_of(data): data for data in [config, *packed]}, config, tars


def machine():
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def archive(name, config, tars):
    """What POST /images/load takes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        def add(path, data):
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        add("config.json", config)
        for index, file in enumerate(tars):
            add(f"{index}/layer.tar", file.read_bytes())
        add("manifest.json", json.dumps([{"Config": "config.json", "RepoTags": [name],
                                          "Layers": [f"{index}/layer.tar" for index in range(len(tars))]}]).encode())
    return out.getvalue()


# ---- the API, as tests need it ----

class Docker:
    """The container engine at a Unix socket, asked without the program under test."""

    def __init__(self, path):
        self.path = path
        self.host = f"unix:{path}"

    def ask(self, method, target, body=None, content_type="application/json"):
        connection = http.client.HTTPConnection("docker", timeout=120)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(120)
        try:
            connection.sock.connect(self.path)
            data = json.dumps(body).encode() if isinstance(body, dict) else body
            connection.request(method, target, data, {"Content-Type": content_type} if data else {})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {target}: {answer.status} {text.decode(errors='replace')}")
        return json.loads(text) if text[:1] in (b"{", b"[") and b"}\r\n{" not in text and b"}\n{" not in text else text

    def containers(self, **labels):
        """What `docker ps --all` shows, of these labels; `_` stands for the dash and the dot: llm_mcp_engine."""
        wanted = [f"{name.replace('llm_mcp_', 'llm-mcp.')}={value}" for name, value in labels.items()]
        filters = urllib.parse.quote(json.dumps({"label": wanted or ["llm-mcp.engine"]}))
        return self.ask("GET", f"/containers/json?all=true&filters={filters}")

    def inspect(self, container):
        return self.ask("GET", f"/containers/{container}/json")

    def kill(self, container, number="SIGKILL"):
        self.ask("POST", f"/containers/{container}/kill?signal={number}")

    def remove(self, container):
        with contextlib.suppress(RuntimeError):
            self.ask("DELETE", f"/containers/{container}?force=true&v=true")

    def has_image(self, name):
        try:
            self.ask("GET", f"/images/{name}/json")
        except RuntimeError:
            return False
        return True

    def remove_image(self, name):
        with contextlib.suppress(RuntimeError):
            self.ask("DELETE", f"/images/{name}?force=true")

    def load_standin(self, name):
        _, _, config, tars = image_parts()
        self.ask("POST", "/images/load?quiet=true", archive(name, config, tars), "application/x-tar")
        assert self.has_image(name), name


# ---- the daemon ----

# linux/sockios.h and linux/if.h; Debian's minimal images have no `ip`.
SIOCBRADDBR, SIOCBRDELBR = 0x89A0, 0x89A1
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x8913, 0x8914, 0x8916, 0x891C
IFF_UP = 1


class Bridge:
    """A network bridge with an address in 198.18.0.0/15, which RFC 2544 keeps for tests."""

    def __init__(self):
        number = os.getpid() % (2 * 256 * 16)
        self.name = f"lmt{os.getpid()}"[:15]
        self.address = f"198.{18 + number // 4096}.{number // 16 % 256}.{number % 16 * 16 + 1}"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, SIOCBRADDBR, self.name.encode() + b"\0")
            try:
                self._address(control, SIOCSIFADDR, self.address)
                self._address(control, SIOCSIFNETMASK, "255.255.255.240")
                self._up(control, True)
            except OSError:
                self.remove()
                raise

    def _address(self, control, call, address):
        fcntl.ioctl(control, call, struct.pack("16sHH4s8x", self.name.encode(), socket.AF_INET, 0,
                                               socket.inet_aton(address)))

    def _up(self, control, up):
        request = struct.pack("16sH14x", self.name.encode(), 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        flags = flags | IFF_UP if up else flags & ~IFF_UP
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", self.name.encode(), flags))

    def remove(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control, contextlib.suppress(OSError):
            self._up(control, False)
            fcntl.ioctl(control, SIOCBRDELBR, self.name.encode() + b"\0")


CGROUPS = pathlib.Path("/sys/fs/cgroup")
MS_NOSUID_NODEV_NOEXEC = 2 | 4 | 8
MNT_DETACH = 2


def mount(kind, target, options=""):
    if ctypes.CDLL(None, use_errno=True).mount(kind.encode(), str(target).encode(), kind.encode(),
                                               MS_NOSUID_NODEV_NOEXEC, options.encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), f"{kind} at {target}")


def mount_cgroups():
    """What an init system would have done; machines without one have none. Returns what is to be unmounted."""
    if any(line.split()[2].startswith("cgroup") for line in pathlib.Path("/proc/mounts").read_text().splitlines()):
        return []
    made = []
    try:
        mount("tmpfs", CGROUPS, "mode=755")
        made.append(CGROUPS)
        for line in pathlib.Path("/proc/cgroups").read_text().splitlines()[1:]:
            name, _, _, enabled = line.split()
            if enabled == "1":
                (CGROUPS / name).mkdir()
                with contextlib.suppress(OSError):  # one that the second version has
                    mount("cgroup", CGROUPS / name, name)
                    made.append(CGROUPS / name)
        if len(made) > 1:
            return made
        unmount(made)
        made = []
        mount("cgroup2", CGROUPS)
        return [CGROUPS]
    except OSError as error:
        unmount(made)
        raise Unavailable(f"control groups cannot be mounted here: {error}") from error


def unmount(paths):
    for path in reversed(paths):
        ctypes.CDLL(None).umount2(str(path).encode(), MNT_DETACH)


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class PrivateDaemon:
    """dockerd in a temporary folder. `stop()` leaves nothing."""

    def __init__(self):
        program = shutil.which("dockerd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin")
        if not program:
            raise Unavailable("there is no dockerd; scripts/install-deps --test installs docker.io")
        if os.geteuid() != 0:
            raise Unavailable("a private dockerd needs root; LLM_MCP_TEST_DOCKER names another container engine")
        self.program = program
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lmd", dir="/tmp"))
        self.path = str(self.folder / "docker.sock")
        self.process = None
        try:
            self.cgroups = mount_cgroups()
        except Unavailable:
            shutil.rmtree(self.folder)
            raise
        try:
            self.bridge = Bridge()
        except OSError as error:
            unmount(self.cgroups)
            shutil.rmtree(self.folder)
            raise Unavailable(f"no network bridge can be made here: {error}") from error
        try:
            self.start()
        except Unavailable:
            self.stop()
            raise

    def start(self):
        folder = self.folder
        command = [self.program, "--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile",
                   folder / "pid", "--host", f"unix://{self.path}", "--bridge", self.bridge.name, "--iptables=false",
                   "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--config-file", folder / "none.json",
                   # Ends and starts anew without its containers noticing.
                   "--live-restore"]
        (folder / "none.json").write_text("{}")
        environment = {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "HOME": str(folder)}
        with open(folder / "log", "ab") as log:
            self.process = subprocess.Popen([str(part) for part in command], env=environment, cwd=folder, stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
        end = time.monotonic() + 60  # only bounds a hang
        while True:
            with contextlib.suppress(OSError, RuntimeError, http.client.HTTPException):
                Docker(self.path).ask("GET", "/_ping")
                return
            if self.process.poll() is not None or time.monotonic() > end:
                last = (folder / "log").read_text(errors="replace").splitlines()[-3:]
                raise Unavailable("dockerd does not start here: " + " | ".join(last))
            time.sleep(0.02)

    def end(self):
        """Ends dockerd; containers that run stay."""
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            docker = Docker(self.path)
            for container in docker.ask("GET", "/containers/json?all=true"):
                docker.remove(container["Id"])
            self.end()
        self.bridge.remove()
        with open("/proc/mounts") as mounts:
            left = [line.split()[1] for line in mounts if line.split()[1].startswith(f"{self.folder}/")]
        unmount(left + self.cgroups)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def running():
    """A container engine with the stand-in's image: yields (Docker, PrivateDaemon or None)."""
    given = os.environ.get("LLM_MCP_TEST_DOCKER")
    if given:
        docker, daemon = Docker(given.removeprefix("unix:").replace("//", "/")), None
    else:
        daemon = PrivateDaemon()
        docker = Docker(daemon.path)
    try:
        docker.load_standin(f"{IMAGE}:0.10.1")
        yield docker, daemon
    finally:
        if daemon:
            daemon.stop()
