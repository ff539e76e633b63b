// SPDX-License-Identifier: GPL-2.0-only
#include "loader.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "canary.h"
#include "clamd_link.h"
#include "engine.h"
#include "frame.h"
#include "log.h"
#include "nest.h"
#include "regions.h"
#include "room.h"

#define BEAT_NS 250000000u
#define LOOK_NS 2000000000u
#define CLAMD_PATIENCE_NS 10000000000u /* freshclam, which brought the files, tells clamd itself */
#define YOUNG_NS 3600000000000u        /* clamd's own look at its folder (SelfCheck) comes as often */
#define TABLE_BYTES (256 << 10)
#define TURN_NS 20000000u /* how often the loop turns while definitions are being loaded */

struct loader {
	struct scanner_settings settings;
	struct loop loop;
	struct loop_handler leash, gate, signals;
	int gate_fd;
	struct nest nest;
	struct engine *engine, *old;   /* old: not in use any more, freed when no worker has it */
	struct regions lies, old_lies; /* where they lie in memory */
	struct engine_report report;   /* of the engine in use, or why there is none */
	uint64_t tried;                /* identity that was loaded, or failed; 0: the folder was empty or gone */
	uint64_t seen;                 /* at the latest look */
	bool looked;
	char folder[LEASH_TEXT];  /* its path, or empty: then only the descriptor is known */
	uint64_t empty, resident; /* bytes in memory without an engine; of the engine in use, about */
	uint64_t since_ns;        /* CLOCK_REALTIME: in use since then */
	enum definitions_refusal refusal;
	char refused[256];              /* why newer ones are not in use; empty: they are */
	const struct engine *canary_of; /* the engine whose canary the keeper knows */
	struct clamd_link clamd;        /* settings.engine is ENGINE_CLAMD: whose signatures are used */
	uint64_t clamd_files;           /* identity of the folder as clamd has it in memory, as far as we know */
	uint64_t changed_ns;            /* the folder is another one since then; 0: it is not */
	unsigned reloads;               /* of clamd, when it was last told to */
	uint64_t reload_of;             /* the folder then */
	char clamd_version[128];        /* in use */
	uint64_t beat_ns, look_ns, turn_ns;
};

static void say(struct loader *loader, enum leash_kind kind, uint64_t value, const char *text)
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
	say(loader, LEASH_BEAT, 0, "");
}

static _Noreturn void stop(struct loader *loader, int code)
{
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
	say(owner, LEASH_SERVING, workers, "");
}

static void loaded_say(struct loader *loader)
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
	say(loader, LEASH_LOADED, loader->report.signatures, text);
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
	say(loader, LEASH_CANARY, 0, text);
	loader->canary_of = loader->engine;
}

static void on_trouble(void *owner, const char *text)
{
	struct loader *loader = owner;

	say(loader, LEASH_LOG, 0, text[0] ? text : "children start again");
	if (loader->nest.known)
		loaded_say(loader);
}

/* ---- definitions ---- */

/* Called often by the engine while it loads: workers of the old definitions go on being replaced meanwhile. */
static void on_loading(void *owner)
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

/* Told once, not every two seconds. */
static void refusal_set(struct loader *loader, enum definitions_refusal refusal, const char *why)
{
	char text[LEASH_TEXT];

	if (loader->refusal == refusal && !strcmp(loader->refused, why))
		return;
	if (refusal != DEFINITIONS_NEWEST && !(refusal == DEFINITIONS_NO_ROOM && refusal == loader->refusal)) {
		snprintf(text, sizeof(text), "the old definitions stay in use: %s", why);
		say(loader, LEASH_LOG, 0, text);
	}
	loader->refusal = refusal;
	snprintf(loader->refused, sizeof(loader->refused), "%s", why);
	say(loader, LEASH_REFUSED, refusal, loader->refused);
}

/* There is nothing to load, or it does not load: what is in use stays, if there is anything. */
static void definitions_refused(struct loader *loader, enum definitions_refusal refusal,
				const struct engine_report *report)
{
	if (loader->engine) {
		refusal_set(loader, refusal, report->text);
	} else {
		loader->report = *report;
		loader->report.signatures = 0;
		nest_definitions(&loader->nest, NULL, 0, 0);
	}
	loaded_say(loader);
}

/* Bytes that the engine in use takes: what we hold now, less what we held before it was loaded. */
static void measure(struct loader *loader, uint64_t before)
{
	uint64_t resident;

	malloc_trim(0);
	resident = room_resident();
	loader->resident = resident > before ? resident - before : 0;
}

/* The old engine goes when the last worker that has it has gone; new ones are forked without it. */
static void old_keep(struct loader *loader, struct engine *old, const struct regions *lies)
{
	if (!old)
		return;
	loader->old = old;
	loader->old_lies = *lies;
	regions_inherit(&loader->old_lies, false);
}

static void old_free(struct loader *loader)
{
	if (!loader->old || nest_old(&loader->nest) > 0)
		return;
	engine_free(loader->old);
	loader->old = NULL;
	malloc_trim(0);
	regions_inherit(&loader->old_lies, true);
}

