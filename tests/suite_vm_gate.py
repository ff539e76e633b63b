# SPDX-License-Identifier: GPL-2.0-only
"""Full mode, the gate's part: what it tells the kernel, what the kernel then answers by itself, and what of that is in the
history. Only where the kernel takes LSM programs: in a virtual machine, or natively where that is so."""
import errno
import os
import subprocess
import time

from harness import CLEAN, EICAR, MARKER, Host, Suite, eventually

suite = Suite("vm_gate", limit=900)


def pread(fd, size=4096):
    """The bytes, or None where the read was refused with EPERM."""
    try:
        return os.pread(fd, size, 0)
    except PermissionError:
        return None


def read(path):
    """The bytes; None where the open or the read was refused with EPERM."""
    try:
        with open(path, "rb", buffering=0) as f:
            return f.read()
    except PermissionError:
        return None


def release(host):
    """Nothing stays in the kernel for the next test, whose file system may get the same number."""
    subprocess.run([os.path.join(host.programs, "mailwardd"), "--release"], stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=30)


def marked(path):
    return "trusted.mailward.origin" in os.listxattr(path)


class FullHost(Host):
    def __exit__(self, *what):
        result = super().__exit__(*what)
        release(self)
        return result


def selftest_is_over(host):
    """Its canaries are scanned, too."""
    eventually(lambda: all(w.get("canary") != "not-yet" for w in host.status()["watches"]), 30)


def full(suite, host):
    mode = (host.status() or {}).get("mode")
    return suite.check("the daemon is in full mode", mode == "full", "%s; %s" % (mode, host.log()[-600:]))


def rows_of(host, path, **words):
    def found():
        return [r for r in host.blocked("--path", path) if all(r.get(k) == v for k, v in words.items())]
    return eventually(found, 5) or []


@suite.test("the kernel remembers")
def _(suite):
    with FullHost(suite, file_system="ext4") as host:
        host.policy(host.watch(deadline="30s"))
        good, bad = host.put("good", CLEAN), host.put("bad", MARKER)
        suite.check("control: both can be read without the guard", read(good) == CLEAN and read(bad) == MARKER)
        host.start()
        if not full(suite, host):
            return
        suite.check("a clean file is opened and read", read(good) == CLEAN, host.blocked())
        suite.check("an infected file is denied", read(bad) is None)
        selftest_is_over(host)
        before, refused = host.counter("accesses"), host.counter("hook_refusals")
        suite.check("and again", read(bad) is None)
        suite.check("the second time by the kernel alone, without an event", host.counter("accesses") == before,
                    (before, host.counter("accesses")))
        suite.check("which counts it", eventually(lambda: host.counter("hook_refusals") == refused + 1, 5))
        suite.check("equal denials, the gate's and the kernel's, are one row", eventually(
            lambda: [r["count"] for r in host.blocked("--path", bad)] == [2], 5), host.blocked())
        result = host.probe("open", bad)
        suite.check("a record of the kernel's denial names the signature, the path, the policy line and the program",
                    result.rc == 1 and eventually(lambda: [
                        r for r in host.blocked("--path", bad) if r["phase"] == "hook" and r["signature"] and
                        r["verdict"] == "infected" and r["path"] == bad and r["policy"]], 5), host.blocked())
        scans, known = host.counter("scans"), host.counter("known")
        suite.check("the clean one is not scanned again", read(good) == CLEAN and host.counter("scans") == scans and
                    host.counter("known") == known + 1)


@suite.test("changed after approval")
def _(suite):
    with FullHost(suite, file_system="ext4") as host:
        host.policy(host.watch(deadline="30s"))
        path = host.put("message", CLEAN)
        control = host.put("control", CLEAN, where=host.outside)
        host.start()
        if not full(suite, host):
            return
        fd, other = os.open(path, os.O_RDONLY), os.open(control, os.O_RDONLY)
        suite.at_end(lambda: os.close(fd))
        suite.at_end(lambda: os.close(other))
        suite.check("an approved file is read by an open descriptor", pread(fd) == CLEAN)
        with open(path, "ab") as f:
            f.write(MARKER)
        with open(control, "ab") as f:
            f.write(MARKER)
        refused = pread(fd)
        suite.check("control: the same outside of every watch is read", pread(other) == CLEAN + MARKER)
        suite.check("after a change the same descriptor reads nothing", refused is None, refused)
        rows = rows_of(host, path, phase="hook")
        suite.check("that refusal is in the history, and says why", rows and rows[0]["path"] == path and
                    rows[0]["verdict"] in ("none", "", "infected"), host.blocked())
        suite.check("a new open is judged anew and denied", read(path) is None)
        os.truncate(path, 0)
        with open(path, "wb") as f:
            f.write(CLEAN * 2)
        suite.check("rewritten with clean bytes it is read again", eventually(lambda: read(path) == CLEAN * 2))
        suite.check("and by the old descriptor", pread(fd) == CLEAN * 2, pread(fd))


