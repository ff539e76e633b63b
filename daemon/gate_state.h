/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the rooms of the gate share. One event goes through them in this order:
 *
 *   gate.c      the process: its start, its loop, the keeper's frames
 *   door.c      accesses: known? where? -> answered now, or waits for a case
 *   knowing.c   what is known of a file, by us and by the kernel side
 *   judging.c   cases: whose turn, digest, scan, verdict -> its waiters are answered
 *   telling.c   after an answer: the record for the history
 *   allowing.c  the allow list
 *   noticing.c  what people are to be told of, by way of the steward
 *   asking.c    the steward, which moves files for us
 *   behind.c    the steward, which has files judged that nobody waits for
 *   coverage.c  the policy in force: roots, marks, the kernel side's orders
 *   showing.c   what status says of each watch
 *
 * In full mode the kernel side remembers the answers, too, and gives them by itself (hooks.h); it learns of them in
 * knowing_tell_kernel() alone.
 */
#ifndef MAILWARD_GATE_STATE_H
#define MAILWARD_GATE_STATE_H

#include "accesses.h"
#include "allowances.h"
#include "cases.h"
#include "contents.h"
#include "fresh.h"
#include "kernel_memory.h"
#include "loop.h"
#include "memory.h"
#include "moves.h"
#include "opener.h"
#include "origins.h"
#include "policy.h"
#include "record.h"
#include "ring.h"
#include "scope.h"
#include "shared.h"
#include "steward.h"
#include "workers.h"

#define PENDING_MAX 512u
#define OPENERS_MAX 512u
#define IGNORED_MAX 65536u /* a power of two */
#define WITHDRAWN_MAX 256u
#define PARTINGS_MAX 256u
#define PARTINGS_ASIDE 128u /* of them for files that nobody waits for */
#define SET_APART_MAX 64u
#define BEHIND_MAX 64u
#define WATCH_NONE UINT32_MAX /* of a case that a sweep began outside of all watches */
#define PROGRAMS_MAX (MAIL_SOFTWARE_MAX * MAIL_ROOTS_MAX)

/* An access that waits for a case; its place is its descriptor's number. */
struct waiting {
	struct access access;
	uint32_t watch;
	uint64_t since_ns;
	bool held;        /* the opener sleeps; else it was answered, and only the record is still to come */
	bool case_owns;   /* the case goes on with this descriptor and closes it */
	uint64_t case_id; /* that it waits for */
	uint16_t opener;  /* place in openers, + 1; 0: not known. Only where !held: a sleeping opener is asked later */
};

/* One file system that holds roots. */
struct file_system {
	uint64_t dev;
	uint32_t root;      /* index of a root on it */
	bool asked;         /* the permission mark stands */
	bool ignore;        /* ignore marks are used: the policy says so, and moves are told */
	bool counted;       /* the kernel side sees every change of its files */
	bool marks_origins; /* a file can be marked with its origin */
	int mail_watch;     /* the strictest one on it with origin = mail, -1: none */
	char why[160];      /* where the mark doesn't stand */
};

/* What a descriptor shows of its file, and what the kernel side knows of it. */
struct look {
	struct sight sight; /* its generation is counted where the kernel side sees every change there */
	bool in_kernel;
	struct hook_generation kernel; /* where in_kernel */
	bool said;                     /* present is a verdict on this generation; else only its origin is set */
	struct hook_verdict present;
};

/* What an answer rests on, as the kernel side is to keep it. All zero: on the moment. */
struct basis {
	const struct generation *judged;    /* what was judged */
	bool keep;                          /* for later accesses too: nobody could write meanwhile */
	const struct hook_verdict *present; /* what the kernel side says of it already; NULL: not known */
};

/* A file that the steward was asked to move away; its case is CASE_PARTING. */
struct parting {
	uint64_t case_id; /* 0: free */
	struct finding finding;
	bool keep;  /* as in struct basis */
	bool moved; /* the steward has said so, or that it will be */
	bool final; /* he need not be asked again */
	size_t path_size;
	char path[4097]; /* what it was called before; empty: not known */
};

/* A file that the steward wants judged. */
struct behind {
	uint64_t id;      /* the steward's */
	uint64_t case_id; /* 0: free */
};

