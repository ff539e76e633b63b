// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/edge/kernel_memory.c daemon/think/policy.c daemon/think/store.c
// libs: libbpf
/*
 * Against maps of the running kernel. Inode and task storage want programs that not every kernel takes; a hash whose
 * keys are descriptor numbers, as theirs are, stands in for them. The ring buffer is filled by a small program.
 */
#include <CUnit/Basic.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel_memory.h"
#include "wire.h"

#define RING_SIZE (1u << 16)

static struct kernel_memory *memory;
static struct hook_orders *orders;
static struct hook_state *state;
static struct policy policy;
static int file = 900; /* a number: the maps here do not ask for more */

static int make(enum hook_map which, enum bpf_map_type type, uint32_t key, uint32_t value, uint32_t entries)
{
	static const char *const names[HOOK_MAPS] = HOOK_MAP_NAMES;
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = type == BPF_MAP_TYPE_ARRAY ? BPF_F_MMAPABLE : 0);
	int fd = bpf_map_create(type, names[which], key, value, entries, &options);

	if (fd < 0)
		return -1;
	if (fd != FD_HOOKS + (int)which) {
		dup2(fd, FD_HOOKS + (int)which);
		close(fd);
	}
	return 0;
}

static int make_all(void)
{
	return make(HOOK_GENERATIONS, BPF_MAP_TYPE_HASH, 4, sizeof(struct hook_generation), 64) ||
	       make(HOOK_VERDICTS, BPF_MAP_TYPE_HASH, 4, sizeof(struct hook_verdict), 64) ||
	       make(HOOK_LABELS, BPF_MAP_TYPE_HASH, 4, sizeof(struct hook_label), 64) ||
	       make(HOOK_ORIGINS, BPF_MAP_TYPE_LRU_HASH, sizeof(struct hook_inode), sizeof(struct hook_origin), 64) ||
	       make(HOOK_LEAVERS, BPF_MAP_TYPE_LRU_HASH, 4, sizeof(struct hook_label), 64) ||
	       make(HOOK_FOLDERS, BPF_MAP_TYPE_HASH, sizeof(struct hook_inode), sizeof(struct hook_folder), 256) ||
	       make(HOOK_SYSTEMS, BPF_MAP_TYPE_HASH, 4, 4, 256) ||
	       make(HOOK_PROGRAMS, BPF_MAP_TYPE_HASH, sizeof(struct hook_inode), sizeof(struct hook_label), 256) ||
	       make(HOOK_ORDERS, BPF_MAP_TYPE_ARRAY, 4, sizeof(struct hook_orders), 1) ||
	       make(HOOK_STATE, BPF_MAP_TYPE_ARRAY, 4, sizeof(struct hook_state), 1) ||
	       make(HOOK_REFUSALS, BPF_MAP_TYPE_RINGBUF, 0, 0, RING_SIZE);
}

static void *page_of(enum hook_map which, size_t size)
{
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, FD_HOOKS + (int)which, 0);

	return page == MAP_FAILED ? NULL : page;
}

static int setup(void)
{
	policy.watch_count = 2;
	policy.watches[0] = (struct policy_watch){.path = "/mail", .mode = MODE_ENFORCE, .store = STORE_MAILDIR};
	policy.watches[0].actions[CASE_DOWN].answer = ANSWER_DENY;
	policy.watches[1] = (struct policy_watch){.path = "/mail/off", .mode = MODE_OFF, .store = STORE_MBOX};
	policy.watches[1].actions[CASE_DOWN].answer = ANSWER_ALLOW;
	orders = page_of(HOOK_ORDERS, sizeof(*orders));
	state = page_of(HOOK_STATE, sizeof(*state));
	return !orders || !state || kernel_memory_open(&memory) < 0 || !memory;
}

static int teardown(void)
{
	kernel_memory_close(&memory);
	return 0;
}

static void commit(void)
{
	kernel_memory_begin(memory);
	kernel_memory_folder(memory, 7, 100, 0);
	kernel_memory_folder(memory, 9, 200, 1);
	kernel_memory_program(memory, 7, 300, 0);
	kernel_memory_program(memory, 7, 300, 3);
	CU_ASSERT_EQUAL(kernel_memory_commit(memory, &policy), 0);
}

static void set_generation(uint64_t number)
{
	struct hook_generation generation = {
		.generation = number, .place_epoch = orders->epoch + state->moves, .watch = 0};

	bpf_map_update_elem(FD_HOOKS + HOOK_GENERATIONS, &file, &generation, BPF_ANY);
}

