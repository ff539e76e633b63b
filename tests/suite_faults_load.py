# SPDX-License-Identifier: GPL-2.0-only
"""Deadlines, leases, very many openers, few descriptors, and a status that always answers."""
import errno
import os
import resource
import signal
import subprocess
import time

from harness import CLEAN, MARKER, SLACK, Host, Suite, distribution, eventually, helper
from scene import Scene

suite = Suite("faults_load")
NOBODY = 65534


@suite.test("a scanner that is slower than the deadline")
def _(suite):
    for action, wanted in (("deny", 1), ("allow", 0)):
        with Host(suite) as host:
            host.policy(host.watch(deadline="1s", on_timeout=action))
            good, bad = host.put("good", CLEAN), host.put("bad", MARKER)
            host.stand_in()
            host.start()
            host.behave("delay 4000")
            before = host.counter("scans")
            openers = host.openers(20, good, bad)
            attempts = openers.wait()
            waits = [a.waited for a in attempts]
            suite.say("deadline 1 s, scan 4 s, on-timeout = %s: %s" % (action, distribution(waits)))
            suite.check("an access is answered at its deadline (%s)" % action,
                        all(0.9 <= w <= 1.1 + SLACK for w in waits), distribution(waits))
            suite.check("the answer at the deadline is that of on-timeout = %s" % action,
                        all(a.error == wanted for a in attempts), [a.error for a in attempts])
            if action == "deny":
                rows = eventually(lambda: host.blocked("--reason", "timeout"), 3 + SLACK)
                suite.check("it is recorded as unscanned(timeout)", rows and
                            {r["path"] for r in rows} == {good, bad} and all(
                                r["verdict"] == "unscanned" and r["wait_ms"] >= 900 for r in rows), rows)
                suite.check("ten accesses to one file are one row with a count, or ten",
                            sum(r["count"] for r in rows or []) == 20, rows)
            # the scan goes on and its verdict is kept
            scans = eventually(lambda: host.counter("scans") >= before + 2 and host.counter("scans"), 10)
            started = time.monotonic()
            first, second = host.read(good), host.read(bad)
            seconds = time.monotonic() - started
            suite.check("the next open finds the late verdict: clean is allowed (%s)" % action, first == CLEAN)
            suite.check("the next open finds the late verdict: infected is denied (%s)" % action, second is None)
            suite.check("without another scan (%s)" % action, host.counter("scans") == scans,
                        (scans, host.counter("scans"), seconds))


@suite.test("a scanner that never answers")
def _(suite):
    with Host(suite) as host:
        host.policy(host.watch(deadline="1s"), scanner={"scan_time": "2s"})
        files = [host.put("%d" % i, CLEAN + b"%d" % i) for i in range(12)]
        host.stand_in()
        host.start()
        host.behave("dead")
        attempts = host.openers(12, *files).wait()
        suite.check("nobody waits longer than the deadline for a scanner that never answers",
                    all(a.waited <= 1.1 + SLACK and a.error == 1 for a in attempts),
                    distribution([a.waited for a in attempts]))
        host.behave()
        fresh = host.put("fresh", CLEAN + b"fresh")
        suite.check("workers that never answered are replaced",
                    eventually(lambda: host.read(fresh) is not None, 25, 0.3), host.log()[-300:])


@suite.test("a scanner that ends at once")
def _(suite):
    with Host(suite) as host:
        free = host.put("free", MARKER, host.outside)
        host.programs = host.programs_with("/bin/false")
        result = host.start_refused(timeout=30)
        suite.check("a start without a scanner that runs ends with an error that says so", result.rc not in (0, 124) and
                    "not ready" in result.err and ("scanner" in result.err or "loader" in result.err), result)
        suite.check("and nothing is left marked", host.read(free) == MARKER)
    with Host(suite) as host:
        host.policy(host.watch(deadline="2s"))
        bad, free = host.put("bad", MARKER), host.put("free", MARKER, host.outside)
        good = [host.put("good-%d" % i, CLEAN + b"%d" % i) for i in range(40)]
        host.stand_in()
        host.start()
        host.behave("leave")
        os.kill(host.pid("loader"), signal.SIGKILL)
        time.sleep(1)
        attempts = host.openers(40, *good).wait()
        suite.say("no scanner can be started: %s; errno %s" % (distribution([a.waited for a in attempts]),
                                                               sorted({a.error for a in attempts})))
        suite.check("nobody waits longer than the deadline when no scanner can be started", all(
            a.waited < 2.1 + SLACK for a in attempts))
        suite.check("nothing is called clean when no scanner can be started", all(a.error == 1 for a in attempts))
        suite.check("an infected file is denied when no scanner can be started", host.read(bad) is None)
        suite.check("a file out of scope opens all the same", host.read(free) == MARKER)
        rc, text = host.tool("status")
        suite.check("status is not healthy then", rc in (1, 4), (rc, text))
        suite.check("the daemon does not give up", host.daemon.poll() is None)
        host.behave()
        suite.check("a scanner that can be started again serves again", eventually(
            lambda: host.read(good[0]) is not None, 15, 0.2) and host.read(bad) is None, host.log()[-300:])


