// SPDX-License-Identifier: GPL-2.0-only
#include "children.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"

#define OUT_OF_THE_WAY 64 /* above every number that a child finds its descriptors at */

/* A child inherits no variable: LD_PRELOAD and the like are nobody's business here. */
static char *const environment[] = {(char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", (char *)"LC_ALL=C.UTF-8",
#if defined(__SANITIZE_ADDRESS__)
				    (char *)"ASAN_OPTIONS=detect_leaks=0",
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
				    (char *)"ASAN_OPTIONS=detect_leaks=0",
#endif
#endif
				    NULL};

static _Noreturn void give_up(void)
{
	_exit(127);
}

/* Everything that is to stay, at its number; everything else closed at exec. */
static void place_descriptors(const struct child_plan *plan, int leash, int *executable)
{
	int moved[FD_START_END];

	*executable = fcntl(plan->executable, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
	if (*executable < 0)
		give_up();
	for (int i = FD_LEASH; i < FD_START_END; i++) {
		int fd = i == FD_LEASH ? leash : plan->fds[i];
		moved[i] = -1;
		if (i == plan->directory_number && plan->directory) {
			int opened = open(plan->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			fd = opened >= 0 ? opened : fd;
		}
		if (fd >= 0)
			moved[i] = fcntl(fd, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
		if (fd >= 0 && moved[i] < 0)
			give_up();
	}
	if (dup2(plan->null_fd, STDIN_FILENO) < 0 || dup2(plan->null_fd, STDOUT_FILENO) < 0 ||
	    dup2(plan->error_fd, STDERR_FILENO) < 0)
		give_up();
	for (int i = FD_LEASH; i < FD_START_END; i++) {
		if (moved[i] < 0)
			close(i);
		else if (dup2(moved[i], i) < 0)
			give_up();
	}
	if (syscall(SYS_close_range, FD_START_END, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		give_up();
}

static void set_limits(const struct child_plan *plan)
{
	struct rlimit none = {0, 0}, unlimited = {RLIM_INFINITY, RLIM_INFINITY}, nofile = {plan->nofile, plan->nofile};

	setrlimit(RLIMIT_CORE, &none);
	if (plan->nofile && setrlimit(RLIMIT_NOFILE, &nofile) < 0)
		give_up();
	if (plan->unlimited_memlock)
		setrlimit(RLIMIT_MEMLOCK, &unlimited);
}

/* Ours, -1000, was inherited; a part that has no waiters may be chosen. */
static void allow_oom_killer(void)
{
	int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (file >= 0 && write(file, "0", 1) < 0)
		errno = 0;
	if (file >= 0)
		close(file);
}

static void set_identity(const struct child_plan *plan)
{
	if (plan->uid == 0)
		return;
	allow_oom_killer();
	if (setgroups(0, NULL) < 0 || setresgid(plan->gid, plan->gid, plan->gid) < 0 ||
	    setresuid(plan->uid, plan->uid, plan->uid) < 0)
		give_up();
}

static void reset_signals(void)
{
	sigset_t none;

	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The keeper opens no path, so we open for it what tells a child that stands still from one that gets no processor. */
static void show_state(int leash)
{
	struct leash_frame frame = {.version = WIRE_VERSION, .kind = LEASH_STATE};
	int file = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);

	frame_send(leash, &frame, sizeof(frame), file);
	if (file >= 0)
		close(file);
}

static _Noreturn void become(const struct child_plan *plan, int leash, int go, pid_t keeper)
{
	int executable;
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != keeper || read(go, &byte, 1) != 1)
		give_up();
	if (plan->shows_state)
		show_state(leash);
	place_descriptors(plan, leash, &executable);
	set_limits(plan);
	set_identity(plan);
	reset_signals();
	fexecve(executable, (char *const *)plan->argv, environment);
	give_up();
}

int child_start(struct child *child, const struct child_plan *plan)
{
	pid_t keeper = getpid();
	int leash[2], go[2], error;
	pid_t pid;

	error = frame_pair(leash);
	if (error)
		return error;
	if (pipe2(go, O_CLOEXEC) < 0) {
		error = -errno;
		close(leash[0]);
		close(leash[1]);
		return error;
	}
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		become(plan, leash[1], go[0], keeper);
	}
	error = pid < 0 ? -errno : 0;
	close(leash[1]);
	close(go[0]);
	if (error) {
		close(leash[0]);
		close(go[1]);
		return error;
	}
	*child = (struct child){.pid = pid, .leash = leash[0], .go = go[1], .state = -1};
	return 0;
}

void child_go(struct child *child)
{
	/* An empty pipe takes one byte without waiting; a child that has gone is noticed by its leash. */
	if (write(child->go, "g", 1) < 0)
		errno = 0;
	close(child->go);
	child->go = -1;
}

bool child_is_runnable(const struct child *child, uint64_t *cpu_ns_out)
{
	char text[128]; /* "pid (name) state ...", proc(5): 10 + 2 + 15 + 4 */
	struct timespec used;
	clockid_t clock;
	ssize_t size = child->state < 0 ? -1 : pread(child->state, text, sizeof(text) - 1, 0);
	const char *name_end;

	if (size <= 0 || clock_getcpuclockid(child->pid, &clock) != 0 || clock_gettime(clock, &used) < 0)
		return false;
	*cpu_ns_out = (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
	text[size] = 0;
	name_end = strrchr(text, ')');
	return name_end && strncmp(name_end, ") R ", 4) == 0;
}

void child_forget(struct child *child)
{
	if (child->leash >= 0)
		close(child->leash);
	if (child->go >= 0)
		close(child->go);
	if (child->state >= 0)
		close(child->state);
	*child = (struct child){.pid = 0, .leash = -1, .go = -1, .state = -1};
}