static void definitions_load(struct loader *loader)
{
	static struct regions before, after;
	struct engine_report report = {0};
	struct engine *engine, *old = loader->engine;
	uint64_t held;

	say(loader, LEASH_LOADING, 0, "");
	malloc_trim(0);
	held = room_resident();
	regions_read(&before);
	engine = engine_load(&loader->settings, FD_DEFINITIONS, FD_OWN_DIR, on_loading, loader, &report);
	loader->tried = report.definitions.identity;
	if (!engine) {
		malloc_trim(0);
		definitions_refused(loader, DEFINITIONS_BROKEN, &report);
		return;
	}
	loader->report = report;
	loader->engine = engine;
	loader->canary_of = NULL;
	loader->since_ns = wall_ns();
	measure(loader, held);
	regions_read(&after);
	regions_subtract(&after, &before);
	nest_definitions(&loader->nest, engine, report.definitions.identity, report.signatures);
	old_keep(loader, old, &loader->lies);
	loader->lies = after;
	refusal_set(loader, DEFINITIONS_NEWEST, "");
	loaded_say(loader);
}

/* Would a second engine fit beside the first? Where there is none to lose, it is tried in any case. */
static bool has_room(struct loader *loader, struct engine_report *report)
{
	const struct definitions *used = &loader->report.definitions;
	uint64_t needed, available;
	const char *limit;

	if (!loader->engine)
		return true;
	needed = room_needed(report->definitions.bytes, used->bytes, loader->resident);
	available = room_available("/proc", "/sys/fs/cgroup", &limit);
	if (needed <= available)
		return true;
	snprintf(report->text, sizeof(report->text),
		 "the new ones would take about %" PRIu64 " MB beside them, and %s leaves %" PRIu64 " MB", needed >> 20,
		 limit, available >> 20);
	return false;
}

/* The folder may have been made anew, or another put in its place: found by its path again. Where we may not walk there
 * (the keeper could), the one that it gave us is looked at. */
static bool folder_open(struct loader *loader)
{
	struct stat status;
	int fd = loader->folder[0] ? open(loader->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd >= 0) {
		bool moved = dup3(fd, FD_DEFINITIONS, O_CLOEXEC) >= 0;
		close(fd);
		return moved;
	}
	if (loader->folder[0] && (errno == ENOENT || errno == ENOTDIR))
		return false;
	return fstat(FD_DEFINITIONS, &status) == 0 && status.st_nlink > 0;
}

/* What is there to load; report->text says why nothing is. */
static void folder_look(struct loader *loader, struct engine_report *report)
{
	if (!folder_open(loader))
		snprintf(report->text, sizeof(report->text), "there is no folder of definitions");
	else if (definitions_look(FD_DEFINITIONS, engine_version(), &loader->settings, &report->definitions) < 0)
		snprintf(report->text, sizeof(report->text), "the folder of the definitions cannot be read");
	else if (report->definitions.files == 0)
		snprintf(report->text, sizeof(report->text), "there are no definitions in the folder");
}

/* Every two seconds: has the folder changed? While something is loaded, it must have come to rest first. */
static void definitions_check(struct loader *loader)
{
	struct engine_report report = {0};
	uint64_t now = now_ns(), before = loader->seen;

	if (loader->looked && now - loader->look_ns < LOOK_NS)
		return;
	loader->look_ns = now;
	folder_look(loader, &report);
	loader->seen = report.definitions.identity;
	/* What is in use is in the folder again, after something else was that could not be used. */
	if (loader->engine && loader->seen == loader->report.definitions.identity) {
		loader->tried = loader->seen;
		refusal_set(loader, DEFINITIONS_NEWEST, "");
	}
	if (loader->looked && loader->seen == loader->tried)
		return;
	if (loader->engine && (loader->seen != before || loader->old))
		return;
	loader->looked = true;
	if (report.definitions.files > 0 && has_room(loader, &report)) {
		definitions_load(loader);
		return;
	}
	if (report.definitions.files > 0) { /* `tried` stays: it is looked at again */
		refusal_set(loader, DEFINITIONS_NO_ROOM, report.text);
		return;
	}
	loader->tried = 0;
	definitions_refused(loader, DEFINITIONS_GONE, &report);
}

/* ---- the definitions are clamd's ---- */

/* What the verdicts of now are made with: its version, the settings, and the files of its folder, as far as it is the
 * one that we look at: the version says nothing of a file that is not ClamAV's own. */
static uint64_t clamd_identity(const struct loader *loader, uint64_t files)
{
	uint64_t identity = 0xcbf29ce484222325u ^ files; /* FNV-1a, 64 bits */
	const struct scanner_settings *settings = &loader->settings;
	uint64_t limits[] = {settings->max_file_size,
			     settings->max_scan_size,
			     settings->max_files,
			     settings->max_depth,
			     settings->scan_time_ms,
			     settings->deny_types,
			     JUDGING};
	const unsigned char *bytes = (const unsigned char *)limits;

	for (size_t i = 0; i < sizeof(limits); i++)
		identity = (identity ^ bytes[i]) * 0x100000001b3u;
	for (const char *at = loader->clamd.version; *at; at++)
		identity = (identity ^ (unsigned char)*at) * 0x100000001b3u;
	return identity ? identity : 1;
}

