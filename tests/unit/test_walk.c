// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/edge/walk.c
#include <CUnit/Basic.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "walk.h"

static char root[64];
static int here = -1;

static void help_begin(void)
{
	snprintf(root, sizeof(root), "/tmp/mailward-walk-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(root));
	chmod(root, 0755);
	here = open(root, O_PATH | O_DIRECTORY);
	CU_ASSERT_FATAL(here >= 0);
}

static void help_end(void)
{
	char command[256];

	close(here);
	snprintf(command, sizeof(command), "chmod -R u+rwX %s; rm -rf %s", root, root);
	CU_ASSERT_EQUAL(system(command), 0);
}

static void help_put(const char *name)
{
	int fd = openat(here, name, O_WRONLY | O_CREAT, 0644);

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(write(fd, name, strlen(name)), (ssize_t)strlen(name));
	close(fd);
}

struct help_seen {
	int files, left_out, error, steps;
	char paths[8][512];
};

static struct help_seen help_walk(const struct walk_options *options)
{
	struct help_seen seen = {0};
	struct walk_found found;
	struct walk *walk;
	enum walk_step step;

	if (walk_open(&walk, here, options) < 0) {
		seen.files = -1;
		return seen;
	}
	while ((step = walk_next(walk, &found)) != WALK_END) {
		seen.steps++;
		if (step == WALK_FILE) {
			if (seen.files < 8)
				walk_path(walk, seen.paths[seen.files], sizeof(seen.paths[0]));
			seen.files++;
		}
		if (step == WALK_LEFT_OUT) {
			seen.left_out++;
			seen.error = found.error;
		}
		if (found.fd >= 0)
			close(found.fd);
	}
	walk_close(&walk);
	return seen;
}

static void files_in_all_folders_are_found_with_their_names(void)
{
	struct walk_options options = {0};
	struct help_seen seen;

	help_begin();
	mkdirat(here, "a", 0755);
	mkdirat(here, "a/b", 0755);
	help_put("a/b/\n\xff odd");
	seen = help_walk(&options);
	CU_ASSERT_EQUAL(seen.files, 1);
	CU_ASSERT_STRING_EQUAL(seen.paths[0], "a/b/\n\xff odd");
	help_put("one");
	mkdirat(here, "empty", 0755);
	CU_ASSERT_EQUAL(help_walk(&options).files, 2);
	options.sizes = true;
	CU_ASSERT_EQUAL(help_walk(&options).files, 2);
	help_end();
}

static void links_pipes_and_sockets_are_no_files(void)
{
	struct walk_options options = {0};
	struct help_seen seen;

	help_begin();
	CU_ASSERT_EQUAL(symlinkat("/", here, "to-the-root"), 0);
	CU_ASSERT_EQUAL(symlinkat(".", here, "to-itself"), 0);
	CU_ASSERT_EQUAL(symlinkat("/etc/passwd", here, "to-a-file"), 0);
	CU_ASSERT_EQUAL(mkfifoat(here, "pipe", 0644), 0);
	seen = help_walk(&options);
	CU_ASSERT_EQUAL(seen.files, 0);
	CU_ASSERT_EQUAL(seen.left_out, 0);
	help_end();
}

static void many_names_are_taken_once_each_with_bounded_memory(void)
{
	struct walk_options options = {0};
	char name[32];

	help_begin();
	for (int i = 0; i < 30000; i++) { /* more than two batches */
		snprintf(name, sizeof(name), "f%d", i);
		int fd = openat(here, name, O_WRONLY | O_CREAT, 0644);
		close(fd);
	}
	CU_ASSERT_EQUAL(help_walk(&options).files, 30000);
	help_end();
}

static void names_of_one_inode_are_each_found(void)
{
	struct walk_options options = {0};

	help_begin();
	help_put("one");
	CU_ASSERT_EQUAL(linkat(here, "one", here, "two", 0), 0);
	CU_ASSERT_EQUAL(help_walk(&options).files, 2);
	help_end();
}

static void what_is_too_deep_is_said(void)
{
	struct walk_options options = {0};
	struct help_seen seen;
	int at;

	help_begin();
	at = dup(here);
	for (int i = 0; i < WALK_DEPTH_MAX + 20; i++) {
		int next;
		mkdirat(at, "d", 0755);
		next = openat(at, "d", O_PATH | O_DIRECTORY);
		close(at);
		at = next;
	}
	close(at);
	seen = help_walk(&options);
	CU_ASSERT_EQUAL(seen.left_out, 1);
	CU_ASSERT_EQUAL(seen.error, E2BIG);
	help_end();
}

static bool help_leave(void *owner, int fd, const struct stat *folder)
{
	(void)fd;
	return folder->st_ino == *(const ino_t *)owner;
}

static void folders_are_left_out_by_what_they_are(void)
{
	struct stat status;
	ino_t ino;
	struct walk_options options = {.leave_out = help_leave, .owner = &ino};

	help_begin();
	mkdirat(here, "kept", 0755);
	help_put("kept/file");
	ino = 0;
	CU_ASSERT_EQUAL(help_walk(&options).files, 1);
	fstatat(here, "kept", &status, 0);
	ino = status.st_ino;
	CU_ASSERT_EQUAL(renameat(here, "kept", here, "of another name"), 0);
	CU_ASSERT_EQUAL(help_walk(&options).files, 0);
	fstat(here, &status);
	ino = status.st_ino; /* the root itself */
	CU_ASSERT_EQUAL(help_walk(&options).files, 0);
	help_end();
}

/* Every place where a walk may be broken off: what follows is the rest, no less and no more. */
static void a_walk_goes_on_where_another_one_was_left(void)
{
	struct walk_options options = {0};
	static struct walk_key keys[WALK_DEPTH_MAX];
	char name[64];

	help_begin();
	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		mkdirat(here, name, 0755);
		snprintf(name, sizeof(name), "d%d/sub", i);
		mkdirat(here, name, 0755);
		for (int j = 0; j < 3; j++) {
			snprintf(name, sizeof(name), "d%d/%s%d", i, j == 1 ? "sub/f" : "f", j);
			help_put(name);
		}
	}
	for (int stop = 0; stop <= 18; stop++) {
		struct walk_found found;
		struct walk *walk;
		enum walk_step step;
		int files = 0;
		size_t depth;

		CU_ASSERT_EQUAL_FATAL(walk_open(&walk, here, &options), 0);
		while (files < stop && (step = walk_next(walk, &found)) != WALK_END) {
			files += step == WALK_FILE;
			if (found.fd >= 0)
				close(found.fd);
		}
		depth = walk_position(walk, keys, WALK_DEPTH_MAX);
		walk_close(&walk);
		CU_ASSERT_EQUAL_FATAL(walk_open(&walk, here, &options), 0);
		walk_go_on(walk, keys, depth);
		while ((step = walk_next(walk, &found)) != WALK_END) {
			files += step == WALK_FILE;
			if (found.fd >= 0)
				close(found.fd);
		}
		walk_close(&walk);
		CU_ASSERT_EQUAL(files, 18);
	}
	help_end();
}