/* Mail software of a policy: the programs by which it is known. */
struct program {
	int fd; /* O_PATH, to notice that it was replaced */
	uint32_t software;
	uint32_t device;
};

struct gate {
	struct loop loop;
	struct gate_part *status;
	struct gate_notes *notes;
	struct ring *ring;
	int recorder; /* socket for explain, or -1 */
	int steward;  /* socket for what moves files, or -1 */
	uint64_t beat_ns, refresh_ns;
	bool stopping;
	bool asked; /* the kernel has questions */

	struct accesses *accesses;
	struct fresh *fresh;
	struct moves *moves;
	struct workers *workers;
	struct cases *cases;
	struct memory *memory;
	struct kernel_memory *kernel; /* NULL: reduced mode */
	struct origins *origins;      /* NULL with it */
	struct contents *contents;

	const struct policy *policy;
	struct scope scope, staged_scope;
	const struct policy *staged_policy;
	uint64_t staged_number; /* the keeper's, for its answer */
	char without[WATCHES_MAX][160], staged_without[WATCHES_MAX][160];
	uint32_t lasting_count, staged_lasting_count;
	int lasting[LASTING_MAX], staged_lasting[LASTING_MAX]; /* files that never raise a question */
	uint32_t program_count, staged_program_count;
	struct program programs[PROGRAMS_MAX], staged_programs[PROGRAMS_MAX];
	char kernel_why[80]; /* what of this policy the kernel side could not take; empty */
	uint64_t unmarked;   /* origins_failed() as it was told last */
	uint32_t file_system_count;
	struct file_system file_systems[ROOTS_MAX];
	bool roots_changed; /* one has lost its name, or has it again; still to be told */
	uint64_t epoch;     /* of places: counts up when a folder moved or the policy changed */

	uint64_t run; /* CLOCK_MONOTONIC at our start: a worker's number counts from here, never twice on one boot */
	uint64_t definitions;  /* identity of those in use; 0: none yet */
	uint8_t levels;        /* enum judgement: who is asked with these; 0: not told yet */
	bool told_definitions; /* the loader has named them; until then those of an earlier gate count */
	bool no_definitions;   /* the loader said that there are none */
	uint64_t not_adopted;  /* fresh files for which there was no descriptor to spare */

	struct allowed_table allowed; /* number 0: none was handed over yet */
	uint64_t allowances;          /* its identity now; 0: nothing is allowed */
	uint64_t allowed_end_ns;      /* CLOCK_REALTIME: its next entry ends; 0: none does */

	/* Workers whose verdicts count no more, wherever these lie; beyond these, all that was judged before then. */
	uint64_t withdrawn[WITHDRAWN_MAX], withdrawn_count, distrusted_ns;

	struct parting partings[PARTINGS_MAX];
	const struct parting *telling_of; /* whose waiters are being answered, or NULL */
	uint32_t set_apart_count;
	int set_apart[SET_APART_MAX]; /* folders of the quarantine, O_PATH: what lies in them is not asked about */
	struct behind behind[BEHIND_MAX];
	uint32_t behind_count;

	struct waiting waiting[SLOTS_MAX];
	struct finding pending[PENDING_MAX];
	uint16_t pending_free[PENDING_MAX];
	uint32_t pending_free_count;
	struct opener openers[OPENERS_MAX];
	uint16_t opener_free[OPENERS_MAX];
	uint32_t opener_free_count;
	uint64_t ignored[IGNORED_MAX]; /* hashes of the files that have an ignore mark; 0: empty */
	uint32_t ignored_count;

	struct loop_handler on_permission, on_fresh, on_moves, on_leash, on_recorder, on_refusals, on_steward;
};

/* A counter of status: written by the gate alone, read by others at any time. */
static inline void count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

/* gate.c */
__attribute__((format(printf, 1, 2))) void gate_log(const char *format, ...); /* one line, by way of the keeper */

void gate_loader_lied(void); /* what it sent is no frame: it was dropped */
/* We are alive: renews what would end us for standing still. */
void gate_alive(struct gate *gate, uint64_t now);

