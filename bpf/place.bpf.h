/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a file lies: of which watch, if of any. Found by a bounded walk of the parents up to the root of the file
 * system (mounts, namespaces and chroots make no difference), kept in `generations`.
 *
 * What is kept holds for one name in one folder and for the folders as they were: `seal` is made of the name, the
 * folder's inode number and name, the epoch, and what was found. A rename or another hard link makes another seal,
 * whatever the order is in which processors write; so it needs no lock. Folders that move void all: state.moves,
 * counted before the rename. Such a rename holds s_vfs_rename_mutex from before that hook until after the move (a
 * rename within one folder does not, and changes no place): what is found meanwhile is not kept.
 *
 * Pointers: bpf_inode_storage_get() takes only what was read directly from a hook's argument; a dentry to walk from is
 * read by BPF_CORE_READ.
 */
#ifndef MAILWARD_PLACE_H
#define MAILWARD_PLACE_H

#include "maps.bpf.h"
#include "names.bpf.h"

#define WALK_STEPS 40
#define WALK_NAMES 4 /* of an inode that was reached through another one */

struct place {
	struct hook_generation *kept; /* NULL: out of scope from the start, or no memory */
	struct dentry *dentry;        /* that it was found by; for reading by BPF_CORE_READ */
	int watch;                    /* index, HOOK_OUTSIDE or HOOK_UNSURE */
	bool unheld;
};

static __always_inline uint64_t generation_next(struct hook_state *kernel)
{
	return __sync_fetch_and_add(&kernel->next, 1) + 1;
}

/* The content of an inode changes. What has no storage has no verdict either. */
static __always_inline void generation_bump(struct inode *inode)
{
	struct hook_generation *kept = bpf_inode_storage_get(&generations, inode, 0, 0);
	struct hook_state *kernel = state_now();

	if (kept && kernel)
		kept->generation = generation_next(kernel);
}

/* What makes a place: the file's name, its folder and that folder's name. */
struct place_name {
	uint64_t name, folder, folder_name;
};

static __always_inline uint64_t place_seal(const struct place_name *name, uint64_t epoch, int watch, bool unheld)
{
	uint64_t found = (uint16_t)watch | (uint64_t)unheld << 16;

	return (name->name + name->folder * 0x9e3779b97f4a7c15ull + name->folder_name * 0x27d4eb2f165667c5ull) ^
	       (epoch * 0xc2b2ae3d27d4eb4full + found * 0x165667b19e3779f9ull);
}

/* Is what is kept about this name? Each word is read once: another processor may be writing. */
static __always_inline bool place_take(struct place *place, const struct place_name *name, uint64_t epoch)
{
	const volatile struct hook_generation *kept = place->kept;
	int watch = kept->watch;
	bool unheld = kept->unheld;

	if (kept->place_epoch != epoch || kept->seal != place_seal(name, epoch, watch, unheld))
		return false;
	place->watch = watch;
	place->unheld = unheld;
	return true;
}

static __always_inline void place_name_of(struct place_name *name, struct dentry *dentry)
{
	struct dentry *folder = BPF_CORE_READ(dentry, d_parent);

	name->name = BPF_CORE_READ(dentry, d_name.hash_len);
	name->folder = BPF_CORE_READ(folder, d_inode, i_ino);
	name->folder_name = BPF_CORE_READ(folder, d_name.hash_len);
}

/* The same without calls, of a dentry that was read directly from a hook's argument: nearly every access ends here. */
static __always_inline void place_name_direct(struct place_name *name, struct dentry *dentry)
{
	struct dentry *folder = dentry->d_parent;
	struct inode *inode = folder->d_inode;

	name->name = (uint64_t)dentry->d_name.len << 32 | dentry->d_name.hash;
	name->folder = inode ? inode->i_ino : 0;
	name->folder_name = (uint64_t)folder->d_name.len << 32 | folder->d_name.hash;
}

/* Is a folder being moved to another one on this file system just now? */
static __always_inline bool folders_move(struct super_block *system)
{
	struct mutex *mutex = &system->s_vfs_rename_mutex;

	if (bpf_core_field_exists(struct mutex, owner))
		return BPF_CORE_READ(system, s_vfs_rename_mutex.owner.counter) != 0;
	return BPF_CORE_READ((struct mutex___rt *)mutex, rtmutex.owner) != 0;
}

#define WALK_WATCH(found) ((int16_t)(found))
#define WALK_STEPS_UP(found) ((uint32_t)(found) >> 16)

/* From the dentry `from`: WALK_WATCH is an index, HOOK_OUTSIDE or HOOK_UNSURE; WALK_STEPS_UP, how far above the watch's
 * folder lies. A function by itself, see name_is_control(). */
__noinline int place_walk(uint64_t from)
{
	struct dentry *at = (struct dentry *)from, *root = BPF_CORE_READ(at, d_sb, s_root), *parent;
	struct hook_inode key = {.dev = BPF_CORE_READ(at, d_sb, s_dev)};
	struct hook_folder *folder;

#pragma clang loop unroll(disable)
	for (uint32_t i = 0; i < WALK_STEPS; i++) {
		key.ino = BPF_CORE_READ(at, d_inode, i_ino);
		folder = bpf_map_lookup_elem(&folders, &key);
		if (folder)
			return folder->watch < HOOKS_WATCHES ? (int)(folder->watch | i << 16) : (uint16_t)HOOK_UNSURE;
		parent = BPF_CORE_READ(at, d_parent);
		if (!parent || parent == at)
			return (uint16_t)(at == root ? HOOK_OUTSIDE : HOOK_UNSURE);
		at = parent;
	}
	return (uint16_t)HOOK_UNSURE;
}

