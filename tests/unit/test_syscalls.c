// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/edge/syscalls.c
// libs: libseccomp
#include <CUnit/Basic.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "syscalls.h"
#include "wire.h"

/* Does the deed in a process that has the filter. 0: it went on; SIGSYS: the deed ended it. */
static int outcome(int (*filter)(bool), void (*deed)(void))
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		int proc = open("/proc", O_RDONLY | O_DIRECTORY);
		if (dup2(proc, FD_PROC) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || filter(false) < 0)
			_exit(99);
		deed();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void open_path(void)
{
	(void)!open("/etc/passwd", O_RDONLY);
}

static void open_for_writing_by_proc(void)
{
	(void)!openat(FD_PROC, "self/comm", O_WRONLY);
}

static void open_status(void)
{
	char byte;
	int fd = openat(FD_PROC, "self/status", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, &byte, 1) != 1)
		_exit(1);
}

static void read_link(void)
{
	char path[64];

	if (readlinkat(FD_PROC, "self/exe", path, sizeof(path)) <= 0)
		_exit(1);
}

static void read_at_offset(void)
{
	char byte;

	(void)!pread(FD_PROC, &byte, 1, 0);
}

static void open_content_by_handle(void)
{
	syscall(SYS_open_by_handle_at, FD_PROC, NULL, O_RDONLY);
}

static void open_name_by_handle(void)
{
	syscall(SYS_open_by_handle_at, FD_PROC, NULL, O_PATH | O_CLOEXEC);
}

static void stat_path(void)
{
	struct stat status;

	(void)!fstatat(AT_FDCWD, "/etc/passwd", &status, 0);
}

static void stat_descriptor(void)
{
	struct stat status;
	struct statx more;

	if (fstat(FD_PROC, &status) < 0 || statx(FD_PROC, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &more) < 0)
		_exit(1);
}

static void execute(void)
{
	execl("/bin/true", "true", (char *)NULL);
}

static void start_process(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
}

static void *nothing(void *argument)
{
	return argument;
}

static void start_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, nothing, NULL) || pthread_join(thread, NULL))
		_exit(1);
}

static void make_socket(void)
{
	(void)!socket(AF_INET, SOCK_STREAM, 0);
}

