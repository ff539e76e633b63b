// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/edge/policy_roots.c daemon/think/mounts.c
// objects: daemon/think/policy_text.c daemon/think/policy_values.c daemon/think/policy_watch.c
// objects: daemon/think/policy_notify.c daemon/think/policy_schedule.c
// objects: daemon/think/policy_words.c daemon/think/policy.c daemon/think/store.c
// libs: libconfuse
/* Real folders under a temporary one, and made-up mounts on them. No root is needed. */
#include <CUnit/Basic.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy_roots.h"

static struct policy table;
static struct complaints complaints;
static struct mounts mounts;
static struct policy_roots roots;
static char here[PATH_MAX]; /* the temporary folder, real path */

static char *path(const char *name)
{
	static char paths[4][PATH_MAX + 64];
	static int next;
	char *out = paths[next++ % 4];

	snprintf(out, sizeof(paths[0]), "%s%s", here, name);
	return out;
}

static void begin(void)
{
	memset(&table, 0, sizeof(table));
	memset(&complaints, 0, sizeof(complaints));
	table.file_count = 1;
	strcpy(table.files[0], "p.conf");
}

static struct policy_watch *add_watch(const char *name, enum watch_mode mode)
{
	struct policy_watch *watch = &table.watches[table.watch_count++];

	snprintf(watch->path, sizeof(watch->path), "%s", path(name));
	watch->mode = mode;
	watch->place.line = table.watch_count;
	return watch;
}

/* The file system of / and, at `here`, one of its own; then lines with %s for `here`. */
static void mounts_are(const char *more)
{
	char text[4 * PATH_MAX], lines[2 * PATH_MAX];

	snprintf(lines, sizeof(lines), more, here);
	snprintf(text, sizeof(text), "28 1 254:0 / / rw - ext4 /dev/vda rw\n30 28 0:30 / %s rw - tmpfs none rw\n%s",
		 here, lines);
	mounts_free(&mounts);
	CU_ASSERT_EQUAL_FATAL(mounts_parse(&mounts, strdup(text)), 0);
}

static bool settle(void)
{
	return policy_settle(&table, &mounts, &complaints);
}

static bool said(const char *words)
{
	for (size_t i = 0; i < complaints.count; i++)
		if (strstr(complaints.list[i].text, words))
			return true;
	return false;
}

static void a_folder_on_a_file_system_of_its_own_is_taken(void)
{
	begin();
	mounts_are("");
	add_watch("/v", MODE_ENFORCE);
	CU_ASSERT_TRUE(settle());
	CU_ASSERT_EQUAL(complaints.count, 0);
	CU_ASSERT_STRING_EQUAL(table.watches[0].path, path("/v"));
}

static void enforce_is_refused_on_each_remote_type_and_observe_is_not(void)
{
	static const char *const types[] = {"nfs", "nfs4", "cifs", "fuse.sshfs", "fuse", "9p", NULL};
	char line[256];

	for (size_t i = 0; types[i]; i++) {
		snprintf(line, sizeof(line), "31 30 0:50 / %%s/v rw - %s server rw\n", types[i]);
		mounts_are(line);
		begin();
		add_watch("/v", MODE_ENFORCE);
		add_watch("/v/not/there", MODE_ENFORCE);
		CU_ASSERT_FALSE(settle());
		CU_ASSERT_EQUAL(complaints.errors, 2);
		CU_ASSERT_TRUE(said("p.conf:1: "));
		CU_ASSERT_TRUE(said("use mode = observe"));
		CU_ASSERT_TRUE(said(types[i]));
		begin();
		add_watch("/v", MODE_OBSERVE);
		add_watch("/v/x", MODE_OFF);
		CU_ASSERT_TRUE(settle());
	}
}

static void the_file_system_of_the_root_is_refused_under_any_of_its_mounts(void)
{
	static const char bound[] = "31 30 254:0 /somewhere %s/v rw - ext4 /dev/vda rw\n";

	for (int mode = MODE_OBSERVE; mode <= MODE_ENFORCE; mode++) {
		begin();
		mounts_are(bound);
		add_watch("/v", (enum watch_mode)mode);
		CU_ASSERT_FALSE(settle());
		CU_ASSERT_TRUE(said("put `allow-root-filesystem = yes` at the top"));
	}
	begin();
	table.allow_root_filesystem = 1;
	add_watch("/v", MODE_ENFORCE);
	CU_ASSERT_TRUE(settle());
	begin();
	add_watch("/v", MODE_OFF);
	CU_ASSERT_TRUE(settle());
}