/* Where the list of an inode's names hangs in a dentry. */
static __always_inline uint64_t alias_offset(void)
{
	if (bpf_core_field_exists(struct dentry, d_u))
		return bpf_core_field_offset(struct dentry, d_u.d_alias);
	return bpf_core_field_offset(struct dentry___flat, d_alias);
}

static __always_inline struct dentry *alias_first(struct inode *inode)
{
	struct hlist_node *node = BPF_CORE_READ(inode, i_dentry.first);

	return node ? (struct dentry *)((uint64_t)node - alias_offset()) : NULL;
}

static __always_inline struct dentry *alias_next(struct dentry *dentry)
{
	struct hlist_node *node = (struct hlist_node *)((uint64_t)dentry + alias_offset());

	node = BPF_CORE_READ(node, next);
	return node ? (struct dentry *)((uint64_t)node - alias_offset()) : NULL;
}

/* An inode that was reached through another one (overlayfs): by the first names that it has itself. Any of them inside:
 * inside. */
static __always_inline int place_walk_names(struct dentry **dentry_io)
{
	struct dentry *dentry = *dentry_io;
	int first = (uint16_t)HOOK_UNSURE, found;

#pragma clang loop unroll(disable)
	for (uint32_t i = 0; i < WALK_NAMES && dentry; i++) {
		found = place_walk((uint64_t)dentry);
		if (WALK_WATCH(found) >= 0) {
			*dentry_io = dentry;
			return found;
		}
		if (i == 0)
			first = found;
		dentry = alias_next(dentry);
	}
	return first;
}

static __always_inline bool system_is_guarded(uint32_t dev)
{
	return bpf_map_lookup_elem(&systems, &dev) != NULL;
}

/* What mail software wrote before this inode went from the cache. */
static __always_inline uint8_t origin_remembered(struct inode *inode)
{
	struct hook_inode key = {.ino = inode->i_ino, .dev = inode->i_sb->s_dev, .generation = inode->i_generation};
	struct hook_origin *origin = bpf_map_lookup_elem(&origins, &key);

	return origin ? origin->origin : 0;
}

/* The inode's storage, made where there is none. NULL: no memory. */
static __always_inline struct hook_generation *generation_keep(struct hook_state *kernel, struct inode *inode,
							       int watch)
{
	struct hook_generation fresh = {
		.generation = generation_next(kernel), .watch = watch, .origin = origin_remembered(inode)};
	struct hook_generation *kept =
		bpf_inode_storage_get(&generations, inode, &fresh, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!kept)
		__sync_fetch_and_add(&kernel->no_memory, 1);
	return kept;
}

/* Walks, and keeps what was found, by the name that the file had before the walk. */
static __always_inline void place_find(struct place *place, const struct place_name *name, struct hook_orders *orders_,
				       struct hook_state *kernel, struct inode *inode, uint64_t epoch, bool other_inode)
{
	bool moving = folders_move(inode->i_sb);
	struct hook_generation *kept = place->kept;
	uint64_t generation = kept ? kept->generation : 0;
	uint32_t steps;
	int found;

	found = other_inode ? place_walk_names(&place->dentry) : place_walk((uint64_t)place->dentry);
	steps = WALK_STEPS_UP(found);
	place->watch = WALK_WATCH(found);
	place->unheld = place->watch >= 0 && steps > 0 &&
			name_is_control(orders_->watches[place->watch & (HOOKS_WATCHES - 1)].store,
					(uint64_t)place->dentry, steps == 1);
	/* It has a name inside too, as far as is known: what one knows it by does not make it harmless. */
	if (kept && place->watch == HOOK_OUTSIDE && kept->watch != HOOK_OUTSIDE && kept->place_epoch == epoch &&
	    inode->i_nlink > 1) {
		place->watch = kept->watch;
		place->unheld = kept->unheld;
		return;
	}
	if (!kept)
		place->kept = kept = generation_keep(kernel, inode, place->watch);
	if (!kept)
		return;
	/* It came in. Once, though two processors may see it: a verdict on the new number may be on its way. */
	if (place->watch != HOOK_OUTSIDE && kept->watch == HOOK_OUTSIDE)
		__sync_val_compare_and_swap(&kept->generation, generation, generation_next(kernel));
	kept->watch = place->watch;
	kept->unheld = place->unheld;
	kept->place_epoch = epoch;
	kept->seal = moving ? 0 : place_seal(name, epoch, place->watch, place->unheld);
}

/* Where the file lies that is opened, read, mapped or executed. The epoch is read before everything else: see above. */
static __always_inline void place_of(struct place *place, struct hook_orders *orders_, struct hook_state *kernel,
				     struct file *file, struct inode *inode)
{
	uint64_t epoch = *(volatile uint64_t *)&orders_->epoch + *(volatile uint64_t *)&kernel->moves;
	struct place_name name;
	struct dentry *dentry;
	bool other_inode;

	place->watch = HOOK_OUTSIDE;
	place->unheld = false;
	place->kept = bpf_inode_storage_get(&generations, inode, 0, 0);
	if (!place->kept && !system_is_guarded(inode->i_sb->s_dev))
		return;
	dentry = file->f_path.dentry;
	other_inode = !dentry || dentry->d_inode != inode;
	if (place->kept && !other_inode) {
		place->dentry = dentry;
		place_name_direct(&name, dentry);
		if (place_take(place, &name, epoch))
			return;
	}
	place->dentry = other_inode ? alias_first(inode) : BPF_CORE_READ(file, f_path.dentry);
	place_name_of(&name, place->dentry);
	if (place->kept && other_inode && place_take(place, &name, epoch))
		return;
	if (!system_is_guarded(inode->i_sb->s_dev))
		return;
	place_find(place, &name, orders_, kernel, inode, epoch, other_inode);
}

#endif