static void map_executable(void)
{
	(void)!mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void map_memory(void)
{
	char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		_exit(1);
	memory[0] = 1;
}

static void make_executable(void)
{
	char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(memory, 4096, PROT_READ | PROT_EXEC);
}

static void lock_file(void)
{
	struct flock lock = {.l_type = F_RDLCK};

	fcntl(FD_PROC, F_SETLKW, &lock);
}

static void take_lease(void)
{
	fcntl(FD_PROC, F_SETLEASE, F_RDLCK);
}

static void unlink_path(void)
{
	unlink("/nonexistent/mailward");
}

static void kill_somebody(void)
{
	kill(getpid(), 0);
}

static void mark(void)
{
	fanotify_mark(FD_PROC, FAN_MARK_ADD, FAN_OPEN_PERM, FD_PROC, NULL);
}

static void make_group(void)
{
	fanotify_init(FAN_CLASS_NOTIF, O_RDONLY);
}

static void trace(void)
{
	syscall(SYS_ptrace, 0, 0, 0, 0);
}

static void mount_something(void)
{
	syscall(SYS_mount, "a", "/nonexistent", "tmpfs", 0, NULL);
}

static void new_rights(void)
{
	syscall(SYS_setresuid, 0, 0, 0);
}

/* An error is an answer too: what counts is that the call may be made. */
static void elements(void)
{
	for (int command = 1; command <= 4; command++) /* BPF_MAP_LOOKUP_ELEM to BPF_MAP_GET_NEXT_KEY */
		syscall(SYS_bpf, command, NULL, 0);
}

static void make_map(void)
{
	syscall(SYS_bpf, 0, NULL, 0);
}

static void load_program(void)
{
	syscall(SYS_bpf, 5, NULL, 0);
}

static void open_pinned(void)
{
	syscall(SYS_bpf, 7, NULL, 0);
}

static void map_by_number(void)
{
	syscall(SYS_bpf, 14, NULL, 0);
}

static void attributes(void)
{
	char value[8];

	(void)!fgetxattr(FD_PROC, "trusted.mailward.origin", value, sizeof(value));
	(void)!fsetxattr(FD_PROC, "trusted.mailward.origin", "m", 1, 0);
	(void)!flistxattr(FD_PROC, NULL, 0);
}

static void attribute_of_path(void)
{
	setxattr("/nonexistent/mailward", "trusted.mailward.origin", "m", 1, 0);
}

static void process_descriptor(void)
{
	syscall(SYS_pidfd_open, getpid(), 0);
}

static void put_last_and_back(void)
{
	struct sched_param none = {0};

	sched_setscheduler(0, SCHED_IDLE, &none);
	sched_setscheduler(0, SCHED_OTHER, &none);
	syscall(SYS_ioprio_set, 1, 0, 3 << 13);
}

static void put_first(void)
{
	struct sched_param lowest = {.sched_priority = 1};

	sched_setscheduler(0, SCHED_FIFO, &lowest);
}

static void put_all_of_a_user_last(void)
{
	syscall(SYS_ioprio_set, 3, 0, 3 << 13);
}

struct deed {
	const char *name;
	void (*deed)(void);
};

static void check(int (*filter)(bool), int expected, const struct deed *deeds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int got = outcome(filter, deeds[i].deed);
		if (got != expected)
			printf("\n  %s: %d, expected %d", deeds[i].name, got, expected);
		CU_ASSERT_EQUAL(got, expected);
	}
}
#define DEED(name)                                                                                                     \
	{                                                                                                              \
#name, name                                                                                            \
	}
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static void the_gate_can_do_its_trade(void)
{
	static const struct deed deeds[] = {DEED(open_status), DEED(read_link),          DEED(open_name_by_handle),
					    DEED(mark),        DEED(take_lease),         DEED(stat_descriptor),
					    DEED(map_memory),  DEED(start_thread),       DEED(elements),
					    DEED(attributes),  DEED(process_descriptor), DEED(put_last_and_back)};

	check(syscalls_gate, 0, deeds, COUNT(deeds));
}

static void the_gate_ends_when_it_does_anything_else(void)
{
	static const struct deed deeds[] = {
		DEED(open_path),
		DEED(open_for_writing_by_proc),
		DEED(open_content_by_handle),
		DEED(read_at_offset),
		DEED(stat_path),
		DEED(execute),
		DEED(start_process),
		DEED(make_socket),
		DEED(make_group),
		DEED(map_executable),
		DEED(make_executable),
		DEED(lock_file),
		DEED(unlink_path),
		DEED(kill_somebody),
		DEED(trace),
		DEED(mount_something),
		DEED(new_rights),
		DEED(make_map),
		DEED(load_program),
		DEED(open_pinned),
		DEED(map_by_number),
		DEED(attribute_of_path),
		DEED(put_first),
		DEED(put_all_of_a_user_last),
	};

	check(syscalls_gate, SIGSYS, deeds, COUNT(deeds));
}

static void the_recorder_can_use_files(void)
{
	static const struct deed deeds[] = {DEED(open_path), DEED(read_at_offset), DEED(stat_path),
					    DEED(lock_file), DEED(unlink_path),    DEED(map_memory)};

	check(syscalls_recorder, 0, deeds, COUNT(deeds));
}

static void the_recorder_ends_when_it_leaves_its_trade(void)
{
	static const struct deed deeds[] = {DEED(execute),         DEED(map_executable), DEED(make_executable),
					    DEED(trace),           DEED(mark),           DEED(make_group),
					    DEED(mount_something), DEED(new_rights),     DEED(open_content_by_handle)};

	check(syscalls_recorder, SIGSYS, deeds, COUNT(deeds));
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"the gate can do its trade", the_gate_can_do_its_trade},
		{"the gate ends when it does anything else", the_gate_ends_when_it_does_anything_else},
		{"the recorder can use files", the_recorder_can_use_files},
		{"the recorder ends when it leaves its trade", the_recorder_ends_when_it_leaves_its_trade},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {{"syscalls", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};
	unsigned failed;

	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return 2;
	CU_basic_run_tests();
	failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
