// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel grants is asked for by name here; which system calls remain is in syscalls.c. */
#include "rights.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "syscalls.h"

#define STACK_RESERVE (512u << 10) /* a locked stack can't grow past RLIMIT_MEMLOCK, so it grows before */
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* Under AddressSanitizer memory is not locked: its shadow is terabytes. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

struct right {
	unsigned capability;
	const char *name;
};
#define RIGHT(name)                                                                                                    \
	{                                                                                                              \
		name, #name                                                                                            \
	}
static const struct right keeper_keeps[] = {RIGHT(CAP_KILL), RIGHT(CAP_SETUID), RIGHT(CAP_SETGID)};
static const struct right gate_keeps[] = {RIGHT(CAP_SYS_ADMIN), RIGHT(CAP_DAC_READ_SEARCH), RIGHT(CAP_LEASE),
					  RIGHT(CAP_SYS_PTRACE)};
/* Work for which nobody waits is put at the end of every line with it (edge/workers.c). A container may not have it. */
static const struct right gate_may_keep[] = {RIGHT(CAP_SYS_NICE)};
static const struct right steward_keeps[] = {RIGHT(CAP_SYS_ADMIN), RIGHT(CAP_DAC_OVERRIDE), RIGHT(CAP_DAC_READ_SEARCH),
					     RIGHT(CAP_CHOWN), RIGHT(CAP_FOWNER)};
/* BPF and PERFMON, which loading and attaching the kernel side takes, are the keeper's at its start alone
 * (edge/attach.c); neither it nor anybody it starts has them afterwards. Elements of a map are read and written by
 * whoever holds the map's descriptor; on kernels that ask for more there (unprivileged_bpf_disabled before 5.19)
 * CAP_SYS_ADMIN is enough. */
/* What gate, policy reader and loader start with, until each gives up the rest: the gate's own, what locks memory
 * (IPC_LOCK, SYS_RESOURCE), drops bounding sets (SETPCAP), goes first and last (SYS_NICE) and makes the workers' box or
 * moves files (the others). */
static const struct right others_need[] = {RIGHT(CAP_SYS_ADMIN),  RIGHT(CAP_DAC_READ_SEARCH), RIGHT(CAP_LEASE),
					   RIGHT(CAP_SYS_PTRACE), RIGHT(CAP_IPC_LOCK),        RIGHT(CAP_SYS_RESOURCE),
					   RIGHT(CAP_SETPCAP),    RIGHT(CAP_CHOWN),           RIGHT(CAP_DAC_OVERRIDE),
					   RIGHT(CAP_SYS_NICE),   RIGHT(CAP_FOWNER),          RIGHT(CAP_SYS_CHROOT)};

static char why[200];

const char *rights_why(void)
{
	return why;
}

__attribute__((format(printf, 2, 3))) static int failed(int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, sizeof(why), format, arguments);
	va_end(arguments);
	return error < 0 ? error : -EPERM;
}

/* Is each of them there to be kept? libcap-ng would only say that capset() failed. */
static int capabilities_present(const char *process, const struct right *list, size_t count)
{
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_get_caps_process() < 0)
		return failed(-EPERM, "can't read the capabilities of the %s", process);
	for (size_t i = 0; i < count; i++)
		if (!capng_have_capability(CAPNG_PERMITTED, list[i].capability))
			return failed(-EPERM, "the %s needs %s, which this service was not given", process,
				      list[i].name);
	return 0;
}

static void capabilities_add(capng_type_t sets, const struct right *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		capng_update(CAPNG_ADD, sets, list[i].capability);
}

static int capabilities_apply(const char *process, capng_select_t which)
{
	int error = capng_apply(which);

	/* Credentials that change make a process dumpable or not by the kernel's own rules. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return error ? failed(-EPERM, "the %s can't give up its capabilities (capng_apply: %d)", process, error) : 0;
}

/* A container may forbid this (it takes CAP_SYS_RESOURCE), which is no reason not to guard. */
static void never_chosen_by_oom_killer(void)
{
	int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (file < 0)
		return;
	if (write(file, "-1000", 5) < 0)
		errno = 0;
	close(file);
}

/* Each answer wakes all who wait, thousands at times; whoever answers must not stand in line behind them for his next
 * one. A kernel's real-time throttle (sched(7)) leaves the others their share whatever we do. Threads and children of
 * ours are ordinary again. Where it is forbidden, answers to very many take longer, and that is all. */
static void first_in_line(void)
{
	struct sched_param lowest = {.sched_priority = 1};

	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &lowest) < 0)
		errno = 0;
}

