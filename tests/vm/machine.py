# SPDX-License-Identifier: GPL-2.0-only
"""A virtual machine that boots a distribution kernel on the host's own files. Used by tests/vm/run.

    kernel = kernels.get("6.1")
    outcome = boot(kernel, "make -s hello", folder="/src/mailward", line=print)
    outcome.code        what the command ended with; None: it never ended (a crash, or the time was over: outcome.why)

- Root is the host's root, read-only over 9p, as the lower layer of an overlay whose upper layer is memory: whatever the
  command writes, to /etc or anywhere, is gone afterwards and the host never sees it. Owners are the real ones (QEMU must
  run as root for that). /tmp, /run, /mnt and /dev/shm are fresh, securityfs, bpf, cgroup2 and tracefs are mounted, lo is up;
  ext4, xfs, overlay, fuse and loop are there. Nothing else runs in it: no systemd, no network.
- The initrd is busybox and the modules in the order of their dependencies, which each module names in its section
  .modinfo, so neither kmod nor depmod is needed. It is made once per kernel; what a run adds is a second archive behind it.
- The kernel's messages go to ttyS0 (BUILD/vm/log/*.console), the command's output to ttyS1, which is passed on as it comes.
- A disk is a file of the host, /dev/vda inside: the only thing that lasts from one boot to the next.
- KVM where it really runs a guest, else TCG (slow: a factor of 5 to 20), with one processor and a clock of its own.
"""
import ctypes
import glob
import lzma
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import time

from kernels import TESTS, VM

