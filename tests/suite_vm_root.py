# SPDX-License-Identifier: GPL-2.0-only
# vm: alone root=overlay,ext4
"""Full mode with the machine's own `/` marked: gate stopped or killed, caches dropped, and still the tool, a shell and kill
start; then the same host goes on. Only in a machine of the tests' own."""
import os
import select
import signal
import time

from full_mode import FullHost, check_nothing_left
from harness import CLEAN, EICAR, SLACK, Suite, eventually, helper, in_machine, kill_tree

suite = Suite("vm_root")
SLOW = float(os.environ.get("TIME_FACTOR", "1"))
INSIDE, OUTSIDE = "/srv/guarded", "/srv/other"


def bounded(argv, timeout):
    """Executes a program that may have to wait for an answer -> (exit code or None: not in time, output, seconds).
    (subprocess would wait for the exec itself, without a limit.)"""
    read_end, write_end = os.pipe()
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            os.dup2(write_end, 1)
            os.dup2(write_end, 2)
            os.execv(argv[0], argv)
        finally:
            os._exit(127)
    os.close(write_end)
    out, end = b"", time.monotonic() + timeout
    while True:
        ready = select.select([read_end], [], [], max(end - time.monotonic(), 0))[0]
        data = os.read(read_end, 65536) if ready else None
        if not data:
            break
        out += data
    os.close(read_end)
    if data is None:
        kill_tree(pid)
        os.waitpid(pid, 0)
        return None, out.decode("utf-8", "replace"), time.monotonic() - started
    status = os.waitpid(pid, 0)[1]
    return os.waitstatus_to_exitcode(status), out.decode("utf-8", "replace"), time.monotonic() - started


def drop_all_caches():
    os.sync()
    for _ in range(2):
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3")


class Root(FullHost):
    def __init__(self):
        super().__init__(suite, "tmpfs")
        for folder in (INSIDE, OUTSIDE):
            os.makedirs(folder, exist_ok=True)
        self.policy(self.watch(INSIDE, deadline="20s"), top="allow-root-filesystem = yes\n")
        self.bad, self.good = self.put("bad", EICAR, INSIDE), self.put("good", CLEAN, INSIDE)
        self.free = self.put("bad", EICAR, OUTSIDE)
        self.mailward = [os.path.join(os.path.abspath(self.programs), "mailward"), "--runtime-dir", self.runtime, "--state-dir",
                         self.state]

    def check_answers(self, when):
        """The guard does its work."""
        result = self.probe("open", self.bad)
        suite.check("%s: an infected file is refused" % when, result.rc == 1 and not result.bytes, result)
        result = self.probe("open", self.good)
        suite.check("%s: a clean one is read" % when, result.rc == 0 and result.bytes == len(CLEAN), result)
        result = self.probe("open", self.free)
        suite.check("%s: a file out of scope is read" % when, result.rc == 0 and result.bytes == len(EICAR), result)

    def check_rescue(self, when, status):
        """What an administrator needs in order to help himself."""
        rc, out, seconds = bounded(self.mailward + ["status"], 20 * SLOW)
        suite.check("%s: mailward status starts, and says how it is" % when, rc in status, (rc, out[-300:]))
        suite.say("%s: mailward status took %.1f s: %s" % (when, seconds, out.strip().splitlines()[:1]))
        rc, out, seconds = bounded(["/bin/sh", "-c", "echo alive; kill -0 1 && echo kill"], 20 * SLOW)
        suite.check("%s: a shell starts, and its kill works" % when, rc == 0 and out == "alive\nkill\n", (rc, out))
        victim = os.fork()
        if victim == 0:
            time.sleep(600)
            os._exit(0)
        rc, out, seconds = bounded(["/bin/kill", "-9", str(victim)], 20 * SLOW)
        suite.check("%s: kill starts, and kills" % when, rc == 0, (rc, out))
        if rc:
            os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)


