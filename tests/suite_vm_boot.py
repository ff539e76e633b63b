# SPDX-License-Identifier: GPL-2.0-only
"""The machine itself (tests/vm): the right kernel, BPF LSM in it, and fanotify guarding a loop ext4 and `/`."""
import ctypes
import os
import re

from harness import CLEAN, EICAR, MARKER, SLACK, Host, Suite, eventually, in_machine

suite = Suite("vm_boot")

# Refuses each mkdir, of anybody. It needs no header of the kernel: the program's section says where it attaches.
OBJECT = '''
#define SEC(name) __attribute__((section(name), used))
char _license[] SEC("license") = "GPL";
SEC("lsm/inode_mkdir") int refuse(void *ctx) { return -1; }
'''


class Attached:
    """One program of an object, loaded and attached by libbpf."""

    def __init__(self, path, name):
        lib = self.lib = ctypes.CDLL("libbpf.so.1", use_errno=True)
        for function in ("bpf_object__open_file", "bpf_object__find_program_by_name", "bpf_program__attach"):
            getattr(lib, function).restype = ctypes.c_void_p
        self.object, self.link = ctypes.c_void_p(lib.bpf_object__open_file(path.encode(), None)), None
        loaded = lib.bpf_object__load(self.object)
        if loaded == 0:
            program = ctypes.c_void_p(lib.bpf_object__find_program_by_name(self.object, name))
            self.link = lib.bpf_program__attach(program)
        self.why = "load: %d, errno %d" % (loaded, ctypes.get_errno())

    def close(self):
        if self.link:
            self.lib.bpf_link__destroy(ctypes.c_void_p(self.link))
        self.lib.bpf_object__close(self.object)


@suite.test("the machine")
def _(suite):
    wanted, release = os.environ.get("VM_KERNEL", ""), os.uname().release
    suite.check("this is a machine of the tests' own", in_machine())
    if wanted == "newest":
        suite.check("the kernel is newer than Debian 12's", tuple(map(int, re.findall(r"\d+", release)[:2])) > (6, 1), release)
    else:
        suite.check("the kernel is the one that was asked for", re.match(re.escape(wanted) + r"\.", release), release)
    with open("/sys/kernel/security/lsm") as f:
        suite.check("bpf is among the security modules", "bpf" in f.read().strip().split(","))
    suite.check("files of the host have their owners", os.stat("/var/mail").st_gid == 8, os.stat("/var/mail"))
    suite.check("the host's loop devices and file systems are there", all(
        name in open("/proc/filesystems").read().split() for name in ("ext4", "xfs", "overlay", "fuse", "cgroup2", "bpf")),
        open("/proc/filesystems").read())
    result = suite.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-Urm", "true"])
    suite.check("an ordinary user may make a user namespace", result.rc == 0, result)
    result = suite.run(["/bin/sh", "-c", "echo x >/etc/mailward-vm-test && mount -t tmpfs none /mnt && cat /etc/mailward-vm-test"])
    suite.check("/etc can be written", result.out == "x\n", result)


@suite.test("an LSM BPF program")
def _(suite):
    work = "/run/vm-boot"
    os.makedirs(work, exist_ok=True)
    with open(work + "/refuse.c", "w") as f:
        f.write(OBJECT)
    result = suite.run([os.environ.get("CLANG", "clang"), "-O2", "-target", "bpf", "-c", work + "/refuse.c", "-o", work + "/refuse.o"],
                       timeout=120)
    if not suite.check("it is compiled", result.rc == 0, result):
        return
    os.mkdir(work + "/control")
    suite.check("control: a folder can be made without it", os.path.isdir(work + "/control"))
    attached = Attached(work + "/refuse.o", b"refuse")
    suite.check("it loads and attaches", attached.link, attached.why)
    try:
        os.mkdir(work + "/refused")
        refused = False
    except PermissionError:
        refused = True
    attached.close()
    suite.check("it refuses", refused)
    suite.check("and is gone when it is detached", eventually(lambda: suite.run(["mkdir", work + "/again"]).rc == 0, 15))


def guarded(suite, host, where, outside, name):
    bad, good = host.put("bad", EICAR, where, 0o755), host.put("good", CLEAN, where)
    free = host.put("bad", MARKER, outside)
    suite.check("control: an infected file on %s is read without the guard" % name, host.read(bad) == EICAR)
    host.start()
    for verb in ("open", "mmap", "exec"):
        result = host.probe(verb, bad)
        suite.check("an infected file on %s is denied (%s)" % (name, verb), result.rc == 1 and not result.bytes, result)
    result = host.probe("open", good)
    suite.check("a clean file on %s is allowed" % name, result.rc == 0 and result.bytes == len(CLEAN), result)
    result = host.probe("open", free)
    suite.check("a file out of scope on %s is allowed" % name, result.rc == 0 and result.bytes == len(MARKER), result)
    suite.check("what was denied on %s is in the list" % name, eventually(lambda: host.blocked("--path", bad), 3 + SLACK))
    # In full mode an overlay (the guest's /) is covered partly, and status says why.
    seen = host.status()
    issues = [issue["id"] for issue in seen["issues"]]
    overlay = any(watch["file_system"] == "overlay" for watch in seen["watches"]) and seen["mode"] == "full"
    suite.check("status of %s is as it should be" % name, issues == (["watch-partly-covered"] if overlay else []) and
                host.tool("status")[0] == (1 if overlay else 0), seen)


@suite.test("fanotify on a loop ext4")
def _(suite):
    with Host(suite, "ext4") as host:
        guarded(suite, host, host.watched, host.outside, "ext4")


@suite.test("fanotify on /")
def _(suite):
    if not in_machine():
        suite.skip("the file system of / is marked", "this is not a machine of the tests' own")
        return
    with Host(suite) as host:
        for folder in ("/srv/vm-boot/in", "/srv/vm-boot/out"):
            os.makedirs(folder, exist_ok=True)
        host.policy(host.watch("/srv/vm-boot/in"), top="allow-root-filesystem = yes\n")
        guarded(suite, host, "/srv/vm-boot/in", "/srv/vm-boot/out", "/")
        result = suite.run(["/bin/sh", "-c", "ls / >/dev/null && cat /etc/passwd | grep -c root && id -un nobody"], timeout=20)
        suite.check("the rest of the host goes on", result.rc == 0 and result.out.endswith("nobody\n"), result)


suite.main()
