/* SPDX-License-Identifier: GPL-2.0-only */
/* What a content is, whatever its name says: by its bytes alone. Pure; the bytes are hostile. */
#ifndef MAILWARD_KINDS_H
#define MAILWARD_KINDS_H

#include <stddef.h>

/* bytes: all of it. Bits 1 << enum deny_type (wire.h). Linear in size for an OLE2 document, else a few looks. */
unsigned kind_types(const unsigned char *bytes, size_t size);

/* The same of an archive's member by its place in there: vbaProject.bin makes a macro document of it, a manifest a
 * program of Java's. `path` with slashes of either kind. */
unsigned kind_of_member(const char *path, size_t size);

#endif