def check_gate_killed(host):
    for name, number in (("SIGKILL", signal.SIGKILL), ("SIGSTOP", signal.SIGSTOP)):
        gate = host.pid("gate")
        os.kill(gate, number)
        if number == signal.SIGSTOP:
            drop_all_caches()
            host.check_rescue("the gate stopped, caches dropped", (0, 1, 4))
        back = eventually(lambda: host.pids().get("gate") not in (None, gate) and host.tool("status")[0] in (0, 1), 30 * SLOW)
        suite.check("after %s to the gate there is another one, though every open is asked for" % name, back, host.log()[-300:])
        host.check_answers("after %s to the gate" % name)


def check_nobody_answers(host):
    """Keeper and gate stopped: the keeper holds the queue, so that nobody is let go."""
    pids = host.pids()
    waits = helper("probe")
    os.kill(pids["keeper"], signal.SIGSTOP)
    os.kill(pids["gate"], signal.SIGSTOP)  # its own timer ends it; nobody is there to make another one
    time.sleep(2)
    drop_all_caches()
    try:
        host.check_rescue("keeper and gate stopped, caches dropped", (4,))
        asked = os.fork()
        if asked == 0:
            os.setsid()
            os.execv("/bin/sh", ["/bin/sh", "-c", "exec %s open %s >/dev/null 2>&1" % (waits, host.free)])
        suite.track(asked)
        time.sleep(4)
        suite.check("control: another program does wait then", os.waitpid(asked, os.WNOHANG)[0] == 0)
    finally:
        os.kill(pids["keeper"], signal.SIGCONT)
    ended = eventually(lambda: os.waitpid(asked, os.WNOHANG)[0] != 0, 20 * SLOW + SLACK)
    suite.check("and goes on when the keeper does", ended)
    suite.check("status is fine again", eventually(lambda: host.tool("status")[0] in (0, 1), 30 * SLOW), host.tool("status"))
    host.check_answers("after that")


def check_daemon_killed(host):
    overlay = "overlay" in suite.run(["findmnt", "-no", "FSTYPE", "-T", INSIDE]).out
    host.kill()
    result = host.probe("open", host.bad)
    suite.check("no daemon: an infected file is refused", result.rc == 1 and not result.bytes, result)
    drop_all_caches()
    host.check_rescue("no daemon, caches dropped", (3,))
    result = host.probe("open", host.bad)
    held = result.rc == 1 and not result.bytes
    # An overlay numbers its folders anew when they come back to the cache: the watched one is not known again by its number.
    print("row open, no daemon, caches dropped, / is %s | infected | %s" % (
        "an overlay" if overlay else "a plain file system", "refused" if held else "not guarded"))
    if not overlay:
        suite.check("no daemon, caches dropped: an infected file is refused", held, result)
    result = host.probe("open", host.free)
    suite.check("no daemon: a file out of scope is read", result.rc == 0 and result.bytes == len(EICAR), result)
    host.guard()
    host.check_answers("after a new start")


@suite.test("the machine's own / is marked")
def _(suite):
    if not in_machine():
        suite.check("this is a machine of the tests' own (tests/vm/run)", False)
        return
    with Root() as host:
        suite.check("control: the infected file is read without the guard", host.read(host.bad) == EICAR)
        host.guard(timeout=60 * SLOW)
        for watch in host.status()["watches"]:
            suite.say("watch %s: covered %s %s (%s)" % (watch["path"], watch["covered"], watch["why"], watch["file_system"]))
        host.check_answers("guarded")
        check_gate_killed(host)
        check_nobody_answers(host)
        check_daemon_killed(host)
        result = host.release()
        suite.check("released", result.rc == 0, result)
        suite.check("released: the infected file is read again", host.read(host.bad) == EICAR)
        result = suite.run(["/bin/ls", "/usr/bin"], timeout=20)
        suite.check("and the host goes on", result.rc == 0 and "env" in result.out.split(), result.rc)
    check_nothing_left(suite)


suite.main()
