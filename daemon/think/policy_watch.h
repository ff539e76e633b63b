/* SPDX-License-Identifier: GPL-2.0-only */
/* The block `watch`: its words, their defaults in each store, and what a store cannot promise. */
#ifndef MAILWARD_POLICY_WATCH_H
#define MAILWARD_POLICY_WATCH_H

#include "policy_values.h"

/* Adds the watch to the policy, or complains. false: there is no room for another one. */
bool policy_take_watch(const struct policy_reading *at, struct policy *policy, cfg_t *block);

#endif
