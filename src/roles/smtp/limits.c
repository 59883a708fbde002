/* limits.c: how much an account may send. What is over the limit is taken, but held: if a stranger
 * has the password, the world is spared; if it was a mistake, nothing is lost. The account and the
 * postmaster are told, once an hour, with the command that lets it go.
 *
 * Rows in PART_USER of the account, which its own session alone counts up:
 *
 *     rate/m/HOUR     messages in that hour of the wall clock (u32, hours since 1970)
 *     rate/r/HOUR     recipients
 *     rate/t/HOUR     how often it was over the limit; the first time is told
 *
 * "The last hour" is this clock hour and that share of the one before which is not an hour ago yet;
 * the last day likewise. Who sends as fast as possible is stopped at the limit exactly. Counting is
 * lazy: after a power cut a tenth of a second may not have been counted.
 *
 * Hours gone by do not change any more: what an account sent in them is read once an hour and kept
 * in memory, so that a message costs one question to core. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "mail/date.h"
#include "post/directory_row.h"
#include "roles/log.h"
#include "roles/smtp/smtp_in.h"

enum {
    HOUR_MS = 3600 * 1000,
    DAY_HOURS = 24,
    KEYS_ARENA = 64 * 1024, /* 25 hours of three counters, as keys and values */
    NOTICE_MAX = 4096,
    PASTS = 1024,      /* accounts whose past is kept; two that share a place push each other out */
    SETTLED_MS = 5000, /* into an hour: what was lazily counted before can be read by then */
};

/* What was counted in the hours before this one. */
struct counted {
    uint64_t hour_ago, between, day_ago; /* 1 hour ago, 2 to 23, 24 */
};

struct past {
    uint64_t account; /* 0: nothing is kept here */
    uint32_t hour;    /* before which */
    struct counted messages, recipients;
};

struct rate_memory {
    pthread_mutex_t lock;
    struct past pasts[PASTS];
};

struct rate {
    uint32_t hour;
    int64_t into_ms;               /* of this hour */
    uint64_t messages, recipients; /* in this hour, with this one */
    struct past past;
};

struct rate_memory *smtp_in_rates_new(void)
{
    struct rate_memory *m = calloc(1, sizeof *m);
    if (m != NULL)
        pthread_mutex_init(&m->lock, NULL);
    return m;
}

