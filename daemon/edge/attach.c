// SPDX-License-Identifier: GPL-2.0-only
#include "attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "attach_choice.h"
#include "attach_pins.h"
#include "attach_trial.h"
#include "mailward.skel.h"
#include "obstacle.h"

#define TEXT_(value) #value
#define TEXT(value) TEXT_(value)
#define CURRENT "v" TEXT(HOOKS_VERSION)
#define CURRENT_DIR HOOKS_DIR "/" CURRENT
#define MAPS CURRENT "/maps"
#define MAPS_DIR HOOKS_DIR "/" MAPS

static const char *const map_names[HOOK_MAPS] = HOOK_MAP_NAMES;

/* One attempt to load and attach, in one mode. */
struct attempt {
	struct attached *attached;
	enum attach_mode mode;
	struct bpf_object *object;
	struct bpf_program *programs[ATTACH_HOOKS_MAX]; /* in the order of attached->hooks; NULL: not loaded */
	struct bpf_link *links[ATTACH_HOOKS_MAX];
	char links_name[PINS_NAME_SIZE]; /* below CURRENT_DIR */
};

/* What libbpf had to say first: what comes later only follows from it. */
static char said[160];

__attribute__((format(printf, 2, 0))) static int hear(enum libbpf_print_level level, const char *format, va_list words)
{
	char line[sizeof(said)];
	const char *text = line;

	if (level != LIBBPF_WARN || said[0])
		return 0;
	vsnprintf(line, sizeof(line), format, words);
	if (strncmp(line, "libbpf: ", 8) == 0)
		text += 8;
	snprintf(said, sizeof(said), "%.*s", (int)strcspn(text, "\n"), text);
	return 0;
}

/* ---- choosing ---- */

static void choose_programs(struct attempt *attempt, const struct btf *kernel)
{
	struct attached *attached = attempt->attached;
	struct bpf_program *program;

	attached->hook_count = 0;
	bpf_object__for_each_program(program, attempt->object)
	{
		struct attach_hook *hook = &attached->hooks[attached->hook_count];
		enum choice choice = CHOICE_NOT_OURS;
		if (attached->hook_count < ATTACH_HOOKS_MAX) {
			*hook = (struct attach_hook){.state = HOOK_ABSENT};
			choice = choice_of_program(kernel, attempt->mode, bpf_program__name(program), hook->name,
						   sizeof(hook->name));
		}
		bpf_program__set_autoload(program, choice == CHOICE_LOAD);
		if (choice == CHOICE_NOT_OURS)
			continue;
		attempt->programs[attached->hook_count++] = choice == CHOICE_LOAD ? program : NULL;
	}
}

static void choose_maps(const struct attempt *attempt)
{
	for (int i = 0; i < HOOK_MAPS; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(attempt->object, map_names[i]);
		if (map)
			bpf_map__set_autocreate(map, choice_of_map(attempt->mode, (enum hook_map)i));
	}
}

/* ---- maps of an earlier run ---- */

static bool fits(int fd, const struct bpf_map *map)
{
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.type == bpf_map__type(map) &&
	       info.key_size == bpf_map__key_size(map) && info.value_size == bpf_map__value_size(map) &&
	       info.max_entries == bpf_map__max_entries(map) && info.map_flags == bpf_map__map_flags(map);
}

/* The folder of links that is complete: links-N. The last one wins; there are two only where a run was killed between
 * attaching and removing. */
static bool find_links(int current, char *out)
{
	unsigned found = 0;
	char name[PINS_NAME_SIZE];

	out[0] = 0;
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "links-%u", i);
		if (faccessat(current, name, F_OK, 0) < 0)
			continue;
		memcpy(out, name, sizeof(name));
		found++;
	}
	return found > 0;
}

/* Have all the programs that we are going to attach been attached so far? What changed unseen must not pass as
 * unchanged. */
