// SPDX-License-Identifier: GPL-2.0-only
#include <CUnit/Basic.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proc.h"

static int proc_fd;

/* A child of that name, which waits to be killed. */
static pid_t child_called(const char *name)
{
	int ends[2];
	char byte;
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, name);
		if (write(ends[1], "r", 1) == 1)
			pause();
		_exit(1);
	}
	CU_ASSERT_EQUAL_FATAL(read(ends[0], &byte, 1), 1);
	close(ends[0]);
	close(ends[1]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void a_process_tells_its_name_its_parent_and_since_when_it_runs(void)
{
	struct timespec now;
	struct proc_stat stat;
	pid_t pid = child_called("plain");
	uint64_t ticks;

	clock_gettime(CLOCK_BOOTTIME, &now);
	ticks = (uint64_t)now.tv_sec * (uint64_t)sysconf(_SC_CLK_TCK);
	CU_ASSERT_TRUE(proc_stat(proc_fd, pid, &stat));
	CU_ASSERT_STRING_EQUAL(stat.name, "plain");
	CU_ASSERT_TRUE(stat.state == 'S' || stat.state == 'R');
	CU_ASSERT_EQUAL(stat.parent, getpid());
	CU_ASSERT_TRUE(stat.started > 0 && stat.started <= ticks + (uint64_t)sysconf(_SC_CLK_TCK));
	CU_ASSERT_TRUE(stat.started + 60 * (uint64_t)sysconf(_SC_CLK_TCK) > ticks);
	end(pid);
}

static void a_name_that_looks_like_the_fields_behind_it_misleads_nobody(void)
{
	static const char *const names[] = {") Z 1 (x", "a) R 1 2 3", "((", "\nUid:\t0\t0", "))))"};
	struct proc_stat stat;
	uint32_t real, effective;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		pid_t pid = child_called(names[i]);
		CU_ASSERT_TRUE(proc_stat(proc_fd, pid, &stat));
		CU_ASSERT_EQUAL(stat.parent, getpid());
		CU_ASSERT_TRUE(stat.state == 'S' || stat.state == 'R');
		if (names[i][0] != '\n')
			CU_ASSERT_STRING_EQUAL(stat.name, names[i]);
		CU_ASSERT_TRUE(proc_uids(proc_fd, pid, &real, &effective));
		CU_ASSERT_EQUAL(real, getuid());
		CU_ASSERT_EQUAL(effective, geteuid());
		end(pid);
	}
}

static void real_and_effective_users_are_told_apart(void)
{
	uint32_t real = 1, effective = 1;

	if (geteuid() != 0 || seteuid(4711) < 0)
		return; /* only root can make them differ */
	CU_ASSERT_TRUE(proc_uids(proc_fd, getpid(), &real, &effective));
	CU_ASSERT_EQUAL(seteuid(0), 0);
	CU_ASSERT_EQUAL(real, 0);
	CU_ASSERT_EQUAL(effective, 4711);
}

static void who_has_ended_is_not_there(void)
{
	struct proc_stat stat;
	uint32_t real, effective;
	pid_t pid = child_called("ends");

	CU_ASSERT_TRUE(proc_stat(proc_fd, pid, &stat));
	kill(pid, SIGKILL);
	for (int i = 0; i < 500 && proc_stat(proc_fd, pid, &stat) && stat.state != 'Z'; i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	CU_ASSERT_EQUAL(stat.state, 'Z');
	waitpid(pid, NULL, 0);
	CU_ASSERT_FALSE(proc_stat(proc_fd, pid, &stat));
	CU_ASSERT_FALSE(proc_uids(proc_fd, pid, &real, &effective));
}

int main(void)
{
	proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("proc", NULL, NULL);

	CU_ADD_TEST(suite, a_process_tells_its_name_its_parent_and_since_when_it_runs);
	CU_ADD_TEST(suite, a_name_that_looks_like_the_fields_behind_it_misleads_nobody);
	CU_ADD_TEST(suite, real_and_effective_users_are_told_apart);
	CU_ADD_TEST(suite, who_has_ended_is_not_there);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	unsigned failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
