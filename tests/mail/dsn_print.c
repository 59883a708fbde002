/* dsn_print.c: prints one report for test_dsn_python.py: dsn_print plain|hostile|utf8|delayed|success|whole */
#include <stdio.h>

#include "mail/dsn.h"

#define EVIL "x\r\n\r\n--=_u1--\r\nBcc: victim@example.org\r\n\0\x7f\xff\r"

int main(int argc, char **argv)
{
    str_t what = str_c(argc > 1 ? argv[1] : "plain");
    struct dsn_recipient r[2] = {
        {.final = STR("bob@example.net"),
         .original = STR("robert@example.net"),
         .status = STR("5.1.1"),
         .diagnostic = STR("550-5.1.1 no such user here,\n550 5.1.1 and no other of that name"),
         .remote_mta = STR("mx.example.net"),
         .last_attempt_ms = 1795303201000},
        {.final = STR("carol@example.net"), .status = STR("4.4.1")}};
    struct dsn d = {.action = str_eq(what, STR("delayed")) ? DSN_DELAYED : DSN_FAILED,
                    .hostname = STR("mx.example.test"),
                    .to = STR("alice@example.test"),
                    .queue_id = STR("0abc"),
                    .message_id_unique = STR("u1"),
                    .now_ms = 1795303205000,
                    .arrived_ms = 1795303200000,
                    .give_up_ms = 1795735200000,
                    .recipients = r,
                    .n = 2,
                    .original_header = STR("From: alice@example.test\r\nMessage-ID: "
                                           "<1@example.test>\r\nSubject: hello\r\n\r\nbody"),
                    .utf8 = str_eq(what, STR("utf8"))};
    if (d.utf8) {
        r[0].final = STR("b\xc3\xbc"
                         "cher@example.net");
        d.original_header = STR("Subject: gr\xc3\xbc\xc3\x9f"
                                "e\r\n");
    }
    if (str_eq(what, STR("success"))) {
        d.action = DSN_DELIVERED;
        d.envelope_id = STR("QQ314159");
        d.received_from = STR("client.example.test");
        r[0].action = DSN_RELAYED;
        r[0].status = STR("2.0.0");
        r[0].orcpt = STR("x400;/C=de/ADMD=x\r\nBcc: evil");
        r[1].action = DSN_DELIVERED;
        r[1].status = STR("2.1.5");
        r[1].orcpt = STR("RFC822;Caroline@Example.test");
    }
    if (str_eq(what, STR("whole"))) {
        d.whole = d.may_8bit = true;
        d.original_header = STR("Subject: hello\r\nContent-Type: text/plain; "
                                "charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\nb\xe4"
                                "r\r\n--=_x--\r\n");
    }
    if (str_eq(what, STR("hostile"))) {
        r[1] = (struct dsn_recipient){.final = STR(EVIL),
                                      .original = STR(EVIL),
                                      .status = STR(EVIL),
                                      .diagnostic = STR(EVIL),
                                      .remote_mta = STR(EVIL)};
        d.envelope_id = d.received_from = STR(EVIL);
        d.original_header = STR("Subject: hello\r\n--=_u1: c\r\n--=_u1--: d\r\n" EVIL);
    }
    struct buf out;
    buf_init(&out, 1 << 20);
    bool ok = dsn_write(&d, &out) && fwrite(out.ptr, 1, out.len, stdout) == out.len;
    buf_free(&out);
    return !ok;
}
