// SPDX-License-Identifier: GPL-2.0-only
#include "mailer.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "frame.h"
#include "loop.h"

#define SOCKET_AT 3
#define SEND_SECONDS 60
#define NAME_SECONDS 5
#define MAIL_MOST (4u << 20)

/* ---- the child ---- */

/* What it says goes into the log: one line of printable ASCII. */
static void note_line(char *why, size_t size, size_t *used, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count && *used + 1 < size; i++)
		why[(*used)++] = bytes[i] >= ' ' && bytes[i] <= '~' ? bytes[i] : ' ';
	why[*used] = 0;
}

static _Noreturn void become_sendmail(const struct mailer_job *job, const char *recipient, int mail, int output)
{
	static char *environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
	const char *slash = strrchr(job->command, '/');
	char *arguments[] = {
		(char *)(slash ? slash + 1 : job->command), "-oi", "-f", "<>", "--", (char *)recipient, NULL};

	setsid();
	alarm(SEND_SECONDS); /* kept over the exec: it ends even where we do not */
	signal(SIGPIPE, SIG_DFL);
	if (dup2(mail, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
		_exit(71);
	close_range(3, ~0u, 0);
	execve(job->command, arguments, environment);
	dprintf(STDERR_FILENO, "%s: %s", job->command, strerror(errno));
	_exit(127);
}

static void say_end(int status, const char *said, struct mailer_result *result)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		result->code = 0;
		return;
	}
	result->code = -EIO;
	if (WIFSIGNALED(status))
		snprintf(result->why, sizeof(result->why), "ended by signal %d: %.150s", WTERMSIG(status), said);
	else
		snprintf(result->why, sizeof(result->why), "exit code %d: %.150s", WEXITSTATUS(status), said);
}

/* Waits for it, within its time; takes what it says. */
static void wait_for(pid_t child, int output, struct mailer_result *result)
{
	uint64_t until = now_ns() + (SEND_SECONDS + 2) * 1000000000ull;
	char said[160] = "", bytes[256];
	size_t used = 0;
	int status = 0;
	bool open = true;

	while (waitpid(child, &status, WNOHANG) == 0) {
		struct pollfd ready[] = {{.fd = open ? output : -1, .events = POLLIN}, {.fd = SOCKET_AT}};
		poll(ready, 2, 100);
		if (ready[1].revents) { /* nobody is there any more who would hear of it */
			kill(-child, SIGKILL);
			_exit(0);
		}
		if (ready[0].revents) {
			ssize_t got = read(output, bytes, sizeof(bytes));
			open = got > 0;
			if (got > 0)
				note_line(said, sizeof(said), &used, bytes, (size_t)got);
		}
		if (now_ns() > until)
			kill(-child, SIGKILL);
	}
	for (ssize_t got = 1; open && got > 0;) {
		struct pollfd ready = {.fd = output, .events = POLLIN};
		got = poll(&ready, 1, 0) > 0 ? read(output, bytes, sizeof(bytes)) : 0;
		if (got > 0)
			note_line(said, sizeof(said), &used, bytes, (size_t)got);
	}
	say_end(status, said, result);
}

static bool name_is_good(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && name[0] != '-' &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.@_+=-") == length;
}

/* The mail with its To: in front, to be read from its beginning. */
static int whole_mail(int mail, const char *recipient)
{
	static char bytes[1 << 16];
	int whole = memfd_create("mail", MFD_CLOEXEC);
	size_t copied = 0;
	ssize_t got;

	if (whole < 0 || dprintf(whole, "To: %s\n", recipient) < 0)
		return -1;
	while ((got = pread(mail, bytes, sizeof(bytes), (off_t)copied)) > 0 && copied < MAIL_MOST) {
		if (write(whole, bytes, (size_t)got) != got)
			return -1;
		copied += (size_t)got;
	}
	lseek(whole, 0, SEEK_SET);
	return got < 0 ? -1 : whole;
}

static void deliver(const struct mailer_job *job, const char *recipient, int mail, struct mailer_result *result)
{
	int output[2], whole = whole_mail(mail, recipient);
	pid_t child = -1;

	if (whole >= 0 && pipe2(output, O_CLOEXEC) == 0) {
		child = fork();
		if (child == 0)
			become_sendmail(job, recipient, whole, output[1]);
		close(output[1]);
		if (child > 0)
			wait_for(child, output[0], result);
		close(output[0]);
	}
	if (child < 0) {
		result->code = -EAGAIN;
		snprintf(result->why, sizeof(result->why), "%s", strerror(errno));
	}
	if (whole >= 0)
		close(whole);
}