static bool were_attached(const struct attempt *attempt)
{
	char links[PINS_NAME_SIZE], path[PINS_PATH_SIZE];
	int current = open(CURRENT_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	bool all = current >= 0 && find_links(current, links);

	for (uint32_t i = 0; all && i < attempt->attached->hook_count; i++) {
		if (!attempt->programs[i])
			continue;
		snprintf(path, sizeof(path), "%s/%s", links, bpf_program__name(attempt->programs[i]));
		all = faccessat(current, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	}
	if (current >= 0)
		close(current);
	return all;
}

/* Opens the pinned maps; true: each of this mode is there, and fits. */
static bool open_pinned(const struct attempt *attempt, int fds[HOOK_MAPS])
{
	bool all = true;

	for (int i = 0; i < HOOK_MAPS; i++) {
		const struct bpf_map *map = bpf_object__find_map_by_name(attempt->object, map_names[i]);
		char path[PINS_PATH_SIZE];
		snprintf(path, sizeof(path), MAPS_DIR "/%s", map_names[i]);
		fds[i] = bpf_obj_get(path);
		/* A set of another mode has more or fewer, and is another set. */
		if ((fds[i] >= 0) != choice_of_map(attempt->mode, (enum hook_map)i) ||
		    (fds[i] >= 0 && (!map || !fits(fds[i], map))))
			all = false;
	}
	return all;
}

/* Whatever lies under our version's name and can't be used goes on under another name, until attach_settle(). */
static int put_aside(struct attached *attached)
{
	char name[PINS_NAME_SIZE];

	if (faccessat(attached->home, CURRENT, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		pins_free_name(attached->home, "other-", name);
		if (renameat(attached->home, CURRENT, attached->home, name) < 0)
			return -errno;
	}
	return mkdirat(attached->home, CURRENT, 0700) < 0 ? -errno : 0;
}

static int reuse_maps(struct attempt *attempt)
{
	struct attached *attached = attempt->attached;
	int fds[HOOK_MAPS], error = 0;

	attached->reused = open_pinned(attempt, fds) && were_attached(attempt);
	for (int i = 0; i < HOOK_MAPS; i++) {
		if (fds[i] < 0)
			continue;
		if (attached->reused && !error)
			error = bpf_map__reuse_fd(bpf_object__find_map_by_name(attempt->object, map_names[i]), fds[i]);
		close(fds[i]);
	}
	if (!error && !attached->reused)
		error = put_aside(attached);
	return error;
}

/* ---- pinning ---- */

static int pin(int fd, const char *folder, const char *name)
{
	char path[PINS_PATH_SIZE];

	if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return bpf_obj_pin(fd, path) < 0 ? -errno : 0;
}

/* All of them under another name first: a folder called "maps" is complete. */
static int pin_maps(struct attached *attached)
{
	int error = mkdirat(attached->home, CURRENT "/maps-new", 0700) < 0 ? -errno : 0;

	for (int i = 0; i < HOOK_MAPS && !error; i++)
		if (attached->maps[i] >= 0)
			error = pin(attached->maps[i], CURRENT_DIR "/maps-new", map_names[i]);
	if (!error && renameat(attached->home, CURRENT "/maps-new", attached->home, MAPS) < 0)
		error = -errno;
	return error;
}

static int take_maps(struct attempt *attempt)
{
	struct attached *attached = attempt->attached;

	for (int i = 0; i < HOOK_MAPS; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(attempt->object, map_names[i]);
		if (!map || !choice_of_map(attempt->mode, (enum hook_map)i))
			continue;
		attached->maps[i] = fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 3);
		if (attached->maps[i] < 0)
			return -errno;
	}
	return attached->home < 0 || attached->reused ? 0 : pin_maps(attached);
}

static int pin_links(struct attempt *attempt)
{
	struct attached *attached = attempt->attached;
	char folder[PINS_PATH_SIZE], unfinished[PINS_NAME_SIZE + 8];
	int current = openat(attached->home, CURRENT, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), error = 0;

	if (current < 0)
		return -errno;
	pins_free_name(current, "links-", attempt->links_name);
	snprintf(unfinished, sizeof(unfinished), "new-%s", attempt->links_name);
	pins_remove(current, unfinished);
	snprintf(folder, sizeof(folder), CURRENT_DIR "/%s", unfinished);
	if (mkdirat(current, unfinished, 0700) < 0)
		error = -errno;
	for (uint32_t i = 0; i < attached->hook_count && !error; i++)
		if (attempt->links[i])
			error = pin(bpf_link__fd(attempt->links[i]), folder, bpf_program__name(attempt->programs[i]));
	if (!error && renameat(current, unfinished, current, attempt->links_name) < 0)
		error = -errno;
	if (error)
		pins_remove(current, unfinished);
	else /* the new ones stand: older ones, and what a killed run has left, are done with */
		pins_clear(current, "maps", attempt->links_name);
	close(current);
	return error;
}

static int hold_links(struct attempt *attempt)
{
	struct attached *attached = attempt->attached;

	for (uint32_t i = 0; i < attached->hook_count; i++) {
		if (!attempt->links[i])
			continue;
		attached->held[i] = fcntl(bpf_link__fd(attempt->links[i]), F_DUPFD_CLOEXEC, 3);
		if (attached->held[i] < 0)
			return -errno;
	}
	return 0;
}

/* ---- one attempt ---- */

/* libbpf names the program that did not load in its first words: prog 'NAME': ... */
static void note_failed(const struct attempt *attempt, int error)
{
	struct attached *attached = attempt->attached;
	char name[80];

	for (uint32_t i = 0; i < attached->hook_count; i++) {
		if (!attempt->programs[i])
			continue;
		snprintf(name, sizeof(name), "'%s'", bpf_program__name(attempt->programs[i]));
		if (strstr(said, name)) {
			attached->hooks[i].state = HOOK_FAILED;
			attached->hooks[i].error = (int16_t)error;
		}
	}
}

static int attach_programs(struct attempt *attempt)
{
	struct attached *attached = attempt->attached;

	for (uint32_t i = 0; i < attached->hook_count; i++) {
		struct attach_hook *hook = &attached->hooks[i];
		if (!attempt->programs[i])
			continue;
		attempt->links[i] = bpf_program__attach(attempt->programs[i]);
		if (!attempt->links[i]) {
			hook->error = (int16_t)-errno;
			hook->state = HOOK_FAILED;
			return hook->error;
		}
		hook->state = HOOK_ATTACHED;
	}
	return 0;
}

static int attempt_load(struct attempt *attempt, const struct btf *kernel)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "mailward");
	size_t size = 0;
	const void *bytes = mailward_bpf__elf_bytes(&size);
	int error;

	attempt->object = bpf_object__open_mem(bytes, size, &options);
	if (!attempt->object)
		return -errno;
	choose_programs(attempt, kernel);
	choose_maps(attempt);
	error = attempt->attached->home >= 0 ? reuse_maps(attempt) : 0;
	if (error)
		return error;
	error = bpf_object__load(attempt->object);
	if (error)
		note_failed(attempt, error);
	return error;
}