static void kernel_file_systems_are_refused_even_with_leave(void)
{
	begin();
	table.allow_root_filesystem = 1;
	mounts_are("31 30 0:50 / %s/v rw - proc proc rw\n");
	add_watch("/v", MODE_OBSERVE);
	CU_ASSERT_FALSE(settle());
	CU_ASSERT_TRUE(said("which holds no mail"));
}

static void links_are_followed_to_the_real_path(void)
{
	static const struct {
		const char *name, *real;
	} cases[] = {{"/absolute", "/v"},
		     {"/relative", "/v"},
		     {"/up", "/v"},
		     {"/chain", "/v"},
		     {"/absolute/inner", "/v/inner"},
		     {"/relative/nowhere/x", "/v/nowhere/x"},
		     {"/dangling", "/gone"}};

	mounts_are("");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin();
		add_watch(cases[i].name, MODE_ENFORCE);
		CU_ASSERT_TRUE(settle());
		CU_ASSERT_STRING_EQUAL(table.watches[0].path, path(cases[i].real));
		CU_ASSERT_EQUAL(complaints.count, 1);
		CU_ASSERT_TRUE(complaints.list[0].warning);
		CU_ASSERT_TRUE(said("is reached by a symbolic link"));
	}
}

static void a_link_to_the_file_system_of_the_root_is_judged_there(void)
{
	begin();
	mounts_are("");
	add_watch("/to-root", MODE_ENFORCE);
	CU_ASSERT_FALSE(settle());
	CU_ASSERT_TRUE(said("file system of /"));
}

static void a_link_onto_a_remote_mount_is_not_touched_beyond_it(void)
{
	begin();
	mounts_are("31 30 0:50 / %s/v rw - nfs4 server rw\n");
	add_watch("/absolute/inner/deep", MODE_ENFORCE);
	CU_ASSERT_FALSE(settle());
	CU_ASSERT_TRUE(said("use mode = observe"));
	CU_ASSERT_STRING_EQUAL(table.watches[0].path, path("/v/inner/deep"));
}

static void loops_files_and_paths_through_files_are_refused(void)
{
	mounts_are("");
	begin();
	add_watch("/loop", MODE_ENFORCE);
	CU_ASSERT_FALSE(settle());
	begin();
	add_watch("/file", MODE_ENFORCE);
	CU_ASSERT_FALSE(settle());
	CU_ASSERT_TRUE(said("watch the folder that it lies in"));
	begin();
	add_watch("/file/x", MODE_ENFORCE);
	CU_ASSERT_FALSE(settle());
}

static void watches_that_are_one_folder_are_refused(void)
{
	for (int order = 0; order < 2; order++) {
		begin();
		mounts_are("");
		add_watch(order ? "/absolute" : "/v", MODE_ENFORCE);
		add_watch(order ? "/v" : "/absolute", MODE_ENFORCE);
		CU_ASSERT_FALSE(settle());
		CU_ASSERT_TRUE(said("this watch is repeated, through a symbolic link"));
	}
}

static void what_is_not_there_gets_no_root_and_a_reason(void)
{
	begin();
	mounts_are("");
	table.allow_root_filesystem = 1;
	add_watch("/gone", MODE_ENFORCE);
	add_watch("/v", MODE_OFF);
	add_watch("/absolute", MODE_ENFORCE); /* a link that came after the policy was settled */
	add_watch("/file", MODE_ENFORCE);
	policy_roots_open(&table, &mounts, &roots);
	CU_ASSERT_EQUAL(roots.count, 1); /* of the one that is off: it takes its part out of a larger one */
	CU_ASSERT_EQUAL(roots.list[0].watch, 1);
	CU_ASSERT_STRING_EQUAL(roots.why[0], "does not exist (yet)");
	CU_ASSERT_STRING_EQUAL(roots.file_system[0], "");
	CU_ASSERT_STRING_EQUAL(roots.why[1], "");
	CU_ASSERT_TRUE(strstr(roots.why[2], "symbolic link") != NULL);
	CU_ASSERT_STRING_EQUAL(roots.why[3], "is not a folder");
	policy_roots_close(&roots);
}

