/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MAILWARD_FOLDER_H
#define MAILWARD_FOLDER_H

#include <stdbool.h>

/* Are they the same folder on the same mount? No server is asked. false also where it cannot be told. */
bool folder_is_same(int first, int second);

#endif
