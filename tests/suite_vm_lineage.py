# SPDX-License-Identifier: GPL-2.0-only
"""Full mode, `lineage`: who wrote it. What mail software and its descendants write below `watch { origin = mail exec = never }`
is an attachment: judged before anybody reads it, never executed. What users write themselves is not touched."""
import errno
import os
import sys
from email.message import EmailMessage

from full_mode import FullHost, as_user, check_nothing_left, in_child
from harness import CLEAN, MARKER, Suite, drop_caches, eventually

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "mail"))
import mail_host  # noqa: E402

suite = Suite("vm_lineage")
ANNA, BEN = mail_host.LOCAL_UIDS["anna"], mail_host.LOCAL_UIDS["ben"]
MARK = "trusted.mailward.origin"
SLOW = mail_host.SLOW

SPLIT = """#!/bin/sh
# procmail does not wait for this: it has ended when the files are written
sleep 2
sed -n 's/^PPid:[[:space:]]*//p' /proc/$$/status >{notes}/parent
cd "$HOME/att" && munpack -q -f >/dev/null 2>&1
chmod 755 run.sh
: >{notes}/anna
"""
EXTRACT = """#!/usr/bin/python3 -IS
import email, os, sys
folder = sys.argv[1]
for part in email.message_from_binary_file(sys.stdin.buffer).walk():
    if part.get_filename():
        with open(os.path.join(folder, part.get_filename()), "wb") as f:
            f.write(part.get_payload(decode=True))
        os.chmod(f.name, 0o755)
open("{notes}/ben", "w").close()
"""


def message(notes):
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "eve@example.test", "anna@local.test", "two files"
    mail.set_content("See the files.\n")
    script = "#!/bin/sh\n: >%s/ran-$(id -u)\n" % notes
    for name, content in (("run.sh", script.encode()), ("bad.bin", b"\0binary " + MARKER), ("good.bin", b"\0binary " + CLEAN)):
        mail.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return mail


class Home:
    """Postfix's local with two users' .forward, and a listed program of our own."""

    def __init__(self):
        self.host = host = FullHost(suite)
        self.notes = host.base + "/notes"
        os.mkdir(self.notes)
        os.chmod(self.notes, 0o777)
        self.mail = mail_host.MailHost(base=host.base + "/mail", store=host.watched, queue=host.base + "/queue")
        suite.at_end(self.mail.stop)
        self.home = host.watched + "/home"
        self.maild = host.program("/bin/dash", "maild")
        host.policy(host.watch(self.home, origin="mail", exec="never", deadline="20s"),
                    host.software("postfix", "/usr/lib/postfix/sbin/master"), host.software("own", self.maild))
        self.mail.start(dovecot=False)
        suite.track(self.mail.master_pid())
        for name, text in (("split.sh", SPLIT), ("extract.py", EXTRACT)):
            host.put(name, text.format(notes=self.notes).encode(), host.base + "/bin", 0o755)
        self.own("anna", ".procmailrc", b"SHELL=/bin/sh\nPATH=/usr/bin:/bin\nDEFAULT=/dev/null\nLOGFILE=%s/procmail.log\n\n"
                 b":0\n| %s/bin/split.sh\n" % (self.notes.encode(), host.base.encode()))
        self.own("anna", ".forward", b'"|exec /usr/bin/procmail"\n')
        self.own("ben", ".forward", b'"|%s/bin/extract.py %s/ben/att"\n' % (host.base.encode(), self.home.encode()))
        for name in ("anna", "ben"):
            os.mkdir(self.path(name, "att"))
            os.chown(self.path(name, "att"), mail_host.LOCAL_UIDS[name], mail_host.LOCAL_UIDS[name])

    def path(self, user, name):
        return os.path.join(self.home, user, name)

    def own(self, user, name, content, mode=0o644):
        """A file that the user has written himself: by an editor, say; not mail software."""
        uid = mail_host.LOCAL_UIDS[user]
        path = self.path(user, name)

        def write():
            with open(path, "wb") as f:
                f.write(content)
            os.chmod(path, mode)
        if in_child(write, uid):
            raise OSError("%s can't be written" % path)
        return path

    def deliver(self, user):
        note = os.path.join(self.notes, user)
        if os.path.exists(note):
            os.unlink(note)
        self.mail.send("eve@example.test", ["%s@local.test" % user], message(self.notes))
        self.host.wait("the files of %s are there" % user, lambda: os.path.exists(note), 40 * SLOW)

    def run(self, path, uid):
        """Executes it as cron would: nothing of mail is among its ancestors. -> 0, errno, or None: it ran without effect"""
        note = "%s/ran-%d" % (self.notes, uid)
        if os.path.exists(note):
            os.unlink(note)
        puppet = self.host.puppet(uid=uid)
        result = puppet.do("run", path)
        puppet.end()
        return -result if result < 0 else 0 if os.path.exists(note) else None

    def read(self, path, uid):
        return self.host.probe("--uid", uid, "open", path)


