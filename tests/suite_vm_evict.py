# SPDX-License-Identifier: GPL-2.0-only
# vm: boots=2
"""Full mode, `tag-evicted`: what is known of a file goes with its inode from the kernel's cache, or with the machine's
last boot; then it is unknown, never clean, and an attachment stays one. The second boot looks at what the first one left
on the disk. MODE=reduced: the part that fanotify alone can do."""
import errno
import os

from harness import CLEAN, MARKER, Failure, Suite, eventually
from held import REDUCED, GuardedHost, forget, got, known, last_test

suite = Suite("vm_evict")
BOOT = int(os.environ.get("VM_BOOT", "1"))
IN_MACHINE = os.path.exists("/dev/vda") and "VM_BOOT" in os.environ
MARK = "trusted.mailward.origin"


class MailHost(GuardedHost):
    """A watch on everything, one on what mail software wrote, and a program that is mail software."""

    def __init__(self, suite, kind="ext4"):
        super().__init__(suite, kind)
        self.home = self.fs + "/home"
        os.makedirs(self.home, exist_ok=True)
        self.deliver = self.program("/bin/cp", "deliver")
        self.copy = self.program("/bin/cp", "copy")
        if REDUCED:
            self.policy(self.watch())
        else:
            self.policy(self.software("test", self.deliver), self.watch(), self.watch(self.home, origin="mail"))

    def delivered(self, name, content):
        return self.written(self.deliver, name, content)

    def by_user(self, name, content):
        return self.written(self.copy, name, content)

    def written(self, program, name, content):
        source = self.put("source", content, self.outside)
        path = os.path.join(self.home, name)
        result = self.suite.run([program, "--reflink=never", source, path])
        if result.rc:
            raise Failure("%s: %s" % (program, result))
        return path



def fresh(path):
    """As if nobody had ever opened it since it was written."""
    forget()
    return got(path)


def check_forgotten(path):
    """That what the tests do really makes the kernel forget it."""
    before = known(path)
    forget()
    after = known(path)
    suite.check("control: the kernel side knew of a file, and has forgotten it with its inode", before and after is False,
                (before, after))


def marked(path):
    try:
        return os.getxattr(path, MARK)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return None


@suite.test("a watch on everything, daemon up")
def _(suite):
    with MailHost(suite) as host:
        control = host.put("control", MARKER)
        suite.check("control: written, forgotten, opened: read without the guard", fresh(control) == MARKER)
        host.guard()
        suite.check("an infected file that was written before the start, and forgotten, is denied", fresh(control) is None)
        bad, good = host.put("bad", MARKER + b"1"), host.put("good", CLEAN + b"1")
        suite.check("an infected file that is forgotten between write and open is denied", fresh(bad) is None)
        suite.check("and once more, when its verdict is forgotten", fresh(bad) is None)
        suite.check("a clean one is allowed each time", fresh(good) and fresh(good))
        if not REDUCED:
            check_forgotten(good)
        fd = os.open(good, os.O_RDONLY)
        forget()
        suite.check("what is held open keeps its verdict", os.pread(fd, 100, 0))
        os.close(fd)


@suite.test("a watch on everything, daemon down")
def _(suite):
    if REDUCED:
        return
    with MailHost(suite) as host:
        host.guard()
        known, kept, lost = host.put("known", MARKER), host.put("kept", CLEAN + b"kept"), host.put("lost", CLEAN + b"lost")
        host.approve(kept), host.approve(lost)
        suite.check("control: the infected file is denied", host.read(known) is None)
        fd = os.open(kept, os.O_RDONLY)
        host.kill()
        suite.check("what was approved is read while no daemon runs", got(kept) and got(lost))
        bad, good = host.put("bad", MARKER + b"down"), host.put("good", CLEAN + b"down")
        suite.check("an infected file that was written while no daemon runs is refused", got(bad) is None)
        suite.check("and when it is forgotten", fresh(bad) is None)
        suite.check("one that was known as infected and is forgotten is refused", got(known) is None)
        suite.check("a clean file that nobody judged is refused too: unknown is not clean", got(good) is None)
        suite.check("and one whose approval is forgotten", got(lost) is None)
        suite.check("what somebody holds open is not forgotten", os.pread(fd, 100, 0) and got(kept))
        os.close(fd)
        host.guard()
        suite.check("after the start clean files are read again", eventually(lambda: got(good) and got(lost), 10))
        suite.check("and infected ones denied", got(bad) is None and got(known) is None)
        host.release()
        suite.check("control: released, the infected file is read", got(bad))


