// SPDX-License-Identifier: GPL-2.0-only
/*
 * try_hooks [full|labels]: loads and attaches the programs of bpf/ and plays the gate by hand: one command a line on
 * standard input, one line of answer each (several and a line "end" where it says so). Nothing is pinned: all ends with
 * us.
 *
 *   programs                     NAME load-error attach-error instructions, one a line, then end
 *   beat on|off                  a heartbeat each 100 ms (off at first)
 *   system PATH                  its file system holds a watch
 *   folder PATH WATCH            a directory of that watch
 *   program PATH SOFTWARE FLAGS  mail software
 *   watch I MODE STORE MAY_REFUSE DOWN EXEC_NEVER ORIGIN_MAIL      numbers, as in struct hook_watch
 *   orders SESSION POLICY DEFINITIONS EPOCH STRICTEST TRACK
 *   generation PATH              generation watch unheld origin, or "none"
 *   verdict PATH ANSWER SESSION ORIGIN      on the generation that it has now, with the definitions and policy in force
 *   label PID                    flags software        setlabel PID FLAGS SOFTWARE        leaver PID
 *   refusals                     way why watch pid uid comm cut path (names joined by <), one a line, then end
 *   reset                        no policy, folders, systems, programs, refusals, dead session
 *   state                        next moves dead_session refused refusals_lost no_memory
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "hooks.h"
#include "mailward.skel.h"
#include "policy.h"

static struct mailward_bpf *skeleton;
static struct hook_orders *orders;
static struct hook_state *state;
static struct ring_buffer *ring;
static bool beats;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void beat(void)
{
	if (beats)
		__atomic_store_n(&orders->heartbeat_ns, now_ns(), __ATOMIC_RELEASE);
}

/* ---- loading ---- */

/* Number of arguments of the kernel's function NAME; -1: it has none of that name. */
static int hook_arguments(const struct btf *kernel, const char *name)
{
	const struct btf_type *type;
	int id = btf__find_by_name_kind(kernel, name, BTF_KIND_FUNC);

	if (id < 0)
		return -1;
	type = btf__type_by_id(kernel, btf__type_by_id(kernel, (uint32_t)id)->type);
	return btf_vlen(type);
}

/* The rule of bpf/maps.bpf.h. */
static bool program_is_wanted(const struct btf *kernel, const char *name, bool full)
{
	char hook[80];
	size_t length;
	int arguments;

	if (strncmp(name, "tp_", 3) == 0)
		return !full || strcmp(name, "tp_sched_process_exit") == 0;
	if (!full || strncmp(name, "lsm_", 4) != 0)
		return false;
	snprintf(hook, sizeof(hook), "bpf_%s", name);
	length = strlen(hook);
	if (length > 2 && hook[length - 2] == '_' && hook[length - 1] >= '0' && hook[length - 1] <= '9') {
		hook[length - 2] = 0;
		arguments = hook_arguments(kernel, hook);
		return arguments == hook[length - 1] - '0';
	}
	return hook_arguments(kernel, hook) >= 0;
}

static bool said_quietly(enum libbpf_print_level level)
{
	return level == LIBBPF_DEBUG;
}

static int say(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return said_quietly(level) ? 0 : vfprintf(stderr, format, arguments);
}

static void load(bool full)
{
	struct btf *kernel = btf__load_vmlinux_btf();
	struct bpf_program *program;
	int error;

	libbpf_set_print(say);
	skeleton = mailward_bpf__open();
	if (!kernel || !skeleton) {
		perror("open");
		exit(2);
	}
	bpf_object__for_each_program(program, skeleton->obj)
		bpf_program__set_autoload(program, program_is_wanted(kernel, bpf_program__name(program), full));
	error = mailward_bpf__load(skeleton);
	if (error) {
		printf("load failed: %s\n", strerror(-error));
		exit(1);
	}
	btf__free(kernel);
}

static uint32_t instructions_of(struct bpf_program *program)
{
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof(info);

	return bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) ? 0 : info.verified_insns;
}

static void attach(void)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, skeleton->obj)
	{
		struct bpf_link *link;

		if (bpf_program__fd(program) < 0) {
			printf("%s not-loaded 0\n", bpf_program__name(program));
			continue;
		}
		link = bpf_program__attach(program);
		printf("%s %s %u\n", bpf_program__name(program), link ? "attached" : strerror(errno),
		       instructions_of(program));
	}
	printf("end\n");
	fflush(stdout);
}