static void drop_maps(struct attached *attached)
{
	for (int i = 0; i < HOOK_MAPS; i++) {
		if (attached->maps[i] >= 0)
			close(attached->maps[i]);
		attached->maps[i] = -1;
	}
	for (int i = 0; i < ATTACH_HOOKS_MAX; i++) {
		if (attached->held[i] >= 0)
			close(attached->held[i]);
		attached->held[i] = -1;
	}
}

/* Loads, attaches, and only then pins what it attached. What fails leaves nothing attached. 0 or -errno. */
static int attempt_run(struct attached *attached, enum attach_mode mode, const struct btf *kernel)
{
	static struct attempt attempt;
	int error;

	attempt = (struct attempt){.attached = attached, .mode = mode};
	said[0] = 0;
	error = attempt_load(&attempt, kernel);
	if (!error)
		error = take_maps(&attempt);
	if (!error)
		error = attach_programs(&attempt);
	if (!error)
		error = attached->home >= 0 ? pin_links(&attempt) : hold_links(&attempt);
	for (int i = 0; i < ATTACH_HOOKS_MAX; i++)
		bpf_link__destroy(attempt.links[i]);
	bpf_object__close(attempt.object);
	if (error) {
		drop_maps(attached);
		attached->reused = false;
	} else {
		attached->mode = mode;
	}
	return error;
}

/* ---- the whole ---- */

static void read_line(const char *path, char *out, size_t size)
{
	FILE *file = fopen(path, "re");

	out[0] = 0;
	if (!file)
		return;
	if (!fgets(out, (int)size, file))
		out[0] = 0;
	fclose(file);
}

static void explain(struct attached *attached, enum obstacle obstacle, int error, const char *words)
{
	struct utsname system = {.release = "?"};
	struct obstacle_facts facts = {.error = error, .said = words};
	char modules[256];

	uname(&system);
	facts.release = system.release;
	read_line("/sys/kernel/security/lsm", modules, sizeof(modules));
	facts.modules = modules;
	obstacle_text(obstacle, &facts, attached->why, sizeof(attached->why), attached->remedy,
		      sizeof(attached->remedy));
}

