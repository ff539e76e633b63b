// SPDX-License-Identifier: GPL-2.0-only
/*
 * One watch after the other; in each a canary, then a clean file of the same making. The unprivileged child opens them
 * by a descriptor that was taken with O_PATH, so that no folder's permissions are in the way; what is executed is no
 * program, so that a guard that fails runs nothing (ENOEXEC says that it would have).
 */
#include "selftest.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attach.h"
#include "bait.h"
#include "frame.h"
#include "loop.h"
#include "policy_roots.h"

#define SECOND 1000000000ull
#define PATIENCE_NS                                                                                                    \
	(5 * SECOND) /* for one answer, whatever the deadline is; and for an answer to become the right one */
#define SHORT_NS SECOND
#define PAUSE_MS 100
#define NO_ANSWER (-ETIMEDOUT)
#define TOLD_TO_END (-ECANCELED)

enum way { WAY_OPEN, WAY_EXEC };

/* What is being found out about one watch. */
struct finding {
	enum canary open, exec;
	bool replaced; /* its folder is not the watch's any more */
	char text[160];
};

struct selftest {
	bool definitions, has_canary;
	unsigned char canary[BAIT_CANARY];
	bool ended;         /* the keeper said so, or has gone */
	bool scanners_hang; /* an answer did not come: nobody waits that long for the next one */
};

static struct policy
	*table; /* half a megabyte: static arrays are locked into the keeper's memory, the same program's */
static struct policy_roots roots;
static volatile sig_atomic_t signalled;

/* ---- the keeper ---- */

static void tell(enum leash_kind kind, uint64_t value, uint32_t watch, const struct finding *finding)
{
	struct leash_frame frame = {.version = WIRE_VERSION, .kind = kind, .value = value, .watch = watch};
	struct pollfd leash = {.fd = FD_LEASH, .events = POLLOUT};

	if (finding) {
		frame.counts[0] = finding->open;
		frame.counts[1] = finding->exec;
		frame.counts[2] = finding->replaced;
		snprintf(frame.text, sizeof(frame.text), "%s", finding->text);
	}
	while (frame_send(FD_LEASH, &frame, sizeof(frame), -1) == -EAGAIN)
		poll(&leash, 1, 50);
}

/* Anything but a stop or its end is not for us. */
static void hear_keeper(struct selftest *selftest)
{
	struct leash_frame frame;
	int fd = -1, error = frame_receive(FD_LEASH, &frame, sizeof(frame), &fd);

	if (fd >= 0)
		close(fd);
	if (error != -EAGAIN && (error < 0 || frame.kind == LEASH_STOP))
		selftest->ended = true;
}

