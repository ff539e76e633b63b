// SPDX-License-Identifier: GPL-2.0-only
/* The keeper's life: what it takes at start, the loop, the end. From keeper_rights() on it opens no path, never waits
 * and never allocates. */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "groups.h"
#include "keeper_parts.h"
#include "log.h"
#include "memory.h"
#include "pages.h"
#include "places.h"
#include "rights.h"
#include "ring.h"
#include "service.h"
#include "steward.h"
#include "verdict_file.h"

#define READY_TIME (30 * SECOND_NS)
#define STOP_GATE_TIME (700 * SECOND_NS / 1000)
#define STOP_ALL_TIME (1500 * SECOND_NS / 1000)
#define STOP_END_TIME (1900 * SECOND_NS / 1000)
#define TICK_MS 250
#define TICK_SHORT_MS 10
#define OWN_PAUSE (SECOND_NS) /* longer between two turns: the host slept, or we were stopped */
#define NOFILE_MOST NOTES_MAX
#define NOFILE_FEW 256

/* ---- what is taken at start; each says why it could not ---- */

static bool take_signals(struct keeper *keeper)
{
	sigset_t mask;
	int fd;

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0 || loop_add(&keeper->loop, &keeper->signals, fd, EPOLLIN) < 0) {
		log_line("not ready: signalfd: %s", strerror(errno));
		return false;
	}
	return true;
}

static bool is_root(struct keeper *keeper)
{
	(void)keeper;
	if (geteuid() == 0)
		return true;
	log_line("not ready: mailwardd must be started as root");
	return false;
}

/* The gate's limit is what we were given, and no more than it can note; never raised. */
static bool take_limits(struct keeper *keeper)
{
	struct rlimit limit;

	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* while a core file is written nobody is answered */
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return false;
	keeper->nofile = limit.rlim_max < NOFILE_MOST ? (unsigned)limit.rlim_max : NOFILE_MOST;
	limit.rlim_cur = keeper->nofile;
	setrlimit(RLIMIT_NOFILE, &limit);
	keeper->callers.most = keeper->nofile < NOFILE_FEW ? CALLERS_MAX / 4 : CALLERS_MAX;
	return true;
}

static bool take_identities(struct keeper *keeper)
{
	places_identity("_mailward", FALLBACK_RECORDER, &keeper->recorder_id);
	places_identity("_mailward-load", FALLBACK_LOADER, &keeper->loader_id);
	places_identity("_mailward-scan", FALLBACK_WORKER, &keeper->worker_id);
	return true;
}

static void say_started(const struct keeper *keeper)
{
	log_line("started (version %s, policy %s)", MAILWARD_VERSION, keeper->options->config);
	if (keeper->recorder_id.is_fallback || keeper->loader_id.is_fallback || keeper->worker_id.is_fallback)
		log_line(
			"without system users of their own (see mailward.sysusers) recorder, loader and workers run as "
			"uids %u, %u, %u",
			keeper->recorder_id.uid, keeper->loader_id.uid, keeper->worker_id.uid);
	hooks_say(keeper);
}

static bool place_taken(int *fd_out, int fd)
{
	*fd_out = fd;
	if (fd >= 0)
		return true;
	log_line("not ready: %s", places_why());
	return false;
}

/* In the background a log file stays; a terminal or a pipe belongs to who started us, and the parts never get it. */
static void take_error_output(struct keeper *keeper)
{
	struct stat status;
	bool keep = keeper->options->ready_fd < 0 || (fstat(STDERR_FILENO, &status) == 0 && S_ISREG(status.st_mode));

	keeper->error_fd = keep ? STDERR_FILENO : keeper->null_fd;
}