static void *map_memory(struct bpf_map *map, size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	if (at == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	return at;
}

/* ---- commands ---- */

/* Of directories and files on a plain file system st_dev is s_dev; the kernel packs it another way. */
static struct hook_inode inode_of(const char *path)
{
	struct hook_inode key = {0};
	struct stat st;

	if (stat(path, &st) == 0) {
		key.ino = st.st_ino;
		key.dev = major(st.st_dev) << 20 | minor(st.st_dev);
	}
	return key;
}

static void answer(int error)
{
	printf("%s\n", error ? strerror(errno) : "ok");
}

static int generation_get(const char *path, int *fd_out, struct hook_generation *generation)
{
	*fd_out = open(path, O_PATH | O_CLOEXEC);
	return bpf_map_lookup_elem(bpf_map__fd(skeleton->maps.generations), fd_out, generation);
}

static void command_generation(const char *path)
{
	struct hook_generation generation;
	int fd;

	if (generation_get(path, &fd, &generation))
		printf("none\n");
	else
		printf("%" PRIu64 " %d %u %u\n", generation.generation, generation.watch, generation.unheld,
		       generation.origin);
	close(fd);
}

static void command_verdict(const char *path, unsigned int given, uint64_t session, unsigned int origin)
{
	struct hook_verdict verdict = {.session = session,
				       .definitions = orders->definitions,
				       .policy = orders->policy,
				       .answer = (uint8_t)given,
				       .origin = (uint8_t)origin};
	struct hook_generation generation = {0};
	int fd;

	generation_get(path, &fd, &generation);
	verdict.generation = generation.generation;
	verdict.verdict.kind = given == ANSWER_DENY ? VERDICT_INFECTED : VERDICT_CLEAN;
	answer(bpf_map_update_elem(bpf_map__fd(skeleton->maps.verdicts), &fd, &verdict, BPF_ANY));
	close(fd);
}

static void command_label(int pid)
{
	struct hook_label label = {0};
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (bpf_map_lookup_elem(bpf_map__fd(skeleton->maps.labels), &fd, &label))
		printf("none\n");
	else
		printf("%u %u\n", label.flags, label.software);
	close(fd);
}

static void command_setlabel(int pid, unsigned int flags, unsigned int software)
{
	struct hook_label label = {.flags = flags, .software = software};
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	answer(bpf_map_update_elem(bpf_map__fd(skeleton->maps.labels), &fd, &label, BPF_ANY));
	close(fd);
}

static void command_leaver(uint32_t pid)
{
	struct hook_label label = {0};

	if (bpf_map_lookup_elem(bpf_map__fd(skeleton->maps.leavers), &pid, &label))
		printf("none\n");
	else
		printf("%u %u\n", label.flags, label.software);
}

static int refusal_print(void *context, void *data, size_t size)
{
	const struct hook_refusal *refusal = data;
	char path[HOOK_PATH_SIZE + 1] = "";

	(void)context;
	if (size < sizeof(*refusal) || refusal->path_size > HOOK_PATH_SIZE) {
		printf("malformed\n");
		return 0;
	}
	memcpy(path, refusal->path, refusal->path_size);
	for (uint32_t i = 0; i + 1 < refusal->path_size; i++)
		if (!path[i])
			path[i] = '<';
	printf("%u %u %d %u %u %s %u %s\n", refusal->way, refusal->why, refusal->watch, refusal->pid, refusal->uid,
	       refusal->comm, refusal->path_cut, path);
	return 0;
}

static void map_clear(struct bpf_map *map)
{
	char key[64];

	while (!bpf_map_get_next_key(bpf_map__fd(map), NULL, key))
		bpf_map_delete_elem(bpf_map__fd(map), key);
}

static int refusal_drop(void *context, void *data, size_t size)
{
	(void)context;
	(void)data;
	(void)size;
	return 0;
}

static struct ring_buffer *ring_open(ring_buffer_sample_fn taken)
{
	return ring_buffer__new(bpf_map__fd(skeleton->maps.refusals), taken, NULL, NULL);
}

static void command_reset(void)
{
	struct ring_buffer *all = ring_open(refusal_drop);

	beats = false;
	memset(orders, 0, sizeof(*orders));
	map_clear(skeleton->maps.folders);
	map_clear(skeleton->maps.systems);
	map_clear(skeleton->maps.programs);
	ring_buffer__consume(all);
	ring_buffer__free(all);
	state->dead_session = state->refused = state->refusals_lost = 0;
	answer(0);
}

static void command(char *text)
{
	char path[4096];
	uint64_t a, b, c, d;
	unsigned int n[7];

	if (strcmp(text, "programs") == 0) {
		attach();
	} else if (strncmp(text, "beat ", 5) == 0) {
		beats = strcmp(text + 5, "on") == 0;
		beat();
		answer(0);
	} else if (sscanf(text, "system %4095s", path) == 1) {
		uint32_t dev = inode_of(path).dev, one = 1;

		answer(bpf_map_update_elem(bpf_map__fd(skeleton->maps.systems), &dev, &one, BPF_ANY));
	} else if (sscanf(text, "folder %4095s %u", path, n) == 2) {
		struct hook_inode key = inode_of(path);
		struct hook_folder folder = {.watch = n[0]};

		answer(bpf_map_update_elem(bpf_map__fd(skeleton->maps.folders), &key, &folder, BPF_ANY));
	} else if (sscanf(text, "program %4095s %u %u", path, n, n + 1) == 3) {
		struct hook_inode key = inode_of(path);
		struct hook_label label = {.software = n[0], .flags = n[1]};

		answer(bpf_map_update_elem(bpf_map__fd(skeleton->maps.programs), &key, &label, BPF_ANY));
	} else if (sscanf(text, "watch %u %u %u %u %u %u %u", n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6) == 7) {
		orders->watches[n[0] % HOOKS_WATCHES] = (struct hook_watch){.mode = (uint8_t)n[1],
									    .store = (uint8_t)n[2],
									    .may_refuse = (uint8_t)n[3],
									    .down = (uint8_t)n[4],
									    .exec_never = (uint8_t)n[5],
									    .origin_mail = (uint8_t)n[6]};
		if (orders->watch_count <= n[0])
			orders->watch_count = n[0] + 1;
		answer(0);
	} else if (sscanf(text, "orders %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %u %u", &a, &b, &c, &d, n,
			  n + 1) == 6) {
		orders->session = a;
		orders->definitions = c;
		orders->epoch = d;
		orders->strictest = n[0];
		orders->track_origins = n[1];
		orders->policy = b;
		answer(0);
	} else if (sscanf(text, "generation %4095s", path) == 1) {
		command_generation(path);
	} else if (sscanf(text, "verdict %4095s %u %" SCNu64 " %u", path, n, &a, n + 1) == 4) {
		command_verdict(path, n[0], a, n[1]);
	} else if (sscanf(text, "label %u", n) == 1) {
		command_label((int)n[0]);
	} else if (sscanf(text, "setlabel %u %u %u", n, n + 1, n + 2) == 3) {
		command_setlabel((int)n[0], n[1], n[2]);
	} else if (sscanf(text, "leaver %u", n) == 1) {
		command_leaver(n[0]);
	} else if (strcmp(text, "refusals") == 0) {
		ring_buffer__consume(ring);
		printf("end\n");
	} else if (strcmp(text, "reset") == 0) {
		command_reset();
	} else if (strcmp(text, "state") == 0) {
		printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", state->next,
		       state->moves, state->dead_session, state->refused, state->refusals_lost, state->no_memory);
	} else {
		printf("unknown command\n");
	}
	fflush(stdout);
}

int main(int argc, char *argv[])
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	char text[8192];
	size_t size = 0;

	load(argc < 2 || strcmp(argv[1], "labels") != 0);
	orders = map_memory(skeleton->maps.orders, sizeof(*orders));
	state = map_memory(skeleton->maps.state, sizeof(*state));
	ring = ring_open(refusal_print);
	for (;;) {
		char *end;
		ssize_t got;

		beat();
		if (poll(&input, 1, 100) <= 0)
			continue;
		got = read(STDIN_FILENO, text + size, sizeof(text) - 1 - size);
		if (got <= 0)
			return 0;
		size += (size_t)got;
		text[size] = 0;
		while ((end = memchr(text, '\n', size))) {
			*end = 0;
			command(text);
			size -= (size_t)(end + 1 - text);
			memmove(text, end + 1, size + 1);
		}
	}
}
