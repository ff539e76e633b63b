// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/edge/origins.c
#include <CUnit/Basic.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "origins.h"

#define FILES 200

/* A disk that stands still when it is told to, in place of the C library's. Files are told apart by their size. */
static pthread_mutex_t disk = PTHREAD_MUTEX_INITIALIZER;
static unsigned marked[FILES];
static unsigned calls; /* that have begun */
static int refuses;    /* errno, from then on; 0: marks are taken */

static unsigned number_of(int fd)
{
	struct stat status;

	CU_ASSERT_EQUAL_FATAL(fstat(fd, &status), 0);
	return (unsigned)status.st_size;
}

ssize_t fgetxattr(int fd, const char *name, void *value, size_t size)
{
	(void)value;
	(void)size;
	CU_ASSERT_STRING_EQUAL(name, ORIGIN_XATTR);
	__atomic_add_fetch(&calls, 1, __ATOMIC_ACQ_REL);
	pthread_mutex_lock(&disk);
	int found = marked[number_of(fd)] != 0;
	pthread_mutex_unlock(&disk);
	errno = ENODATA;
	return found ? 4 : -1;
}

int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)
{
	(void)flags;
	CU_ASSERT_STRING_EQUAL(name, ORIGIN_XATTR);
	CU_ASSERT_TRUE(size == 4 && memcmp(value, "mail", 4) == 0);
	pthread_mutex_lock(&disk);
	int error = refuses;
	if (!error)
		marked[number_of(fd)]++;
	pthread_mutex_unlock(&disk);
	errno = error;
	return error ? -1 : 0;
}

static int file(unsigned number)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	CU_ASSERT_TRUE_FATAL(fd >= 0 && ftruncate(fd, number) == 0);
	return fd;
}

static bool write_one(struct origins *origins, unsigned number)
{
	int fd = file(number);
	bool taken = origins_write(origins, fd);

	close(fd);
	return taken;
}

static bool comes_to(const unsigned *value, unsigned wanted)
{
	for (int i = 0; i < 500 && __atomic_load_n(value, __ATOMIC_ACQUIRE) != wanted; i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	return __atomic_load_n(value, __ATOMIC_ACQUIRE) == wanted;
}

static unsigned marked_once(unsigned first, unsigned last)
{
	unsigned count = 0;

	pthread_mutex_lock(&disk);
	for (unsigned i = first; i <= last; i++)
		count += marked[i] == 1;
	pthread_mutex_unlock(&disk);
	return count;
}

static bool are_marked(unsigned first, unsigned last)
{
	for (int i = 0; i < 500 && marked_once(first, last) != last - first + 1; i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	return marked_once(first, last) == last - first + 1;
}

static struct origins *fresh(unsigned places)
{
	struct origins *origins = NULL;

	pthread_mutex_lock(&disk);
	memset(marked, 0, sizeof(marked));
	__atomic_store_n(&calls, 0, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&disk);
	CU_ASSERT_EQUAL_FATAL(origins_open(&origins, places), 0);
	return origins;
}

static void what_finds_no_room_is_later_and_not_failed(void)
{
	struct origins *origins = fresh(5);
	unsigned taken = 0;

	pthread_mutex_lock(&disk);
	for (unsigned i = 1; i <= 100; i++)
		taken += write_one(origins, i);
	CU_ASSERT_EQUAL(taken, 5);
	CU_ASSERT_EQUAL(origins_failed(origins), 0);
	pthread_mutex_unlock(&disk);
	CU_ASSERT_TRUE(are_marked(1, taken));
	/* As each is opened again. */
	for (unsigned i = 1; i <= 100; i++)
		for (int again = 0; !write_one(origins, i) && again < 500; again++)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	CU_ASSERT_TRUE(are_marked(1, 100));
	CU_ASSERT_EQUAL(origins_failed(origins), 0);
}

static void many_at_once_are_marked_where_there_is_room(void)
{
	struct origins *origins = fresh(150);

	pthread_mutex_lock(&disk);
	for (unsigned i = 1; i <= 150; i++)
		CU_ASSERT_TRUE(write_one(origins, i));
	CU_ASSERT_FALSE(write_one(origins, 151));
	pthread_mutex_unlock(&disk);
	CU_ASSERT_TRUE(are_marked(1, 150));
	CU_ASSERT_EQUAL(origins_failed(origins), 0);
}

static void a_file_that_is_marked_is_not_marked_again(void)
{
	struct origins *origins = fresh(5);

	CU_ASSERT_TRUE(write_one(origins, 7));
	CU_ASSERT_TRUE(are_marked(7, 7));
	CU_ASSERT_TRUE(write_one(origins, 7));
	CU_ASSERT_TRUE(comes_to(&calls, 2));
	CU_ASSERT_TRUE(write_one(origins, 8));
	CU_ASSERT_TRUE(are_marked(7, 8));
}

static void a_mark_that_cannot_be_made_or_was_missed_is_counted(void)
{
	struct origins *origins = fresh(5);

	pthread_mutex_lock(&disk);
	refuses = ENOSPC;
	pthread_mutex_unlock(&disk);
	CU_ASSERT_TRUE(write_one(origins, 1));
	for (int i = 0; i < 500 && origins_failed(origins) == 0; i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	CU_ASSERT_EQUAL(origins_failed(origins), 1);
	origins_missed(origins);
	CU_ASSERT_EQUAL(origins_failed(origins), 2);
	CU_ASSERT_EQUAL(marked_once(1, 1), 0);
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("origins", NULL, NULL);

	CU_ADD_TEST(suite, what_finds_no_room_is_later_and_not_failed);
	CU_ADD_TEST(suite, many_at_once_are_marked_where_there_is_room);
	CU_ADD_TEST(suite, a_file_that_is_marked_is_not_marked_again);
	CU_ADD_TEST(suite, a_mark_that_cannot_be_made_or_was_missed_is_counted);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	unsigned failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
