// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/think/mounts.c
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

#include "mounts.h"

static struct mounts mounts;

static void table(const char *text)
{
	mounts_free(&mounts);
	CU_ASSERT_EQUAL_FATAL(mounts_parse(&mounts, strdup(text)), 0);
}

/* The id of the mount that a path leads to, 0: none. */
static uint64_t at(const char *path)
{
	const struct mount_entry *mount = mounts_find(&mounts, path);

	return mount ? mount->id : 0;
}

static const char host[] = "22 28 0:21 / /proc rw,relatime shared:5 - proc proc rw\n"
			   "28 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n"
			   "30 28 254:1 / /var/vmail rw shared:2 master:3 - xfs /dev/vdb rw\n"
			   "31 30 0:50 / /var/vmail/remote rw - nfs4 server:/mail rw\n"
			   "32 28 254:0 /data /srv/bound rw - ext4 /dev/vda rw\n"
			   "33 28 0:60 / /mnt/sp\\040ace\\011tab\\134back\\012line rw - tmpfs none rw\n";

static void a_path_lies_on_the_mount_with_the_longest_point(void)
{
	table(host);
	CU_ASSERT_EQUAL(mounts.count, 6);
	CU_ASSERT_EQUAL(at("/"), 28);
	CU_ASSERT_EQUAL(at("/var"), 28);
	CU_ASSERT_EQUAL(at("/var/vmail"), 30);
	CU_ASSERT_EQUAL(at("/var/vmail/a/b"), 30);
	CU_ASSERT_EQUAL(at("/var/vmailx"), 28);
	CU_ASSERT_EQUAL(at("/var/vmail/remote/x"), 31);
	CU_ASSERT_EQUAL(at("/mnt/sp ace\ttab\\back\nline/x"), 33);
	CU_ASSERT_STRING_EQUAL(mounts_find(&mounts, "/var/vmail")->type, "xfs");
	CU_ASSERT_STRING_EQUAL(mounts_find(&mounts, "/")->type, "ext4");
	CU_ASSERT_PTR_NULL(mounts_by_id(&mounts, 99));
	CU_ASSERT_EQUAL(mounts_by_id(&mounts, 31)->minor, 50);
}

static void a_bind_mount_shares_the_file_system(void)
{
	table(host);
	CU_ASSERT_TRUE(mounts_share(mounts_find(&mounts, "/srv/bound"), mounts_find(&mounts, "/")));
	CU_ASSERT_FALSE(mounts_share(mounts_find(&mounts, "/var/vmail"), mounts_find(&mounts, "/")));
	CU_ASSERT_FALSE(
		mounts_share(mounts_find(&mounts, "/proc"), mounts_find(&mounts, "/mnt/sp ace\ttab\\back\nline")));
	CU_ASSERT_TRUE(mounts_share(NULL, NULL));
	CU_ASSERT_FALSE(mounts_share(NULL, mounts_find(&mounts, "/")));
}

static void subvolumes_of_one_btrfs_share_it(void)
{
	table("28 1 0:24 /root / rw - btrfs /dev/vda rw,subvol=/root\n"
	      "40 28 0:24 /mail /var/vmail rw - btrfs /dev/vda rw,subvol=/mail\n"
	      "41 28 0:45 / /home rw - btrfs /dev/vdb rw\n");
	CU_ASSERT_TRUE(mounts_share(mounts_find(&mounts, "/var/vmail/x"), mounts_find(&mounts, "/")));
	CU_ASSERT_FALSE(mounts_share(mounts_find(&mounts, "/home/x"), mounts_find(&mounts, "/")));
}

static void what_is_mounted_over_hides_what_is_below(void)
{
	table("28 1 254:0 / / rw - ext4 /dev/vda rw\n"
	      "30 28 0:30 / /a/b rw - tmpfs first rw\n"
	      "31 28 0:31 / /a rw - tmpfs over rw\n"
	      "32 31 0:32 / /a rw - tmpfs top rw\n"
	      "33 32 0:33 / /a/c rw - tmpfs inner rw\n");
	CU_ASSERT_EQUAL(at("/a"), 32);
	CU_ASSERT_EQUAL(at("/a/b"), 32); /* 30 is hidden */
	CU_ASSERT_EQUAL(at("/a/c/d"), 33);
}

static void the_first_root_may_lie_under_another(void)
{
	table("1 1 0:2 / / rw - rootfs rootfs rw\n"
	      "25 1 254:0 / / rw - ext4 /dev/vda rw\n"
	      "26 25 0:30 / /v rw - tmpfs none rw\n");
	CU_ASSERT_EQUAL(at("/"), 25);
	CU_ASSERT_EQUAL(at("/v/x"), 26);
}

