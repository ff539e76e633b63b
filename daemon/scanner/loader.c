// SPDX-License-Identifier: GPL-2.0-only
#include "loader.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "canary.h"
#include "frame.h"
#include "loader_state.h"
#include "log.h"
#include "room.h"

#define BEAT_NS 250000000u
#define TABLE_BYTES (256 << 10)
#define TURN_NS 20000000u /* how often the loop turns while definitions are being loaded */

void loader_say(struct loader *loader, enum leash_kind kind, uint64_t value, const char *text)
{
	struct leash_frame frame = {.version = WIRE_VERSION, .kind = kind, .value = value};

	if (kind == LEASH_LOADED) {
		frame.time_ns = loader->report.definitions.newest_ns;
		frame.built_ns = loader->report.built_ns;
		frame.since_ns = loader->since_ns;
		frame.bytes = loader->report.definitions.bytes;
		frame.memory = loader->resident;
		frame.files = loader->report.definitions.files;
	}
	snprintf(frame.text, sizeof(frame.text), "%s", text);
	frame_send(FD_LEASH, &frame, sizeof(frame), -1);
}

static void beat(struct loader *loader)
{
	uint64_t now = now_ns();

	if (now - loader->beat_ns < BEAT_NS)
		return;
	loader->beat_ns = now;
	loader_say(loader, LEASH_BEAT, 0, "");
}

static _Noreturn void stop(struct loader *loader, int code)
{
	trial_drop(&loader->trial);
	nest_end(&loader->nest);
	_exit(code);
}

/* ---- what comes in ---- */

static void gate_close(struct loader *loader)
{
	if (loader->gate_fd < 0)
		return;
	loop_remove(&loader->loop, &loader->gate);
	close(loader->gate_fd);
	loader->gate_fd = -1;
	nest_gate(&loader->nest, -1);
}

static void gate_ready(void *owner, uint32_t events)
{
	struct loader *loader = owner;
	struct nursery_frame frame;
	int fd = -1, result = frame_receive(loader->gate_fd, &frame, sizeof(frame), &fd);

	(void)events;
	if (fd >= 0)
		close(fd);
	if (result == -EAGAIN)
		return;
	if (result < 0 || frame.version != WIRE_VERSION || frame.kind != NURSERY_KILL)
		gate_close(loader); /* it ended; or a gate that sends such frames is none */
	else
		nest_kill(&loader->nest, frame.id);
}

static void gate_take(struct loader *loader, int fd)
{
	gate_close(loader);
	loader->gate_fd = fd;
	loader->gate = (struct loop_handler){.ready = gate_ready, .owner = loader, .fd = -1};
	if (loop_add(&loader->loop, &loader->gate, fd, EPOLLIN) < 0)
		stop(loader, 1);
	nest_gate(&loader->nest, fd);
}

static void leash_ready(void *owner, uint32_t events)
{
	struct loader *loader = owner;
	struct leash_frame frame;
	int fd = -1, result = frame_receive(FD_LEASH, &frame, sizeof(frame), &fd);

	(void)events;
	if (result == -EAGAIN)
		return;
	if (result < 0 || frame.version != WIRE_VERSION)
		stop(loader, result == -EPIPE ? 0 : 1); /* the keeper is gone */
	if (frame.kind == LEASH_PEER && frame.value == PEER_GATE && fd >= 0) {
		gate_take(loader, fd);
		return;
	}
	if (fd >= 0)
		close(fd);
	if (frame.kind == LEASH_STOP)
		stop(loader, 0);
}