static bool take_places(struct keeper *keeper)
{
	const struct keeper_options *options = keeper->options;
	const struct identity root = {.uid = 0, .gid = 0};
	int state = -1;

	if (!place_taken(&keeper->runtime, places_folder(options->runtime)) ||
	    !place_taken(&keeper->lock, places_lock(keeper->runtime)) ||
	    !place_taken(&state, places_folder(options->state)) ||
	    !place_taken(&keeper->loader_dir, places_subfolder(keeper->runtime, "loader", &keeper->loader_id)) ||
	    !place_taken(&keeper->state_dir, places_subfolder(state, "recorder", &keeper->recorder_id)) ||
	    !place_taken(&keeper->steward_dir, places_subfolder(state, "steward", &root)) ||
	    !place_taken(&keeper->own_exe, places_own_executable()) ||
	    !place_taken(&keeper->scanner_exe, places_scanner()))
		return false;
	close(state);
	keeper->definitions = open(options->definitions, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* may be missing */
	keeper->proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	keeper->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (keeper->proc < 0 || keeper->null_fd < 0) {
		log_line("not ready: %s: %s", keeper->proc < 0 ? "/proc" : "/dev/null", strerror(errno));
		return false;
	}
	take_error_output(keeper);
	return true;
}

static bool take_sockets(struct keeper *keeper)
{
	int group = keeper->recorder_id.is_fallback ? -1 : (int)keeper->recorder_id.gid;

	return place_taken(&keeper->keeper_listener, places_listen(keeper->runtime, KEEPER_SOCKET, group)) &&
	       place_taken(&keeper->recorder_listener, places_listen(keeper->runtime, RECORDER_SOCKET, group)) &&
	       place_taken(&keeper->steward_listener, places_listen(keeper->runtime, STEWARD_SOCKET, group));
}

static void restore(void *owner, const struct kept_verdict *kept)
{
	memory_restore(owner, kept);
}

/* What was known before the stop. Without it everything is judged anew, which is no reason not to start. */
static bool take_verdicts(struct keeper *keeper)
{
	struct memory *memory;
	int result;

	keeper->verdicts_fd = pages_make("mailward verdicts", memory_size());
	keeper->verdicts_read_only_fd = pages_read_only(keeper->verdicts_fd);
	if (keeper->verdicts_fd < 0 || keeper->verdicts_read_only_fd < 0 ||
	    memory_open(&memory, keeper->verdicts_fd) < 0) {
		log_line("not ready: can't make shared memory: %s", strerror(errno));
		return false;
	}
	result = verdict_file_load(keeper->steward_dir, restore, memory);
	memory_close(&memory);
	if (result < 0 && result != -ENOENT)
		log_line("the verdicts of before the start are not taken: %s",
			 result == -EPERM     ? "their file is not root's alone"
			 : result == -EBADMSG ? "their file is torn, or another version's"
					      : strerror(-result));
	return true;
}

static bool take_memory(struct keeper *keeper)
{
	keeper->page_fd = pages_make("mailward status", sizeof(struct status_page));
	keeper->notes_fd = pages_make("mailward notes", sizeof(struct gate_notes));
	keeper->ring_fd = pages_make("mailward records", sizeof(struct ring));
	keeper->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	keeper->page = pages_map(keeper->page_fd, sizeof(struct status_page));
	keeper->notes = pages_map(keeper->notes_fd, sizeof(struct gate_notes));
	keeper->page_read_only_fd = pages_read_only(keeper->page_fd);
	if (!keeper->page || !keeper->notes || keeper->ring_fd < 0 || keeper->bell_fd < 0 ||
	    keeper->page_read_only_fd < 0) {
		log_line("not ready: can't make shared memory: %s", strerror(errno));
		return false;
	}
	*keeper->page = (struct status_page){
		.magic = STATUS_MAGIC, .version = WIRE_VERSION, .size = sizeof(struct status_page)};
	keeper->page->keeper.started_ns = wall_ns();
	keeper->page->keeper.uids_are_fallback = keeper->recorder_id.is_fallback;
	snprintf(keeper->page->keeper.policy_file, sizeof(keeper->page->keeper.policy_file), "%s",
		 keeper->options->config);
	keeper->notes->nofile = keeper->nofile;
	return true;
}

static bool take_groups(struct keeper *keeper)
{
	int error = 0;

	keeper->permission_group = groups_permission();
	keeper->closed_group = groups_closed();
	keeper->moves_group = groups_moves();
	if (keeper->permission_group < 0)
		error = -keeper->permission_group;
	else if (keeper->closed_group < 0 || keeper->moves_group < 0)
		error = keeper->closed_group < 0 ? -keeper->closed_group : -keeper->moves_group;
	if (!error)
		return true;
	log_line("not ready: fanotify: %s (%s)", strerror(error),
		 error == EPERM ? "CAP_SYS_ADMIN is missing"
				: "a kernel from 5.17 on with CONFIG_FANOTIFY_ACCESS_PERMISSIONS is needed");
	return false;
}

static void signals_ready(void *owner, uint32_t events);

static void mounts_ready(void *owner, uint32_t events)
{
	struct keeper *keeper = owner;

	if (events & (EPOLLPRI | EPOLLERR))
		keeper->policies.roots_wanted = true;
}

static bool take_loop(struct keeper *keeper)
{
	int mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC), error;

	keeper->callers.status_page = keeper->page_read_only_fd;
	keeper->callers.reload = policies_reload;
	keeper->callers.selftest = selftests_request;
	keeper->callers.owner = keeper;
	error = callers_open(&keeper->callers, &keeper->loop, keeper->keeper_listener);
	if (!error)
		error = loop_add(&keeper->loop, &keeper->mounts, mounts, EPOLLPRI);
	if (!error)
		return true;
	log_line("not ready: %s", strerror(-error));
	return false;
}

