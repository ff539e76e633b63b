/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel remembers for us: the gate's side of the maps of include/hooks.h, by descriptors that the keeper
 * handed over (FD_HOOKS + enum hook_map). Nothing here opens a path, waits, or allocates after kernel_memory_open().
 *
 * In reduced mode there is none: every function takes NULL and then knows nothing (false, 0, -ENOENT). Where only
 * labels are there (kernel_memory_full() is false), generations and verdicts are never known.
 */
#ifndef MAILWARD_KERNEL_MEMORY_H
#define MAILWARD_KERNEL_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "hooks.h"
#include "policy.h"

struct kernel_memory;

/* Takes the descriptors, maps orders and state, gives this gate a session of its own and labels this process as the
 * gate (HOOK_LABEL_GATE). *memory_out NULL and 0: none of the descriptors is open (reduced mode). Else 0 or -errno.
 * Before rights_gate(): it opens a pidfd and maps the ring buffer; and before anything else takes a descriptor, which
 * might get one of these numbers. The session counts from the first kernel_memory_commit() on. */
int kernel_memory_open(struct kernel_memory **memory_out);
void kernel_memory_close(struct kernel_memory **memory);
bool kernel_memory_full(const struct kernel_memory *memory);

/* We are alive. CLOCK_MONOTONIC, ns. */
void kernel_memory_beat(struct kernel_memory *memory, uint64_t now);

/* From now on `on-down` counts: before the last answers are given by it. */
void kernel_memory_leave(struct kernel_memory *memory);

/* ---- one file, by any descriptor of it ---- */
/* false: nothing is known; it has not been opened since the programs were attached. The place is HOOK_OUTSIDE where
 * what was found of it is void by now. */
bool kernel_memory_generation(const struct kernel_memory *memory, int fd, struct hook_generation *generation_out);
/* The verdict on this generation of the file; false: none, or of another generation, or provisional of another session:
 * then only verdict_out->origin is set, as far as it is known. Whether its definitions and policy are still those in
 * force is the caller's to see. */
bool kernel_memory_verdict(const struct kernel_memory *memory, int fd, uint64_t generation,
			   struct hook_verdict *verdict_out);
/* Writes it, with the policy in force; provisional sets the session. What is there of its origin stays, and nothing is
 * written where the same is there already. present: what kernel_memory_verdict() has just said, NULL: it is looked up.
 * 0 or -errno. Before the answer is given. */
int kernel_memory_keep(const struct kernel_memory *memory, int fd, const struct hook_verdict *verdict, bool provisional,
		       const struct hook_verdict *present);
/* A verdict that is there counts no more. */
void kernel_memory_void(const struct kernel_memory *memory, int fd);
/* Says only where it comes from (keeps a verdict that is there). */
int kernel_memory_origin(const struct kernel_memory *memory, int fd, uint8_t origin);
/* Who is this process (of our pid namespace's initial one)? By pidfd where it lives, else by what was noted of
 * processes that have ended. flags 0: nobody. */
struct hook_label kernel_memory_label(const struct kernel_memory *memory, int32_t pid);

/* ---- the policy in force ---- */
/* Between begin and commit: all folders, systems and programs of the new policy. At commit the new orders count, and
 * what is not among them is removed; nothing is unguarded in between. dev: the kernel's number (struct hook_inode). */
void kernel_memory_begin(struct kernel_memory *memory);
int kernel_memory_folder(struct kernel_memory *memory, uint32_t dev, uint64_t ino, uint32_t watch);
int kernel_memory_program(struct kernel_memory *memory, uint32_t dev, uint64_t ino, uint32_t software);
/* The policy's number in the maps is made of its words, not of the keeper's count, which begins anew with each start:
 * verdicts of an earlier run go on under the same words alone. 0, or -errno of the first thing that had no room. */
int kernel_memory_commit(struct kernel_memory *memory, const struct policy *policy);
void kernel_memory_definitions(struct kernel_memory *memory, uint64_t definitions);
/* Identity of the allow list, which is a part of the policy's number: a denial made with another one counts no more.
 * (An approval made with another one still lets who has the file open read on; its next open is asked about.) */
void kernel_memory_allowances(struct kernel_memory *memory, uint64_t allowances);
/* The policy's number as verdicts have it now; 0: none is in force yet. */
uint64_t kernel_memory_policy(const struct kernel_memory *memory);
/* Those that the kernel side goes by just now, which may be an earlier gate's. 0: none. */
uint64_t kernel_memory_definitions_kept(const struct kernel_memory *memory);
/* Folders moved, watches may lie elsewhere: places found so far are void. */
void kernel_memory_forget_places(struct kernel_memory *memory);

/* ---- what the kernel refused by itself ---- */
int kernel_memory_bell(const struct kernel_memory *memory); /* readable when there is something; -1: none */
/* The oldest one not taken yet, those of the time when no gate ran too; false: none. Its enums and path_size are within
 * their bounds, its path is any bytes. */
bool kernel_memory_refusal(struct kernel_memory *memory, struct hook_refusal *refusal_out);
/* How many refusals were lost for want of room since this was asked last, by whichever gate. */
uint32_t kernel_memory_lost(struct kernel_memory *memory);
void kernel_memory_counts(const struct kernel_memory *memory, struct hook_state *state_out);

#endif
