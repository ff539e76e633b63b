# SPDX-License-Identifier: GPL-2.0-only
"""The file system of `/` marked: in a mount namespace whose root is a tmpfs of the test's own with copies of the programs
on it, so that no other file system is touched. With the gate dead or stopped, and the keeper too, the tool, a shell and
kill still start, and a successor of the gate can be executed."""
import os
import shutil
import signal
import subprocess
import sys
import time

from harness import BUILD, CLEAN, EICAR, SLACK, Suite, eventually, helper

suite = Suite("root", limit=120)


def libraries(program):
    out = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    return [word for line in out.splitlines() for word in line.split() if word.startswith("/")]


class Root:
    """A small root on a tmpfs. Commands run in it by nsenter-like re-entry: `unshare` keeps one shell alive in there."""

    def __init__(self, suite):
        self.suite = suite
        self.top = "/tmp/mailward-root-%d" % os.getpid()
        os.mkdir(self.top)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", self.top], check=True)
        suite.at_end(self.remove)
        for folder in ("proc", "dev", "tmp", "bin", "sbin", "usr/bin", "usr/sbin", "etc", "run/mailward", "var/state", "defs",
                       "var/vmail", "opt", "other", "old"):
            os.makedirs(os.path.join(self.top, folder), exist_ok=True)
        programs = {"/bin/sh": "/bin/sh", "/bin/cat": "/usr/bin/cat", "/bin/kill": "/bin/kill", "/bin/sleep": "/bin/sleep",
                    "/bin/ls": "/usr/bin/ls", "/bin/umount": "/bin/umount"}
        for source, target in programs.items():
            self.copy(source, target)
        for name in ("mailwardd", "mailward", "mailward-scanner"):
            self.copy(os.path.join(BUILD, name), "/opt/" + name)
        self.copy(helper("probe"), "/opt/probe")
        self.write("/etc/passwd", b"root:x:0:0:root:/:/bin/sh\n")
        self.write("/etc/ld.so.cache", open("/etc/ld.so.cache", "rb").read())
        self.write("/defs/t.ndb", b"Mailward.Test.Eicar:0:*:" + EICAR.hex().encode() + b"\n")
        self.write("/etc/mailward.conf", b'allow-root-filesystem = yes\nwatch "/var/vmail" { deadline = 20s }\n')
        self.write("/var/vmail/bad", EICAR)
        self.write("/var/vmail/good", CLEAN)
        self.write("/other/bad", EICAR)

    def write(self, path, content):
        with open(self.top + path, "wb") as file:
            file.write(content)

    def copy(self, source, target):
        for path, place in [(source, target)] + [(lib, lib) for lib in libraries(source)]:
            place = self.top + place
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if not os.path.exists(place):
                shutil.copyfile(os.path.realpath(path), place)
                os.chmod(place, 0o755)

    def start(self):
        """A shell that has entered the root; it makes the tmpfs its `/`, and the old one goes."""
        script = ("mount --bind {0} {0}; cd {0} && mount -t proc proc proc && mknod dev/null c 1 3; chmod 666 dev/null; "
                  "pivot_root . old && cd / && umount -l /old && exec /bin/sh").format(self.top)
        self.shell = self.suite.popen(["unshare", "-m", "--propagation", "private", "sh", "-c", script], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
        self.pid = self.shell.pid
        if not eventually(self.entered, 10):
            return 2, "the shell did not enter its root"
        return self.command("echo here", 10)

    def entered(self):
        """Is the root of that shell, and of its mount namespace, the test's tmpfs, and not the machine's?"""
        try:
            there = os.stat("/proc/%d/root/" % self.pid).st_dev
            return there != os.stat("/").st_dev and os.path.exists("/proc/%d/root/opt/mailwardd" % self.pid)
        except OSError:
            return False

    def command(self, text, timeout=10):
        """One command in that shell, by a shell of its own there: (exit code, output), or (None, ...) after the time."""
        result = self.suite.run(["nsenter", "-t", str(self.pid), "-m", "-r", "/bin/sh", "-c", text], timeout=timeout)
        return result.rc, result.out

    def remove(self):
        subprocess.run(["umount", "-l", self.top], capture_output=True)
        try:
            os.rmdir(self.top)
        except OSError:
            pass


@suite.test("the file system of / is marked")
def _(suite):
    root = Root(suite)
    rc, out = root.start()
    if rc != 0:
        suite.skip("a root of its own", "it can't be made here: %s" % out)
        return
    if not suite.check("control: / is the test's own file system there", root.entered()):
        return
    rc, out = root.command("/usr/bin/cat /var/vmail/bad")
    suite.check("control: the infected file is read without the guard", EICAR.decode() in out, (rc, out))
    log = open("/dev/shm/mailward-root-log-%d" % os.getpid(), "w+b")
    os.unlink(log.name)
    daemon = suite.popen(["nsenter", "-t", str(root.pid), "-m", "-r", "/opt/mailwardd", "--config", "/etc/mailward.conf",
                          "--runtime-dir", "/run/mailward", "--state-dir", "/var/state", "--definitions", "/defs",
                          "--foreground"], stdout=log, stderr=log, start_new_session=True)

    def said():
        log.seek(0)
        return log.read().decode("utf-8", "replace")

    def field(name):
        return root.command("/opt/mailward --runtime-dir /run/mailward status --field %s" % name)

    ready = eventually(lambda: "ready (pid" in said(), 30)
    suite.check("with the word for it, the file system of / is marked", ready, said())
    if not ready:
        return
    rc, out = root.command("/opt/probe open /var/vmail/bad")
    suite.check("an infected file is denied", rc == 1, (rc, out))
    rc, out = root.command("/opt/probe open /other/bad")
    suite.check("a file out of scope opens", rc == 0, (rc, out))

    def parts():
        rc, out = root.command("/opt/mailward --runtime-dir /run/mailward --json status")
        import json
        return {p["name"]: p["pid"] for p in json.loads(out)["processes"]} if rc in (0, 1) else {}

    before = parts()
    suite.check("the parts are known", "gate" in before and "keeper" in before, before)
    os.kill(before["gate"], signal.SIGKILL)
    back = eventually(lambda: parts().get("gate") not in (None, before["gate"]) and field("waiting")[0] == 0, 10 + SLACK)
    suite.check("a gate that was killed is executed again, though every open is asked for", back, said())
    rc, out = root.command("/opt/probe open /var/vmail/bad")
    suite.check("and denies an infected file again", rc == 1, (rc, out))

    now = parts()
    # An upgrade replaces the tool; nobody has opened the new one yet when the answers stop.
    root.copy(os.path.join(BUILD, "mailward"), "/opt/mailward.new")
    os.rename("/proc/%d/root/opt/mailward.new" % root.pid, "/proc/%d/root/opt/mailward" % root.pid)
    time.sleep(4)  # it is looked for every 2 s at most
    os.kill(now["keeper"], signal.SIGSTOP)
    suite.track(now["gate"])
    os.kill(now["gate"], signal.SIGSTOP)  # its own timer ends it after 1.5 s; until then, and after, nobody answers
    started = time.monotonic()
    rc, out = root.command("/opt/mailward --runtime-dir /run/mailward status", 5)
    suite.check("with gate and keeper stopped the tool starts and says that it can't tell", rc == 4, (rc, out))
    rc, out = root.command("kill -0 1; /usr/bin/ls / >/dev/null; echo alive", 5)
    suite.check("a shell, ls and kill start", "alive" in out, (rc, out))
    suite.check("without waiting", time.monotonic() - started < 5, time.monotonic() - started)
    asked = suite.popen(["nsenter", "-t", str(root.pid), "-m", "-r", "/opt/probe", "open", "/other/bad"])
    time.sleep(3)
    suite.check("control: another program's open does wait then", asked.poll() is None, asked.poll())
    os.kill(now["keeper"], signal.SIGCONT)
    suite.check("and goes on when the keeper does", eventually(lambda: asked.poll() is not None, 5 + SLACK), said())
    daemon.send_signal(signal.SIGTERM)
    suite.check("it ends in order", eventually(lambda: daemon.poll() is not None, 2 + SLACK), said())


suite.main()