HERE = os.path.join(TESTS, "vm")
# With -icount the guest's clock counts its instructions: it stands still while the host gives the machine no processor, so
# that no time limit inside (the gate is ended after 1.5 s without a beat) depends on what else the host does. It takes one
# processor (QEMU 7.2 does not get past the start of the second one), which also spares 7.x its panics at boot.
ACCELERATORS = {"kvm": ["-accel", "kvm", "-cpu", "host", "-smp", "2"],
                "tcg": ["-accel", "tcg,thread=single", "-icount", "shift=1,sleep=on", "-cpu", "max", "-smp", "1"],
                "tcg-2": ["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]}
# What is missing of these is built into that kernel.
MODULES = ("virtio_pci 9pnet_virtio 9p overlay virtio_blk loop crc32c_generic crc32c_intel libcrc32c ext4 xfs fuse").split()
SERIOUS = re.compile(r"BUG:|WARNING:|Oops|general protection|KASAN|scheduling while atomic")
BOOT_LIMIT = 300  # seconds until the command begins; TCG on a very busy machine takes up to 100


class Outcome:
    def __init__(self):
        self.code, self.why, self.seconds, self.boot_seconds, self.began = None, "", 0.0, 0.0, False
        self.complaints = []  # lines of the guest's kernel log: WARNING, BUG, stalls


def module_info(data, word):
    """Values of `word` in the section .modinfo: strings `word=value`, each ended by a zero byte."""
    return [v.decode() for v in re.findall(rb"(?<=\0)" + word.encode() + rb"=([^\0]*)\0", data)]


def load_module(path):
    with open(path, "rb") as f:
        data = f.read()
    return lzma.decompress(data) if path.endswith(".xz") else data


def modules_in_order(kernel, names):
    """[(name, bytes)], each behind what it depends on."""
    paths = {os.path.basename(p).split(".")[0].replace("-", "_"): p
             for p in glob.glob(kernel.modules + "/**/*.ko*", recursive=True)}
    ordered = {}

    def add(name):
        if name in ordered or name not in paths:
            return
        data = load_module(paths[name])
        for need in ",".join(module_info(data, "depends")).split(","):
            add(need.replace("-", "_"))
        ordered[name] = data
    for name in names:
        add(name)
    return list(ordered.items())


def cpio(folder):
    names = subprocess.run(["find", ".", "-mindepth", "1", "-print0"], cwd=folder, stdout=subprocess.PIPE, check=True).stdout
    return subprocess.run(["cpio", "--null", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=folder, input=names,
                          stdout=subprocess.PIPE, check=True).stdout


def base_initrd(kernel):
    """The path of the archive that all runs of a kernel share."""
    path = os.path.join(kernel.folder, "initrd")
    init = os.path.join(HERE, "initrd.sh")
    newest = max(os.path.getmtime(f) for f in (init, __file__, kernel.image))
    if os.path.exists(path) and os.path.getmtime(path) > newest:
        return path
    work = "%s.%d" % (path, os.getpid())
    os.makedirs(work + "/bin")
    os.makedirs(work + "/modules")
    shutil.copy(shutil.which("busybox"), work + "/bin/busybox")
    shutil.copy(init, work + "/init")
    os.chmod(work + "/init", 0o755)
    for number, (name, data) in enumerate(modules_in_order(kernel, MODULES)):
        with open("%s/modules/%02d-%s.ko" % (work, number, name), "wb") as f:
            f.write(data)
    with open(work + ".cpio", "wb") as f:
        f.write(cpio(work))
    os.rename(work + ".cpio", path)
    shutil.rmtree(work)
    return path


def run_initrd(kernel, command, folder, environment, path):
    """Writes the initrd of one run: the shared archive, and behind it what this run does."""
    work = path + ".d"
    os.makedirs(work + "/vm")
    shutil.copy(os.path.join(HERE, "guest.sh"), work + "/vm/guest.sh")
    with open(work + "/vm/command", "w") as f:
        f.write(command + "\n")
    with open(work + "/vm/environment", "w") as f:
        for name, value in dict(environment, VM_FOLDER=folder).items():
            f.write("export %s=%s\n" % (name, shlex.quote(str(value))))
    with open(base_initrd(kernel), "rb") as f:
        shared = f.read()
    with open(path, "wb") as f:
        f.write(shared + b"\0" * (-len(shared) % 512) + cpio(work))
    shutil.rmtree(work)


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def qemu(kernel, initrd, console, accel, memory, append, disk):
    argv = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-M", "q35", "-display", "none", "-no-reboot",
            "-m", str(memory), "-kernel", kernel.image, "-initrd", initrd,
            "-append", "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off " + append,
            "-chardev", "file,id=console,path=" + console, "-serial", "chardev:console",
            "-chardev", "stdio,id=out,signal=off", "-serial", "chardev:out",
            "-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=root,mount_tag=hostroot",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
    argv += ACCELERATORS[accel]
    if disk:
        argv += ["-drive", "file=%s,format=raw,if=virtio,cache=writeback" % disk]
    return argv


def accelerator(kernel):
    """kvm where a guest really runs with it. Tried once per boot of this machine: a /dev/kvm that opens proves little."""
    with open("/proc/sys/kernel/random/boot_id") as f:
        boot_id = f.read().strip()
    note = os.path.join(VM, "accelerator")
    try:
        with open(note) as f:
            known, accel = f.read().split()
        if known == boot_id:
            return accel
    except (OSError, ValueError):
        pass
    accel = "tcg"
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        tried = once(kernel, "exit 7", "/", {}, lambda line: None, 20, "kvm", 1024, "", None, 20)
        accel = "kvm" if tried.code == 7 else "tcg"
    with open(note, "w") as f:
        f.write("%s %s\n" % (boot_id, accel))
    return accel


def once(kernel, command, folder, environment, line, timeout, accel, memory, append, disk, boot_limit=BOOT_LIMIT):
    """One boot. -> Outcome"""
    os.makedirs(VM + "/log", exist_ok=True)
    name = os.path.join(VM, "log", "%s-%d-%d" % (kernel.release, os.getpid(), time.monotonic_ns() // 1000000))
    console, initrd = name + ".console", name + ".initrd"
    run_initrd(kernel, command, folder, environment, initrd)
    outcome = Outcome()
    started = time.monotonic()
    process = subprocess.Popen(qemu(kernel, initrd, console, accel, memory, append, disk), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=die_with_parent)
    try:
        follow(process, outcome, line, started, timeout, boot_limit)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.unlink(initrd)
    outcome.seconds = time.monotonic() - started
    if outcome.code is None and not outcome.why:
        said = process.stderr.read().decode("utf-8", "replace").strip()
        outcome.why = "the machine ended by itself%s (%s)" % ("" if outcome.began else " at boot", said or process.returncode)
    if outcome.code is not None:
        os.unlink(console)
    else:
        try:
            with open(console, errors="replace") as f:
                outcome.why += "".join("\n    console: " + text.rstrip() for text in f.readlines()[-25:])
        except OSError:
            pass
    return outcome


def follow(process, outcome, line, started, timeout, boot_limit):
    """Passes on what the command writes, until its last line or until the time is over."""
    rest = b""
    end = started + boot_limit
    while outcome.code is None:
        left = end - time.monotonic()
        if left <= 0:
            outcome.why = "the time was over: %d s %s" % ((timeout, "for the command") if outcome.began else
                                                         (boot_limit, "until it began"))
            return
        if not select.select([process.stdout], [], [], left)[0]:
            continue
        data = os.read(process.stdout.fileno(), 65536)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for raw in lines:
            text = raw.decode("utf-8", "backslashreplace")
            last = re.match(r"(.*)VMRC=(\d+)$", text)
            if not outcome.began and text == "VMSTART":
                outcome.began, outcome.boot_seconds = True, time.monotonic() - started
                end = time.monotonic() + timeout
            elif last:
                outcome.code = int(last.group(2))
                if last.group(1):
                    line(last.group(1))
            elif text.startswith("VMKERNEL "):
                outcome.complaints.append(text[9:])
            elif outcome.began:
                line(text)
    try:
        process.wait(10)  # it ends itself
    except subprocess.TimeoutExpired:
        pass


def boot(kernel, command, folder, line, environment=None, timeout=600, memory=3072, append="", disk=None, two=False):
    """Runs a command in a fresh machine. What panics at boot, before it has begun, gets a second try. two: two processors in
    any case, and with TCG a clock that runs while the machine does not."""
    accel = accelerator(kernel)
    if two and accel == "tcg":
        accel = "tcg-2"
    for attempt in (1, 2):
        outcome = once(kernel, command, folder, environment or {}, line, timeout, accel, memory, append, disk)
        if outcome.began or attempt == 2:
            return outcome
        line("   vm: %s did not boot, once more: %s" % (kernel.release, outcome.why))
    return outcome


def missing_programs():
    return [p for p in ("qemu-system-x86_64", "busybox", "cpio") if not shutil.which(p)]


def make_disk(path, size):
    """A fresh ext4 file system in a file, /dev/vda of each machine that gets it."""
    with open(path, "wb") as f:
        f.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-F", path], check=True)
    return path
