/* sealed.h: bytes that one process shows to others: a file in memory that nobody can change any
 * more, passed as a descriptor. */
#ifndef ROLES_SEALED_H
#define ROLES_SEALED_H

#include "base/str.h"

int sealed_new(const char *name, str_t bytes); /* -1: errno says why */

/* Maps one for reading (its reading position is shared by all who have it: nobody may read it).
 * false: it is no file, or larger than max. Empty is fine. */
bool sealed_map(int fd, size_t max, str_t *out);
void sealed_unmap(str_t bytes);

#endif
