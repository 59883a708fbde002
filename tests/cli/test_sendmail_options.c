/* test_sendmail_options.c: the command lines that programs use, and those that are wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/sendmail_options.h"
#include "proto/smtp/client.h"

enum { WORDS_MAX = 48, LINE_MAX = 512 };

/* A command line split at blanks; "''" is an empty word. */
struct line {
    char text[LINE_MAX];
    char *argv[WORDS_MAX + 1];
    int argc;
    struct sendmail_options o;
    bool ok;
};

static void parse(struct line *l, const char *text)
{
    *l = (struct line){0};
    str_toc(str_c(text), l->text, sizeof l->text);
    for (char *at = l->text; *at != '\0';) {
        char *end = at + strcspn(at, " ");
        bool more = *end != '\0';
        *end = '\0';
        if (strcmp(at, "''") == 0)
            *at = '\0';
        l->argv[l->argc++] = at;
        at = more ? end + 1 : end;
    }
    l->ok = sendmail_options_parse(l->argc, l->argv, &l->o);
    assert_int_equal(l->ok, l->o.error[0] == '\0');
}

static void as_programs_call_it(void **state)
{
    struct line l;
    (void)state;
    parse(&l, "sendmail -t -i"); /* PHP */
    assert_true(l.ok && l.o.from_header && l.o.ignore_dots && l.o.n_recipients == 0);
    parse(&l, "sendmail -FCronDaemon -i -B8BITMIME -oem root"); /* cron */
    assert_true(l.ok && l.o.ignore_dots && str_eq(l.o.full_name, STR("CronDaemon")));
    assert_int_equal(l.o.n_recipients, 1);
    assert_string_equal(l.o.recipients[0], "root");
    parse(&l, "sendmail -oem -oi -f anna@example.org -- -ben@example.org"); /* mutt */
    assert_true(l.ok && l.o.ignore_dots && str_eq(l.o.sender, STR("anna@example.org")));
    assert_string_equal(l.o.recipients[0], "-ben@example.org");
    parse(&l, "sendmail -i a@x b@x"); /* git */
    assert_int_equal(l.o.n_recipients, 2);
    parse(&l, "sendmail -ti -fanna"); /* joined */
    assert_true(l.ok && l.o.from_header && l.o.ignore_dots && str_eq(l.o.sender, STR("anna")));
    parse(&l, "sendmail -bs");
    assert_int_equal(l.o.mode, SENDMAIL_SMTP);
    parse(&l, "sendmail -b p");
    assert_int_equal(l.o.mode, SENDMAIL_LIST);
    parse(&l, "sendmail -bi");
    assert_int_equal(l.o.mode, SENDMAIL_NEWALIASES);
    parse(&l, "sendmail -I");
    assert_int_equal(l.o.mode, SENDMAIL_NEWALIASES);
    parse(&l, "sendmail -q30m");
    assert_int_equal(l.o.mode, SENDMAIL_FLUSH);
    parse(&l, "sendmail -qRexample.org");
    assert_true(l.ok && l.o.mode == SENDMAIL_FLUSH);
    parse(&l, "sendmail - a@x"); /* not an option */
    assert_false(l.ok);
}

static void senders(void **state)
{
    struct line l;
    (void)state;
    parse(&l, "sendmail a@x");
    assert_false(l.o.has_sender);
    parse(&l, "sendmail -f '' a@x");
    assert_true(l.ok && l.o.has_sender && l.o.sender.len == 0);
    parse(&l, "sendmail -f <> a@x");
    assert_true(l.ok && l.o.has_sender && l.o.sender.len == 0);
    parse(&l, "sendmail -r b@x a@x");
    assert_true(l.ok && str_eq(l.o.sender, STR("b@x")));
}

static void reports(void **state)
{
    struct line l;
    (void)state;
    parse(&l, "sendmail -N success,FAILURE -R hdrs -V id a@x");
    assert_int_equal(l.o.notify, SMTPC_NOTIFY_SUCCESS | SMTPC_NOTIFY_FAILURE);
    assert_int_equal(l.o.ret, SMTPC_RET_HDRS);
    assert_true(str_eq(l.o.envid, STR("id")));
    parse(&l, "sendmail -Nnever -Rfull a@x");
    assert_true(l.ok && l.o.notify == SMTPC_NOTIFY_NEVER && l.o.ret == SMTPC_RET_FULL);
    static const char *const wrong[] = {"sendmail -N never,delay a@x", "sendmail -N '' a@x",
                                        "sendmail -N delay, a@x", "sendmail -R some a@x",
                                        "sendmail -V '' a@x"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        parse(&l, wrong[i]);
        assert_false(l.ok);
    }
}

static void envelope_ids(void **state)
{
    char id[SMTPC_ENVID_MAX + 2];
    char sendmail[] = "sendmail", option[] = "-V";
    struct sendmail_options o = {0};
    (void)state;
    memset(id, 'a', sizeof id);
    for (size_t n = SMTPC_ENVID_MAX - 1; n <= SMTPC_ENVID_MAX + 1; n++) {
        id[n] = '\0';
        char *argv[] = {sendmail, option, id, NULL};
        assert_int_equal(sendmail_options_parse(3, argv, &o), n <= SMTPC_ENVID_MAX);
        id[n] = 'a';
    }
}

static void ignored(void **state)
{
    struct line l;
    (void)state;
    parse(&l, "sendmail -Am -C file -d0.1 -d -D log -eq -e -G -h 3 -L tag -m -n -O a=b -p SMTP:x "
              "-T 1h -U -x -X log -odb -oem -oQ/var -o7 a@x");
    assert_false(l.ok); /* -o7 */
    parse(&l, "sendmail -Am -C file -d0.1 -d -D log -eq -e -G -h 3 -L tag -m -n -O a=b -p SMTP:x "
              "-T 1h -U -x -X log -odb -oem -oQ/var a@x");
    assert_true(l.ok);
    assert_int_equal(l.o.mode, SENDMAIL_SEND);
    assert_int_equal(l.o.n_recipients, 1);
}

static void wrong(void **state)
{
    static const struct {
        const char *line, *says;
    } rows[] = {
        {"sendmail -Z a@x", "-Z"},        {"sendmail -tZ", "-Z"},
        {"sendmail -f", "missing"},       {"sendmail -bd", "serve"},
        {"sendmail -bD", "serve"},        {"sendmail -bv a@x", "verified"},
        {"sendmail -bt", "no such mode"}, {"sendmail -b '' a@x", "no such mode"},
        {"sendmail a@x -f b@x", "first"}, {"sendmail -i a@x -Cfile", "first"},
        {"sendmail --help", "no option"}, {"sendmail -B 9BIT a@x", "8BITMIME"},
    };
    struct line l;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        parse(&l, rows[i].line);
        assert_false(l.ok);
        assert_non_null(strstr(l.o.error, rows[i].says));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_programs_call_it), cmocka_unit_test(senders), cmocka_unit_test(reports),
        cmocka_unit_test(envelope_ids),        cmocka_unit_test(ignored), cmocka_unit_test(wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
