"""CPU time, memory and medians, read from /proc (Linux)."""
import os
import pathlib
import statistics
import subprocess
import sys
import time


def cpu_seconds(pid):
    """CPU time of all threads of a process: schedstat counts nanoseconds, where /proc/<pid>/stat counts 10 ms ticks."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except OSError:
            pass  # the thread just ended
    return total / 1e9


def memory_mib(pid):
    """Resident and proportional set size in MiB."""
    rss = pss = 0
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            rss = int(line.split()[1]) / 1024
        elif line.startswith("Pss:"):
            pss = int(line.split()[1]) / 1024
    return rss, pss


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else float("nan")


def spread(values):
    """Half of the distance between the quartiles, relative to the median."""
    if len(values) < 4:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4)
    return (high - low) / 2 / middle if middle else 0.0


def load_average():
    return os.getloadavg()[0]


def note(text):
    print(f"  [load {load_average():.1f}] {text}", file=sys.stderr, flush=True)


def wait_until(what, ready, seconds=60.0, process=None):
    """Polls; ends the program if it takes too long or `process` ends meanwhile."""
    end = time.monotonic() + seconds
    while not ready():
        if process is not None and process.poll() is not None:
            sys.exit(f"bench: {what}: the process ended with status {process.returncode}")
        if time.monotonic() > end:
            sys.exit(f"bench: {what}: nothing after {seconds:.0f} s")
        time.sleep(0.01)


realtime = False  # set by bench/run


def pinned(core, command):
    """`command` on one core, if one is given and the machine has several; ahead of other programs if asked for."""
    if core is not None and len(os.sched_getaffinity(0)) > 1:
        command = ["taskset", "-c", str(core), *command]
    return ["chrt", "--rr", "1", *command] if realtime else command


class Table:
    """Rows of cells, printed as Markdown with aligned columns."""

    def __init__(self, title, *header):
        self.title = title
        self.rows = [list(header)]

    def add(self, *cells):
        self.rows.append([cell if isinstance(cell, str) else f"{cell:.{0 if cell >= 1000 else 2}f}" for cell in cells])

    def show(self):
        widths = [max(len(row[i]) for row in self.rows) for i in range(len(self.rows[0]))]
        lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in self.rows]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        print(f"\n### {self.title}\n")
        print("\n".join(lines), flush=True)


class Targets:
    """What the program set out to reach, beside what it reached."""

    def __init__(self):
        self.table = Table("Targets", "target", "limit", "measured", "measured / limit", "")

    def most(self, name, limit, measured, unit):
        self.add(name, f"<= {limit:g} {unit}", measured, unit, measured / limit, measured <= limit)

    def least(self, name, limit, measured, unit):
        self.add(name, f">= {limit:g} {unit}", measured, unit, measured / limit, measured >= limit)

    def add(self, name, limit, measured, unit, ratio, met):
        self.table.add(name, limit, f"{measured:.4g} {unit}", f"{ratio:.2f}", "met" if met else "MISSED")

    def show(self):
        if len(self.table.rows) > 1:
            self.table.show()
