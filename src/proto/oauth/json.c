/* json.c: JSON by jansson, which parses nested values by calling itself: how deep they are is
 * counted before. */
#include "proto/oauth/oauth.h"

static bool depth_ok(str_t text)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > OAUTH_DEPTH_MAX)
                return false;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

json_t *oauth_json(str_t text)
{
    if (text.len == 0 || text.len > OAUTH_JSON_MAX || !depth_ok(text))
        return NULL;
    json_t *all = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (all != NULL && !json_is_object(all)) {
        json_decref(all);
        return NULL;
    }
    return all;
}

/* jansson refuses \u0000 in strings unless asked, so that none holds a NUL. */
str_t oauth_text(const json_t *object, const char *name)
{
    const json_t *v = json_object_get(object, name);
    return json_is_string(v) ? str_of(json_string_value(v), json_string_length(v)) : STR_NONE;
}
