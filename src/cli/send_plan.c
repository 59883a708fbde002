/* send_plan.c: which server, how, and with which password. See send_options.h. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "cli/send_options.h"
#include "sys/net.h"

enum { PASSWORD_MAX = 4096 /* a token is longer than a password */, PEM_MAX = 1 << 20 };

/* ---- where to ---- */

static uint16_t default_port(const struct send_options *o, const struct call_plan *p)
{
    if (p->tls == CALL_TLS_IMPLICIT)
        return 465;
    return o->user != NULL ? 587 : o->lmtp ? 24 : 25;
}

/* A listener of ours, by loopback if it listens everywhere. */
static struct netaddr reachable(const struct netaddr *at)
{
    static const uint8_t any[16] = {0};
    struct netaddr out = *at;
    if (memcmp(out.bytes, any, sizeof any) == 0) {
        bool ok = netaddr_parse(out.family == NETADDR_V4 ? STR("127.0.0.1") : STR("::1"), &out);
        must(ok);
        out.port = at->port;
    }
    return out;
}

static bool is_socket(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* Without --server: this machine's own, where mail such as this comes in. */
static int own_server(struct cli *c, const struct send_options *o, struct call_plan *p)
{
    const struct settings *set = &c->settings;
    const struct netaddr *at = set->listen_smtp;
    size_t n = set->n_listen_smtp;
    char *socket = arena_cstr(&c->arena, set->submit_socket);
    if (p->tls == CALL_TLS_IMPLICIT) {
        at = set->listen_submissions;
        n = set->n_listen_submissions;
    } else if (o->user != NULL) {
        at = set->listen_submission;
        n = set->n_listen_submission;
    } else if (o->lmtp) {
        at = set->listen_lmtp;
        n = set->n_listen_lmtp;
    } else if (o->tls == NULL && o->helo == NULL && socket != NULL && is_socket(socket)) {
        p->socket = socket;
        p->tls = CALL_TLS_NONE;
        return CLI_OK;
    }
    if (n == 0)
        return cli_fail(c, CLI_USAGE,
                        "this server does not listen for that; name one with --server HOST:PORT");
    p->address[0] = reachable(&at[0]);
    p->n = 1;
    p->host = set->hostname;
    return CLI_OK;
}

static int look_up(struct cli *c, const char *host, uint16_t port, struct call_plan *p)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int why = getaddrinfo(host, NULL, &hints, &found);
    for (const struct addrinfo *a = found; a != NULL && p->n < CALL_ADDRESSES_MAX; a = a->ai_next) {
        struct sockaddr_storage s = {0};
        if (a->ai_addrlen > sizeof s)
            continue;
        memcpy(&s, a->ai_addr, a->ai_addrlen);
        p->address[p->n] = net_from_sockaddr(&s);
        p->address[p->n].port = port;
        p->n += p->address[p->n].family != NETADDR_NONE;
    }
    if (found != NULL)
        freeaddrinfo(found);
    if (p->n > 0)
        return CLI_OK;
    return cli_fail(c, why == EAI_AGAIN ? CLI_LATER : CLI_FAILED,
                    "cannot find the server \"%.255s\": %s", host,
                    why == EAI_SYSTEM ? strerror(errno)
                    : why != 0        ? gai_strerror(why)
                                      : "it has no address");
}

static int named_server(struct cli *c, const struct send_options *o, struct call_plan *p)
{
    str_t name = str_c(o->server), host;
    uint64_t port = default_port(o, p);
    size_t colon;
    p->n = 1;
    if (netaddr_parse_port(name, &p->address[0]) || netaddr_parse(name, &p->address[0])) {
        char text[NETADDR_TEXT];
        if (p->address[0].port == 0)
            p->address[0].port = (uint16_t)port;
        p->host = arena_dup(&c->arena, str_c(netaddr_text(&p->address[0], text)));
        return CLI_OK;
    }
    p->n = 0;
    host = name;
    if (str_rfind(name, ':', &colon)) {
        host = str_first(name, colon);
        if (!str_u64(str_from(name, colon + 1), 65535, &port) || port == 0 || host.len == 0)
            return cli_fail(c, CLI_USAGE,
                            "--server wants HOST, HOST:PORT or the path of a socket, such as "
                            "mail.example.org:587, 127.0.0.1:25 or [::1]:25");
    }
    p->host = host;
    const char *text = arena_cstr(&c->arena, host);
    return text != NULL ? look_up(c, text, (uint16_t)port, p)
                        : cli_fail(c, CLI_LATER, "out of memory");
}

/* ---- how ---- */