/* Without the kernel side we guard by fanotify alone, and say so. */
static bool take_hooks(struct keeper *keeper)
{
	hooks_take(keeper);
	return true;
}

static bool take_rights(struct keeper *keeper)
{
	if (rights_keeper() == 0)
		return true;
	log_line("not ready: %s", rights_why());
	hooks_end(keeper);
	return false;
}

/* ---- the end ---- */

static void say_code(struct keeper *keeper, int code)
{
	unsigned char byte = (unsigned char)code;

	if (keeper->options->ready_fd < 0 || keeper->ready)
		return;
	if (write(keeper->options->ready_fd, &byte, 1) < 0)
		errno = 0; /* who waited has gone */
	close(keeper->options->ready_fd);
	if (code == 0 && keeper->error_fd == keeper->null_fd)
		dup2(keeper->null_fd, STDERR_FILENO);
}

static void stop_begin(struct keeper *keeper, int code)
{
	if (keeper->stop != STOP_NOT)
		return;
	service_tell("STOPPING=1");
	keeper->exit_code = code;
	keeper->stop = STOP_GATE;
	keeper->stop_ns = now_ns();
	part_stop(&keeper->parts[PART_GATE]);
	part_kill(&keeper->parts[PART_READER], NULL);
	part_stop(&keeper->parts[PART_SELFTEST]); /* it removes what it has made first */
}

void keeper_fail(struct keeper *keeper, int code, const char *format, ...)
{
	char text[300];
	va_list arguments;

	if (keeper->stop != STOP_NOT)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	log_line("%s", text);
	stop_begin(keeper, code);
}

static bool all_ended(const struct keeper *keeper)
{
	for (int i = 0; i < PARTS; i++)
		if (part_runs(&keeper->parts[i]))
			return false;
	return true;
}

/* The gate first, which answers its waiters; the others have nothing to say to it then. */
static void stop_tick(struct keeper *keeper, uint64_t now)
{
	uint64_t since = now - keeper->stop_ns;

	if (keeper->stop == STOP_GATE && (since > STOP_GATE_TIME || !part_runs(&keeper->parts[PART_GATE]))) {
		part_kill(&keeper->parts[PART_GATE], "does not end");
		part_stop(&keeper->parts[PART_LOADER]);
		part_stop(&keeper->parts[PART_RECORDER]);
		part_stop(&keeper->parts[PART_STEWARD]);
		keeper->stop = STOP_OTHERS;
	}
	if (keeper->stop == STOP_OTHERS && since > STOP_ALL_TIME) {
		for (int i = 0; i < PARTS; i++)
			part_kill(&keeper->parts[i], "does not end");
		keeper->stop = STOP_KILLED;
	}
}

/* ---- the loop ---- */