static struct hook_verdict stored(void)
{
	struct hook_verdict verdict = {0};

	bpf_map_lookup_elem(FD_HOOKS + HOOK_VERDICTS, &file, &verdict);
	return verdict;
}

static struct hook_label label_in(enum hook_map map, int key)
{
	struct hook_label label = {0};

	bpf_map_lookup_elem(FD_HOOKS + (int)map, &key, &label);
	return label;
}

static bool has(enum hook_map map, uint32_t dev, uint64_t ino, void *value)
{
	struct hook_inode key = {.ino = ino, .dev = dev};

	return bpf_map_lookup_elem(FD_HOOKS + (int)map, &key, value) == 0;
}

/* ---- */

static void no_gate_lives_before_it_took_its_orders(void)
{
	CU_ASSERT_TRUE(kernel_memory_full(memory));
	CU_ASSERT_EQUAL(orders->session, 0);
	commit();
	CU_ASSERT_NOT_EQUAL(orders->session, 0);
	CU_ASSERT_NOT_EQUAL(orders->heartbeat_ns, 0);
	kernel_memory_beat(memory, 77);
	CU_ASSERT_EQUAL(orders->heartbeat_ns, 77);
	kernel_memory_leave(memory);
	CU_ASSERT_EQUAL(orders->session, 0);
	commit();
}

static void orders_are_those_of_the_policy(void)
{
	uint64_t epoch = orders->epoch;

	commit();
	CU_ASSERT_EQUAL(orders->watch_count, 2);
	CU_ASSERT_EQUAL(orders->strictest, 0);
	CU_ASSERT_EQUAL(orders->watches[0].mode, MODE_ENFORCE);
	CU_ASSERT_EQUAL(orders->watches[0].may_refuse, 1);
	CU_ASSERT_EQUAL(orders->watches[0].down, ANSWER_DENY);
	CU_ASSERT_EQUAL(orders->watches[1].may_refuse, 0);
	CU_ASSERT_EQUAL(orders->watches[1].down, ANSWER_ALLOW);
	CU_ASSERT_EQUAL(orders->track_origins, 0);
	CU_ASSERT_TRUE(orders->epoch > epoch);
	policy.watches[0].origin_mail = 1;
	commit();
	CU_ASSERT_EQUAL(orders->track_origins, 1);
	policy.watches[0].origin_mail = 0;
}

static void the_number_of_a_policy_is_made_of_its_words(void)
{
	uint64_t before;

	commit();
	before = orders->policy;
	policy.number = 5;
	commit();
	CU_ASSERT_EQUAL(orders->policy, before);
	policy.watches[0].actions[CASE_INFECTED].answer = ANSWER_ALLOW;
	commit();
	CU_ASSERT_NOT_EQUAL(orders->policy, before);
	policy.watches[0].actions[CASE_INFECTED].answer = 0;
}

static void what_a_new_policy_no_longer_names_is_gone(void)
{
	struct hook_folder folder;
	struct hook_label label;
	uint32_t dev = 7, one = 0;

	commit();
	CU_ASSERT_TRUE(has(HOOK_FOLDERS, 7, 100, &folder));
	CU_ASSERT_TRUE(has(HOOK_FOLDERS, 9, 200, &folder));
	CU_ASSERT_EQUAL(folder.watch, 1);
	CU_ASSERT_TRUE(has(HOOK_PROGRAMS, 7, 300, &label));
	CU_ASSERT_EQUAL(label.software, 1 | 1 << 3);
	CU_ASSERT_EQUAL(bpf_map_lookup_elem(FD_HOOKS + HOOK_SYSTEMS, &dev, &one), 0);
	dev = 9; /* only a watch that is off lies there */
	CU_ASSERT_NOT_EQUAL(bpf_map_lookup_elem(FD_HOOKS + HOOK_SYSTEMS, &dev, &one), 0);
	kernel_memory_begin(memory);
	kernel_memory_folder(memory, 8, 101, 0);
	CU_ASSERT_EQUAL(kernel_memory_commit(memory, &policy), 0);
	CU_ASSERT_FALSE(has(HOOK_FOLDERS, 7, 100, &folder));
	CU_ASSERT_FALSE(has(HOOK_FOLDERS, 9, 200, &folder));
	CU_ASSERT_FALSE(has(HOOK_PROGRAMS, 7, 300, &label));
	CU_ASSERT_TRUE(has(HOOK_FOLDERS, 8, 101, &folder));
	dev = 7;
	CU_ASSERT_NOT_EQUAL(bpf_map_lookup_elem(FD_HOOKS + HOOK_SYSTEMS, &dev, &one), 0);
	dev = 8;
	CU_ASSERT_EQUAL(bpf_map_lookup_elem(FD_HOOKS + HOOK_SYSTEMS, &dev, &one), 0);
	commit();
}