static void on_signal(int number)
{
	signalled = number;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_canary(struct selftest *selftest, const char *text)
{
	for (size_t i = 0; i < BAIT_CANARY; i++) {
		int high = hex_digit(text[2 * i]), low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
		if (low < 0)
			return false;
		selftest->canary[i] = (unsigned char)(high << 4 | low);
	}
	return text[(size_t)2 * BAIT_CANARY] == 0;
}

/* The first frame: the canary, and whether there are definitions at all. */
static int take_orders(struct selftest *selftest)
{
	struct pollfd leash = {.fd = FD_LEASH, .events = POLLIN};
	struct leash_frame frame;
	int fd = -1, error;

	poll(&leash, 1, 2000);
	error = frame_receive(FD_LEASH, &frame, sizeof(frame), &fd);
	if (fd >= 0)
		close(fd);
	if (error)
		return error;
	if (frame.version != WIRE_VERSION || frame.kind != LEASH_CANARY)
		return -EPROTO;
	frame.text[LEASH_TEXT - 1] = 0;
	selftest->definitions = frame.counts[0] != 0;
	selftest->has_canary = take_canary(selftest, frame.text);
	return 0;
}

static int take_table(void)
{
	ssize_t got;

	table = calloc(1, sizeof(*table));
	got = table ? pread(FD_POLICY, table, sizeof(*table), 0) : -1;

	if (got < 0)
		return -errno;
	return (size_t)got == sizeof(*table) && policy_is_sound(table) && table->scanner.worker_uid ? 0 : -EBADMSG;
}

/* ---- the unprivileged child ---- */

/* Never returns: the exit code is the errno, 0 where it went through. A reader's first byte counts, not the open alone:
 * in full mode a read is refused by itself. */
static _Noreturn void child_main(int file, enum way way, int go)
{
	char link[32], byte, *const argv[] = {(char *)"mailward-canary", NULL};
	int fd;

	if (setgroups(0, NULL) < 0 ||
	    setresgid(table->scanner.worker_gid, table->scanner.worker_gid, table->scanner.worker_gid) < 0 ||
	    setresuid(table->scanner.worker_uid, table->scanner.worker_uid, table->scanner.worker_uid) < 0)
		_exit(ENOSYS);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (read(go, &byte, 1) != 1)
		_exit(ENOSYS);
	if (way == WAY_EXEC) {
		syscall(SYS_execveat, file, "", argv, argv + 1, AT_EMPTY_PATH);
		_exit(errno & 0xff);
	}
	snprintf(link, sizeof(link), "self/fd/%d", file);
	fd = openat(FD_PROC, link, O_RDONLY | O_CLOEXEC);
	_exit(fd < 0 || read(fd, &byte, 1) < 0 ? errno & 0xff : 0);
}

/* It has inherited that it is one of us, whom the kernel side lets through. */
static int make_ordinary(pid_t pid)
{
	const struct hook_label nobody = {0};
	struct attached hooks = {.mode = ATTACH_LABELS};
	int pidfd, error;

	if (fcntl(FD_HOOKS + HOOK_LABELS, F_GETFD) < 0)
		return 0;
	for (int i = 0; i < HOOK_MAPS; i++)
		hooks.maps[i] = -1;
	hooks.maps[HOOK_LABELS] = FD_HOOKS + HOOK_LABELS;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return -errno;
	error = attach_label(&hooks, pidfd, &nobody);
	close(pidfd);
	return error;
}

/* Until the child has ended, the keeper wants an end, or the time is up; then it is killed. */
static int child_wait(struct selftest *selftest, pid_t pid, uint64_t until)
{
	struct pollfd ends[2] = {{.events = POLLIN}, {.fd = FD_LEASH, .events = POLLIN}};
	int status = 0, result = 0;
	uint64_t now;

	ends[0].fd = (int)syscall(SYS_pidfd_open, pid, 0);
	while (!result && ends[0].fd >= 0) {
		now = now_ns();
		if (signalled || selftest->ended)
			result = TOLD_TO_END;
		else if (now >= until)
			result = NO_ANSWER;
		else if (poll(ends, 2, (int)((until - now) / 1000000) + 1) > 0 && ends[0].revents)
			break;
		if (ends[1].revents)
			hear_keeper(selftest);
	}
	if (result || ends[0].fd < 0)
		kill(pid, SIGKILL);
	if (ends[0].fd >= 0)
		close(ends[0].fd);
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	if (result)
		return result;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}

/* The errno that an unprivileged user gets, 0: it went through; or NO_ANSWER, TOLD_TO_END, another -errno. */
static int attempt(struct selftest *selftest, int file, enum way way)
{
	int go[2], result = 0;
	pid_t pid;

	if (signalled || selftest->ended) /* what lies about is to be removed now */
		return TOLD_TO_END;
	if (pipe2(go, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		child_main(file, way, go[0]);
	}
	if (pid < 0)
		result = -errno;
	close(go[0]);
	if (!result)
		result = make_ordinary(pid);
	if (!result && write(go[1], "g", 1) != 1)
		result = -errno;
	close(go[1]); /* where it was not told to go, it ends */
	if (pid < 0 || result) {
		if (pid > 0)
			waitpid(pid, NULL, 0);
		return result;
	}
	result = child_wait(selftest, pid, now_ns() + (selftest->scanners_hang ? SHORT_NS : PATIENCE_NS));
	selftest->scanners_hang = selftest->scanners_hang || result == NO_ANSWER;
	return result;
}

/* Again while the answer is `unwanted`: a deadline that passed is answered by on-timeout, and the next open finds the
 * verdict. */
static int attempt_patiently(struct selftest *selftest, int file, enum way way, int unwanted)
{
	struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000l};
	uint64_t until = now_ns() + PATIENCE_NS;
	int result = attempt(selftest, file, way);

	while (result == unwanted && now_ns() < until) {
		nanosleep(&pause, NULL);
		result = attempt(selftest, file, way);
	}
	return result;
}

/* ---- one watch ---- */

__attribute__((format(printf, 2, 3))) static void say(struct finding *finding, const char *format, ...)
{
	size_t used = strlen(finding->text);
	va_list arguments;

	if (used)
		used += (size_t)snprintf(finding->text + used, sizeof(finding->text) - used, "; ");
	if (used >= sizeof(finding->text))
		return;
	va_start(arguments, format);
	vsnprintf(finding->text + used, sizeof(finding->text) - used, format, arguments);
	va_end(arguments);
}

static enum canary not_possible(struct finding *finding, const char *what, int error)
{
	if (error == NO_ANSWER)
		say(finding, "%s: no answer", what);
	else if (error != TOLD_TO_END)
		say(finding, "%s: %s", what, strerror(error < 0 ? -error : error));
	return CANARY_NOT_POSSIBLE;
}

/* through: what the attempt comes back with where nobody refuses. */
static enum canary judge_refusal(struct finding *finding, const char *what, int error, int through)
{
	if (error == EPERM)
		return CANARY_BLOCKED;
	if (error != through)
		return not_possible(finding, what, error);
	say(finding, "%s went through", what);
	return CANARY_NOT_BLOCKED;
}

static void judge_passage(struct finding *finding, enum canary *canary, const char *what, int error, int through)
{
	if (error == through || *canary != CANARY_BLOCKED)
		return;
	*canary = CANARY_NOT_POSSIBLE;
	if (error == EPERM)
		say(finding, "%s is refused too, so nothing is told apart", what);
	else
		not_possible(finding, what, error);
}

static bool is_allowed(const struct policy_watch *watch, enum policy_case which)
{
	return watch->actions[which].answer == ANSWER_ALLOW;
}

static void test_canary(struct selftest *selftest, const struct policy_watch *watch, int file, bool exec,
			struct finding *finding)
{
	int unwanted = is_allowed(watch, CASE_TIMEOUT) ? 0 : INT32_MIN;
	const char *of = selftest->definitions ? "the canary" : "a file";
	char what[64];

	snprintf(what, sizeof(what), "an open of %s", of);
	finding->open = judge_refusal(finding, what, attempt_patiently(selftest, file, WAY_OPEN, unwanted), 0);
	if (!exec)
		return;
	unwanted = unwanted ? unwanted : ENOEXEC;
	snprintf(what, sizeof(what), "an exec of %s", of);
	finding->exec = judge_refusal(finding, what, attempt_patiently(selftest, file, WAY_EXEC, unwanted), ENOEXEC);
}

static void test_clean(struct selftest *selftest, const struct policy_watch *watch, int file, bool exec,
		       struct finding *finding)
{
	judge_passage(finding, &finding->open, "an open of a clean file",
		      attempt_patiently(selftest, file, WAY_OPEN, EPERM), 0);
	if (!exec)
		return;
	if (watch->exec_never && finding->exec == CANARY_BLOCKED)
		finding->exec = judge_refusal(finding, "exec = never: an exec of a clean file",
					      attempt(selftest, file, WAY_EXEC), ENOEXEC);
	else if (!watch->exec_never)
		judge_passage(finding, &finding->exec, "an exec of a clean file",
			      attempt_patiently(selftest, file, WAY_EXEC, EPERM), ENOEXEC);
}

/* Makes a file, lets it be tried, removes it. */
static void with_file(struct selftest *selftest, const struct policy_watch *watch, int folder, bool infected, bool exec,
		      struct finding *finding)
{
	struct bait bait;
	int error = bait_make(&bait, folder, selftest->canary, infected, watch->origin_mail);

	if (error) {
		finding->open = finding->exec = not_possible(finding, "a file cannot be made there", error);
		return;
	}
	if (infected)
		test_canary(selftest, watch, bait.fd, exec, finding);
	else
		test_clean(selftest, watch, bait.fd, exec, finding);
	bait_remove(&bait);
}

/* Every file is unscanned (no-definitions): what on-error says is all that can be seen. */
static void test_without_definitions(struct selftest *selftest, const struct policy_watch *watch, int folder, bool exec,
				     struct finding *finding)
{
	if (is_allowed(watch, CASE_ERROR)) {
		finding->open = finding->exec = CANARY_NOT_POSSIBLE;
		say(finding, "no definitions, and on-error = allow lets every file go");
		return;
	}
	say(finding, "no definitions: refused by on-error, as every file is");
	with_file(selftest, watch, folder, true, exec, finding);
}

/* Why nobody expects a refusal; NULL: it is expected. */
static const char *not_applicable(const struct policy_watch *watch)
{
	if (watch->mode == MODE_OFF)
		return "mode = off";
	if (watch->mode == MODE_OBSERVE)
		return "mode = observe never refuses";
	if (!store_may_hold((enum store)watch->store))
		return "a store of this kind is never refused";
	if (is_allowed(watch, CASE_INFECTED))
		return "on-infected = report lets it go";
	return NULL;
}

/* The watch's own folder; -1: it has none now. */
static int folder_of(uint32_t index)
{
	for (size_t i = 0; i < roots.count; i++)
		if (roots.list[i].watch == index)
			return roots.list[i].fd;
	return -1;
}

/* Whatever was found in a folder that was moved away meanwhile says nothing of the watch. */
static void test_folder(struct selftest *selftest, const struct policy_watch *watch, int folder, bool exec,
			struct finding *finding)
{
	if (!exec)
		say(finding, "nothing can be executed there (noexec)");
	if (!selftest->definitions) {
		test_without_definitions(selftest, watch, folder, exec, finding);
	} else {
		with_file(selftest, watch, folder, true, exec, finding);
		if (!selftest->ended && !signalled &&
		    (finding->open == CANARY_BLOCKED || finding->exec == CANARY_BLOCKED))
			with_file(selftest, watch, folder, false, exec, finding);
	}
	if (policy_root_stands(watch, folder))
		return;
	*finding = (struct finding){.open = CANARY_NOT_POSSIBLE, .exec = CANARY_NOT_POSSIBLE, .replaced = true};
	say(finding, "its folder was replaced while it was tested");
}

static void test_watch(struct selftest *selftest, uint32_t index, struct finding *finding)
{
	const struct policy_watch *watch = &table->watches[index];
	const char *why = not_applicable(watch);
	int folder = folder_of(index);
	bool exec = folder >= 0 && bait_may_run(folder);

	*finding = (struct finding){.open = CANARY_NOT_APPLICABLE, .exec = CANARY_NOT_APPLICABLE};
	if (why) {
		say(finding, "%s", why);
		return;
	}
	if (folder >= 0)
		bait_sweep(folder);
	if (folder < 0 || (selftest->definitions && !selftest->has_canary)) {
		finding->open = finding->exec = CANARY_NOT_POSSIBLE;
		say(finding, "%s",
		    folder >= 0           ? "the scanner has named no canary"
		    : roots.why[index][0] ? roots.why[index]
					  : "its folder does not exist");
		return;
	}
	test_folder(selftest, watch, folder, exec, finding);
}

static enum canary worst(const struct finding *finding)
{
	if (finding->open == CANARY_NOT_BLOCKED || finding->exec == CANARY_NOT_BLOCKED)
		return CANARY_NOT_BLOCKED;
	if (finding->open == CANARY_NOT_POSSIBLE || finding->exec == CANARY_NOT_POSSIBLE)
		return CANARY_NOT_POSSIBLE;
	return finding->open;
}

/* ---- the process ---- */

static void take_signals(void)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal};

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaction(numbers[i], &action, NULL);
}

int selftest_run(void)
{
	struct selftest selftest = {0};
	struct finding finding;
	struct mounts mounts;

	/* Not killed with the keeper: the end of the leash is seen, and what lies about is removed first. */
	prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
	take_signals();
	umask(077);
	if (take_orders(&selftest) < 0 || take_table() < 0 || host_mounts(&mounts) < 0)
		return 1;
	policy_roots_open(table, &mounts, &roots);
	mounts_free(&mounts);
	for (uint32_t i = 0; i < table->watch_count && !selftest.ended && !signalled; i++) {
		test_watch(&selftest, i, &finding);
		if (!selftest.ended && !signalled)
			tell(LEASH_TESTED, worst(&finding), i, &finding);
	}
	policy_roots_close(&roots);
	if (selftest.ended || signalled)
		return 1;
	tell(LEASH_TESTED_ALL, 0, 0, NULL);
	return 0;
}
