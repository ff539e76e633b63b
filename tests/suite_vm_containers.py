# SPDX-License-Identifier: GPL-2.0-only
"""Full mode, `containers`: the watched tree as a layer of an overlay, in other mount namespaces, user namespaces and
chroots, by read and by mmap; and a watch that lies on an overlay itself. MODE=reduced: what fanotify alone answers."""
import os
import shutil

from harness import CLEAN, MARKER, Failure, Suite, eventually, helper, in_machine
from held import REDUCED, GuardedHost, got, last_test

suite = Suite("vm_containers")
NOBODY = 65534
MAKE = 'mkdir -p "$TMP/u" "$TMP/w" "$TMP/m"; '
LOWER = 'mount -t overlay -o "%slowerdir=$DIR,upperdir=$TMP/u,workdir=$TMP/w" o "$TMP/m"; '
UPPER = 'mkdir -p "$TMP/e" "$TMP/m"; mount -t overlay -o "%slowerdir=$TMP/e,upperdir=$DIR,workdir=$FS/work" o "$TMP/m"; '
OWN_TMP = 'mount -t tmpfs none "$TMP"; '
OPEN = 'exec "$PROBE" "$VERB" "$TMP/m/$REL"'
PLACES = {  # name: (as whom, shell script)
    "an overlay with the watched tree below": ("root", MAKE + LOWER % "" + OPEN),
    "an overlay with the watched tree on top": ("root", UPPER % "" + OPEN),
    "an overlay made in an unprivileged user namespace, the watched tree below":
        ("user", OWN_TMP + MAKE + LOWER % "userxattr," + OPEN),
    "an overlay made in an unprivileged user namespace, the watched tree on top":
        ("user", OWN_TMP + UPPER % "userxattr," + OPEN),
    "an overlay whose path lies": ("user", OWN_TMP + 'mkdir -p "$TMP/u" "$TMP/w" "$TMP$OUT"; mount -t overlay -o '
                                   '"userxattr,lowerdir=$DIR,upperdir=$TMP/u,workdir=$TMP/w" o "$TMP$OUT"; '
                                   'exec "$PROBE" --chroot "$TMP" "$VERB" "$OUT/$REL"'),
    "an overlay of an overlay": ("root", MAKE + LOWER % "" + 'mkdir "$TMP/n" "$TMP/e2"; mount -t overlay -o '
                                 '"lowerdir=$TMP/m:$TMP/e2" o2 "$TMP/n"; exec "$PROBE" "$VERB" "$TMP/n/$REL"'),
    "another mount namespace": ("root", 'exec "$PROBE" "$VERB" "$DIR/$REL"'),
    "a bind mount in an unprivileged user namespace":
        ("user", OWN_TMP + 'mkdir "$TMP/m"; mount --rbind "$DIR" "$TMP/m"; ' + OPEN),
    "a bind mount": ("root", 'mkdir -p "$TMP/m"; mount --bind "$DIR" "$TMP/m"; ' + OPEN),
    "a chroot": ("root", 'exec "$PROBE" --chroot "$DIR" "$VERB" "/$REL"'),
}
VERBS = ("open", "mmap")


def stacked(place):
    return "overlay" in place


class Places(GuardedHost):
    def __init__(self, suite, kind="ext4"):
        super().__init__(suite, kind)
        self.stand_in()
        self.policy(self.watch(deadline="1s"))
        os.chmod(self.base, 0o755)
        os.chmod(self.watched, 0o777)
        self.probe_path = "/tmp/mailward-probe-%d" % os.getpid()  # where nobody may run it
        shutil.copy(helper("probe"), self.probe_path)
        os.chmod(self.probe_path, 0o755)
        suite.at_end(lambda: os.path.exists(self.probe_path) and os.unlink(self.probe_path))

    def try_place(self, place, verb, name):
        """-> Result of the probe; everything it mounted is gone with its namespace."""
        who, script = PLACES[place]
        temporary = self.base + "/place"
        shutil.rmtree(temporary, ignore_errors=True)
        work = self.fs + "/work"
        shutil.rmtree(work, ignore_errors=True)
        for path in (temporary, work):
            os.mkdir(path)
            os.chmod(path, 0o777)
            if who == "user":
                os.chown(path, NOBODY, NOBODY)
        os.chown(self.watched, *((NOBODY, NOBODY) if who == "user" else (0, 0)))
        where = dict(os.environ, PROBE=self.probe_path, DIR=self.watched, REL=name, FS=self.fs, TMP=temporary,
                     OUT=self.outside, VERB=verb)
        before = ["unshare", "-m", "--propagation", "private"]
        if who == "user":
            before = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "unshare", "-Urm",
                      "--propagation", "private"]
        return self.suite.run(before + ["sh", "-ec", script], env=where)