static void a_folder_that_appears_on_the_file_system_of_the_root_gets_a_reason_not_a_root(void)
{
	begin();
	/* In truth `here` lies on the mount that mountinfo tells of it; as the file system of / nothing else is needed.
	 */
	mounts_free(&mounts);
	CU_ASSERT_EQUAL_FATAL(host_mounts(&mounts), 0);
	if (!mounts_share(mounts_find(&mounts, here), mounts_find(&mounts, "/"))) {
		CU_PASS("the temporary folder is no part of / here");
		return;
	}
	add_watch("/v", MODE_ENFORCE);
	policy_roots_open(&table, &mounts, &roots);
	CU_ASSERT_EQUAL(roots.count, 0);
	CU_ASSERT_TRUE(strstr(roots.why[0], "file system of /") != NULL);
	table.allow_root_filesystem = 1;
	policy_roots_open(&table, &mounts, &roots);
	CU_ASSERT_EQUAL(roots.count, 1);
	CU_ASSERT_EQUAL(roots.list[0].watch, 0);
	policy_roots_close(&roots);
}

static void a_remote_mount_below_is_said_and_not_touched(void)
{
	begin();
	table.allow_root_filesystem = 1;
	mounts_are("31 30 0:50 / %s/v/inner rw - nfs4 server rw\n");
	add_watch("/v", MODE_ENFORCE);
	policy_roots_open(&table, &mounts, &roots);
	CU_ASSERT_EQUAL(roots.count, 1);
	CU_ASSERT_TRUE(strncmp(roots.why[0], "not all of it: ", 15) == 0);
	policy_roots_close(&roots);
}

static int make_tree(void)
{
	char name[] = "/tmp/mailward-test-XXXXXX";
	FILE *file;

	if (!mkdtemp(name) || !realpath(name, here))
		return -1;
	if (mkdir(path("/v"), 0755) < 0 || mkdir(path("/v/inner"), 0755) < 0)
		return -1;
	file = fopen(path("/file"), "w");
	if (!file || fclose(file) != 0)
		return -1;
	return symlink(path("/v"), path("/absolute")) || symlink("v", path("/relative")) ||
	       symlink("./v/inner/../../v", path("/up")) || symlink("relative", path("/chain")) ||
	       symlink("gone", path("/dangling")) || symlink("/var/tmp", path("/to-root")) ||
	       symlink("loop", path("/loop"));
}

static void programs_are_opened_and_what_is_missing_is_said(void)
{
	static struct policy_programs programs;
	struct policy_mail_software *software = &table.mail_software[1];
	struct stat opened, named;

	begin();
	table.mail_software_count = 2;
	software->root_count = 4;
	snprintf(software->roots[0], sizeof(software->roots[0]), "/bin/sh"); /* a link on most systems */
	snprintf(software->roots[1], sizeof(software->roots[1]), "%.1000s", path("/nothing"));
	snprintf(software->roots[2], sizeof(software->roots[2]), "%.1000s", here);
	snprintf(software->roots[3], sizeof(software->roots[3]), "%.1000s", path("/file"));
	policy_programs_open(&table, &mounts, &programs);
	CU_ASSERT_EQUAL_FATAL(programs.count, 1);
	CU_ASSERT_EQUAL(programs.list[0].software, 1);
	CU_ASSERT_EQUAL(programs.list[0].root, 0);
	CU_ASSERT(fstat(programs.list[0].fd, &opened) == 0 && stat("/bin/sh", &named) == 0);
	CU_ASSERT(opened.st_ino == named.st_ino && opened.st_dev == named.st_dev);
	CU_ASSERT_STRING_EQUAL(programs.why[1][0], "");
	CU_ASSERT_STRING_EQUAL(programs.why[1][1], "does not exist");
	CU_ASSERT_STRING_EQUAL(programs.why[1][2], "is not a program");
	CU_ASSERT_STRING_EQUAL(programs.why[1][3], "is not a program");
	policy_programs_close(&programs);
	CU_ASSERT_EQUAL(programs.count, 0);
}