/* door.c */
void count_waiting(struct gate *gate, int change);
void count_denied(struct gate_part *status, uint64_t wall); /* CLOCK_REALTIME, ns */
void door_open(struct gate *gate); /* takes what the kernel asks until nothing is left or a batch is done */
void door_fresh(struct gate *gate);
void door_news(struct gate *gate); /* moves and closes; before anything is answered from memory */
/* The answer to one access whose verdict is there: answered, told, its descriptor closed unless a case goes on with
 * it. */
void door_settle(struct gate *gate, const struct waiting *waiting, const struct finding *finding, struct basis basis,
		 enum record_phase phase, uint64_t now);
/* Another policy is in force: map says which watch an old one has become. Who waits in one that is no more goes on. */
void door_policy_changed(struct gate *gate, const uint32_t map[WATCHES_MAX]);
void door_stop(struct gate *gate); /* everybody who waits gets the answer for "no gate" */

/* knowing.c */
/* Every look at a file: what the descriptor shows, put together with what the kernel side counts. 0 or -errno. */
int knowing_look(const struct gate *gate, int fd, struct look *look_out);
/* Where the file is, from memory or found out. Sets *place_out; *strict: nobody can say what it is. */
enum where knowing_place(struct gate *gate, int fd, const struct look *look, struct place *place_out);
/* Did mail software write it? For a watch with origin = mail. */
enum origin_said knowing_origin(const struct gate *gate, int fd, const struct look *look);
/* A file outside all watches, on a file system of a watch with origin = mail: mail software wrote it, or it left such a
 * watch, so it is an attachment all the same. true: *place_out is set. */
bool knowing_left_watch(const struct gate *gate, int fd, const struct look *look, struct place *place_out);
/* The finding for this generation that counts, in our memory or in the kernel's; NULL: unknown. Borrowed until the next
 * call. */
const struct finding *knowing_finding(struct gate *gate, const struct look *look, uint32_t watch, uint64_t now);
/* fd, ours from now on: a folder of the quarantine. first: those told before count no more. */
void knowing_set_apart(struct gate *gate, int fd, bool first);
/* The one place from which the kernel side learns what it may answer by itself. Before the access is answered; also
 * where nobody waits. */
void knowing_tell_kernel(struct gate *gate, int fd, uint32_t watch, const struct finding *finding, struct basis basis);

/* judging.c */
void judging_policy_changed(struct gate *gate, const uint32_t map[WATCHES_MAX]);
/* The case for this file, joined or begun; a case that is begun owns fd. NULL: no room. *begun_out: fd is its. One that
 * others began moves up to this rank, never down. */
struct file_case *judging_case(struct gate *gate, int fd, const struct sight *sight, uint32_t watch, enum rank rank,
			       uint64_t now, bool *begun_out);
void judging_turn(struct gate *gate);                                                /* whose turn is it; what is due */
void judging_replies(struct gate *gate);                                             /* what workers and hasher said */
bool judging_withdrawn(const struct gate *gate, const struct hook_verdict *verdict); /* its worker is not believed */

/* The case is over: answers all who wait for it and lets go of it. */
void judging_settle(struct gate *gate, struct file_case *file_case, const struct finding *finding, bool keep,
		    enum record_phase phase);

/* telling.c */
/* The file's name as it goes into a record; 0: not known. */
size_t telling_name(struct gate *gate, int fd, char *path, size_t size);
void telling_record(struct gate *gate, const struct waiting *waiting, const struct finding *finding,
		    const struct policy_decision *decision, const struct opener *opener, enum record_phase phase);
/* Was it the selftest that tried this file? Nothing is counted or recorded of that. */
bool telling_is_canary(const struct gate *gate, uint32_t uid, int fd);
void telling_refused(struct gate *gate, int32_t pid, int error); /* by the kernel */
void telling_refusals(struct gate *gate);                        /* by the kernel side, see hooks.h */
void explaining_answer(struct gate *gate);                       /* a question from the recorder's socket */

