# SPDX-License-Identifier: GPL-2.0-only
"""Full mode, `labels-give-nothing`: being mail software adds duties and no rights. Nobody gains a byte of an unjudged or an
infected file by executing what the policy lists. What the service itself is writing, the service reads back."""
import errno
import os
import subprocess

from full_mode import USER, FullHost, Puppet, check_nothing_left, got, refused
from harness import CLEAN, MARKER, Suite, helper, in_machine

suite = Suite("vm_labels")

PRELOAD = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* Runs within whatever program it is loaded into, before main. */
__attribute__((constructor)) static void at_start(void)
{
	static const int flags[] = {O_RDONLY, O_RDWR};
	const char *path = getenv("TARGET"), *note = getenv("NOTE");
	char line[64], buffer[4096];
	long total = 0, opened = 0;

	for (int i = 0; path && i < 2; i++) {
		int fd = open(path, flags[i]);
		long n = fd < 0 ? -1 : pread(fd, buffer, sizeof(buffer), 0);
		opened += fd >= 0;
		total += n > 0 ? n : 0;
	}
	int fd = note ? open(note, O_WRONLY | O_CREAT | O_TRUNC, 0666) : -1;
	if (fd >= 0 && write(fd, line, (size_t)sprintf(line, "%ld %ld\n", opened, total)) < 0)
		_exit(1);
	_exit(0);
}
"""
SCRIPT = """#!/usr/bin/python3 -IS
import os, sys
total = 0
for flags in (os.O_RDONLY, os.O_RDWR):
    try:
        total += len(os.pread(os.open(sys.argv[1], flags), 4096, 0))
    except OSError as error:
        if error.errno != 1:
            total += 1000000
