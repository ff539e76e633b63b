# SPDX-License-Identifier: GPL-2.0-only
# vm: boots=2 append="lsm=landlock,lockdown,yama,apparmor"
"""What a suite may ask of tests/vm: a disk that lasts over a reboot, and a kernel without BPF LSM."""
import os
import subprocess

from harness import Suite

suite = Suite("vm_reboot")
BOOT = int(os.environ.get("VM_BOOT", "1"))


@suite.test("boot %d" % BOOT)
def _(suite):
    with open("/sys/kernel/security/lsm") as f:
        modules = f.read().strip().split(",")
    suite.check("boot %d: the kernel has no BPF LSM when its command line says so" % BOOT,
                "bpf" not in modules and "landlock" in modules, modules)
    os.makedirs("/srv/disk", exist_ok=True)
    subprocess.run(["mount", "/dev/vda", "/srv/disk"], check=True)
    suite.at_end(lambda: subprocess.run(["umount", "/srv/disk"], check=True))
    if BOOT == 1:
        suite.check("control: the disk is empty at first", os.listdir("/srv/disk") == ["lost+found"], os.listdir("/srv/disk"))
        with open("/srv/disk/note", "w") as f:
            f.write("from boot 1")
        os.setxattr("/srv/disk/note", "trusted.mailward-test", b"kept")
        with open("/srv/gone", "w") as f:
            f.write("x")
        return
    with open("/srv/disk/note") as f:
        suite.check("what boot 1 wrote to the disk is there", f.read() == "from boot 1")
    suite.check("with its attributes", os.getxattr("/srv/disk/note", "trusted.mailward-test") == b"kept")
    suite.check("what it wrote elsewhere is gone", not os.path.exists("/srv/gone"))


suite.main()