def check_judged(home, what, user, folder):
    """The infected one is refused, the clean one read, and neither executed."""
    uid = mail_host.LOCAL_UIDS[user]
    bad, good, script = (os.path.join(folder, name) for name in ("bad.bin", "good.bin", "run.sh"))
    result = home.read(bad, uid)
    suite.check("%s: the infected file is refused" % what, result.rc == 1 and not result.bytes, result)
    result = home.read(good, uid)
    suite.check("%s: the clean one is read" % what, result.rc == 0 and result.bytes > len(CLEAN), result)
    def told():  # equal ones are counted in one row, under the name of the first
        return sum(row["count"] for row in home.host.blocked("--reason", "exec-never") if row["path"].endswith("/run.sh"))
    before = told()
    result = home.run(script, uid)
    suite.check("%s: the script is not executed, though it is clean" % what, result == errno.EPERM, result)
    suite.check("%s: `blocked --reason exec-never` shows it" % what, eventually(lambda: told() > before, 5, 0.2),
                home.host.blocked("--path", script))


def check_marked(what, folder):
    marked = eventually(lambda: all(mark_of(os.path.join(folder, name)) for name in ("bad.bin", "good.bin", "run.sh")), 10 * SLOW)
    suite.check("%s: each file carries the mark on disk" % what, marked,
                {name: mark_of(os.path.join(folder, name)) for name in os.listdir(folder)})


def mark_of(path):
    try:
        return os.getxattr(path, MARK)
    except OSError:
        return None


def check_chains(home):
    """The two ways from a .forward to a file, as they are without the guard."""
    for user, uid in (("anna", ANNA), ("ben", BEN)):
        home.deliver(user)
        folder = home.path(user, "att")
        result = home.read(folder + "/bad.bin", uid)
        suite.check("control: %s reads the infected file without the guard" % user, result.rc == 0 and result.bytes, result)
        suite.check("control: %s's script is executed without the guard" % user, home.run(folder + "/run.sh", uid) == 0)
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
    with open(home.notes + "/parent") as f:
        parent = f.read().strip()
    suite.check("control: procmail had ended when the files were written", parent == "1", parent)


def check_setuid(home):
    """Mail software -> a setuid program of root's -> cp."""
    env = home.host.program("/usr/bin/env", "env-setuid", 0o4755)
    content = home.host.put("content", MARKER + b"\nby setuid\n", home.host.base)
    target = home.path("anna", "att/by-setuid")
    os.chmod(home.path("anna", "att"), 0o777)
    done = suite.run(as_user([home.maild, "-c", "%s cp %s %s" % (env, content, target)], ANNA))
    suite.check("control: the setuid program has become root", os.path.exists(target) and os.stat(target).st_uid == 0, done)
    result = home.read(target, ANNA)
    suite.check("through a setuid program: the infected file is refused", result.rc == 1 and not result.bytes, result)


