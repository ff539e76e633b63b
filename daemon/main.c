// SPDX-License-Identifier: GPL-2.0-only
/* One executable for all processes but the scanner's. The keeper starts the others under names of their own. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach.h"
#include "gate.h"
#include "keeper.h"
#include "log.h"
#include "policy_reader.h"
#include "recorder.h"
#include "selftest.h"
#include "steward_process.h"
#include "wire.h"

static const char usage[] =
	"usage: mailwardd [--config FILE] [--runtime-dir DIR] [--state-dir DIR] [--definitions DIR] [--foreground]\n"
	"       mailwardd --release | --version | --help\n"
	"\n"
	"  --config FILE      policy (/etc/mailward/mailward.conf)\n"
	"  --runtime-dir DIR  sockets and lock (/run/mailward)\n"
	"  --state-dir DIR    history (/var/lib/mailward)\n"
	"  --definitions DIR  ClamAV's definitions (/var/lib/clamav)\n"
	"  --foreground       stay in the foreground, as a service manager wants it\n"
	"  --release          detach what an earlier run left attached in the kernel\n"
	"mailwardd(8) has more.\n";

enum option_value {
	OPTION_CONFIG = 1,
	OPTION_RUNTIME,
	OPTION_STATE,
	OPTION_DEFINITIONS,
	OPTION_FOREGROUND,
	OPTION_RELEASE,
	OPTION_VERSION,
	OPTION_HELP
};

struct command {
	struct keeper_options keeper;
	bool foreground, done;
	int code; /* where done */
};

/* The keeper works in "/", so paths are made absolute here. */
static const char *absolute(const char *path)
{
	char here[PATH_MAX], *whole;

	if (path[0] == '/' || !getcwd(here, sizeof(here)))
		return path;
	if (asprintf(&whole, "%s/%s", here, path) < 0)
		return path;
	return whole;
}

static void finish(struct command *command, int code)
{
	command->done = true;
	command->code = code;
}

/* Works without a daemon, and not while one lives: it would go on as if its kernel side were there. */
static int release(void)
{
	uint32_t count = 0;
	int error = attach_release(&count);

	if (error == -EBUSY)
		fputs("mailwardd: a running mailwardd uses what is attached: stop it first, then release\n", stderr);
	else if (error == -EPERM && geteuid() != 0)
		fputs("mailwardd: --release takes root\n", stderr);
	else if (error)
		fprintf(stderr, "mailwardd: can't release: %s\n", strerror(-error));
	else if (count == 0)
		puts("mailwardd: nothing to release: no program of mailward is attached to the kernel");
	else
		printf("mailwardd: released: %u programs were attached to the kernel and are detached; nothing is "
		       "guarded "
		       "now\n",
		       count);
	return error ? 2 : 0;
}

static void option_taken(struct command *command, int option)
{
	switch (option) {
	case OPTION_CONFIG:
		command->keeper.config = absolute(optarg);
		break;
	case OPTION_RUNTIME:
		command->keeper.runtime = absolute(optarg);
		break;
	case OPTION_STATE:
		command->keeper.state = absolute(optarg);
		break;
	case OPTION_DEFINITIONS:
		command->keeper.definitions = absolute(optarg);
		break;
	case OPTION_FOREGROUND:
		command->foreground = true;
		break;
	case OPTION_RELEASE:
		finish(command, release());
		break;
	case OPTION_VERSION:
		puts("mailwardd " MAILWARD_VERSION);
		finish(command, 0);
		break;
	case OPTION_HELP:
		fputs(usage, stdout);
		finish(command, 0);
		break;
	default:
		fputs(usage, stderr);
		finish(command, 2);
		break;
	}
}

static void options_read(struct command *command, int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, OPTION_CONFIG},
						{"runtime-dir", required_argument, NULL, OPTION_RUNTIME},
						{"state-dir", required_argument, NULL, OPTION_STATE},
						{"definitions", required_argument, NULL, OPTION_DEFINITIONS},
						{"foreground", no_argument, NULL, OPTION_FOREGROUND},
						{"release", no_argument, NULL, OPTION_RELEASE},
						{"version", no_argument, NULL, OPTION_VERSION},
						{"help", no_argument, NULL, OPTION_HELP},
						{NULL, 0, NULL, 0}};
	int option;

	*command = (struct command){.keeper = {.config = "/etc/mailward/mailward.conf",
					       .runtime = "/run/mailward",
					       .state = "/var/lib/mailward",
					       .definitions = "/var/lib/clamav",
					       .ready_fd = -1}};
	while (!command->done && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
		option_taken(command, option);
	if (!command->done && optind < argc) {
		fprintf(stderr, "mailwardd: what is %s?\n%s", argv[optind], usage);
		finish(command, 2);
	}
}

/* In the process that was started: 0 when the daemon says that it is ready, else the code it ended with. */
static _Noreturn void wait_for_daemon(int ready)
{
	unsigned char code = 1;
	ssize_t got;

	do
		got = read(ready, &code, 1);
	while (got < 0 && errno == EINTR);
	_exit(got == 1 ? code : 1);
}

/* Forks twice, so that the daemon has no terminal and never gets one. Returns in the daemon. */
static bool go_to_background(struct keeper_options *keeper)
{
	int ready[2], null;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		return false;
	if (pid > 0) {
		close(ready[1]);
		wait_for_daemon(ready[0]);
	}
	close(ready[0]);
	if (setsid() < 0 || (pid = fork()) < 0)
		return false;
	if (pid > 0)
		_exit(0);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		return false;
	close(null);
	keeper->ready_fd = ready[1];
	return true;
}

/* A part found the descriptors that only the keeper hands out? */
static bool started_by_keeper(void)
{
	struct stat status;

	return fstat(FD_LEASH, &status) == 0 && S_ISSOCK(status.st_mode);
}

static int part_run(const char *name, int argc, char **argv)
{
	if (!started_by_keeper()) {
		fprintf(stderr, "mailwardd: %s is started by mailwardd, never by hand\n", name);
		return 2;
	}
	if (strcmp(name, "mailward-gate") == 0)
		return gate_run();
	if (strcmp(name, "mailward-recorder") == 0)
		return recorder_run();
	if (strcmp(name, "mailward-policy") == 0)
		return policy_reader_run(argc, argv);
	if (strcmp(name, "mailward-steward") == 0)
		return steward_run();
	if (strcmp(name, "mailward-selftest") == 0)
		return selftest_run();
	fprintf(stderr, "mailwardd: there is no part called %s\n", name);
	return 2;
}

/* Nothing that is opened later may take the place of a standard stream that was closed. */
static void standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct command command;

	if (argc > 0 && strncmp(argv[0], "mailward-", strlen("mailward-")) == 0)
		return part_run(argv[0], argc, argv);
	standard_streams();
	log_open("mailwardd");
	options_read(&command, argc, argv);
	if (command.done)
		return command.code;
	if (!command.foreground && !go_to_background(&command.keeper)) {
		log_line("can't go to the background: %s", strerror(errno));
		return 1;
	}
	return keeper_run(&command.keeper);
}