static _Noreturn void say_name(uint32_t uid, int output)
{
	const struct passwd *user;

	alarm(NAME_SECONDS + 1); /* where nobody is left to end us */
	errno = 0;
	user = getpwuid(uid);
	if (user)
		dprintf(output, "%s", user->pw_name);
	_exit(user ? 0 : errno == 0 || errno == ENOENT || errno == ESRCH ? 1 : 2);
}

/* By a process of its own: a directory of users may not answer for long, or ever. 0; -ENOENT: there is no such user;
 * -ETIMEDOUT; -EIO. */
static int name_find(uint32_t uid, char *name, size_t size)
{
	int output[2], status = 0;
	struct pollfd said;
	ssize_t got;
	pid_t child;

	if (pipe2(output, O_CLOEXEC) < 0)
		return -EIO;
	child = fork();
	if (child == 0)
		say_name(uid, output[1]);
	close(output[1]);
	said = (struct pollfd){.fd = output[0], .events = POLLIN};
	got = child < 0 || poll(&said, 1, NAME_SECONDS * 1000) <= 0 ? -1 : read(output[0], name, size - 1);
	close(output[0]);
	name[got > 0 ? got : 0] = 0;
	if (child < 0)
		return -EIO;
	if (got < 0)
		kill(child, SIGKILL);
	waitpid(child, &status, 0);
	if (got < 0)
		return -ETIMEDOUT;
	if (got > 0)
		return 0;
	return WIFEXITED(status) && WEXITSTATUS(status) == 1 ? -ENOENT : -EIO;
}

static void serve(struct mailer_job *job, int mail, struct mailer_result *result)
{
	*result = (struct mailer_result){.id = job->id, .code = -EINVAL};
	job->recipient[sizeof(job->recipient) - 1] = job->command[sizeof(job->command) - 1] = 0;
	if (job->uid != UINT32_MAX) {
		result->code = name_find(job->uid, job->recipient, sizeof(job->recipient));
		if (result->code < 0) {
			snprintf(result->why, sizeof(result->why), "the name of uid %u: %s", job->uid,
				 strerror(-result->code));
			return;
		}
		result->code = -EINVAL;
	}
	if (mail < 0 || job->command[0] != '/' || !name_is_good(job->recipient)) {
		snprintf(result->why, sizeof(result->why), "nobody can be told under this name");
		return;
	}
	deliver(job, job->recipient, mail, result);
}

static void serve_until_closed(void)
{
	static struct mailer_job job;
	struct mailer_result result;
	int mail, error;

	for (;;) {
		struct pollfd ready = {.fd = SOCKET_AT, .events = POLLIN};
		poll(&ready, 1, -1);
		mail = -1;
		error = frame_receive(SOCKET_AT, &job, sizeof(job), &mail);
		if (error == -EAGAIN)
			continue;
		if (error < 0)
			return;
		serve(&job, mail, &result);
		if (mail >= 0)
			close(mail);
		frame_send(SOCKET_AT, &result, sizeof(result), -1);
	}
}

/* The steward's, and the keeper's, is inherited: they are not chosen. */
static void allow_oom_killer(void)
{
	int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (file >= 0 && write(file, "0", 1) < 0)
		errno = 0;
	if (file >= 0)
		close(file);
}

static void become_mailer(int end, uint32_t fallback)
{
	const struct passwd *user = getpwnam("_mailward");
	struct rlimit files = {64, 64};
	uid_t uid = user && user->pw_uid ? user->pw_uid : fallback;
	gid_t gid = user && user->pw_uid ? user->pw_gid : fallback;
	sigset_t none;

	prctl(PR_SET_NAME, "mailward-mailer");
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	if (dup2(end, SOCKET_AT) < 0)
		_exit(1);
	close_range(SOCKET_AT + 1, ~0u, 0);
	allow_oom_killer();
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0 || chdir("/") < 0)
		_exit(1);
	setrlimit(RLIMIT_NOFILE, &files);
	serve_until_closed();
	_exit(0);
}

/* ---- the steward's side ---- */

int mailer_start(uint32_t fallback_uid)
{
	int ends[2], error = frame_pair(ends);
	pid_t child;

	if (error < 0)
		return error;
	child = fork();
	if (child == 0)
		become_mailer(ends[1], fallback_uid);
	error = errno;
	close(ends[1]);
	if (child < 0) {
		close(ends[0]);
		return -error;
	}
	return ends[0];
}

int mailer_send(int sock, const struct mailer_job *job, int mail)
{
	return frame_send(sock, job, sizeof(*job), mail);
}

int mailer_take(int sock, struct mailer_result *result_out)
{
	int fd = -1, error = frame_receive(sock, result_out, sizeof(*result_out), &fd);

	if (fd >= 0)
		close(fd);
	result_out->why[sizeof(result_out->why) - 1] = 0;
	return error;
}