static void a_verdict_counts_for_its_generation_alone(void)
{
	struct hook_verdict verdict = {
		.generation = 5, .answer = ANSWER_ALLOW, .definitions = 9, .verdict.kind = VERDICT_CLEAN};
	struct hook_generation generation;
	struct hook_verdict found;

	set_generation(5);
	CU_ASSERT_TRUE(kernel_memory_generation(memory, file, &generation));
	CU_ASSERT_EQUAL(generation.generation, 5);
	CU_ASSERT_FALSE(kernel_memory_verdict(memory, file, 5, &found));
	CU_ASSERT_EQUAL(kernel_memory_keep(memory, file, &verdict, false, NULL), 0);
	CU_ASSERT_TRUE(kernel_memory_verdict(memory, file, 5, &found));
	CU_ASSERT_EQUAL(found.session, 0);
	CU_ASSERT_EQUAL(found.policy, orders->policy);
	CU_ASSERT_FALSE(kernel_memory_verdict(memory, file, 6, &found));
	CU_ASSERT_FALSE(kernel_memory_verdict(memory, file, 0, &found));
	kernel_memory_void(memory, file);
	CU_ASSERT_FALSE(kernel_memory_verdict(memory, file, 5, &found));
}

static void a_provisional_verdict_counts_for_its_session_alone(void)
{
	struct hook_verdict verdict = {.generation = 5, .answer = ANSWER_ALLOW}, found;

	CU_ASSERT_EQUAL(kernel_memory_keep(memory, file, &verdict, true, NULL), 0);
	CU_ASSERT_EQUAL(stored().session, orders->session);
	CU_ASSERT_TRUE(kernel_memory_verdict(memory, file, 5, &found));
	found = stored();
	found.session++;
	bpf_map_update_elem(FD_HOOKS + HOOK_VERDICTS, &file, &found, BPF_ANY);
	CU_ASSERT_FALSE(kernel_memory_verdict(memory, file, 5, &found));
}

static void what_is_there_already_is_not_written_again(void)
{
	struct hook_verdict verdict = {.generation = 5, .answer = ANSWER_ALLOW, .judged_ns = 1}, found;

	kernel_memory_keep(memory, file, &verdict, false, NULL);
	verdict.judged_ns = 2;
	kernel_memory_keep(memory, file, &verdict, false, NULL);
	CU_ASSERT_EQUAL(stored().judged_ns, 1);
	CU_ASSERT_TRUE(kernel_memory_verdict(memory, file, 5, &found));
	kernel_memory_keep(memory, file, &verdict, false, &found);
	CU_ASSERT_EQUAL(stored().judged_ns, 1);
	verdict.answer = ANSWER_DENY;
	kernel_memory_keep(memory, file, &verdict, false, &found);
	CU_ASSERT_EQUAL(stored().judged_ns, 2);
	CU_ASSERT_EQUAL(stored().answer, ANSWER_DENY);
}

static void the_origin_stays_whatever_is_found_out(void)
{
	struct hook_verdict verdict = {.generation = 5, .answer = ANSWER_DENY}, found;

	kernel_memory_keep(memory, file, &verdict, false, NULL);
	CU_ASSERT_EQUAL(kernel_memory_origin(memory, file, HOOK_ORIGIN_MAIL), 0);
	CU_ASSERT_EQUAL(stored().answer, ANSWER_DENY);
	CU_ASSERT_EQUAL(stored().origin, HOOK_ORIGIN_MAIL);
	verdict.generation = 6;
	kernel_memory_keep(memory, file, &verdict, false, NULL);
	CU_ASSERT_EQUAL(stored().origin, HOOK_ORIGIN_MAIL);
	CU_ASSERT_FALSE(kernel_memory_verdict(memory, file, 7, &found));
	CU_ASSERT_EQUAL(found.origin, HOOK_ORIGIN_MAIL);
	CU_ASSERT_EQUAL(found.answer, ANSWER_NONE);
	kernel_memory_void(memory, file);
	CU_ASSERT_EQUAL(stored().origin, HOOK_ORIGIN_MAIL);
	CU_ASSERT_EQUAL(stored().answer, ANSWER_NONE);
}