static void begin(struct attached *attached)
{
	*attached = (struct attached){.home = -1};
	for (int i = 0; i < HOOK_MAPS; i++)
		attached->maps[i] = -1;
	for (int i = 0; i < ATTACH_HOOKS_MAX; i++)
		attached->held[i] = -1;
	libbpf_set_print(hear);
}

/* Nobody of ours can answer for what an earlier run has left, so it must not ask. */
static void leave_nothing(struct attached *attached)
{
	if (attached->home < 0)
		return;
	attach_detach(attached);
	close(attached->home);
	attached->home = -1;
}

/* Where the full mode was tried, what it says about each hook stays for `probe`. */
static void run_labels(struct attached *attached, const struct btf *kernel)
{
	static struct attach_hook tried[ATTACH_HOOKS_MAX];
	uint32_t count = attached->hook_count;

	memcpy(tried, attached->hooks, sizeof(tried));
	attempt_run(attached, ATTACH_LABELS, kernel);
	if (count == 0)
		return;
	memcpy(attached->hooks, tried, sizeof(tried));
	attached->hook_count = count;
}

static void run_modes(struct attached *attached, bool keep, const char *no_pins)
{
	struct btf *kernel = btf__load_vmlinux_btf();
	int error = 0;
	enum obstacle obstacle = kernel ? trial_lsm(kernel, &error) : OBSTACLE_NO_BTF;

	if (obstacle == OBSTACLE_NONE && keep && attached->home < 0) {
		explain(attached, OBSTACLE_NO_PINS, 0, no_pins);
		obstacle = OBSTACLE_NO_PINS;
	} else if (obstacle == OBSTACLE_NONE) {
		error = attempt_run(attached, ATTACH_FULL, kernel);
		obstacle = error ? OBSTACLE_PROGRAM : OBSTACLE_NONE;
	}
	if (obstacle != OBSTACLE_NONE && obstacle != OBSTACLE_NO_PINS)
		explain(attached, obstacle, error, said);
	if (obstacle != OBSTACLE_NONE && kernel)
		run_labels(attached, kernel);
	btf__free(kernel);
}

int attach_run(struct attached *attached, bool keep)
{
	char no_pins[160] = "";

	begin(attached);
	if (keep)
		attached->home = pins_home(true, no_pins, sizeof(no_pins));
	if (attached->home == -EBUSY) {
		attached->home = -1;
		explain(attached, OBSTACLE_BUSY, -EBUSY, "");
		return 0;
	}
	if (attached->home < 0)
		attached->home = -1;
	run_modes(attached, keep, no_pins);
	if (attached->mode == ATTACH_NONE)
		leave_nothing(attached);
	attached->others = attached->home >= 0 && pins_others(attached->home, CURRENT);
	if (attached->others)
		attach_label_others(CURRENT);
	malloc_trim(0);
	return 0;
}

void attach_close(struct attached *attached)
{
	drop_maps(attached);
	if (attached->home >= 0)
		close(attached->home);
	attached->home = -1;
}

void attach_settle(struct attached *attached)
{
	if (attached->others && attached->home >= 0)
		pins_clear(attached->home, CURRENT, NULL);
	attached->others = false;
}

void attach_detach(struct attached *attached)
{
	for (int i = 0; i < ATTACH_HOOKS_MAX; i++) {
		if (attached->held[i] >= 0)
			close(attached->held[i]);
		attached->held[i] = -1;
	}
	if (attached->home < 0)
		return;
	pins_clear(attached->home, NULL, NULL);
	rmdir(HOOKS_DIR);
}

int attach_label(const struct attached *attached, int pidfd, const struct hook_label *label)
{
	if (attached->maps[HOOK_LABELS] < 0)
		return -ENOENT;
	return bpf_map_update_elem(attached->maps[HOOK_LABELS], &pidfd, label, BPF_ANY) < 0 ? -errno : 0;
}

int attach_label_of(const struct attached *attached, int pidfd, struct hook_label *label_out)
{
	*label_out = (struct hook_label){0};
	if (attached->maps[HOOK_LABELS] < 0)
		return -ENOENT;
	if (bpf_map_lookup_elem(attached->maps[HOOK_LABELS], &pidfd, label_out) == 0)
		return 0;
	return errno == ENOENT ? 0 : -errno;
}
