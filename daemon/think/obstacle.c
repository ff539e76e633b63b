// SPDX-License-Identifier: GPL-2.0-only
#include "obstacle.h"

#include <stdio.h>
#include <string.h>

bool modules_have(const char *modules, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = modules; *at;) {
		size_t word = strcspn(at, ",\n");
		if (word == length && strncmp(at, name, length) == 0)
			return true;
		at += word;
		at += strspn(at, ",\n");
	}
	return false;
}

/* The list as it stands, and bpf at its end: the order of the others is kept, because the kernel asks in this order. */
static void not_active(const struct obstacle_facts *facts, char *why, size_t why_size, char *remedy, size_t remedy_size)
{
	int length = (int)strcspn(facts->modules, "\n");

	if (length == 0) {
		snprintf(why, why_size, "bpf is not one of this kernel's active security modules");
		snprintf(remedy, remedy_size,
			 "mount securityfs on /sys/kernel/security, then put lsm=<what its file lsm holds>,bpf on the "
			 "kernel command line and boot again");
	} else if (modules_have(facts->modules, "bpf")) {
		snprintf(why, why_size,
			 "bpf is among the active security modules, but the kernel (%s) does not call its programs",
			 facts->release);
		remedy[0] = 0;
	} else {
		snprintf(why, why_size, "bpf is not one of this kernel's active security modules (%.*s)", length,
			 facts->modules);
		snprintf(remedy, remedy_size, "put this on the kernel command line and boot again: lsm=%.*s,bpf",
			 length, facts->modules);
	}
}

void obstacle_text(enum obstacle obstacle, const struct obstacle_facts *facts, char *why, size_t why_size, char *remedy,
		   size_t remedy_size)
{
	const char *error = facts->error ? strerror(-facts->error) : "no error";

	why[0] = remedy[0] = 0;
	switch (obstacle) {
	case OBSTACLE_NONE:
	case OBSTACLES:
		return;
	case OBSTACLE_NO_BPF:
		snprintf(why, why_size, "this kernel (%s) has no bpf(2)", facts->release);
		snprintf(remedy, remedy_size, "boot a kernel that was built with CONFIG_BPF_SYSCALL=y");
		return;
	case OBSTACLE_NO_BTF:
		snprintf(why, why_size, "this kernel (%s) does not describe its types: no /sys/kernel/btf/vmlinux",
			 facts->release);
		snprintf(remedy, remedy_size, "boot a kernel that was built with CONFIG_DEBUG_INFO_BTF=y");
		return;
	case OBSTACLE_NOT_BUILT:
		snprintf(why, why_size, "this kernel (%s) has no BPF LSM", facts->release);
		snprintf(remedy, remedy_size,
			 "boot a kernel that was built with CONFIG_BPF_LSM=y, and with bpf in lsm=");
		return;
	case OBSTACLE_NOT_ACTIVE:
		not_active(facts, why, why_size, remedy, remedy_size);
		return;
	case OBSTACLE_RIGHTS:
		snprintf(why, why_size, "mailwardd was not given CAP_BPF and CAP_PERFMON");
		snprintf(remedy, remedy_size,
			 "start it with CAP_BPF and CAP_PERFMON (CapabilityBoundingSet= in mailward.service has them)");
		return;
	case OBSTACLE_LOCKDOWN:
		snprintf(why, why_size, "the kernel is locked down for confidentiality, which forbids BPF programs");
		snprintf(remedy, remedy_size,
			 "boot without lockdown=confidentiality (lockdown=integrity does not forbid them)");
		return;
	case OBSTACLE_REFUSED:
		snprintf(why, why_size,
			 "the kernel (%s) refuses BPF LSM programs here (%s), though mailwardd has the capabilities",
			 facts->release, error);
		snprintf(remedy, remedy_size,
			 "run mailwardd on the host itself, outside of a container or sandbox that filters bpf(2)");
		return;
	case OBSTACLE_NO_PINS:
		snprintf(why, why_size, "nothing can be kept in the kernel: %s", facts->said);
		snprintf(remedy, remedy_size, "mount -t bpf -o mode=700 bpf /sys/fs/bpf");
		return;
	case OBSTACLE_BUSY:
		snprintf(why, why_size, "another mailwardd of this host has the kernel side");
		snprintf(remedy, remedy_size, "watch its paths with the same daemon, or stop the other one");
		return;
	case OBSTACLE_PROGRAM:
		snprintf(why, why_size, "on this kernel (%s): %s", facts->release,
			 facts->said[0] ? facts->said : error);
		snprintf(remedy, remedy_size, "report this line with the output of `mailward probe`");
		return;
	}
}