static void signal_ready(void *owner, uint32_t events)
{
	struct loader *loader = owner;
	struct signalfd_siginfo info;

	(void)events;
	while (read(loader->signals.fd, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo != SIGCHLD)
			stop(loader, 0);
	nest_reap(&loader->nest);
}

/* ---- what the nest says ---- */

static void on_serving(void *owner, unsigned workers)
{
	loader_say(owner, LEASH_SERVING, workers, "");
}

void loader_say_loaded(struct loader *loader)
{
	struct leash_frame frame = {.version = WIRE_VERSION, .kind = LEASH_DEFINITION};
	char text[LEASH_TEXT];
	size_t used = (size_t)snprintf(text, sizeof(text), "%s", loader->report.text);

	for (int i = 0; i < 2; i++)
		if (loader->nest.trouble[i][0])
			used += (size_t)snprintf(text + used, sizeof(text) - used, "; %s", loader->nest.trouble[i]);
	for (unsigned i = 0; loader->engine && i < loader->report.definitions.listed; i++) {
		frame.value = i;
		frame.definition = loader->report.definitions.list[i];
		frame_send(FD_LEASH, &frame, sizeof(frame), -1);
	}
	loader_say(loader, LEASH_LOADED, loader->report.signatures, text);
}

/* The keeper's selftest goes by it; so not before every verdict comes from this engine. */
static void canary_say(struct loader *loader)
{
	char text[2 * CANARY_BYTES + 1];
	const unsigned char *bytes;
	bool shallow;

	if (!loader->engine || !loader->nest.told || loader->canary_of == loader->engine)
		return;
	bytes = engine_canary_bytes(loader->engine, &shallow);
	for (size_t i = 0; i < CANARY_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	loader_say(loader, LEASH_CANARY, 0, text);
	loader->canary_of = loader->engine;
}

static void on_trouble(void *owner, const char *text)
{
	struct loader *loader = owner;

	loader_say(loader, LEASH_LOG, 0, text[0] ? text : "children start again");
	if (loader->nest.known)
		loader_say_loaded(loader);
}

static void on_stranger(void *owner, pid_t pid, int status)
{
	struct loader *loader = owner;

	trial_ended(&loader->trial, pid, status);
}

static void on_asked(void *owner, int report_socket, uint32_t number, int fd)
{
	struct loader *loader = owner;
	struct child_report answer = {.ready = CHILD_WORD_ANSWER, .number = number};
	int conn = -1;

	if (loader->settings.engine == ENGINE_CLAMD)
		conn = clamd_link_ask(&loader->clamd, fd, answer.text, sizeof(answer.text));
	frame_send(report_socket, &answer, sizeof(answer), conn);
	if (conn >= 0)
		close(conn);
}

/* Called often by the engine while it loads: workers of the old definitions go on being replaced meanwhile. */
void loader_loading(void *owner)
{
	struct loader *loader = owner;
	uint64_t now = now_ns();

	if (now - loader->turn_ns < TURN_NS)
		return;
	loader->turn_ns = now;
	loop_turn(&loader->loop, 0);
	nest_tend(&loader->nest);
	beat(loader);
}

/* ---- start ---- */

static bool settings_are_sane(const struct scanner_settings *settings)
{
	return settings->workers >= 1 && settings->workers <= WORKERS_MAX && settings->worker_uid != 0 &&
	       settings->loader_uid != 0 && settings->worker_uid != settings->loader_uid && settings->worker_gid != 0 &&
	       settings->loader_gid != 0 && settings->max_file_size > 0 && settings->max_scan_size > 0 &&
	       settings->max_scan_size < 1ull << 40 && settings->max_files > 0 && settings->max_depth > 0 &&
	       settings->max_depth <= 100 && settings->scan_time_ms > 0 && settings->engine < SCAN_ENGINES &&
	       settings->clamd_socket[CLAMD_PATH_SIZE - 1] == 0 && settings->deny_types < 1u << DENY_TYPES;
}

static int settings_receive(struct loader *loader)
{
	struct pollfd leash = {.fd = FD_LEASH, .events = POLLIN};
	struct leash_frame frame;
	int fd = -1, result;

	do {
		poll(&leash, 1, -1);
		result = frame_receive(FD_LEASH, &frame, sizeof(frame), &fd);
	} while (result == -EAGAIN);
	if (fd >= 0)
		close(fd);
	if (result < 0)
		return result;
	if (frame.version != WIRE_VERSION || frame.kind != LEASH_START || !settings_are_sane(&frame.scanner))
		return -EPROTO;
	loader->settings = frame.scanner;
	loader->careful = frame.value != 0;
	frame.text[sizeof(frame.text) - 1] = 0;
	memcpy(loader->folder, frame.text, sizeof(frame.text));
	return 0;
}

/* Root goes; what forking boxed workers takes stays: namespaces and mounts, other uids, and their end. The working
 * directory is where workers hang their file systems, each in its own mount namespace. */
static const char *rights_drop(const struct scanner_settings *settings, pid_t parent)
{
	int adjust = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (adjust >= 0) { /* the keeper's -1000 was inherited; the scanner is what should go first */
		if (write(adjust, "300", 3) != 3)
			log_line("oom_score_adj could not be set");
		close(adjust);
	}
	if (fchdir(FD_OWN_DIR) < 0)
		return "its own directory";
	if (unshare(CLONE_NEWNET) < 0)
		return "a network namespace without network";
	capng_clear(CAPNG_SELECT_ALL);
	capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID, CAP_KILL,
		      -1);
	if (capng_change_id((int)settings->loader_uid, (int)settings->loader_gid,
			    CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING) != 0)
		return "another uid";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return "no new privileges";
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
		return "its parent";
	return NULL;
}

static int signals_open(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		return -1;
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static const char *loader_open(struct loader *loader)
{
	int signal_fd = signals_open();

	loader->nest.loop = &loader->loop;
	loader->nest.settings = &loader->settings;
	loader->nest.serving = on_serving;
	loader->nest.troubled = on_trouble;
	loader->nest.asked = on_asked;
	loader->nest.stranger = on_stranger;
	loader->nest.owner = loader;
	loader->nest.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	nest_open(&loader->nest);
	loader->leash = (struct loop_handler){.ready = leash_ready, .owner = loader, .fd = -1};
	loader->signals = (struct loop_handler){.ready = signal_ready, .owner = loader, .fd = -1};
	if (loader->nest.null_fd < 0 || signal_fd < 0 || loop_open(&loader->loop) < 0 ||
	    loop_add(&loader->loop, &loader->leash, FD_LEASH, EPOLLIN) < 0 ||
	    loop_add(&loader->loop, &loader->signals, signal_fd, EPOLLIN) < 0)
		return "descriptors";
	clamd_link_open(&loader->clamd, &loader->loop, loader->settings.clamd_socket);
	return NULL;
}

static void descriptors_close(void)
{
	close_range(FD_LEASH + 1, FD_DEFINITIONS - 1, 0);
	close_range(FD_OWN_DIR + 1, ~0u, 0);
}

int loader_run(void)
{
	static struct loader loader;
	const char *wrong;
	pid_t parent = getppid();

	log_open("mailward-loader");
	prctl(PR_SET_NAME, "mailward-loader", 0, 0, 0);
	loader.gate_fd = -1;
	descriptors_close();
	mallopt(M_MMAP_THRESHOLD, TABLE_BYTES); /* what grows is moved by the kernel, and leaves no hole in the heap */
	if (settings_receive(&loader) < 0) {
		log_line("no usable settings came from the keeper");
		return 1;
	}
	wrong = rights_drop(&loader.settings, parent);
	if (!wrong)
		wrong = loader_open(&loader);
	if (!wrong && engine_start() < 0)
		wrong = "libclamav";
	if (wrong) {
		log_line("cannot start: %s: %s", wrong, strerror(errno));
		return 1;
	}
	nest_tend(&loader.nest); /* the hasher, before there is anything in memory */
	loader.empty = room_resident();
	for (;;) {
		if (loader.settings.engine == ENGINE_CLAMD)
			clamd_check(&loader);
		else
			definitions_check(&loader);
		int wait = nest_tend(&loader.nest);
		definitions_free_old(&loader);
		canary_say(&loader);
		beat(&loader);
		loop_turn(&loader.loop, wait);
	}
}