static void in_a_chroot_the_root_may_not_be_listed(void)
{
	table("50 28 0:50 / /v rw - tmpfs none rw\n51 50 0:51 / /v/w rw - tmpfs none rw\n");
	CU_ASSERT_EQUAL(at("/"), 0);
	CU_ASSERT_EQUAL(at("/x"), 0);
	CU_ASSERT_EQUAL(at("/v"), 50);
	CU_ASSERT_EQUAL(at("/v/w/x"), 51);
	CU_ASSERT_TRUE(mounts_share(mounts_find(&mounts, "/x"), mounts_find(&mounts, "/")));
}

static void broken_lines_are_left_out(void)
{
	table("\n\n28 1 254:0 / / rw - ext4 /dev/vda rw\nnonsense\n1 2 3\n30 28 x:y / /a rw - tmpfs a rw\n"
	      "31 28 0:1 / /b rw\n32 28 0:1 / relative rw - tmpfs a rw\n33 28 0:2 / /c rw -\n34 28 0:3 / /d rw - "
	      "tmpfs");
	CU_ASSERT_EQUAL(mounts.count, 2);
	CU_ASSERT_EQUAL(at("/d"), 34);
	table("");
	CU_ASSERT_EQUAL(mounts.count, 0);
	CU_ASSERT_EQUAL(at("/"), 0);
}

static void a_ring_of_mounts_ends(void)
{
	table("1 2 0:1 / / rw - tmpfs a rw\n2 1 0:2 / / rw - tmpfs b rw\n");
	at("/x"); /* comes back */
	CU_PASS("came back");
}

static void remote_and_kernel_file_systems_are_known_by_type(void)
{
	static const char *const remote[] = {"nfs",        "nfs4", "cifs",     "smb3",   "fuse", "fuseblk",
					     "fuse.sshfs", "9p",   "virtiofs", "autofs", "ceph", NULL};
	static const char *const local[] = {"ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "fused", "nfsd4", NULL};
	static const char *const kernel[] = {"proc", "sysfs", "cgroup2", "devpts", "bpf", NULL};
	struct mount_entry mount = {0};

	for (size_t i = 0; (mount.type = remote[i]); i++) {
		CU_ASSERT_TRUE(mount_is_remote(&mount));
		CU_ASSERT_FALSE(mount_is_kernel(&mount));
	}
	for (size_t i = 0; (mount.type = local[i]); i++) {
		CU_ASSERT_FALSE(mount_is_remote(&mount));
		CU_ASSERT_FALSE(mount_is_kernel(&mount));
	}
	for (size_t i = 0; (mount.type = kernel[i]); i++)
		CU_ASSERT_TRUE(mount_is_kernel(&mount));
	CU_ASSERT_FALSE(mount_is_remote(NULL));
	CU_ASSERT_FALSE(mount_is_kernel(NULL));
}

static void below_is_not_the_same_and_not_alike(void)
{
	CU_ASSERT_TRUE(path_is_below("/a/b", "/a"));
	CU_ASSERT_TRUE(path_is_below("/a", "/"));
	CU_ASSERT_FALSE(path_is_below("/a", "/a"));
	CU_ASSERT_FALSE(path_is_below("/ab", "/a"));
	CU_ASSERT_FALSE(path_is_below("/", "/"));
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("mounts", NULL, NULL);
	CU_ADD_TEST(suite, a_path_lies_on_the_mount_with_the_longest_point);
	CU_ADD_TEST(suite, a_bind_mount_shares_the_file_system);
	CU_ADD_TEST(suite, subvolumes_of_one_btrfs_share_it);
	CU_ADD_TEST(suite, what_is_mounted_over_hides_what_is_below);
	CU_ADD_TEST(suite, the_first_root_may_lie_under_another);
	CU_ADD_TEST(suite, in_a_chroot_the_root_may_not_be_listed);
	CU_ADD_TEST(suite, broken_lines_are_left_out);
	CU_ADD_TEST(suite, a_ring_of_mounts_ends);
	CU_ADD_TEST(suite, remote_and_kernel_file_systems_are_known_by_type);
	CU_ADD_TEST(suite, below_is_not_the_same_and_not_alike);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	unsigned failed = CU_get_number_of_failures();
	mounts_free(&mounts);
	CU_cleanup_registry();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