static int read_pem(struct cli *c, const char *path, str_t *out)
{
    struct buf b;
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    *out = STR_NONE;
    if (path == NULL)
        return CLI_OK;
    if (fd < 0)
        return cli_fail(c, CLI_FAILED, "cannot read %s: %s", path, strerror(errno));
    buf_init(&b, PEM_MAX);
    bool ok = compose_read(c, fd, path, &b);
    close(fd);
    *out = ok ? arena_dup(&c->arena, buf_str(&b)) : STR_NONE;
    if (b.ptr != NULL)
        explicit_bzero(b.ptr, b.cap);
    buf_free(&b);
    return ok ? CLI_OK : CLI_FAILED;
}

static enum call_tls tls_of(const struct send_options *o)
{
    if (o->tls == NULL || strcmp(o->tls, "try") == 0)
        return CALL_TLS_TRY;
    if (strcmp(o->tls, "none") == 0)
        return CALL_TLS_NONE;
    return strcmp(o->tls, "implicit") == 0 ? CALL_TLS_IMPLICIT : CALL_TLS_STARTTLS;
}

/* A password goes to nobody but the server that was meant; on this machine nobody is in between. */
static bool verifies(const struct send_options *o, const struct call_plan *p)
{
    bool far = p->socket == NULL && !netaddr_loopback(&p->address[0]);
    if (o->no_verify)
        return false;
    return o->verify || (o->tls != NULL && strcmp(o->tls, "verify") == 0) ||
           (o->user != NULL && far);
}

int send_plan(struct cli *c, struct send_options *o, struct call_plan *p)
{
    *p = (struct call_plan){.tls = tls_of(o), .lmtp = o->lmtp, .mech = o->mech};
    int code;
    if (o->server == NULL) {
        code = own_server(c, o, p);
    } else if (o->server[0] == '/') {
        p->socket = o->server;
        code = CLI_OK;
    } else {
        code = named_server(c, o, p);
    }
    if (code == CLI_OK)
        code = read_pem(c, o->cert, &p->cert_pem);
    if (code == CLI_OK)
        code = read_pem(c, o->key, &p->key_pem);
    p->verify = verifies(o, p);
    p->ca_file = o->ca_file != NULL ? o->ca_file : arena_cstr(&c->arena, c->settings.tls_ca_file);
    p->tls_name = o->tls_name != NULL ? str_c(o->tls_name) : STR_NONE;
    p->helo = o->helo != NULL ? str_c(o->helo) : c->settings.hostname;
    p->user = o->user != NULL ? str_c(o->user) : STR_NONE;
    if (o->verbose)
        p->show = c->json ? stderr : stdout;
    return code;
}

/* ---- the password ---- */

/* A line, byte by byte: what is behind it on standard input is the message. */
static bool read_line(int fd, char *to, size_t cap)
{
    size_t n = 0;
    char byte;
    for (;;) {
        ssize_t got = read(fd, &byte, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || byte == '\n')
            break;
        if (n + 1 >= cap)
            return false;
        to[n++] = byte;
    }
    if (n > 0 && to[n - 1] == '\r')
        n--;
    to[n] = '\0';
    return n > 0;
}

/* At the terminal itself: standard input is the message's. */
static bool ask(const struct send_options *o, char *to, size_t cap)
{
    struct termios was, quiet;
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0 || tcgetattr(tty, &was) != 0) {
        if (tty >= 0)
            close(tty);
        return false;
    }
    quiet = was;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    dprintf(tty, "Password of %s: ", o->user);
    tcsetattr(tty, TCSAFLUSH, &quiet);
    bool ok = read_line(tty, to, cap);
    tcsetattr(tty, TCSAFLUSH, &was);
    dprintf(tty, "\n");
    close(tty);
    return ok;
}

int send_password(struct cli *c, const struct send_options *o, struct call_plan *p)
{
    char text[PASSWORD_MAX];
    if (o->user == NULL || (o->mech != NULL && strcmp(o->mech, "EXTERNAL") == 0))
        return CLI_OK;
    bool ok =
        o->password_stdin ? read_line(STDIN_FILENO, text, sizeof text) : ask(o, text, sizeof text);
    p->password = ok ? arena_dup(&c->arena, str_c(text)) : STR_NONE;
    explicit_bzero(text, sizeof text);
    if (ok)
        return CLI_OK;
    return o->password_stdin
               ? cli_fail(c, CLI_FAILED, "no password on the first line of standard input")
               : cli_fail(c, CLI_USAGE,
                          "there is no terminal to ask for a password; use --password-stdin");
}