/* allowing.c */
void allowing_take(struct gate *gate, int fd); /* from the keeper: the list that counts from now on */
void allowing_turn(struct gate *gate);         /* entries whose time is over */
/* What a worker found, without the names that are allowed. */
void allowing_judge(const struct gate *gate, const struct scan_reply *reply, struct finding *finding);
/* The end of a case: is this content allowed whatever was found? digest may be NULL. */
void allowing_finish(const struct gate *gate, const uint8_t *digest, struct finding *finding);
/* It was judged with another list, and that may matter. */
bool allowing_is_stale(const struct gate *gate, const struct finding *finding);
/* The same of what the kernel side keeps; else what rests on an entry gets its detail. */
bool allowing_adopts(const struct gate *gate, const struct hook_verdict *present, struct finding *finding);
/* policy_decide(), and then the allow list. The one place to ask what a finding leads to. */
void allowing_decide(const struct gate *gate, uint32_t watch, const struct finding *finding,
		     struct policy_decision *out);

/* noticing.c */
/* Somebody is to be told of this file, which is not moved away. */
void noticing_found(struct gate *gate, const struct file_case *file_case, const struct finding *finding);

/* asking.c */
void asking_hear(struct gate *gate);         /* what the steward says */
void asking_peer(struct gate *gate, int fd); /* a new one: its socket, ours from now on */
/* Is a file with this finding, in this watch, to be moved away, and is there somebody who does it? */
bool asking_wanted(const struct gate *gate, uint32_t watch, const struct finding *finding);
/* Could more files that nobody waits for be moved away now? Until then their turn does not come: what finds no room
 * lies there, denied, until somebody opens it. */
bool asking_has_room(const struct gate *gate);
/* Asks for the file of this case, which has come to its end. true: it goes on as CASE_PARTING, with those who wait. */
bool asking_begin(struct gate *gate, struct file_case *file_case, const struct finding *finding, bool keep);
/* The same for an access to a file whose finding is known already. true: it waits. */
bool asking_known(struct gate *gate, struct waiting *waiting, const struct finding *known, const struct look *look,
		  uint64_t now);
/* What who waits for a file that is being moved away gets, should we end now or he wait no longer. */
enum answer asking_answer(const struct policy_watch *watch);
/* What the steward was asked for this case; NULL: nothing. */
const struct parting *asking_parting(struct gate *gate, const struct file_case *file_case);

/* behind.c */
/* A STEWARD_SCAN; fd (taken over) is the file, id and rank are the steward's. A STEWARD_FINDING follows, here or with
 * the end of its case; result -EAGAIN: the file changed meanwhile, -EBUSY: no room now, -ENOENT: a recheck of what no
 * watch judges, -EINVAL: no regular file. */
void behind_take(struct gate *gate, int fd, uint64_t id, uint32_t rank);
/* The case ends. finding NULL: without one. */
void behind_finished(struct gate *gate, const struct file_case *file_case, const struct finding *finding);

/* coverage.c */
void coverage_stage(struct gate *gate, const struct policy *policy);
void coverage_root(struct gate *gate, int fd, uint32_t watch, uint32_t device);
void coverage_program(struct gate *gate, int fd, uint32_t software, uint32_t device); /* mail software */
void coverage_lasting(struct gate *gate, int fd); /* a file that must open even while nobody answers */
void coverage_without(struct gate *gate, uint32_t watch, const char *why);
void coverage_order(struct gate *gate); /* the kernel side: what is guarded, once more */
/* All is there: it is in force from now on. */
void coverage_commit(struct gate *gate);
void coverage_refresh(struct gate *gate, int leash);                          /* roots that have lost their names */
const struct file_system *coverage_of(const struct gate *gate, uint64_t dev); /* NULL: not one of ours */
/* Every file of ours that has this handle, as an O_PATH descriptor: each on its own file system. */
void coverage_by_handle(struct gate *gate, const struct generation *file, void (*each)(struct gate *gate, int fd));
void coverage_ignore(struct gate *gate, int fd, const struct sight *sight);
void coverage_name_news(struct gate *gate, const struct generation *file);
/* A folder moved, or news were lost: what is known of places is not, and with `marks` ignore marks are taken back. */
void coverage_forget_places(struct gate *gate, bool marks);

/* showing.c */
void showing_publish(struct gate *gate); /* to the status page */

#endif