static void a_place_is_void_after_a_move_or_another_policy(void)
{
	struct hook_generation generation;

	set_generation(5);
	CU_ASSERT_TRUE(kernel_memory_generation(memory, file, &generation));
	CU_ASSERT_EQUAL(generation.watch, 0);
	state->moves++;
	CU_ASSERT_TRUE(kernel_memory_generation(memory, file, &generation));
	CU_ASSERT_EQUAL(generation.watch, HOOK_OUTSIDE);
	set_generation(5);
	kernel_memory_forget_places(memory);
	CU_ASSERT_TRUE(kernel_memory_generation(memory, file, &generation));
	CU_ASSERT_EQUAL(generation.watch, HOOK_OUTSIDE);
}

static void a_process_that_has_ended_is_known_by_what_was_noted(void)
{
	struct hook_label noted = {.flags = HOOK_LABEL_MAIL, .software = 1};
	int key = 0x3ffffff; /* above every pid_max */

	CU_ASSERT_EQUAL(kernel_memory_label(memory, key).flags, 0);
	bpf_map_update_elem(FD_HOOKS + HOOK_LEAVERS, &key, &noted, BPF_ANY);
	CU_ASSERT_EQUAL(kernel_memory_label(memory, key).flags, HOOK_LABEL_MAIL);
	/* A number that lives again is not whom it was noted for. */
	key = getpid();
	bpf_map_update_elem(FD_HOOKS + HOOK_LEAVERS, &key, &noted, BPF_ANY);
	key = (int)syscall(SYS_pidfd_open, getpid(), 0); /* the number that the next one gets */
	close(key);
	bpf_map_delete_elem(FD_HOOKS + HOOK_LABELS, &key);
	CU_ASSERT_EQUAL(kernel_memory_label(memory, getpid()).flags, 0);
	CU_ASSERT_EQUAL(label_in(HOOK_LEAVERS, getpid()).flags, HOOK_LABEL_MAIL);
}

static void this_process_is_labelled_as_the_gate(void)
{
	struct kernel_memory *other;
	int key = (int)syscall(SYS_pidfd_open, getpid(), 0);

	close(key);
	bpf_map_delete_elem(FD_HOOKS + HOOK_LABELS, &key);
	/* The ring buffer takes a descriptor before that. */
	for (int i = key; i < key + 3; i++)
		bpf_map_delete_elem(FD_HOOKS + HOOK_LABELS, &i);
	CU_ASSERT_EQUAL_FATAL(kernel_memory_open(&other), 0);
	uint32_t flags = 0;
	for (int i = key; i < key + 3; i++)
		flags |= label_in(HOOK_LABELS, i).flags;
	CU_ASSERT_EQUAL(flags, HOOK_LABEL_OWN | HOOK_LABEL_GATE);
	kernel_memory_close(&other);
}

/* A program that puts the first `size` bytes of the value in `records` into the ring buffer, as the kernel side does.
 */
static int put_program(int records, uint32_t size)
{
	struct bpf_insn code[] = {
		/* r0 = bpf_map_lookup_elem(records, &0) */
		{.code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = BPF_REG_10, .off = -4},
		{.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = records},
		{0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_10},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2, .imm = -4},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem},
		{.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = BPF_REG_0, .off = 6},
		/* bpf_ringbuf_output(refusals, r0, size, 0) */
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_0},
		{.code = BPF_LD | BPF_DW | BPF_IMM,
		 .dst_reg = BPF_REG_1,
		 .src_reg = BPF_PSEUDO_MAP_FD,
		 .imm = FD_HOOKS + HOOK_REFUSALS},
		{0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = (int)size},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_4},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ringbuf_output},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "put", "GPL", code, sizeof(code) / sizeof(code[0]), NULL);
}

/* false: no such program can be run here. */
static bool put(const struct hook_refusal *refusal, uint32_t size)
{
	int records = bpf_map_create(BPF_MAP_TYPE_ARRAY, "records", 4, sizeof(*refusal), 1, NULL);
	int program = records < 0 ? -1 : put_program(records, size);
	char packet[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet, .data_size_in = sizeof(packet));
	uint32_t zero = 0;
	bool done = program >= 0 && bpf_map_update_elem(records, &zero, refusal, BPF_ANY) == 0 &&
		    bpf_prog_test_run_opts(program, &run) == 0;

	if (program >= 0)
		close(program);
	if (records >= 0)
		close(records);
	return done;
}

