// SPDX-License-Identifier: GPL-2.0-only
#include "trial.h"

#include <cap-ng.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "judge.h"
#include "loop.h"

#define GRACE_NS 2000000000u /* between the signal that it may say its last word at and SIGKILL */
#define DESCRIPTORS 256
#define STACK (64 << 10)

/* ---- in the child ---- */

static struct trial_page *page_of_child;
static char folder_path[4096];

static size_t append(char *out, size_t at, size_t size, const char *text)
{
	while (*text && at + 1 < size)
		out[at++] = *text++;
	out[at] = 0;
	return at;
}

/* The file of the folder that is open: nothing is called here that may not be called in a signal handler. */
static void file_note(void)
{
	size_t length = strlen(folder_path);
	char link[4096], path[64], digits[8];

	for (int fd = 3; length && fd < DESCRIPTORS; fd++) {
		size_t count = sizeof(digits) - 1, rest = (size_t)fd;
		ssize_t got;
		digits[count] = 0;
		for (; rest; rest /= 10)
			digits[--count] = (char)('0' + rest % 10);
		append(path, append(path, 0, sizeof(path), "/proc/self/fd/"), sizeof(path), digits + count);
		got = readlink(path, link, sizeof(link) - 1);
		if (got <= (ssize_t)length)
			continue;
		link[got] = 0;
		if (memcmp(link, folder_path, length) == 0 && link[length] == '/' && link[length + 1])
			append(page_of_child->file, 0, sizeof(page_of_child->file), link + length + 1);
	}
}

static void last_word(int number)
{
	file_note();
	signal(number, SIG_DFL);
	raise(number);
}

static void handlers_set(void)
{
	static const int deadly[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGSYS, SIGXCPU, SIGTERM};
	static char stack[STACK]; /* one of its own: where the other one is used up, this is left */
	stack_t other = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction action = {.sa_handler = last_word, .sa_flags = SA_ONSTACK | SA_NODEFER};
	sigset_t none;

	sigaltstack(&other, NULL);
	for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
		sigaction(deadly[i], &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static uint64_t data_bytes(void)
{
	unsigned long long data = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (file && fscanf(file, "%*u %*u %*u %*u %*u %llu", &data) != 1)
		data = 0;
	if (file)
		fclose(file);
	return data * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void limit(int which, uint64_t soft, uint64_t hard)
{
	struct rlimit value = {soft, hard};

	setrlimit(which, &value);
}

static bool child_enter(const struct trial_limits *limits, int folder, pid_t parent)
{
	char link[32];
	ssize_t length;

	prctl(PR_SET_NAME, "mailward-trial", 0, 0, 0);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", folder);
	length = readlink(link, folder_path, sizeof(folder_path) - 1);
	folder_path[length > 0 ? length : 0] = 0;
	/* The keeper and the gate must not take it for somebody who still holds their sockets. */
	close_range(3, (unsigned)limits->keep[0] - 1, 0);
	if (limits->keep[1] > limits->keep[0] + 1)
		close_range((unsigned)limits->keep[0] + 1, (unsigned)limits->keep[1] - 1, 0);
	close_range((unsigned)limits->keep[1] + 1, ~0u, 0);
	capng_clear(CAPNG_SELECT_CAPS);
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		return false;
	setpriority(PRIO_PROCESS, 0, limits->nice);
	limit(RLIMIT_CORE, 0, 0);
	limit(RLIMIT_CPU, limits->cpu_s, limits->cpu_s + 1);
	if (limits->memory != UINT64_MAX)
		limit(RLIMIT_DATA, data_bytes() + limits->memory, data_bytes() + limits->memory);
	handlers_set();
	return true;
}

/* ---- in the parent ---- */

int trial_begin(struct trial *trial, const struct trial_limits *limits, int folder,
		void (*work)(void *owner, struct trial_page *page), void *owner)
{
	pid_t parent = getpid();

	if (trial->pid)
		return -EBUSY;
	if (!trial->page) {
		void *page =
			mmap(NULL, sizeof(*trial->page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (page == MAP_FAILED)
			return -errno;
		trial->page = page;
	}
	memset(trial->page, 0, sizeof(*trial->page));
	trial->why[0] = 0;
	trial->late = false;
	trial->killed_ns = 0;
	trial->until_ns = now_ns() + limits->wall_ns;
	trial->pid = fork();
	if (trial->pid == 0) {
		page_of_child = trial->page;
		if (child_enter(limits, folder, parent))
			work(owner, page_of_child);
		_exit(0);
	}
	if (trial->pid > 0)
		return 0;
	trial->pid = 0;
	return -errno;
}

bool trial_ended(struct trial *trial, pid_t pid, int status)
{
	char file[TRIAL_TEXT], how[64];

	if (!trial->pid || pid != trial->pid)
		return false;
	trial->pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	trial->page->well = false;
	trial->page->file[TRIAL_TEXT - 1] = 0;
	text_printable(file, sizeof(file), trial->page->file);
	if (trial->late || (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU))
		snprintf(how, sizeof(how), "takes too long");
	else if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "crashes (signal %d)", WTERMSIG(status));
	else
		snprintf(how, sizeof(how), "ends (exit code %d)", WEXITSTATUS(status));
	if (file[0])
		snprintf(trial->why, sizeof(trial->why), "libclamav %s while it loads %.150s", how, file);
	else
		snprintf(trial->why, sizeof(trial->why), "libclamav %s with these definitions", how);
	return true;
}

void trial_turn(struct trial *trial, uint64_t now)
{
	if (!trial->pid)
		return;
	if (!trial->late && now > trial->until_ns) {
		trial->late = true;
		trial->killed_ns = now;
		kill(trial->pid, SIGTERM);
	} else if (trial->killed_ns && now - trial->killed_ns > GRACE_NS) {
		kill(trial->pid, SIGKILL);
	}
}

void trial_drop(struct trial *trial)
{
	if (trial->pid)
		kill(trial->pid, SIGKILL);
}