__attribute__((noinline)) static void stack_reserve(void)
{
	volatile char reserve[STACK_RESERVE];

	for (size_t i = 0; i < sizeof(reserve); i += 1024)
		reserve[i] = 0;
}

static int memory_lock(const char *process)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
	int flags = MCL_CURRENT;

	if (SANITIZED)
		return 0;
	setrlimit(RLIMIT_MEMLOCK, &limit); /* takes CAP_SYS_RESOURCE where the limit is lower */
	if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY)
		flags |= MCL_FUTURE;
	stack_reserve();
	if (mlockall(flags) < 0)
		return failed(-errno, "the %s can't lock its memory: %s", process, strerror(errno));
	return 0;
}

static int no_new_privileges(const char *process)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return failed(-errno, "no_new_privs of the %s: %s", process, strerror(errno));
	return 0;
}

int rights_keeper(void)
{
	int error = capabilities_present("keeper", keeper_keeps, COUNT(keeper_keeps));

	if (!error)
		error = capabilities_present("gate", gate_keeps, COUNT(gate_keeps));
	if (!error)
		error = capabilities_present("steward", steward_keeps, COUNT(steward_keeps));
	if (error)
		return error;
	never_chosen_by_oom_killer();
	first_in_line();
	error = memory_lock("keeper");
	if (error)
		return error;
	capng_clear(CAPNG_SELECT_BOTH);
	capabilities_add(CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, keeper_keeps, COUNT(keeper_keeps));
	capabilities_add(CAPNG_BOUNDING_SET, others_need, COUNT(others_need));
	return capabilities_apply("keeper", CAPNG_SELECT_BOTH);
}

int rights_gate(void)
{
	pid_t keeper = getppid();
	int error = capabilities_present("gate", gate_keeps, COUNT(gate_keeps));
	bool nice;

	if (error)
		return error;
	never_chosen_by_oom_killer();
	first_in_line();
	error = memory_lock("gate");
	if (error)
		return error;
	nice = capabilities_present("gate", gate_may_keep, COUNT(gate_may_keep)) == 0;
	capng_clear(CAPNG_SELECT_BOTH);
	capabilities_add(CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, gate_keeps, COUNT(gate_keeps));
	if (nice)
		capabilities_add(CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, gate_may_keep,
				 COUNT(gate_may_keep));
	error = capabilities_apply("gate", CAPNG_SELECT_BOTH);
	if (error)
		return error;
	/* After the last change of credentials, which takes it back. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != keeper)
		return failed(-ESRCH, "the keeper has ended");
	error = no_new_privileges("gate");
	if (error)
		return error;
	error = syscalls_gate(SANITIZED);
	return error ? failed(error, "seccomp of the gate: %s", strerror(-error)) : 0;
}

int rights_recorder(void)
{
	int error;

	if (geteuid() == 0)
		return failed(-EPERM, "the recorder must not run as root");
	capng_clear(CAPNG_SELECT_CAPS);
	error = capabilities_apply("recorder", CAPNG_SELECT_CAPS);
	if (!error)
		error = no_new_privileges("recorder");
	if (error)
		return error;
	error = syscalls_recorder(SANITIZED);
	return error ? failed(error, "seccomp of the recorder: %s", strerror(-error)) : 0;
}

int rights_steward(void)
{
	pid_t keeper = getppid();
	int error = capabilities_present("steward", steward_keeps, COUNT(steward_keeps));

	if (error)
		return error;
	capng_clear(CAPNG_SELECT_BOTH);
	capabilities_add(CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, steward_keeps, COUNT(steward_keeps));
	error = capabilities_apply("steward", CAPNG_SELECT_BOTH);
	if (error)
		return error;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != keeper)
		return failed(-ESRCH, "the keeper has ended");
	error = no_new_privileges("steward");
	if (error)
		return error;
	error = syscalls_steward(SANITIZED);
	return error ? failed(error, "seccomp of the steward: %s", strerror(-error)) : 0;
}