static void a_place_that_is_gone_costs_nothing_else(void)
{
	struct walk_options options = {0};
	struct walk_key keys[3] = {
		{.ino = 1, .name = "was here"}, {.ino = 2, .name = "deeper"}, {.ino = 3, .name = ".."}};
	struct walk_found found;
	struct walk *walk;
	enum walk_step step;
	int files = 0;

	help_begin();
	help_put("file"); /* of a greater number than 1 */
	CU_ASSERT_EQUAL_FATAL(walk_open(&walk, here, &options), 0);
	walk_go_on(walk, keys, 3);
	while ((step = walk_next(walk, &found)) != WALK_END) {
		files += step == WALK_FILE;
		if (found.fd >= 0)
			close(found.fd);
	}
	walk_close(&walk);
	CU_ASSERT_EQUAL(files, 1);
	help_end();
}

static void a_position_never_leads_out_of_the_tree(void)
{
	struct walk_options options = {0};
	struct walk_key keys[2] = {{.ino = 0, .name = ".."}, {.ino = 0, .name = "tmp"}};
	struct walk_found found;
	struct walk *walk;
	enum walk_step step;
	int files = 0;

	help_begin();
	help_put("file");
	CU_ASSERT_EQUAL_FATAL(walk_open(&walk, here, &options), 0);
	walk_go_on(walk, keys, 2);
	while (files < 3 && (step = walk_next(walk, &found)) != WALK_END) {
		files += step == WALK_FILE;
		if (found.fd >= 0)
			close(found.fd);
	}
	walk_close(&walk);
	CU_ASSERT_EQUAL(files, 1);
	help_end();
}