void smtp_in_rates_free(struct rate_memory *m)
{
    if (m == NULL)
        return;
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static part_t own_part(const struct smtp_session *s)
{
    return (part_t){PART_USER, s->login->is.account};
}

static str_t rate_key(char kind, uint32_t hour, struct arena *a)
{
    const char h[4] = {(char)(hour >> 24), (char)(hour >> 16), (char)(hour >> 8), (char)hour};
    char *key = arena_alloc(a, 11);
    if (key == NULL)
        return STR_NONE;
    memcpy(key, "rate/", 5);
    key[5] = kind;
    key[6] = '/';
    memcpy(key + 7, h, 4);
    return str_of(key, 11);
}

/* ---- the hours before ---- */

static bool remembered(struct smtp_session *s, struct rate *r)
{
    struct rate_memory *m = s->common->rates;
    pthread_mutex_lock(&m->lock);
    const struct past *p = &m->pasts[s->login->is.account % PASTS];
    bool found = p->account == s->login->is.account && p->hour == r->hour;
    if (found)
        r->past = *p;
    pthread_mutex_unlock(&m->lock);
    return found;
}

static void remember(struct smtp_session *s, const struct rate *r)
{
    struct rate_memory *m = s->common->rates;
    if (r->into_ms < SETTLED_MS)
        return;
    pthread_mutex_lock(&m->lock);
    m->pasts[s->login->is.account % PASTS] = r->past;
    pthread_mutex_unlock(&m->lock);
}

static void add_hour(struct counted *c, uint32_t hours_ago, uint64_t count)
{
    uint64_t *to = hours_ago == 1           ? &c->hour_ago
                   : hours_ago == DAY_HOURS ? &c->day_ago
                                            : &c->between;
    *to += count;
}

static enum store_rc look_back(struct smtp_session *s, struct rate *r, struct arena *a)
{
    if (remembered(s, r))
        return STORE_OK;
    struct store_page page;
    struct store_scan scan = {.part = own_part(s),
                              .from = rate_key('m', r->hour - DAY_HOURS, a),
                              .end = rate_key('r', r->hour, a)};
    enum store_rc rc = a->failed ? STORE_LIMIT : store_scan(s->login->env.store, &scan, a, &page);
    if (rc != STORE_OK)
        return rc;
    r->past = (struct past){.account = s->login->is.account, .hour = r->hour};
    for (size_t i = 0; i < page.n; i++) {
        str_t key = page.rows[i].key;
        uint64_t count;
        if (key.len != 11 || !directory_u64_decode(page.rows[i].value, &count))
            continue;
        const uint8_t *h = (const uint8_t *)key.ptr + 7;
        uint32_t hour = (uint32_t)h[0] << 24 | (uint32_t)h[1] << 16 | (uint32_t)h[2] << 8 | h[3];
        if (hour < r->hour && r->hour - hour <= DAY_HOURS)
            add_hour(key.ptr[5] == 'm' ? &r->past.messages : &r->past.recipients, r->hour - hour,
                     count);
    }
    remember(s, r);
    return STORE_OK;
}

/* That share of an hour which is not so long ago yet. */
static uint64_t share(uint64_t count, const struct rate *r)
{
    return count * (uint64_t)(HOUR_MS - r->into_ms) / HOUR_MS;
}

static uint64_t last_hour(uint64_t now, const struct counted *c, const struct rate *r)
{
    return now + share(c->hour_ago, r);
}

static uint64_t last_day(uint64_t now, const struct counted *c, const struct rate *r)
{
    return now + c->hour_ago + c->between + share(c->day_ago, r);
}

/* ---- this hour ---- */

/* Counters older than a day; nobody waits for it. */
static void forget(struct smtp_session *s, const struct rate *r, struct arena *a)
{
    struct store_batch b;
    static const char kinds[] = {'m', 'r', 't'};
    store_batch_init(&b, own_part(s), a);
    b.lazy = true;
    for (size_t i = 0; i < sizeof kinds; i++)
        store_delete_range(&b, rate_key(kinds[i], 0, a),
                           rate_key(kinds[i], r->hour - DAY_HOURS, a));
    enum store_rc rc = a->failed ? STORE_LIMIT : store_commit(s->login->env.store, &b);
    (void)rc; /* the next hour does it */
}

static enum store_rc count_up(struct smtp_session *s, struct rate *r, struct arena *a)
{
    struct store_batch b;
    store_batch_init(&b, own_part(s), a);
    b.lazy = true;
    size_t m = store_add(&b, rate_key('m', r->hour, a), 1);
    size_t n = store_add(&b, rate_key('r', r->hour, a), (int64_t)s->t->n);
    enum store_rc rc = a->failed ? STORE_LIMIT : store_commit(s->login->env.store, &b);
    if (rc != STORE_OK)
        return rc;
    r->messages = b.ops[m].number;
    r->recipients = b.ops[n].number;
    if (r->messages == 1)
        forget(s, r, a);
    return STORE_OK;
}

static str_t over_limit(struct smtp_session *s, const struct rate *r, struct arena *a)
{
    const struct settings *set = s->common->settings;
    const struct {
        uint64_t sent;
        uint32_t limit;
        const char *what;
    } rows[] = {
        {last_hour(r->messages, &r->past.messages, r), set->account_messages_hour,
         "messages an hour"},
        {last_day(r->messages, &r->past.messages, r), set->account_messages_day, "messages a day"},
        {last_hour(r->recipients, &r->past.recipients, r), set->account_recipients_hour,
         "recipients an hour"},
        {last_day(r->recipients, &r->past.recipients, r), set->account_recipients_day,
         "recipients a day"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].sent > rows[i].limit)
            return arena_fmt(a, "over the sending limit of %s: %u %s", s->login->is.address,
                             (unsigned)rows[i].limit, rows[i].what);
    return STR_NONE;
}

static struct rate rate_now(struct smtp_session *s)
{
    int64_t now = s->common->env->wall_ms(s->common->env);
    return (struct rate){.hour = (uint32_t)(now / HOUR_MS), .into_ms = now % HOUR_MS};
}

enum store_rc smtp_in_count(struct smtp_session *s, bool *over)
{
    struct arena a;
    struct rate r = rate_now(s);
    *over = false;
    if (s->login == NULL)
        return STORE_OK;
    arena_init(&a, KEYS_ARENA);
    enum store_rc rc = count_up(s, &r, &a);
    rc = rc == STORE_OK ? look_back(s, &r, &a) : rc;
    arena_free(&a);
    if (rc != STORE_OK)
        return rc;
    str_t why = over_limit(s, &r, smtps_transaction_arena(s->smtps));
    *over = why.len > 0;
    if (*over)
        s->t->reason = why;
    return STORE_OK;
}

/* ---- telling ---- */

static bool first_of_hour(struct smtp_session *s)
{
    struct arena a;
    struct store_batch b;
    struct rate r = rate_now(s);
    arena_init(&a, KEYS_ARENA);
    store_batch_init(&b, own_part(s), &a);
    b.lazy = true;
    size_t at = store_add(&b, rate_key('t', r.hour, &a), 1);
    bool first =
        !a.failed && store_commit(s->login->env.store, &b) == STORE_OK && b.ops[at].number == 1;
    arena_free(&a);
    return first;
}

static void notice_write(struct smtp_session *s, queue_id_t id, str_t reason, struct buf *out)
{
    const char *address = s->login->is.address;
    str_t host = s->common->settings->hostname;
    char date[MAIL_DATE_MAX], text[QUEUE_ID_TEXT];
    buf_addf(out,
             "From: Mail system <postmaster@" STR_FMT ">\r\n"
             "To: <%s>, <postmaster@" STR_FMT ">\r\n"
             "Subject: Mail of %s is held\r\n"
             "Date: %s\r\n"
             "Message-ID: <%s.held@" STR_FMT ">\r\n"
             "Auto-Submitted: auto-generated\r\n" /* RFC 3834 5 */
             "MIME-Version: 1.0\r\n"
             "Content-Type: text/plain; charset=utf-8\r\n"
             "Content-Transfer-Encoding: 8bit\r\n\r\n",
             STR_ARG(host), address, STR_ARG(host), address,
             mail_date(s->common->env->wall_ms(s->common->env), date), queue_id_text(id, text),
             STR_ARG(host));
    buf_addf(out,
             "Mail is " STR_FMT ".\r\n\r\n"
             "What is sent beyond it is held: nothing is lost, and nothing leaves.\r\n\r\n"
             "If you sent this mail, ask your postmaster to release it. If you did not,\r\n"
             "somebody has your password: change it now.\r\n\r\n"
             "For the postmaster, to see it and to let it go, or to throw it away:\r\n\r\n"
             "    postrider queue list --account %s\r\n"
             "    postrider queue release --account %s\r\n"
             "    postrider queue remove --account %s\r\n",
             STR_ARG(reason), address, address, address);
}

static enum store_rc notice_send(struct smtp_session *s)
{
    struct queue_in *in = queue_in_begin(&s->login->env);
    struct buf text;
    if (in == NULL)
        return STORE_LIMIT;
    str_t address = str_c(s->login->is.address);
    const struct queue_in_rcpt rcpt[] = {{.address = address, .local = true},
                                         {.address = STR("postmaster"), .local = true}};
    struct queue_message m = {.client = STR("local"), .auto_submitted = true, .body_8bit = true};
    buf_init(&text, NOTICE_MAX);
    notice_write(s, queue_in_id(in), s->t->reason, &text);
    enum store_rc rc = text.failed ? STORE_LIMIT : queue_in_write(in, buf_str(&text));
    buf_free(&text);
    if (rc != STORE_OK) {
        queue_in_abort(in);
        return rc;
    }
    return queue_in_commit(in, &m, rcpt, 2);
}

void smtp_in_tell_over(struct smtp_session *s)
{
    char number[SMTP_SESSION_TEXT];
    if (!first_of_hour(s))
        return;
    enum store_rc rc = notice_send(s);
    log_event(s->common->role, str_c(smtp_session_text(s, number)), "over-limit",
              log_cstr("name", s->login->is.address), log_u64("account", s->login->is.account),
              log_str("why", s->t->reason), log_cstr("told", store_rc_name(rc)), log_end);
}