def refused(result):
    return result.rc == 1 and result.bytes == 0 and ": denied" in result.out


@suite.test("the watched tree elsewhere")
def _(suite):
    with Places(suite) as host:
        tried, number = [], 0
        for place in PLACES:
            for verb in VERBS:
                number += 1
                names = {what: "%s-%d" % (what, number) for what in ("first", "known", "approved", "held", "new")}
                for what, name in names.items():
                    host.put(name, (MARKER if what in ("first", "known") else CLEAN) + b"\n%s" % name.encode())
                control = host.try_place(place, verb, names["first"])
                if control.rc:
                    suite.check("control: %s can be made" % place, False, control)
                    continue
                suite.check("control: %s, %s: the infected file is got without the guard" % (place, verb), control.bytes > 0,
                            control)
                tried.append((place, verb, names))
        host.guard()
        total = 0
        for place, verb, names in tried:
            name = "%s, %s" % (place, verb)
            first = host.try_place(place, verb, names["first"])
            if REDUCED and stacked(place) and first.rc == 0 and not in_machine():
                suite.say("%s: not guarded" % name)
            suite.check("%s: an infected file, as its first open, is refused" % name, refused(first), first)
            host.read(host.watched + "/" + names["known"])
            known = host.try_place(place, verb, names["known"])
            suite.check("%s: an infected file that is known is refused" % name, refused(known), known)
            host.approve(host.watched + "/" + names["approved"])
            approved = host.try_place(place, verb, names["approved"])
            suite.check("%s: an approved file is got" % name, approved.rc == 0 and approved.bytes > 0, approved)
            new = host.try_place(place, verb, names["new"])
            suite.say("%s: a clean file as its first open: %s" % (name, "allowed" if new.rc == 0 else "refused"))
            if not stacked(place):
                suite.check("%s: a clean file is got at its first open" % name, new.rc == 0 and new.bytes > 0, new)
            total += first.bytes + known.bytes
            print("row %s | infected, through %s | %s" % (verb, place, "refused" if refused(first) and refused(known)
                                                          else "not guarded"))
        suite.check("bytes of infected files got in other places: 0", total == 0, total)
        host.behave("hold")
        total = 0
        for place, verb, names in tried:
            path = host.put(names["held"] + "-unscanned", CLEAN + b"\nunscanned " + names["held"].encode())
            result = host.try_place(place, verb, os.path.basename(path))
            suite.check("%s, %s: a file that nobody has scanned is refused" % (place, verb), refused(result), result)
            total += result.bytes
        suite.check("bytes of unscanned files got in other places: 0", total == 0, total)
        host.behave()
        if REDUCED:
            return
        # Each worker that hung is ended, and what it has said is void: then it is said anew.
        if not eventually(lambda: host.counter("cases") == 0, 60):
            raise Failure("cases are left: %s" % host.counter("cases"))
        for place, verb, names in tried:
            host.approve(host.watched + "/" + names["approved"])
        host.kill()
        for place, verb, names in tried:
            first = host.try_place(place, verb, names["first"])
            approved = host.try_place(place, verb, names["approved"])
            suite.check("%s, %s: an infected file is refused while no daemon runs" % (place, verb), refused(first), first)
            suite.check("%s, %s: an approved file is got while no daemon runs" % (place, verb), approved.bytes > 0, approved)