static void refusals_come_out_one_by_one_and_checked(void)
{
	struct hook_refusal refusal = {.ino = 1, .pid = 11, .path = "name", .path_size = 5}, found;

	CU_ASSERT_EQUAL(kernel_memory_bell(memory), FD_HOOKS + HOOK_REFUSALS);
	CU_ASSERT_FALSE(kernel_memory_refusal(memory, &found));
	CU_ASSERT_TRUE_FATAL(put(&refusal, sizeof(refusal)));
	refusal = (struct hook_refusal){.ino = 2, .way = 200, .why = 200, .path_size = 70000, .verdict.kind = 99};
	memset(refusal.comm, 'x', sizeof(refusal.comm));
	CU_ASSERT_TRUE(put(&refusal, sizeof(refusal)));
	CU_ASSERT_TRUE(put(&refusal, 16)); /* too short to be one */
	refusal.ino = 3;
	CU_ASSERT_TRUE(put(&refusal, sizeof(refusal)));

	CU_ASSERT_TRUE(kernel_memory_refusal(memory, &found));
	CU_ASSERT_EQUAL(found.ino, 1);
	CU_ASSERT_EQUAL(found.pid, 11);
	CU_ASSERT_STRING_EQUAL(found.path, "name");
	CU_ASSERT_TRUE(kernel_memory_refusal(memory, &found));
	CU_ASSERT_EQUAL(found.ino, 2);
	CU_ASSERT_TRUE(found.way < HOOK_WAYS && found.why < HOOK_WHYS && found.path_size <= HOOK_PATH_SIZE);
	CU_ASSERT_EQUAL(found.verdict.kind, VERDICT_NONE);
	CU_ASSERT_EQUAL(found.comm[sizeof(found.comm) - 1], 0);
	CU_ASSERT_TRUE(kernel_memory_refusal(memory, &found));
	CU_ASSERT_EQUAL(found.ino, 3);
	CU_ASSERT_FALSE(kernel_memory_refusal(memory, &found));
}

static void lost_refusals_are_told_once_by_whichever_gate(void)
{
	struct kernel_memory *next;

	state->refusals_lost += 3;
	CU_ASSERT_EQUAL(kernel_memory_lost(memory), 3);
	CU_ASSERT_EQUAL(kernel_memory_lost(memory), 0);
	state->refusals_lost += 1;
	CU_ASSERT_EQUAL_FATAL(kernel_memory_open(&next), 0);
	CU_ASSERT_EQUAL(kernel_memory_lost(next), 1);
	CU_ASSERT_EQUAL(kernel_memory_lost(memory), 0);
	kernel_memory_close(&next);
}

static void definitions_of_an_earlier_gate_count_until_others_are_named(void)
{
	struct kernel_memory *next;

	kernel_memory_definitions(memory, 42);
	CU_ASSERT_EQUAL(orders->definitions, 42);
	CU_ASSERT_EQUAL_FATAL(kernel_memory_open(&next), 0);
	CU_ASSERT_EQUAL(kernel_memory_definitions_kept(next), 42);
	kernel_memory_close(&next);
}

static void a_descriptor_that_is_no_such_map_is_refused(void)
{
	struct kernel_memory *other = NULL;
	int kept = dup(FD_HOOKS + HOOK_ORDERS);

	dup2(FD_HOOKS + HOOK_STATE, FD_HOOKS + HOOK_ORDERS);
	CU_ASSERT_EQUAL(kernel_memory_open(&other), -EBADF);
	CU_ASSERT_PTR_NULL(other);
	dup2(kept, FD_HOOKS + HOOK_ORDERS);
	close(kept);
}

