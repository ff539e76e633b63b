#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What `make run` shows (tests/demo), and that it leaves nothing behind, whenever it is ended."""

import glob
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time

from harness import BUILD, ROOT, SLACK, TESTS, Host, Suite, eventually, processes

suite = Suite("demo", limit=150)
DEMO = os.path.join(TESTS, "demo")
README = os.path.join(ROOT, "README.md")


class Running:
    """tests/demo as a person starts it; its output so far in .text."""

    def __init__(self, *arguments):
        self.folders = set(self.left_folders())
        self.process = suite.popen([sys.executable, DEMO, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        self.text = ""

    @staticmethod
    def left_folders():
        return glob.glob("/run/mailward-demo*") + glob.glob("/tmp/mailward-demo*")

    def read_until(self, word, seconds):
        end = time.monotonic() + seconds
        while word not in self.text and time.monotonic() < end:
            if select.select([self.process.stdout], [], [], 0.2)[0]:
                data = os.read(self.process.stdout.fileno(), 65536)
                if not data:
                    break
                self.text += data.decode("utf-8", "backslashreplace")
        return word in self.text

    def end(self, number):
        """Sends the signal to it alone. Returns the exit code, or None where it did not end."""
        os.kill(self.process.pid, number)
        self.read_until("\0", 0.1)
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            return None

    def check_nothing_left(self, name):
        new = set(self.left_folders()) - self.folders
        suite.check(f"{name}: no folder is left", not new, new)
        with open("/proc/1/mountinfo") as file:
            mounts = [line for line in file if "mailward-demo" in line]
        suite.check(f"{name}: no mount is left", not mounts, mounts)
        mine = lambda: [entry for entry in self.processes_of_demo()]
        suite.check(f"{name}: no process is left", eventually(lambda: not mine(), 3 + SLACK), mine())

    def processes_of_demo(self):
        """Those in its session, and those whose command line or mounts name its folder."""
        base = re.search(r"(/\S*mailward-demo[^/\s]*)/", self.text)
        found = [pid for pid, (_, session, state, _) in processes().items()
                 if session == self.process.pid and state not in "ZX"]
        for pid in processes() if base else ():
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if base.group(1).encode() in file.read():
                        found.append(pid)
            except OSError:
                continue
        return found


@suite.test("the demonstration shows both messages and the table, and ends at Ctrl-C")
def _(_suite):
    demo = Running()
    whole = demo.read_until("Ctrl-C ends it", 90)
    for line in demo.text.splitlines():
        suite.say(line)
    suite.check("it comes to its end and stays in the foreground", whole and demo.process.poll() is None)
    titles = r"^(infected message, no mailwardd yet|clean message|infected message \(.*\)|\$ mailward blocked).*\n"
    parts = re.split(titles, demo.text, flags=re.M)
    said = dict(zip(parts[1::2], parts[2::2]))
    infected = next((text for title, text in said.items() if title.startswith("infected message (")), "")
    got = lambda text: [int(number) for number in re.findall(r"got (\d+) bytes", text)]
    suite.check("control: without the daemon the infected message is read",
                any(number > 500 for number in got(said.get("infected message, no mailwardd yet", ""))))
    suite.check("each reader got the clean message", len(got(said.get("clean message", ""))) == 3 and
                all(number > 0 for number in got(said["clean message"])), said.get("clean message"))
    suite.check("no reader got a byte of the infected one", got(infected) == [0, 0, 0], infected)
    suite.check("and each was told so", infected.count("Operation not permitted") == 3, infected)
    suite.check("the table names the three readers", all(f"{reader}" in said.get("$ mailward blocked", "")
                                                         for reader in ("cat", "head", "tail")))
    with open(README) as file:
        shown = file.read()
    header = next((line for line in said.get("$ mailward blocked", "").splitlines() if line.startswith("TIME")), "none")
    suite.check("README shows the table with the same columns", header in shown, header)
    code = demo.end(signal.SIGINT)
    suite.check("it ends at SIGINT with 0", code == 0, code)
    demo.check_nothing_left("after SIGINT")


@suite.test("the policy in README")
def _(_suite):
    with open(README) as file:
        text = file.read()
    block = text[text.index("    # /etc/mailward/mailward.conf"):text.index("`mailward check FILE` reads")]
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write("".join(line[4:] + "\n" for line in block.splitlines()))
        file.flush()
        result = suite.run([os.path.join(BUILD, "mailward"), "check", file.name])
        suite.check("`mailward check` takes it (warnings: its folders need not be here)", result.rc in (0, 1), result)
        suite.check("and it names both watches", "/var/vmail " in result.out and "/srv/attachments " in result.out, result)


@suite.test("ended while it runs, by SIGTERM")
def _(_suite):
    demo = Running()
    whole = demo.read_until("Ctrl-C ends it", 90)
    suite.check("it stays in the foreground again", whole and demo.process.poll() is None, demo.text[-300:])
    code = demo.end(signal.SIGTERM)
    suite.check("it ends at SIGTERM with 0", code == 0, code)
    demo.check_nothing_left("after SIGTERM")


@suite.test("ended early, at five moments of its start")
def _(_suite):
    for moment in (0.15, 0.3, 0.5, 0.8, 1.3):
        demo = Running()
        demo.read_until("\0", moment)
        code = demo.end(signal.SIGINT)
        # before the program has set up its handlers, a signal ends it in the way of the system
        suite.check(f"it ends, {moment} s after its start", code is not None, code)
        demo.read_until("\0", 0.2)
        demo.check_nothing_left(f"ended {moment} s after the start")


@suite.test("on a policy of one's own")
def _(_suite):
    # its default folders are /run/mailward and /var/lib/mailward: not those of this machine
    for path in ("/run", "/var/lib"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "mailward-test", path], check=True)
        suite.at_end(lambda path=path: subprocess.run(["umount", "-l", path], check=True))
    with Host(suite) as host:
        host.assert_private()
        demo = Running("--config", host.config)
        status = lambda: suite.run([os.path.join(BUILD, "mailward"), "status"])
        ready = eventually(lambda: host.watched in status().out, 60)
        demo.read_until("\0", 0.2)
        suite.check("the daemon runs in the foreground and guards what the policy names",
                    ready and demo.process.poll() is None, demo.text[-500:] + status().err)
        code = demo.end(signal.SIGINT)
        suite.check("and ends at Ctrl-C", code == 0, f"{code} {demo.text[-300:]}")
        suite.check("without leaving a process", eventually(lambda: not demo.processes_of_demo(), 3 + SLACK))


suite.main()