@suite.test("a write lease that an unprivileged user holds")
def _(suite):
    with Host(suite) as host:
        os.chmod(host.base, 0o755)
        os.chmod(host.watched, 0o777)
        leased = host.put("leased", CLEAN)
        os.chown(leased, NOBODY, NOBODY)
        others = [host.put("other-%d" % i, CLEAN + b"%d" % i) for i in range(20)]
        program = host.base + "/bin/probe"
        with open(helper("probe"), "rb") as source, open(program, "wb") as target:
            target.write(source.read())
        os.chmod(program, 0o755)
        host.start()
        holder = suite.popen([program, "--uid", str(NOBODY), "lease", leased], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
        suite.check("control: nobody holds a write lease", holder.stdout.readline() == b"held\n")
        before = host.counter("kernel_refused")
        reader = host.openers(1, leased, processes=1)
        time.sleep(0.2)
        attempts = host.openers(20, *others).wait()
        suite.say("opens of other files while a lease is held: %s" % distribution([a.waited for a in attempts]))
        suite.check("a write lease does not stall the gate", all(a.error == 0 and a.waited < 1 + SLACK for a in attempts),
                    [a.error for a in attempts])
        attempt = reader.wait(60)[0]
        suite.check("who opens the leased file is answered in time", attempt.waited <= 5.1 + SLACK,
                    (attempt.error, attempt.waited))
        suite.say("the opener of the leased file got errno %d after %.2f s" % (attempt.error, attempt.waited))
        if attempt.error == 1:
            suite.check("what the kernel refused is counted", host.counter("kernel_refused") > before,
                        host.counter("kernel_refused"))
            suite.check("and is in the record", eventually(
                lambda: [r for r in host.blocked() if r["phase"] == "kernel"], 3), host.blocked())
        holder.stdin.close()
        holder.wait()
        suite.check("when the lease is gone the file opens", eventually(lambda: host.read(leased) == CLEAN, 5))


@suite.test("what the kernel is asked for")
def _(suite):
    """More accesses than a limited queue holds can't be made in the time for which a gate may stand still; what overflows
    one is allowed by the kernel. So the group itself is looked at: FAN_UNLIMITED_QUEUE, fanotify_init(2)."""
    with Host(suite) as host:
        host.start()
        gate, groups = "/proc/%d/fdinfo/" % host.pid("gate"), []
        for name in os.listdir(gate):
            with open(gate + name) as f:
                groups += [int(line.split("flags:")[1].split()[0], 16) for line in f if line.startswith("fanotify flags:")]
        content = [flags for flags in groups if flags & 0x0c == 0x04]
        suite.check("the queue of accesses has no limit", len(content) == 1 and content[0] & 0x10, groups)


@suite.test("20,000 openers that wait")
def _(suite):
    count = 20000
    with Host(suite) as host:
        host.policy(host.watch(deadline="60s"))
        files = [host.put("%s-%d" % ("bad" if i % 2 else "good", i), (MARKER if i % 2 else CLEAN) + b"%d" % i)
                 for i in range(100)]
        free = host.put("free", MARKER, host.outside)
        host.stand_in()
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        host.start(limits={"NOFILE": (hard, hard)})
        host.behave("hold")
        suite.say("hard limit of descriptors: %d" % hard)
        parts, started = host.pids(), time.monotonic()
        openers = host.openers(count, *files, processes=8)
        waiting = eventually(lambda: host.counter("waiting") + host.counter("busy") >= count, 45, 0.2)
        suite.check("20,000 openers wait", waiting, (host.counter("waiting"), host.counter("busy")))
        suite.say("waiting: %d, answered as busy: %d, cases: %d; after %.1f s" % (
            host.counter("waiting"), host.counter("busy"), host.counter("cases"), time.monotonic() - started))
        started = time.monotonic()
        suite.check("while 20,000 wait a file out of scope opens", host.read(free) == MARKER and
                    time.monotonic() - started < 1 + SLACK, time.monotonic() - started)
        started = time.monotonic()
        rc, _ = host.tool("status")
        suite.check("while 20,000 wait status answers", rc in (0, 1) and time.monotonic() - started < 1 + SLACK, rc)
        released = time.monotonic()
        host.behave()
        attempts = openers.wait(90)
        made = [a for a in attempts if a.error != -1]
        suite.say("20,000 openers, from the release on: %s" % distribution([max(a.end - released, 0) for a in made]))
        through = [a for a in made if "/bad" in a.path and a.error == 0]
        suite.check("of 20,000 openers none got an infected file", not through and
                    sum(a.bytes for a in made if "/bad" in a.path) == 0, len(through))
        suite.check("control: there were 20,000", len(made) == count, len(made))
        wrong = [a for a in made if "/good" in a.path and a.error != 0]
        suite.check("those of clean files went on, but for what was too much", len(wrong) <= host.counter("busy"),
                    (len(wrong), host.counter("busy")))
        suite.check("no process of ours was ended for them", host.pids() == parts, (parts, host.pids(), host.log()[-600:]))
        suite.check("the kernel refused nothing", host.counter("kernel_refused") == 0, host.counter("kernel_refused"))
        suite.check("each got its answer before its deadline", all(a.waited < 60.1 + SLACK for a in made))


@suite.test("the gate killed while very many wait")
def _(suite):
    """Each answer wakes everybody who waits in the kernel: a sweep that lets them run in between takes minutes."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    count = min(15000, hard * 3 // 4)  # near the most that may wait at one time
    with Host(suite) as host:
        host.policy(host.watch(deadline="60s"))
        files = [host.put("%s-%d" % ("bad" if i % 2 else "good", i), (MARKER if i % 2 else CLEAN) + b"%d" % i)
                 for i in range(100)]
        host.stand_in()
        host.start(limits={"NOFILE": (hard, hard)})
        host.behave("hold")
        gate = host.pid("gate")
        openers = host.openers(count, *files, processes=8)
        if not suite.check("%d openers wait for one gate" % count, eventually(
                lambda: host.counter("waiting") >= count, 30, 0.2), host.status()):
            return
        os.kill(gate, signal.SIGKILL)
        since = time.monotonic()
        started = time.monotonic()
        rc, text = host.tool("status")
        suite.check("status answers while the keeper answers for the gate", rc in (0, 1, 4) and
                    time.monotonic() - started < 1 + SLACK, (rc, text))
        attempts = openers.wait(150)
        suite.say("%d waiting, gate killed; from the kill on: %s" % (
            count, distribution([max(a.end - since, 0) for a in attempts])))
        suite.check("nobody of very many waits longer than promised for a dead gate",
                    all(a.end <= since + 2 + SLACK for a in attempts), max(a.end - since for a in attempts))
        suite.check("none of them got an infected file", not sum(a.bytes for a in attempts if "/bad" in a.path))
        host.behave()
        suite.check("and clean files open again", eventually(lambda: host.read(files[0]) is not None, 15))


@suite.test("a descriptor limit of 128 and 400 openers")
def _(suite):
    with Host(suite) as host:
        host.policy(host.watch(deadline="20s"))
        files = [host.put("%s-%d" % ("bad" if i % 2 else "good", i), (MARKER if i % 2 else CLEAN) + b"%d" % i)
                 for i in range(400)]
        free = host.put("free", MARKER, host.outside)
        host.stand_in()
        host.start(limits={"NOFILE": (128, 128)})
        host.behave("hold")
        gate = host.pid("gate")
        openers = host.openers(400, *files)
        eventually(lambda: host.counter("waiting") + host.counter("busy") >= 40, 10)
        with open("/proc/%d/limits" % gate) as f:
            limit = next(line for line in f if "open files" in line).split()[3]
        suite.say("descriptor limit of the gate: %s; waiting %d, busy %d" %
                  (limit, host.counter("waiting"), host.counter("busy")))
        time.sleep(1)
        result = host.probe("open", free, timeout=1 + SLACK)
        suite.check("with 128 descriptors, and many who wait, a file out of scope opens", result.rc == 0 and result.bytes,
                    result)
        host.behave()
        attempts = openers.wait(120)
        suite.say("400 openers with 128 descriptors: %s; denied %d" % (
            distribution([a.waited for a in attempts]), sum(a.error != 0 for a in attempts)))
        suite.check("with 128 descriptors the kernel makes no denial", host.counter("kernel_refused") == 0,
                    host.counter("kernel_refused"))
        suite.check("with 128 descriptors none gets an infected file", not [
            a for a in attempts if "/bad" in a.path and a.bytes])
        suite.check("with 128 descriptors every error is our answer", {a.error for a in attempts} <= {0, 1},
                    {a.error for a in attempts})
        wrong = sum(a.error == 1 for a in attempts if "/good" in a.path)
        suite.check("clean files are refused as busy or at the deadline only", wrong <= host.counter("busy") +
                    host.counter("deadlines_passed"), (wrong, host.counter("busy"), host.counter("deadlines_passed")))
        suite.check("the gate is the same, nothing has ended it", host.pid("gate") == gate)
        # A thread of its own closes descriptors. On a busy machine it may be more behind than the gate has patience for.
        before = host.counter("busy")
        refused = [path for path in files[:100] if host.read(path) is None]
        good = [path for path in refused if "/good" in path]
        suite.check("afterwards, one after another, each infected one is refused", len(refused) - len(good) == 50, len(refused))
        suite.check("clean ones only where we said that we are busy", len(good) <= host.counter("busy") - before, good)
        late = [path for path in good if not eventually(lambda: host.read(path) is not None, SLACK)]  # noqa: B023
        suite.check("and in a moment all goes on", not late, (late, [row for row in host.blocked() if "/good" in row["path"]][-3:]))


def group_nice(pid, nice):
    """Where each session has its own share, sched(7), nice alone counts for nothing."""
    try:
        with open("/proc/%d/autogroup" % pid, "w") as f:
            f.write("%d" % nice)
    except OSError:
        pass


def starve(suite, pid):
    """Leaves that process almost no processor time, whatever the host has -> Popen of what takes it."""
    processor = min(os.sched_getaffinity(0))

    def first():
        os.setsid()
        os.sched_setaffinity(0, {processor})
        os.nice(-20)
    taker = suite.popen(["sh", "-c", "while :; do :; done"], preexec_fn=first)
    os.sched_setaffinity(pid, {processor})
    os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
    group_nice(taker.pid, -20)
    group_nice(pid, 19)
    return taker


def processor_seconds(pid):
    with open("/proc/%d/schedstat" % pid) as f:
        return int(f.read().split()[0]) / 1e9


@suite.test("a loader that gets no processor, and one that runs in circles")
def _(suite):
    with Host(suite) as host:
        host.policy(host.watch(deadline="20s"))
        good, bad = host.put("good", CLEAN), host.put("bad", MARKER)
        host.stand_in("toil 5")  # between two beats; so it takes the starved one minutes
        host.start()
        loader, log = host.pid("loader"), len(host.log())
        taker = starve(suite, loader)
        time.sleep(0.5)
        used = processor_seconds(loader)
        told = eventually(lambda: [w for w in ("gets no processor", "stands still") if w in host.log()[log:]], 10 + SLACK)
        suite.check("a loader that gets no processor is told of, and not ended for its silence",
                    told == ["gets no processor"], host.log()[log:])
        if told != ["gets no processor"]:
            return
        time.sleep(3)
        used = processor_seconds(loader) - used
        suite.check("control: it got next to no processor time for 3 s", used < 0.05, used)
        suite.check("however long that lasts", "stands still" not in host.log() and host.pid("loader") == loader,
                    host.log()[log:])
        suite.check("and its workers go on meanwhile", host.read(good) == CLEAN and host.read(bad) is None)
        taker.kill()
        taker.wait()
        os.sched_setscheduler(loader, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(loader, os.sched_getaffinity(0))
        group_nice(loader, 0)
        time.sleep(1)
        suite.check("when it gets some again all is well", host.tool("status")[0] == 0 and host.pid("loader") == loader,
                    (host.status(), host.log()[log:]))
        host.behave("toil 60000")
        started = time.monotonic()
        ended = eventually(lambda: "loader (pid %d) stands still; killed" % loader in host.log(), 20 + SLACK)
        suite.say("a loader that runs in circles was noticed after %.2f s" % (time.monotonic() - started))
        suite.check("a loader that runs in circles is ended after 2 s of running", ended, host.log()[log:])
        host.behave()
        suite.check("and another one comes", eventually(lambda: host.pids().get("loader") not in (None, loader), 10))
        suite.check("which serves", eventually(lambda: host.read(good) == CLEAN and host.tool("status")[0] == 0, 15, 0.2),
                    host.log()[-300:])


@suite.test("status while something is stopped")
def _(suite):
    for name in ("gate", "recorder", "loader"):
        with Scene(suite, deadline=4.0) as host:
            host.start()
            openers = host.let_wait()
            pid = host.pid(name)
            os.kill(pid, signal.SIGSTOP)
            times, codes = [], []
            for args in (("status",), ("status", "--json"), ("status", "--field", "waiting")):
                started = time.monotonic()
                codes.append(host.tool(*args)[0])
                times.append(time.monotonic() - started)
            suite.say("status while the %s is stopped: %s" % (name, distribution(times)))
            suite.check("status answers within a second while the %s is stopped" % name,
                        max(times) < 1 + SLACK and all(c in (0, 1, 4) for c in codes), (times, codes))
            started = time.monotonic()
            rc, text = host.tool("blocked", timeout=20)
            suite.check("blocked does not hang while the %s is stopped" % name, rc != 124 and
                        time.monotonic() - started < 10, (rc, text))
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
            host.release()
            openers.wait()
            host.check_back("status while the %s is stopped" % name)


@suite.test("a recorder that is stopped while many are denied")
def _(suite):
    """Invariant answer-then-record."""
    with Host(suite) as host:
        files = [host.put("bad-%d" % i, MARKER + b"%d" % i) for i in range(200)]
        host.start()
        recorder = host.pid("recorder")
        os.kill(recorder, signal.SIGSTOP)
        started = time.monotonic()
        attempts = host.openers(200, *files).wait()
        suite.check("the gate answers while nobody records", all(a.error == 1 for a in attempts), len(attempts))
        suite.say("200 denials while the recorder is stopped took %.1f s" % (time.monotonic() - started))
        os.kill(recorder, signal.SIGCONT)
        told = eventually(lambda: sum(r["count"] for r in host.blocked()) >= 200, 5)
        suite.check("and the record has them all afterwards", told, sum(r["count"] for r in host.blocked()))


@suite.test("the gate's folder is full, or gone")
def _(suite):
    with Host(suite) as host:
        small = host.base + "/small"
        os.mkdir(small)
        host.mount("-t", "tmpfs", "-o", "mode=0755,size=2M", "mailward-small", small)
        host.state = small
        bad, good = host.put("bad", MARKER), host.put("good", CLEAN)
        host.start()
        fill = os.open(small + "/fill", os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(fill, bytes(4096))
        except OSError as error:
            suite.check("control: the state directory is full", error.errno == errno.ENOSPC, error)
        os.close(fill)
        files = [host.put("bad-%d" % i, MARKER + b"%d" % i) for i in range(100)]
        suite.check("a full state directory changes no answer", host.read(bad) is None and host.read(good) == CLEAN and
                    all(host.read(path) is None for path in files))
        # Each worker that found something is replaced: for a moment none may serve, which status can't tell from none.
        fine = eventually(lambda: host.tool("status")[0] in (0, 1), 5)
        suite.check("nothing has ended for it", fine and host.daemon.poll() is None and "has ended" not in host.log(),
                    (host.status(), host.log()[-300:]))
        os.unlink(small + "/fill")
        suite.check("and when there is room again denials are recorded", eventually(
            lambda: host.read(bad) is None and [r for r in host.blocked("--path", bad)], 15, 0.5))


suite.main()