static void labels_alone_know_no_file(void)
{
	struct hook_verdict verdict = {.generation = 5, .answer = ANSWER_ALLOW}, found;
	struct hook_generation generation;
	struct kernel_memory *labels;

	close(FD_HOOKS + HOOK_GENERATIONS);
	close(FD_HOOKS + HOOK_VERDICTS);
	CU_ASSERT_EQUAL_FATAL(kernel_memory_open(&labels), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(labels);
	CU_ASSERT_FALSE(kernel_memory_full(labels));
	CU_ASSERT_FALSE(kernel_memory_generation(labels, file, &generation));
	CU_ASSERT_FALSE(kernel_memory_verdict(labels, file, 5, &found));
	CU_ASSERT_EQUAL(kernel_memory_keep(labels, file, &verdict, false, NULL), -ENOENT);
	kernel_memory_begin(labels);
	CU_ASSERT_EQUAL(kernel_memory_program(labels, 7, 301, 1), 0);
	CU_ASSERT_EQUAL(kernel_memory_commit(labels, &policy), 0);
	CU_ASSERT_TRUE(has(HOOK_PROGRAMS, 7, 301, &(struct hook_label){0}));
	kernel_memory_close(&labels);
}

static void without_descriptors_there_is_none_and_nothing_is_known(void)
{
	struct hook_generation generation;
	struct hook_refusal refusal;
	struct kernel_memory *none = (void *)&file;
	struct hook_state counts;

	for (int i = 0; i < HOOK_MAPS; i++)
		close(FD_HOOKS + i);
	CU_ASSERT_EQUAL(kernel_memory_open(&none), 0);
	CU_ASSERT_PTR_NULL(none);
	CU_ASSERT_FALSE(kernel_memory_full(NULL));
	CU_ASSERT_FALSE(kernel_memory_generation(NULL, file, &generation));
	CU_ASSERT_FALSE(kernel_memory_refusal(NULL, &refusal));
	CU_ASSERT_EQUAL(kernel_memory_origin(NULL, file, 1), -ENOENT);
	CU_ASSERT_EQUAL(kernel_memory_label(NULL, getpid()).flags, 0);
	CU_ASSERT_EQUAL(kernel_memory_bell(NULL), -1);
	CU_ASSERT_EQUAL(kernel_memory_lost(NULL), 0);
	CU_ASSERT_EQUAL(kernel_memory_definitions_kept(NULL), 0);
	CU_ASSERT_EQUAL(kernel_memory_commit(NULL, &policy), 0);
	kernel_memory_begin(NULL);
	kernel_memory_beat(NULL, 1);
	kernel_memory_forget_places(NULL);
	kernel_memory_definitions(NULL, 1);
	kernel_memory_void(NULL, file);
	kernel_memory_leave(NULL);
	kernel_memory_counts(NULL, &counts);
	CU_ASSERT_EQUAL(counts.refused, 0);
}

int main(void)
{
	CU_initialize_registry();
	if (make_all()) { /* no rights, or no bpf(2): what wants no map */
		printf("kernel memory: no map can be made here (%s): only what needs none\n", strerrordesc_np(errno));
		CU_pSuite few = CU_add_suite("kernel memory, without maps", NULL, NULL);
		CU_ADD_TEST(few, without_descriptors_there_is_none_and_nothing_is_known);
	} else {
		CU_pSuite suite = CU_add_suite("kernel memory", setup, teardown);
		CU_ADD_TEST(suite, no_gate_lives_before_it_took_its_orders);
		CU_ADD_TEST(suite, orders_are_those_of_the_policy);
		CU_ADD_TEST(suite, the_number_of_a_policy_is_made_of_its_words);
		CU_ADD_TEST(suite, what_a_new_policy_no_longer_names_is_gone);
		CU_ADD_TEST(suite, a_verdict_counts_for_its_generation_alone);
		CU_ADD_TEST(suite, a_provisional_verdict_counts_for_its_session_alone);
		CU_ADD_TEST(suite, what_is_there_already_is_not_written_again);
		CU_ADD_TEST(suite, the_origin_stays_whatever_is_found_out);
		CU_ADD_TEST(suite, a_place_is_void_after_a_move_or_another_policy);
		CU_ADD_TEST(suite, a_process_that_has_ended_is_known_by_what_was_noted);
		CU_ADD_TEST(suite, this_process_is_labelled_as_the_gate);
		CU_ADD_TEST(suite, refusals_come_out_one_by_one_and_checked);
		CU_ADD_TEST(suite, lost_refusals_are_told_once_by_whichever_gate);
		CU_ADD_TEST(suite, definitions_of_an_earlier_gate_count_until_others_are_named);
		CU_ADD_TEST(suite, a_descriptor_that_is_no_such_map_is_refused);
		CU_ADD_TEST(suite, labels_alone_know_no_file);
		CU_ADD_TEST(suite, without_descriptors_there_is_none_and_nothing_is_known);
	}
	CU_basic_run_tests();
	int failed = (int)CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