def check_own_files(home):
    """Nothing that the user wrote is judged, refused or even asked for twice."""
    note = b"#!/bin/sh\n: >%s/ran-$(id -u)\n" % home.notes.encode()
    bad = home.own("anna", "notes.txt", b"what I know of it: " + MARKER)
    script = home.own("anna", "tool.sh", note + b"# " + MARKER, 0o755)
    before = home.host.counters()
    result = home.read(bad, ANNA)
    suite.check("the user's own file is read, infected or not", result.rc == 0 and result.bytes, result)
    suite.check("the user's own script is executed", home.run(script, ANNA) == 0)
    after = home.host.counters()
    suite.check("nothing of it was scanned", after["scans"] == before["scans"], (before["scans"], after["scans"]))
    for _ in range(3):
        home.read(bad, ANNA)
    before = home.host.counters()["accesses"]
    in_child(lambda: [os.close(os.open(bad, os.O_RDONLY)) for _ in range(200)], ANNA)
    asked = home.host.counters()["accesses"] - before
    suite.check("opened once more it raises no event", asked < 50, "%d events for 200 opens" % asked)
    suite.check("it carries no mark", mark_of(bad) is None and mark_of(script) is None)
    # Now mail software writes into it: from here on it is one.
    done = suite.run([home.maild, "-c", "echo more >>%s" % bad])
    result = home.read(bad, ANNA)
    suite.check("the user's own file, once mail software wrote into it, is refused", done.rc == 0 and result.rc == 1, result)


def check_mark_lasts(home):
    host, folder = home.host, home.path("anna", "att")
    moved = home.path("anna", "moved")
    os.mkdir(moved)
    os.rename(folder + "/run.sh", moved + "/run.sh")
    os.link(folder + "/bad.bin", moved + "/bad.bin")
    os.rename(folder + "/good.bin", moved + "/good.bin")
    check_judged(home, "renamed and linked", "anna", moved)
    drop_caches()
    check_judged(home, "after drop_caches", "anna", moved)
    host.stop()
    result = home.read(moved + "/bad.bin", ANNA)
    suite.check("with no daemon: the infected file is refused", result.rc == 1 and not result.bytes, result)
    drop_caches()
    host.guard()
    check_judged(home, "after a restart of the daemon", "anna", moved)
    own = home.read(home.own("anna", "later.txt", MARKER), ANNA)
    suite.check("after a restart of the daemon: the user's own file is read", own.rc == 0 and own.bytes, own)


def check_forging(home):
    """The mark is root's: nobody else sees, sets or removes it."""
    bad, own = home.path("anna", "att/bad.bin"), home.own("anna", "plain.txt", CLEAN)
    spare = home.own("anna", "spare.txt", CLEAN)
    deeds = {"sets the mark": lambda: os.setxattr(own, MARK, b""), "removes the mark": lambda: os.removexattr(bad, MARK),
             "changes the mark": lambda: os.setxattr(bad, MARK, b"x")}
    os.setxattr(spare, MARK, b"1")
    os.removexattr(spare, MARK)
    suite.check("control: root can set and remove it", mark_of(spare) is None)
    suite.check("control: the user can set other attributes", in_child(lambda: os.setxattr(own, "user.test", b"1"), ANNA) == 0)
    for what, deed in deeds.items():
        for who, inside in (("the owner", False), ("the owner as root of a user namespace", True)):
            error = in_child(deed, ANNA, inside)
            suite.check("%s can't: %s" % (who, what), error == errno.EPERM, error)
    error = in_child(lambda: os.getxattr(bad, MARK), ANNA)
    suite.check("the owner doesn't see it", error in (errno.ENODATA, errno.EPERM), error)
    suite.check("it is still there", mark_of(bad) is not None)
    result = home.read(bad, ANNA)
    suite.check("and the file is still refused", result.rc == 1 and not result.bytes, result)


@suite.test("lineage")
def _(suite):
    absent = [path for path in ("/usr/sbin/postfix", "/usr/bin/procmail", "/usr/bin/munpack") if not os.path.exists(path)]
    if absent:
        suite.skip("lineage", "not installed: " + " ".join(absent))
        return
    home = Home()
    with home.host as host:
        check_chains(home)
        host.guard()  # Postfix runs already: labelled at the start
        for user, what in (("anna", "procmail without the wait flag, sh, munpack"), ("ben", "a Python script run from .forward")):
            home.deliver(user)
            check_marked(what, home.path(user, "att"))
            check_judged(home, what, user, home.path(user, "att"))
        check_setuid(home)
        check_own_files(home)
        check_mark_lasts(home)
        check_forging(home)
        home.mail.stop()
        result = host.release()
        suite.check("released", result.rc == 0, result)
        result = home.read(home.path("anna", "att/bad.bin"), ANNA)
        suite.check("released: the infected file is read again", result.rc == 0 and result.bytes, result)
    check_nothing_left(suite)


suite.main()