@suite.test("a watch on what mail software wrote")
def _(suite):
    if REDUCED:
        return
    with MailHost(suite) as host:
        control = host.delivered("control", MARKER)
        suite.check("control: written by the mail software, read without the guard", fresh(control))
        host.guard()
        free = host.by_user("free", MARKER)
        suite.check("control: what others write there is no attachment", got(free) == MARKER and fresh(free) == MARKER)
        bad, good = host.delivered("bad", MARKER + b"1"), host.delivered("good", CLEAN + b"1")
        suite.check("an infected attachment that is forgotten between write and open is denied", fresh(bad) is None)
        suite.check("and once more", fresh(bad) is None)
        suite.check("a clean one is allowed", fresh(good))
        suite.check("the mark is on the disk", eventually(lambda: marked(bad) and marked(good), 5), (marked(bad), marked(good)))
        suite.check("and not on what others wrote", marked(free) is None)
        late = host.delivered("late", MARKER + b"late")
        eventually(lambda: marked(late), 5)
        host.kill()
        suite.check("an infected attachment, delivered and forgotten, is refused while no daemon runs", fresh(late) is None)
        suite.check("one that was denied before, too", got(bad) is None)
        down = host.delivered("down", MARKER + b"down")
        suite.check("one that is delivered while no daemon runs is refused", got(down) is None)
        suite.check("and when it is forgotten", fresh(down) is None)
        suite.check("what others wrote is read while no daemon runs", fresh(free) == MARKER)
        host.guard()
        suite.check("after the start each is denied", fresh(bad) is None and fresh(late) is None and fresh(down) is None)
        suite.check("as infected", host.rows(down, "infected"), host.blocked("--path", down))
        suite.check("and a clean one is read", fresh(good))
        suite.check("what was delivered meanwhile has its mark on the disk by then", marked(down))


def first_boot(host):
    with open(host.fs + "/boot", "w") as f:
        f.write("1")
    suite.check("control: there is no mark at first", marked(host.delivered("unmarked", MARKER)) is None)
    host.guard()
    bad, good = host.delivered("bad", MARKER + b"boot"), host.delivered("good", CLEAN + b"boot")
    host.by_user("free", MARKER + b"boot")
    host.put("any", MARKER + b"boot")
    suite.check("the mark is on the disk", eventually(lambda: marked(bad) and marked(good), 5), (marked(bad), marked(good)))
    opened = host.delivered("opened", MARKER + b"opened")
    suite.check("an infected attachment is denied in the first boot", got(opened) is None)
    host.kill()
    host.delivered("down", MARKER + b"down")
    host.release()
    os.sync()


def second_boot(host):
    with open(host.fs + "/boot") as f:
        suite.check("control: this is the disk of the first boot", f.read() == "1")
    paths = {name: "%s/%s" % (host.home, name) for name in ("bad", "good", "free", "opened", "down", "unmarked")}
    anything = host.watched + "/any"
    suite.check("control: without the guard each is read after the reboot",
                all(fresh(path) for path in [anything] + list(paths.values())))
    forget()
    host.guard()
    suite.check("an infected attachment that was written before the reboot is denied, as its first open", got(paths["bad"]) is None)
    suite.check("and one that had been denied then", got(paths["opened"]) is None)
    suite.check("as infected", host.rows(paths["bad"], "infected"), host.blocked())
    suite.check("a clean attachment is read", got(paths["good"]))
    suite.check("what others wrote there is no attachment after the reboot either", got(paths["free"]))
    suite.check("nor what mail software wrote before the guard was there", got(paths["unmarked"]))
    suite.check("in a watch on everything, what was written before the reboot is denied", got(anything) is None)
    shown = got(paths["down"])
    suite.say("delivered while no daemon ran, and rebooted before one ran: %s" % ("not guarded" if shown else "denied"))
    print("row open | attachment written while no daemon ran, after a reboot | %s" % ("not guarded" if shown else "refused"))
    eventually(lambda: False, 1)
    host.kill()
    suite.check("an attachment written before the reboot is refused while no daemon runs", fresh(paths["bad"]) is None)
    suite.check("and what others wrote is read", fresh(paths["free"]))


@suite.test("a reboot between write and open, boot %d" % BOOT)
def _(suite):
    if REDUCED:
        return
    if not IN_MACHINE:
        suite.skip("a reboot between write and open", "only in a virtual machine (tests/vm/run KERNEL vm_evict)")
        return
    with MailHost(suite, "disk") as host:
        first_boot(host) if BOOT == 1 else second_boot(host)


last_test(suite)
if BOOT > 1:  # all the rest was done in the first one
    suite.tests = [pair for pair in suite.tests if "boot" in pair[0] or pair[0] == "nothing is left"]
suite.main()