print(total)
"""


class Stage:
    """A watch, a listed service, a listed setuid program, a listed script; a user who may run them all."""

    def __init__(self):
        self.host = host = FullHost(suite)
        os.chmod(host.watched, 0o1777)
        self.notes = host.base + "/notes"
        os.mkdir(self.notes)
        os.chmod(self.notes, 0o777)
        self.service = host.program(helper("puppet"), "service")
        self.setuid = host.program(helper("puppet"), "setuid-service", 0o4755)
        self.plain = host.program(helper("puppet"), "plain")
        self.script = host.put("script", SCRIPT.encode(), host.base + "/bin", 0o755)
        host.policy(host.watch(deadline="20s"),
                    host.software("own", self.service, self.setuid, self.script, "/usr/sbin/dovecot", "/usr/bin/procmail"))
        self.number = 0

    def unjudged(self, name="unjudged"):
        """An infected file of the user's that nobody has judged, since it was written by a descriptor that is still open.
        (Its writer is a puppet of no label; it keeps it open as long as it lives.)"""
        self.number += 1
        path = "%s/%s-%d" % (self.host.watched, name, self.number)
        writer = Puppet(suite, self.plain, USER)
        fd = writer.do("open", "r+cx", path)
        if fd < 0 or writer.do("write", fd, MARKER.decode()) != len(MARKER):
            raise OSError("%s can't be written" % path)
        return path, writer, fd

    def service_of_the_user(self):
        """A service that has become the user and executed itself again: the kernel lets him trace it."""
        service = self.puppet(self.service, uid=0)
        service.do("uid", USER)
        service.become(self.service)
        return service

    def puppet(self, program, uid=USER, **options):
        return Puppet(suite, program, uid, **options)


def check_controls(stage):
    """Without the guard each of the ways brings the bytes."""
    path, writer, fd = stage.unjudged()
    for name, program in (("a plain program", stage.plain), ("the listed one", stage.service)):
        found = stage.puppet(program).open_ways(path)
        suite.check("control: %s reads it in each way" % name, len(found) == 10 and got(found) == 10 * len(MARKER), found)
    suite.check("control: and the writer reads it back", got(writer.read_ways(fd)) == 5 * len(MARKER))
    other = stage.puppet(stage.plain)
    passed = Puppet.pass_on(writer, fd, other)
    suite.check("control: a descriptor that was passed brings it", got(other.read_ways(passed)) == 5 * len(MARKER))
    suite.check("control: /proc/PID/fd of an own process brings it", other.do("peek", writer.pid) > 0)
    service = stage.puppet(stage.service)
    suite.check("control: ptrace of an own process works", other.do("trace", service.pid, path) == len(MARKER))
    found = other.do("trace", stage.service_of_the_user().pid, path)
    suite.check("control: so does that of a service's process that has become the user's", found == len(MARKER), found)
    suite.check("control: the preloaded library reads it", preloaded(stage, stage.service, path) == (2, 2 * len(MARKER)))
    suite.check("control: the script reads it", by_script(stage, path) == 2 * len(MARKER))
    suite.check("control: procmail takes its rules from it", by_procmail(stage))
    infected = stage.host.put("infected", MARKER, mode=0o666)
    suite.check("control: the user reads the infected file", got(stage.puppet(stage.service).open_ways(infected)) > 0)


def preloaded(stage, program, path):
    """(opens that succeeded, bytes) of a library that the user loads into a program."""
    note = stage.notes + "/preload"
    if os.path.exists(note):
        os.unlink(note)
    env = dict(os.environ, LD_PRELOAD=stage.preload, TARGET=path, NOTE=note)
    suite.run(["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups", program], env=env)
    try:
        with open(note) as f:
            return tuple(map(int, f.read().split()))
    except OSError:
        return None  # it was not loaded: a setuid program


def by_script(stage, path):
    result = suite.run(["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups", stage.script, path])
    return int(result.out) if result.rc == 0 else result


def by_procmail(stage):
    """procmail, by the user, with rules of his own that include the file: did it see its lines?"""
    own = stage.notes + "/own"
    os.makedirs(own, exist_ok=True)
    os.chown(own, USER, USER)
    rules, log = own + "/rules", own + "/procmail.log"
    path = stage.host.watched + "/included"
    if not os.path.exists(path):
        stage.host.put("included", b"SEEN=" + MARKER + b"\n")
        os.chown(path, USER, USER)
    with open(rules, "w") as f:
        f.write("VERBOSE=on\nLOGFILE=%s\nDEFAULT=/dev/null\nINCLUDERC=%s\n" % (log, path))
    os.chown(rules, USER, USER)
    if os.path.exists(log):
        os.unlink(log)
    suite.run(["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups", "/usr/bin/procmail", rules],
              cwd=own)
    try:
        with open(log, "rb") as f:
            return MARKER in f.read()
    except OSError:
        return False


def check_service(stage):
    """What is promised to the service: to read back what it writes; and nothing else."""
    service = stage.puppet(stage.service, uid=0)
    path = stage.host.watched + "/of-the-service"
    fd = service.do("open", "r+cx", path)
    os.chmod(path, 0o666)
    service.do("write", fd, MARKER.decode())
    found = {way: service.do(way, fd) for way in ("pread", "read", "sendfile", "splice")}
    suite.check("control: the service reads back what it is writing", got(found) == 4 * len(MARKER), found)
    service.do("uid", USER)
    found = {way: service.do(way, fd) for way in ("pread", "read")}
    suite.check("control: it does so as the user it delivers for", got(found) == 2 * len(MARKER), found)
    fd_read = service.do("open", "r", path)
    found = {"open": fd_read} if fd_read < 0 else service.read_ways(fd_read)
    suite.check("the service gets no byte of it by a descriptor for reading", refused(found), found)
    other = stage.puppet(stage.plain)
    passed = Puppet.pass_on(service, fd, other)
    found = {"passed": passed} if passed < 0 else other.read_ways(passed)
    suite.check("who gets the service's descriptor passed gets no byte", got(found) == 0 and refused(found), found)
    suite.check("the service that executes another program", service.become(stage.plain))
    # its descriptor was closed by the exec; a fresh one, for writing too:
    fd = service.do("open", "r+", path)
    found = {"open": fd} if fd < 0 else service.read_ways(fd)
    suite.check("has lost what the service could do", refused(found), found)


def check_user_runs_it(stage):
    """An ordinary user executes listed programs."""
    for name, program in (("a listed program", stage.service), ("a listed setuid program", stage.setuid)):
        path, writer, fd = stage.unjudged()
        puppet = stage.puppet(program)
        if program == stage.setuid:
            with open("/proc/%d/status" % puppet.pid) as f:
                uids = next(line.split()[1:3] for line in f if line.startswith("Uid:"))
            suite.check("control: it runs with root's rights", uids == [str(USER), "0"], uids)
        found = puppet.open_ways(path)
        suite.check("%s, run by a user: no byte of an unjudged file" % name, refused(found), found)
        passed = Puppet.pass_on(writer, fd, puppet)
        found = {"passed": passed} if passed < 0 else puppet.read_ways(passed)
        suite.check("%s, run by a user: no byte by a descriptor for writing that was passed" % name, refused(found), found)
        # He writes by himself, and another of his processes adds what he would like to read.
        mine = "%s/mine-%d" % (stage.host.watched, stage.number)
        fd = puppet.do("open", "r+cx", mine)
        with open(mine, "ab", buffering=0) as f:
            f.write(MARKER)
        found = puppet.read_ways(fd)
        suite.check("%s, run by a user: no byte of what others write where he writes too" % name,
                    fd >= 0 and refused(found), (fd, found))
        suite.check("%s, run by a user: executing another program changes nothing" % name,
                    puppet.become(stage.plain) and refused(puppet.open_ways(path)))
        infected = stage.host.watched + "/infected"
        found = stage.puppet(program).open_ways(infected)
        suite.check("%s, run by a user: no byte of an infected file" % name, refused(found), found)


def check_tricks(stage):
    path, writer, fd = stage.unjudged()
    suite.check("a script that the policy lists: no byte", by_script(stage, path) == 0, by_script(stage, path))
    for name, program in (("the listed program", stage.service), ("dovecot", "/usr/sbin/dovecot"), ("a plain one", stage.plain)):
        if os.path.exists(program):
            found = preloaded(stage, program, path)
            suite.check("a library preloaded into %s: no byte" % name, found is not None and found[1] == 0, found)
    if os.path.exists("/usr/bin/procmail"):
        suite.check("procmail with rules that include it: no byte", not by_procmail(stage))
    mine, tracer = stage.puppet(stage.service), stage.puppet(stage.plain)
    found = tracer.do("trace", mine.pid, path)
    suite.check("ptrace of a listed program of his own: no byte", found == -errno.EPERM, found)
    found = tracer.do("peek", writer.pid)
    suite.check("the writer's descriptor, opened anew through /proc: no byte", found == -errno.EPERM, found)
    found = tracer.do("trace", stage.service_of_the_user().pid, path)
    suite.check("ptrace of the service's process: no byte", found == -errno.EPERM, found)


def allow_tracing():
    """Yama may forbid what the tests try; the guard must not need it."""
    path = "/proc/sys/kernel/yama/ptrace_scope"
    if not os.path.exists(path) or not in_machine():
        return
    with open(path) as f:
        before = f.read()

    def write(text):
        with open(path, "w") as file:
            file.write(text)
    suite.at_end(lambda: write(before))
    write("0")


def check_gate_gone(stage):
    """The same with no daemon at all: nobody asks, the kernel alone refuses."""
    paths = {"unjudged": stage.unjudged()[0], "infected": stage.host.watched + "/infected"}
    traced = stage.service_of_the_user()
    stage.host.kill()
    for what, path in paths.items():
        for name, program in (("a listed program", stage.service), ("a listed setuid program", stage.setuid),
                              ("a plain one", stage.plain)):
            found = stage.puppet(program).open_ways(path)
            suite.check("no daemon: %s gets no byte of the %s file" % (name, what), refused(found), found)
    found = stage.puppet(stage.plain).do("trace", traced.pid, paths["unjudged"])
    suite.check("no daemon: ptrace of a service's process that has become the user's: no byte", found == -errno.EPERM, found)
    service = stage.puppet(stage.service, uid=0)
    fd = service.do("open", "r+cx", stage.host.watched + "/while-down")
    service.do("write", fd, MARKER.decode())
    suite.check("no daemon: the service reads back what it is writing", service.do("pread", fd) == len(MARKER),
                service.do("pread", fd))


@suite.test("labels-give-nothing")
def _(suite):
    stage = Stage()
    with stage.host as host:
        allow_tracing()
        stage.preload = os.path.join(host.base, "bin", "preload.so")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-x", "c", "-o", stage.preload, "-"], input=PRELOAD.encode(), check=True)
        check_controls(stage)
        host.guard()
        result = host.probe("open", host.watched + "/infected")
        suite.check("the infected file is refused", result.rc == 1, result)
        good = host.put("good", CLEAN, mode=0o644)
        found = stage.puppet(stage.service).open_ways(good)
        suite.check("a clean file is read by whoever may", found.get("r pread") == len(CLEAN), found)
        check_service(stage)
        check_user_runs_it(stage)
        check_tricks(stage)
        check_gate_gone(stage)
        result = host.release()
        suite.check("released", result.rc == 0, result)
        found = stage.puppet(stage.plain).open_ways(host.watched + "/infected")
        suite.check("released: the infected file is read again", got(found) > 0, found)
    check_nothing_left(suite)


suite.main()
