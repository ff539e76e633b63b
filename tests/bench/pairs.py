# SPDX-License-Identifier: GPL-2.0-only
"""What the benches share: the bare programs, the processes' memory and time, rows of pairs, the report.

A row is a value beside its floor, taken one after the other in each repetition; its ratio is that of the pair."""

import json
import os
import random
import statistics
import subprocess
import sys
import time

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(TESTS)
sys.path[:0] = [TESTS, os.path.join(TESTS, "mail")]
from harness import BUILD, Host, descendants  # noqa: E402
import messages  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")


def build(name, *libs, objects=()):
    """build/bench/NAME from tests/bench/NAME.c and objects of the build."""
    source, program = os.path.join(TESTS, "bench", name + ".c"), os.path.join(BUILD, "bench", name)
    os.makedirs(os.path.dirname(program), exist_ok=True)
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", *libs], check=True, capture_output=True,
                           text=True).stdout.split() if libs else []
    folders = ["-I" + os.path.join(ROOT, name) for name in ("include", "daemon/base", "daemon/scanner")] if objects else []
    subprocess.run([os.environ.get("CC", "gcc"), "-std=gnu11", "-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror",
                    *folders, "-o", program, source, *objects, *flags], check=True)
    return program


def quartiles(values):
    values = sorted(values)
    if len(values) < 3:
        return {"q1": values[0], "median": statistics.median(values), "q3": values[-1], "n": len(values)}
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return {"q1": q1, "median": median, "q3": q3, "n": len(values)}


def write_definitions(folder):
    """As many signatures as a small real set has, all of them random: 300,000 hashes and 18,000 bodies."""
    rng = random.Random(1)
    with open(f"{folder}/bench.hsb", "w") as file:
        for number in range(300000):
            file.write(f"{rng.randbytes(32).hex()}:{rng.randrange(1000, 1000000)}:Mailward.Bench.Hash{number}\n")
    with open(f"{folder}/bench.ndb", "w") as file:
        file.write(messages.signature_line())
        for number in range(18000):
            file.write(f"Mailward.Bench.Body{number}:0:*:{rng.randbytes(24).hex()}\n")