@suite.test("a writer has it open")
def _(suite):
    with FullHost(suite, file_system="ext4") as host:
        host.policy(host.watch(deadline="30s"))
        path = host.put("log", CLEAN)
        host.start()
        if not full(suite, host):
            return
        writer = os.open(path, os.O_WRONLY | os.O_APPEND)
        suite.at_end(lambda: os.close(writer))
        suite.check("a file that somebody has open for writing is read", read(path) == CLEAN, host.blocked())
        scans = host.counter("scans") + host.counter("same_content")
        suite.check("each time it is looked at anew", read(path) == CLEAN and
                    host.counter("scans") + host.counter("same_content") > scans)
        fd = os.open(path, os.O_RDONLY)
        suite.at_end(lambda: os.close(fd))
        suite.check("an open descriptor reads", pread(fd) == CLEAN)
        os.write(writer, MARKER)
        suite.check("until the next write", pread(fd) is None, pread(fd))


@suite.test("what a worker said that is gone")
def _(suite):
    with FullHost(suite, file_system="ext4") as host:
        host.policy(host.watch(deadline="30s"), scanner={"workers": "1"})
        path = host.put("message", CLEAN)
        host.start()
        if not full(suite, host):
            return
        selftest_is_over(host)
        suite.check("control: judged by the only worker", read(path) == CLEAN)
        fd = os.open(path, os.O_RDONLY)
        suite.at_end(lambda: os.close(fd))
        suite.check("control: an open descriptor reads", pread(fd) == CLEAN)
        scans = host.counter("scans")
        for pid in host.workers():
            os.kill(pid, 9)
        suite.check("its end takes along what it said: the same descriptor reads nothing",
                    eventually(lambda: pread(fd) is None, 10))
        suite.check("a new open is judged anew", read(path) == CLEAN and host.counter("scans") > scans,
                    (scans, host.counter("scans")))
        suite.check("and the descriptor reads again", pread(fd) == CLEAN)


@suite.test("restart keeps verdicts")
def _(suite):
    with FullHost(suite, file_system="ext4") as host:
        host.policy(host.watch(deadline="30s"))
        good, bad, unseen = host.put("good", CLEAN), host.put("bad", MARKER), host.put("unseen", CLEAN)
        host.start()
        if not full(suite, host):
            return
        suite.check("control: judged", read(good) == CLEAN and read(bad) is None)
        host.kill()
        suite.check("an approved file is read while nothing runs", read(good) == CLEAN)
        suite.check("an infected one is refused", read(bad) is None)
        suite.check("one that was never judged is refused (on-down = deny)", read(unseen) is None)
        host.restart_all()
        host.wait_ready()
        selftest_is_over(host)
        known = host.counter("known")
        suite.check("after the start the approved one is known, not scanned", read(good) == CLEAN and
                    host.counter("known") == known + 1, (known, host.counter("known")))
        suite.check("what was refused meanwhile is in the history", rows_of(host, unseen, phase="down") and
                    rows_of(host, bad), host.blocked())
        suite.check("the other one is judged now", read(unseen) == CLEAN)


@suite.test("exec = never")
def _(suite):
    with FullHost(suite, file_system="ext4") as host:
        host.policy(host.watch(exec="never"))
        program = host.put("program", b"#!/bin/sh\necho ran\n", mode=0o755)
        suite.check("control: it runs without the guard", host.probe("exec", program).rc == 0)
        host.start()
        if not full(suite, host):
            return
        suite.check("it is not executed", host.probe("exec", program).rc == 1)
        suite.check("it is read", read(program))
        rows = rows_of(host, program, access="exec")
        suite.check("the record says exec-never", rows and rows[0]["reason"] == "exec-never" and rows[0]["policy"],
                    host.blocked())
        suite.check("and is found by its reason", host.blocked("--reason", "exec-never"))


MAILER = "#!/bin/sh\ncat >\"$1\"\n"


@suite.test("origin = mail")
def _(suite):
    with FullHost(suite, file_system="ext4") as host:
        mailer = host.base + "/bin/mailer"
        with open(mailer, "w") as f:
            f.write(MAILER)
        os.chmod(mailer, 0o755)
        host.policy('mail-software deliverer { roots = { "%s" } }' % mailer, host.watch(origin="mail", deadline="30s"))

        def deliver(path, data):
            return subprocess.run([mailer, path], input=data).returncode
        mine = host.put("mine", MARKER)
        host.start()
        if not full(suite, host):
            return
        suite.check("a file that mail software did not write is none of ours", read(mine) == MARKER)
        bad, good, gone = (host.watched + "/" + name for name in ("bad", "good", "gone"))
        suite.check("control: the deliverer writes", deliver(bad, MARKER) == deliver(good, CLEAN) == 0)
        suite.check("what it wrote is judged: infected", read(bad) is None)
        suite.check("what it wrote is judged: clean", read(good) == CLEAN)
        suite.check("the mark is on the disk", eventually(lambda: marked(bad) and marked(good)), os.listxattr(bad))
        suite.check("control: not on what others wrote", not marked(mine))
        deliver(gone, MARKER)
        suite.check("control: marked", eventually(lambda: marked(gone)))
        host.stop()
        release(host)
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3")
        suite.check("control: without the guard it is read", read(gone) == MARKER)
        host.start()
        suite.check("after everything in the kernel was forgotten it is still known", read(gone) is None, host.blocked())
        out = host.outside + "/moved"
        os.rename(bad, out)
        suite.check("and outside of the watch, where it was moved", read(out) is None)
        suite.check("control: another one there is free", read(host.put("free", MARKER, where=host.outside)) == MARKER)


suite.main()
