/* convert_print.c: converts standard input for test_convert_python.py: convert_print 7|8. Exit
 * status 1: refused. */
#include <stdio.h>
#include <stdlib.h>

#include "mail/convert.h"

int main(int argc, char **argv)
{
    static char in[1 << 20];
    size_t n = fread(in, 1, sizeof in, stdin);
    bool eight = argc > 1 && argv[1][0] == '8', needed;
    struct mail_convert *c = mail_convert_new(eight ? MAIL_CONVERT_8BIT : MAIL_CONVERT_7BIT);
    struct buf out;
    if (c == NULL)
        return 2;
    buf_init(&out, 1 << 23);
    mail_convert_look(c, str_of(in, n));
    bool good = mail_convert_looked(c, &needed) == MAIL_CONVERT_OK &&
                mail_convert_feed(c, str_of(in, n), &out) && mail_convert_end(c, &out);
    if (good)
        fwrite(out.ptr, 1, out.len, stdout);
    buf_free(&out);
    mail_convert_free(c);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