/* As somebody who may not read it: a folder is left out and said, the rest is walked. */
static void a_folder_that_cannot_be_read_is_said(void)
{
	struct walk_options options = {0};
	int status;
	pid_t pid;

	help_begin();
	mkdirat(here, "shut", 0755);
	help_put("shut/file");
	help_put("open");
	CU_ASSERT_EQUAL(help_walk(&options).files, 2);
	CU_ASSERT_EQUAL(fchmodat(here, "shut", 0, 0), 0);
	pid = fork();
	if (pid == 0) {
		struct help_seen seen;
		if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
			_exit(9);
		seen = help_walk(&options);
		_exit(seen.files == 1 && seen.left_out == 1 && seen.error == EACCES ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	help_end();
}

static void what_goes_while_it_is_walked_is_no_error(void)
{
	struct walk_options options = {0};
	struct walk_found found;
	struct walk *walk;
	enum walk_step step;
	int left_out = 0;

	help_begin();
	mkdirat(here, "gone", 0755);
	help_put("gone/file");
	help_put("other");
	CU_ASSERT_EQUAL_FATAL(walk_open(&walk, here, &options), 0);
	step = walk_next(walk, &found);
	step = walk_next(walk, &found); /* the names are read */
	CU_ASSERT_EQUAL(step, WALK_AGAIN);
	unlinkat(here, "gone/file", 0);
	unlinkat(here, "gone", AT_REMOVEDIR);
	unlinkat(here, "other", 0);
	while ((step = walk_next(walk, &found)) != WALK_END) {
		left_out += step == WALK_LEFT_OUT;
		if (found.fd >= 0)
			close(found.fd);
	}
	walk_close(&walk);
	CU_ASSERT_EQUAL(left_out, 0);
	help_end();
}

static void what_is_found_is_read_by_its_descriptor_alone(void)
{
	struct walk_options options = {0};
	struct walk_found found;
	struct walk *walk;
	int proc = open("/proc", O_PATH | O_DIRECTORY), fd;
	char text[8] = "";

	help_begin();
	help_put("file");
	CU_ASSERT_EQUAL_FATAL(walk_open(&walk, here, &options), 0);
	while (walk_next(walk, &found) == WALK_AGAIN)
		;
	CU_ASSERT_FATAL(found.fd >= 0);
	/* Another one takes its name: a pipe, which nobody opens. */
	unlinkat(here, "file", 0);
	mkfifoat(here, "file", 0644);
	fd = walk_read(proc, found.fd);
	CU_ASSERT(fd >= 0 && read(fd, text, sizeof(text) - 1) == 4);
	CU_ASSERT_STRING_EQUAL(text, "file");
	close(fd);
	close(found.fd);
	close(proc);
	walk_close(&walk);
	help_end();
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"files in all folders are found with their names", files_in_all_folders_are_found_with_their_names},
		{"links pipes and sockets are no files", links_pipes_and_sockets_are_no_files},
		{"many names are taken once each with bounded memory",
		 many_names_are_taken_once_each_with_bounded_memory},
		{"names of one inode are each found", names_of_one_inode_are_each_found},
		{"what is too deep is said", what_is_too_deep_is_said},
		{"folders are left out by what they are", folders_are_left_out_by_what_they_are},
		{"a walk goes on where another one was left", a_walk_goes_on_where_another_one_was_left},
		{"a place that is gone costs nothing else", a_place_that_is_gone_costs_nothing_else},
		{"a position never leads out of the tree", a_position_never_leads_out_of_the_tree},
		{"a folder that cannot be read is said", a_folder_that_cannot_be_read_is_said},
		{"what goes while it is walked is no error", what_goes_while_it_is_walked_is_no_error},
		{"what is found is read by its descriptor alone", what_is_found_is_read_by_its_descriptor_alone},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {{"walk", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};
	unsigned failed;

	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return 2;
	CU_basic_run_tests();
	failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
