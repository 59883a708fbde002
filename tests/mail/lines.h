/* lines.h: what must hold for every line that we write; used by tests and fuzz targets. */
#ifndef TESTS_MAIL_LINES_H
#define TESTS_MAIL_LINES_H

#include "base/utf8.h"

/* Each line ends with CRLF, has at most 998 characters, no bare CR or LF and no control byte but
 * tabs. */
static inline bool lines_clean(str_t text, bool utf8)
{
    str_t line;
    if (!(utf8 ? utf8_valid(text) : str_ascii(text)))
        return false;
    while (str_cut(&text, '\n', &line)) {
        if (line.len == 0 || line.ptr[line.len - 1] != '\r' || line.len - 1 > 998)
            return false;
        for (size_t i = 0; i + 1 < line.len; i++)
            if ((uint8_t)line.ptr[i] == 0x7f || ((uint8_t)line.ptr[i] < ' ' && line.ptr[i] != '\t'))
                return false;
    }
    return text.len == 0;
}

#endif