static void signals_ready(void *owner, uint32_t events)
{
	struct keeper *keeper = owner;
	struct signalfd_siginfo info;

	(void)events;
	while (read(keeper->signals.fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
			stop_begin(keeper, 0);
		else if (info.ssi_signo == SIGHUP)
			policies_reload(keeper);
	}
	parts_reap(keeper);
}

/* What is still missing before we are ready; NULL: nothing. */
static const char *missing(const struct keeper *keeper)
{
	const struct status_page *page = keeper->page;

	if (!keeper->policies.current->valid)
		return "the gate has not taken the policy";
	if (!__atomic_load_n(&page->gate.marks_stand, __ATOMIC_ACQUIRE))
		return "the gate's marks do not stand";
	if (!keeper->parts[PART_RECORDER].ready)
		return "the recorder does not serve";
	if (!keeper->parts[PART_STEWARD].ready)
		return "the steward does not serve";
	if (!page->keeper.definitions_known)
		return "the loader has not said whether there are definitions";
	if (page->keeper.definitions_signatures && !page->keeper.workers_serving)
		return "no worker has passed its canary";
	if (keeper->policies.labels_wanted ||
	    (keeper->policies.purpose == READ_LABELS && part_runs(&keeper->parts[PART_READER])))
		return "the mail software that runs is not known yet";
	return NULL;
}

static void ready_tick(struct keeper *keeper, uint64_t now)
{
	const char *what = missing(keeper);

	selftests_tick(keeper, now, !what);
	if (keeper->ready || keeper->stop != STOP_NOT)
		return;
	if (!what && selftests_awaited(keeper, now))
		return;
	if (!what) {
		log_line("ready (pid %d)", (int)getpid());
		say_code(keeper, 0);
		keeper->ready = true;
		service_tell("READY=1\nSTATUS=guarding\nMAINPID=%d", (int)getpid());
		return;
	}
	/* Definitions take as long as they take: the loader's own silence is what ends it. */
	if (keeper->parts[PART_LOADER].restart.limit_ns > 5 * SECOND_NS)
		keeper->started_ns = now;
	if (now - keeper->started_ns > READY_TIME)
		keeper_fail(keeper, 1, "not ready: after %u s %s", (unsigned)(READY_TIME / SECOND_NS), what);
	if (now - keeper->extended_ns > SECOND_NS) {
		keeper->extended_ns = now;
		service_tell("EXTEND_TIMEOUT_USEC=10000000\nSTATUS=starting: %s", what);
	}
}

static void watchdog_tick(struct keeper *keeper, uint64_t now)
{
	if (!keeper->watchdog_ns || now < keeper->watchdog_next_ns)
		return;
	service_tell("WATCHDOG=1");
	keeper->watchdog_next_ns = now + keeper->watchdog_ns;
}

/* Nobody has beaten while we did not run; their frames are read before anybody is judged. */
static void forgive_own_pause(struct keeper *keeper, uint64_t now)
{
	uint64_t pause = now - keeper->turn_ns;

	if (pause > OWN_PAUSE)
		for (int i = 0; i < PARTS; i++)
			restart_forgive(&keeper->parts[i].restart, pause);
	keeper->turn_ns = now;
}

/* Is something due soon? Then the loop looks more often. */
static int tick_ms(const struct keeper *keeper)
{
	if (!keeper->ready || !keeper->parts[PART_GATE].ready || keeper->stop != STOP_NOT || keeper->policies.offered ||
	    keeper->policies.delivering)
		return TICK_SHORT_MS;
	for (int i = 0; i < PARTS; i++)
		if (keeper->parts[i].killed_ns || (i < PARTS_LASTING && !part_runs(&keeper->parts[i])))
			return TICK_SHORT_MS;
	return TICK_MS;
}

static void keeper_loop(struct keeper *keeper)
{
	keeper->started_ns = keeper->turn_ns = keeper->second_ns = keeper->extended_ns = now_ns();
	while (keeper->stop == STOP_NOT || !all_ended(keeper)) {
		uint64_t now;

		loop_turn(&keeper->loop, tick_ms(keeper));
		now = now_ns();
		forgive_own_pause(keeper, now);
		parts_tick(keeper, now);
		policies_tick(keeper, now);
		hooks_tick(keeper);
		callers_tick(&keeper->callers, now);
		ready_tick(keeper, now);
		watchdog_tick(keeper, now);
		if (keeper->stop != STOP_NOT)
			stop_tick(keeper, now);
		if (keeper->stop != STOP_NOT && now - keeper->stop_ns > STOP_END_TIME)
			return;
	}
}

static void keeper_init(struct keeper *keeper, const struct keeper_options *options)
{
	*keeper = (struct keeper){.options = options, .runtime = -1, .lock = -1, .hooks = {.home = -1}};
	keeper->signals = (struct loop_handler){.ready = signals_ready, .owner = keeper, .fd = -1};
	keeper->mounts = (struct loop_handler){.ready = mounts_ready, .owner = keeper, .fd = -1};
	keeper->watchdog_ns = service_open();
	unsetenv("NOTIFY_SOCKET");
	loop_open(&keeper->loop);
	policies_init(keeper);
}

static int run(struct keeper *keeper, const struct keeper_options *options)
{
	static bool (*const steps[])(struct keeper *) = {
		is_root,       take_signals, take_limits, take_identities, take_places, take_memory,
		take_verdicts, take_sockets, take_groups, take_loop,       take_hooks,  take_rights,
	};

	keeper_init(keeper, options);
	umask(022);
	if (chdir("/") < 0)
		return 1;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (!steps[i](keeper)) {
			if (keeper->lock >= 0)
				places_leave(keeper->runtime);
			say_code(keeper, 1);
			return 1;
		}
	}
	parts_init(keeper);
	say_started(keeper);
	keeper_loop(keeper);
	hooks_end(keeper);
	places_leave(keeper->runtime);
	log_line("ended");
	say_code(keeper, keeper->exit_code);
	return keeper->exit_code;
}

/* On the heap: the other processes of this program, which lock their memory, have no use for it. */
int keeper_run(const struct keeper_options *options)
{
	struct keeper *keeper = calloc(1, sizeof(*keeper));
	int code;

	if (!keeper) {
		log_line("not ready: no memory");
		return 1;
	}
	code = run(keeper, options);
	free(keeper);
	return code;
}