@suite.test("an overlay's descriptor, opened before the change")
def _(suite):
    with Places(suite) as host:
        mounted, upper, work = (host.base + "/" + name for name in ("over", "over-upper", "over-work"))
        for path in (mounted, upper, work):
            os.mkdir(path)
        host.mount("-t", "overlay", "-o", "lowerdir=%s,upperdir=%s,workdir=%s" % (host.watched, upper, work), "mailward-over",
                   mounted)
        ways = ("read", "splice", "mmap", "mmap-shared", "old-mapping")

        def tried(name, guarded):
            path = host.put(name, CLEAN * 200, mode=0o755)
            if guarded:
                host.approve(path)
            holder = host.hold(mounted + "/" + name, ways=ways)
            with open(path, "ab") as f:
                f.write(MARKER)
            if guarded and not eventually(lambda: got(path) is None, 10):
                raise Failure("infected, and allowed")
            return holder.try_all()
        controls = tried("control", False)
        host.guard()
        found = tried("changed", True)
        for way in ways:
            refused_now = found[way].result == "denied" and not found[way].bytes
            suite.check("control: %s by an overlay's descriptor without the guard" % way, controls[way].bytes > 0, controls[way])
            print("row %s by an overlay's descriptor | approved, then changed below it | %s" %
                  (way, "refused" if refused_now else "not guarded"))
            if way in ("read", "splice"):
                suite.check("%s by an overlay's descriptor, opened before the change, is %s" % (
                    way, "not guarded" if REDUCED else "refused"), refused_now != REDUCED, found[way])


def check_own_overlay(suite, host, name, folder):
    """A watch whose file system is an overlay."""
    paths = {what: host.put(what, (MARKER if what == "first" else CLEAN * 100) + what.encode(), folder, mode=0o755)
             for what in ("first", "changed", "approved", "held")}
    suite.check("control: %s: an infected file is read without the guard" % name, got(paths["first"]))
    host.guard()
    for verb in VERBS + ("exec",):
        result = host.probe(verb, paths["first"])
        suite.check("%s: %s of an infected file is refused" % (name, verb), refused(result), result)
    for verb in VERBS:
        result = host.probe(verb, paths["approved"])
        suite.check("%s: %s of a clean file is allowed" % (name, verb), result.rc == 0 and result.bytes > 0, result)
    host.approve(paths["changed"])
    holder = host.hold(paths["changed"], ways=("read", "mmap", "splice", "aio", "mprotect-old-none"))
    with open(paths["changed"], "ab") as f:
        f.write(MARKER)
    suite.check("%s: a file that was approved and then changed is denied to the next open" % name,
                eventually(lambda: got(paths["changed"]) is None, 10))
    found = holder.try_all()
    for way, outcome in found.items():
        if REDUCED:
            suite.say("%s: %s by a descriptor opened before: %s" % (name, way, outcome.result))
        elif way == "mprotect-old-none":  # the mapping is of the layer's file, which lies in no watch
            print("row %s, in a watch on an overlay | approved, then changed | %s" %
                  (way, "refused" if outcome.result == "denied" and not outcome.bytes else "not guarded"))
        else:
            suite.check("%s: %s by a descriptor opened before the change is refused" % (name, way),
                        outcome.result == "denied" and not outcome.bytes, outcome)
    host.behave("hold")
    path = host.put("unscanned", CLEAN + b"unscanned", folder)
    suite.check("%s: a file that nobody has scanned is refused" % name, got(path) is None)
    host.behave()
    if REDUCED:
        return
    host.kill()
    suite.check("%s: while no daemon runs an infected file is refused" % name, got(paths["first"]) is None)
    suite.check("%s: and one that nobody has judged" % name, got(paths["held"]) is None)
    suite.check("%s: and an approved one too, for no approval lasts on an overlay" % name, got(paths["approved"]) is None)


@suite.test("a watch on an overlay")
def _(suite):
    with GuardedHost(suite, "overlay") as host:
        host.stand_in()
        host.policy(host.watch(deadline="2s"))
        check_own_overlay(suite, host, "a watch on an overlay", host.watched)


@suite.test("a watch on /, an overlay")
def _(suite):
    if not in_machine():
        suite.say("only in a virtual machine of the tests' own")
        return
    with GuardedHost(suite) as host:
        folder = "/srv/mailward-watched"
        os.makedirs(folder, exist_ok=True)
        suite.at_end(lambda: shutil.rmtree(folder, ignore_errors=True))
        host.stand_in()
        host.write_policy("allow-root-filesystem = yes\n" + host.watch(folder, deadline="2s"))
        check_own_overlay(suite, host, "a watch on the file system of /", folder)
        host.guard()
        result = suite.run(["sh", "-c", "ls /usr/bin | wc -l"])
        suite.check("a watch on the file system of /: programs still start", result.rc == 0 and int(result.out) > 100, result)


last_test(suite)
suite.main()
