/* fuzz_people_rows.c: the directory's and the mailbox's records, and addresses. First byte: which.
 * What is accepted is encoded again and must give the same bytes (an address: the same address). */
#include <stdlib.h>

#include "base/err.h"
#include "post/directory_row.h"
#include "post/mailbox_row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void directory_rows(str_t in, struct arena *a, struct buf *out)
{
    struct directory_domain d;
    struct directory_entry e;
    str_t name;
    if (directory_domain_decode(in, &d))
        must(directory_domain_encode(&d, out) && str_eq(buf_str(out), in));
    buf_clear(out);
    if (directory_entry_decode(in, a, &e))
        must(directory_entry_encode(&e, out) && str_eq(buf_str(out), in));
    buf_clear(out);
    if (directory_account_decode(in, &name))
        must(directory_account_encode(name, out) && str_eq(buf_str(out), in));
}

static void addresses(str_t in, struct arena *a)
{
    struct directory_address one, two;
    if (!directory_address_parse(in, a, &one))
        return;
    must(one.local.len > 0 && one.local.len <= DIRECTORY_LOCAL_MAX &&
         one.text.len <= DIRECTORY_ADDRESS_MAX);
    must(directory_address_parse(one.text, a, &two));
    must(str_eq(one.local, two.local) && str_eq(one.domain, two.domain) &&
         str_eq(one.text, two.text));
}

static void mailbox_rows(str_t in, struct arena *a, struct buf *out)
{
    struct mailbox_message m;
    struct mailbox_folder f;
    str_t key = mailbox_key_message(MAILBOX_INBOX, 1, a);
    uint64_t uid;
    (void)mailbox_message_uid(in, &uid);
    if (mailbox_message_decode(key, in, &m))
        must(mailbox_message_encode(&m, out) && out->len == in.len &&
             m.chunks == (m.size + STORE_CHUNK - 1) / STORE_CHUNK);
    buf_clear(out);
    if (mailbox_folder_decode(in, &f))
        must(mailbox_folder_encode(&f, out) && str_eq(buf_str(out), in));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct arena a;
    struct buf out;
    arena_init(&a, 4 << 20);
    buf_init(&out, 1 << 20);
    char *exact = malloc(size);
    memcpy(exact, data, size);
    str_t in = str_of(exact + 1, size - 1);
    switch (exact[0] % 3) {
    case 0: directory_rows(in, &a, &out); break;
    case 1: addresses(in, &a); break;
    default: mailbox_rows(in, &a, &out); break;
    }
    free(exact);
    buf_free(&out);
    arena_free(&a);
    return 0;
}