static void clamd_trouble(struct loader *loader)
{
	const struct clamd_link *clamd = &loader->clamd;
	bool well = clamd->state == CLAMD_PROVED;

	if (!strcmp(loader->refused, clamd->why))
		return;
	snprintf(loader->refused, sizeof(loader->refused), "%s", clamd->why);
	loader->refusal = well ? DEFINITIONS_NEWEST : DEFINITIONS_CLAMD;
	say(loader, LEASH_LOG, 0, well ? "clamd answers, and has proved what its OK is worth" : clamd->why);
	say(loader, LEASH_REFUSED, loader->refusal, loader->refused);
}

/* A version that was not in use before, or other files in its folder. */
static void clamd_use(struct loader *loader, uint64_t identity, const struct engine_report *folder)
{
	struct engine_report report = {0};

	if (!loader->engine) {
		loader->engine = engine_load_bare(&loader->settings, FD_OWN_DIR, &report);
		if (!loader->engine) {
			definitions_refused(loader, DEFINITIONS_BROKEN, &report);
			return;
		}
		measure(loader, loader->empty);
	}
	snprintf(report.text, sizeof(report.text), "clamd: %s", loader->clamd.version);
	report.signatures = SIGNATURES_NOT_KNOWN;
	report.built_ns = loader->clamd.built_ns;
	report.definitions.newest_ns = loader->clamd.built_ns ? loader->clamd.built_ns : folder->definitions.newest_ns;
	loader->report = report;
	loader->tried = identity;
	loader->since_ns = wall_ns();
	nest_definitions(&loader->nest, loader->engine, identity, SIGNATURES_NOT_KNOWN);
	loaded_say(loader);
}

/* Its version says nothing of files that are not ClamAV's own. Where the folder has changed (if it is the one that we
 * look at) and the version stays the same, clamd is told to load it, as freshclam would; what was judged until it has
 * is void then. */
static void clamd_folder(struct loader *loader, const struct engine_report *report, bool new_version)
{
	struct clamd_link *clamd = &loader->clamd;
	uint64_t now = now_ns();

	loader->seen = report->definitions.identity;
	if (!loader->engine) { /* the start: files that are that young may not be in its memory yet */
		bool young = report->definitions.newest_ns + YOUNG_NS > wall_ns();
		loader->clamd_files = young ? ~loader->seen : loader->seen;
	}
	if (new_version)
		loader->clamd_files = loader->seen;
	if (loader->seen == loader->clamd_files || loader->seen == 0) {
		loader->changed_ns = 0;
		clamd->reload = false;
	} else if (!loader->changed_ns) {
		loader->changed_ns = now;
	} else if (now - loader->changed_ns > CLAMD_PATIENCE_NS && !clamd->reload) {
		if (clamd->reloads != loader->reloads)
			loader->clamd_files = loader->reload_of;
		loader->reloads = clamd->reloads;
		loader->reload_of = loader->seen;
		clamd->reload = loader->seen != loader->clamd_files;
	}
}

static void clamd_check(struct loader *loader)
{
	struct engine_report report = {0};
	uint64_t now = now_ns(), identity;
	bool new_version;

	clamd_link_turn(&loader->clamd);
	if (loader->clamd.state == CLAMD_UNKNOWN)
		return;
	clamd_trouble(loader);
	if (!loader->clamd.version[0]) { /* it has never answered */
		if (loader->looked)
			return;
		loader->looked = true;
		snprintf(report.text, sizeof(report.text), "%.190s", loader->clamd.why);
		definitions_refused(loader, DEFINITIONS_GONE, &report);
		return;
	}
	new_version = loader->engine && strcmp(loader->clamd_version, loader->clamd.version) != 0;
	if (loader->engine && !new_version && now - loader->look_ns < LOOK_NS)
		return;
	loader->look_ns = now;
	memcpy(loader->clamd_version, loader->clamd.version, sizeof(loader->clamd_version));
	folder_look(loader, &report);
	clamd_folder(loader, &report, new_version);
	identity = clamd_identity(loader, loader->clamd_files);
	if (identity != loader->tried)
		clamd_use(loader, identity, &report);
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

static int settings_receive(struct scanner_settings *settings, char folder[LEASH_TEXT])
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
	*settings = frame.scanner;
	frame.text[sizeof(frame.text) - 1] = 0;
	memcpy(folder, frame.text, sizeof(frame.text));
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
	if (settings_receive(&loader.settings, loader.folder) < 0) {
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
		old_free(&loader);
		canary_say(&loader);
		beat(&loader);
		loop_turn(&loader.loop, wait);
	}
}