static void the_device_is_the_one_that_mountinfo_names(void)
{
	static struct policy_programs programs;
	struct mounts real;
	const struct mount_entry *mount;

	begin();
	table.mail_software_count = table.mail_software[0].root_count = 1;
	snprintf(table.mail_software[0].roots[0], sizeof(table.mail_software[0].roots[0]), "/bin/sh");
	CU_ASSERT_EQUAL_FATAL(host_mounts(&real), 0);
	policy_programs_open(&table, &real, &programs);
	CU_ASSERT_EQUAL_FATAL(programs.count, 1);
	mount = mounts_find(&real, "/bin/sh");
	CU_ASSERT(!mount || programs.list[0].device == (mount->major << 20 | mount->minor));
	policy_programs_close(&programs);
	mounts_free(&real);
}

static void remove_tree(void)
{
	static const char *const names[] = {"/loop",     "/to-root",  "/dangling", "/chain", "/up",
					    "/relative", "/absolute", "/file",     NULL};

	for (size_t i = 0; names[i]; i++)
		unlink(path(names[i]));
	rmdir(path("/v/inner"));
	rmdir(path("/v"));
	rmdir(here);
}

static void a_folder_that_was_replaced_stands_no_longer(void)
{
	struct policy_watch *watch;

	CU_ASSERT_EQUAL_FATAL(mkdir(path("/stands"), 0755), 0);
	begin();
	watch = add_watch("/stands", MODE_ENFORCE);
	int fd = open(watch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CU_ASSERT_TRUE(policy_root_stands(watch, fd));
	CU_ASSERT_EQUAL(rename(watch->path, path("/moved")), 0);
	CU_ASSERT_FALSE(policy_root_stands(watch, fd));
	/* A link to where it is now is not its place: nothing that is watched leads there. */
	CU_ASSERT_EQUAL(symlink("moved", watch->path), 0);
	CU_ASSERT_FALSE(policy_root_stands(watch, fd));
	unlink(watch->path);
	CU_ASSERT_EQUAL(mkdir(watch->path, 0755), 0);
	CU_ASSERT_FALSE(policy_root_stands(watch, fd));
	CU_ASSERT_EQUAL(rename(path("/moved"), watch->path), 0);
	CU_ASSERT_TRUE(policy_root_stands(watch, fd));
	close(fd);
	rmdir(watch->path);
}

int main(void)
{
	if (make_tree() != 0) {
		perror("no temporary folder");
		return EXIT_FAILURE;
	}
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("policy_roots", NULL, NULL);
	CU_ADD_TEST(suite, a_folder_on_a_file_system_of_its_own_is_taken);
	CU_ADD_TEST(suite, enforce_is_refused_on_each_remote_type_and_observe_is_not);
	CU_ADD_TEST(suite, the_file_system_of_the_root_is_refused_under_any_of_its_mounts);
	CU_ADD_TEST(suite, kernel_file_systems_are_refused_even_with_leave);
	CU_ADD_TEST(suite, links_are_followed_to_the_real_path);
	CU_ADD_TEST(suite, a_link_to_the_file_system_of_the_root_is_judged_there);
	CU_ADD_TEST(suite, a_link_onto_a_remote_mount_is_not_touched_beyond_it);
	CU_ADD_TEST(suite, loops_files_and_paths_through_files_are_refused);
	CU_ADD_TEST(suite, watches_that_are_one_folder_are_refused);
	CU_ADD_TEST(suite, what_is_not_there_gets_no_root_and_a_reason);
	CU_ADD_TEST(suite, a_folder_that_appears_on_the_file_system_of_the_root_gets_a_reason_not_a_root);
	CU_ADD_TEST(suite, a_remote_mount_below_is_said_and_not_touched);
	CU_ADD_TEST(suite, programs_are_opened_and_what_is_missing_is_said);
	CU_ADD_TEST(suite, a_folder_that_was_replaced_stands_no_longer);
	CU_ADD_TEST(suite, the_device_is_the_one_that_mountinfo_names);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	unsigned failed = CU_get_number_of_failures();
	mounts_free(&mounts);
	remove_tree();
	CU_cleanup_registry();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
