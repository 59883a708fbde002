/* utf8.h: UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing over U+10FFFF. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/str.h"

bool utf8_valid(str_t s);
bool str_ascii(str_t s); /* no byte over 0x7f */
/* false at the end or on a bad sequence (s unchanged) */
bool utf8_next(str_t *s, uint32_t *codepoint);

#endif