class Pairs:
    """A host with ext4 to be watched, and one beside it that is not."""

    def __init__(self, suite, definitions=None):
        """definitions: a folder, else random ones are written."""
        self.suite, self.rows, self.notes, self.kind = suite, [], [], "random ones of the bench"
        self.opens, self.bare = build("opens"), build("bare", "libclamav")
        self.host = Host(suite, file_system="ext4")
        self.definitions = definitions or self.host.definitions
        if definitions:
            self.kind = "of " + definitions
        else:
            write_definitions(self.definitions)
        self.plain = self.own_file_system("plain")
        self.tmp = os.path.join(self.host.base, "tmp")
        os.mkdir(self.tmp)

    def own_file_system(self, name):
        path, image = f"{self.host.base}/{name}", f"{self.host.base}/{name}.image"
        os.mkdir(path)
        with open(image, "wb") as file:
            file.truncate(256 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-N", "20000", image], check=True)
        self.host.mount("-o", "loop", image, path)
        return path

    # ---- tools ----
    def run_opens(self, *words, paths=()):
        done = subprocess.run([self.opens, *map(str, words)], input="".join(f"{path}\n" for path in paths), text=True,
                              capture_output=True, timeout=600)
        if done.returncode:
            raise RuntimeError(f"opens {words}: {done.stderr[-300:]}")
        return [float(line) for line in done.stdout.split()]

    def start_scanner(self, *argv):
        """A program that takes a path a line, as tests/bench/bare.c does. Returns it, and how many signatures it has."""
        process = self.suite.popen(list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ready = process.stdout.readline().split()
        if len(ready) != 2:
            raise RuntimeError(f"{argv[0]} did not start")
        return process, int(ready[1])

    def start_bare(self, *words):
        process, self.signatures = self.start_scanner(self.bare, self.definitions, self.tmp, *words)
        return process

    @staticmethod
    def scan(process, path):
        process.stdin.write(path + "\n")
        process.stdin.flush()
        wall, cpu, rc = process.stdout.readline().split()
        if rc != "0":
            raise RuntimeError(f"bare libclamav says {rc} of {path}")
        return int(wall), int(cpu)

    @staticmethod
    def scan_all(process, paths):
        """A scanner that was started with a number of processes shares the paths among them. Wall and CPU nanoseconds of
        all of them together."""
        process.stdin.write("".join(path + "\n" for path in paths))
        return Pairs.scan(process, "")

    @staticmethod
    def end(*processes):
        for process in processes:
            process.stdin.close()
            process.wait()

    def tree(self):
        return [self.host.daemon.pid] + descendants(self.host.daemon.pid)

    def cpu_seconds(self):
        """Of all of Mailward's processes, those that ended and were waited for included."""
        ticks = 0
        for pid in self.tree():
            try:
                with open(f"/proc/{pid}/stat") as file:
                    ticks += sum(map(int, file.read().rsplit(")", 1)[1].split()[11:15]))
            except OSError:
                continue
        return ticks / TICK

    @staticmethod
    def pss_kb(pids):
        total = 0
        for pid in pids:
            try:
                with open(f"/proc/{pid}/smaps_rollup") as file:
                    total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
            except OSError:
                continue
        return total

    def row(self, name, unit, values, floor_name, floors, target, ratios=None):
        ratios = ratios or [value / floor for value, floor in zip(values, floors)]
        self.rows.append({"name": name, "unit": unit, **quartiles(values),
                          "floor": {"name": floor_name, **quartiles(floors)},
                          "ratio": quartiles(ratios), "target": target})
        sys.stderr.write(".")
        sys.stderr.flush()

    def loads(self):
        with open("/proc/loadavg") as file:
            return file.read().split()[:3]

    # ---- report ----
    def machine(self):
        with open("/proc/cpuinfo") as file:
            model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown")
        clamav = subprocess.run(["pkg-config", "--modversion", "libclamav"], capture_output=True, text=True)
        version = subprocess.run([os.path.join(BUILD, "mailwardd"), "--version"], capture_output=True, text=True)
        return {"mailward": version.stdout.strip(), "kernel": os.uname().release, "cpu": model,
                "processors": os.cpu_count(),
                "memory_mb": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
                "file_system": "ext4 (loop)", "libclamav": clamav.stdout.strip(),
                "signatures": f"{self.signatures}, {self.kind}", "load_before": self.load_before,
                "load_after": self.loads(), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}

    def report(self, name):
        """The table, and build/NAME.json."""
        machine = self.machine()
        print("\n" + "\n".join(f"{key:<12} {value if not isinstance(value, list) else ' '.join(value)}"
                               for key, value in machine.items()) + "\n")
        line = "{:<64} {:>27} {:>42} {:>20}  {}"
        print(line.format("what", "median [quartiles]", "floor, its median", "ratio [quartiles]", "target"))
        for row in self.rows:
            scale, unit = (1e6, "ms") if row["unit"] == "ns" and row["median"] > 1e6 else \
                (1e3, "us") if row["unit"] == "ns" else (1, row["unit"])
            show = lambda one: f"{one / scale:.{1 if one / scale > 20 else 2 if one / scale > 0.1 else 4}f}"
            ratio = row["ratio"]
            print(line.format(row["name"], f"{show(row['median'])} [{show(row['q1'])}..{show(row['q3'])}] {unit}",
                              f"{row['floor']['name']}: {show(row['floor']['median'])}",
                              f"{ratio['median']:.2f} [{ratio['q1']:.2f}..{ratio['q3']:.2f}]", row["target"]))
        for note in self.notes:
            print(f"note: {note}")
        path = os.path.join(BUILD, name + ".json")
        with open(path, "w") as file:
            json.dump({"machine": machine, "rows": self.rows, "notes": self.notes}, file, indent=2)
        print(f"also in {os.path.relpath(path)}")
