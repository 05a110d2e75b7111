#include "output.h"

#include <math.h>
#include <string.h>

#include "termtext.h"

#define SCORE_WIDTH 6 /* "100.0%" */
#define BAR_WIDTH 12
#define GAP 2
#define LABEL_MAX 34
#define LABEL_MIN 12

/* Columns of a table line: name, label, score, bar. name 0: names stand on lines of their own. */
typedef struct layout {
    size_t name;
    size_t label;
    size_t bar;
} layout;

static layout plan_layout(const cli_output *o)
{
    size_t fixed = GAP + SCORE_WIDTH + GAP + BAR_WIDTH;
    layout l = {.bar = BAR_WIDTH};

    if (o->columns < GAP + LABEL_MIN + fixed) { /* very narrow: no bar */
        fixed = GAP + SCORE_WIDTH;
        l.bar = 0;
    }
    /* Names are never cut: where the widest does not fit beside the rest, all stand above it. */
    if (o->columns >= 60 && o->name_width <= o->columns * 2 / 5)
        l.name = o->name_width;
    /* The last column stays free: a full line makes some terminals wrap. */
    l.label = o->columns - 1 - fixed - GAP - l.name;
    if (l.label > LABEL_MAX)
        l.label = LABEL_MAX;
    return l;
}

void cli_score_text(cli_bytes *out, double score)
{
    if (score < 0 || score > 1)
        cli_bytes_add_fmt(out, "%.4g", score);
    else if (score > 0 && score < 0.0005)
        cli_bytes_add_str(out, "<0.1%");
    else
        cli_bytes_add_fmt(out, "%.1f%%", 100 * score);
}

void cli_bar_text(cli_bytes *out, double share, size_t width, bool utf8)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    double clamped = share > 0 ? (share < 1 ? share : 1) : 0;
    size_t units = (size_t)lround(clamped * (double)width * 8);
    size_t used = units / 8;

    for (size_t i = 0; i < used; i++)
        cli_bytes_add_str(out, utf8 ? "█" : "#");
    if (units % 8) {
        cli_bytes_add_str(out, utf8 ? eighths[units % 8] : units % 8 >= 4 ? "#" : ".");
        used++;
    }
    for (; used < width; used++)
        cli_bytes_add_char(out, ' ');
}

static void trim_right(cli_bytes *line)
{
    while (line->len && line->data[line->len - 1] == ' ')
        line->data[--line->len] = '\0';
}

static void add_blanks(cli_bytes *line, size_t count)
{
    while (count--)
        cli_bytes_add_char(line, ' ');
}

static void add_table_row(cli_bytes *text, const cli_output *o, const layout *l,
                          const cli_prediction *p)
{
    cli_bytes part;

    cli_bytes_init(&part, 0);
    if (*p->label)
        cli_text_clean(&part, p->label, o->utf8);
    else
        cli_bytes_add_fmt(&part, "class %lld", p->class_index);
    add_blanks(text, GAP);
    cli_text_fit(text, cli_bytes_str(&part), l->label, o->utf8);
    cli_bytes_clear(&part);
    cli_score_text(&part, p->score);
    add_blanks(text, GAP + (part.len < SCORE_WIDTH ? SCORE_WIDTH - part.len : 0));
    cli_bytes_add_str(text, cli_bytes_str(&part));
    if (l->bar) {
        add_blanks(text, GAP);
        cli_bar_text(text, p->score, l->bar, o->utf8);
    }
    trim_right(text);
    cli_bytes_add_char(text, '\n');
    text->no_mem |= part.no_mem;
    cli_bytes_deinit(&part);
}

static void add_table(cli_bytes *text, const cli_output *o, const cli_result *r)
{
    layout l = plan_layout(o);
    cli_bytes name;
    size_t width;

    cli_bytes_init(&name, 0);
    cli_text_clean(&name, r->file ? r->file : "", o->utf8);
    if (r->chosen) {
        cli_bytes_add_str(&name, " (");
        cli_text_clean(&name, r->chosen, o->utf8);
        cli_bytes_add_char(&name, ')');
    }
    width = cli_text_width(cli_bytes_str(&name));
    cli_bytes_add_str(text, cli_bytes_str(&name));
    if (width > l.name)
        cli_bytes_add_char(text, '\n');
    for (size_t i = 0; i < r->count; i++) {
        add_blanks(text, i == 0 && width <= l.name ? l.name - width : l.name);
        add_table_row(text, o, &l, &r->predictions[i]);
    }
    text->no_mem |= name.no_mem;
    cli_bytes_deinit(&name);
}

static void put_failure(const cli_output *o, const cli_result *r)
{
    cli_bytes text;

    cli_bytes_init(&text, 0);
    cli_bytes_add_str(&text, "prelu-classify: ");
    cli_text_clean(&text, r->file ? r->file : "", o->utf8);
    cli_bytes_add_str(&text, ": ");
    cli_text_clean(&text, cli_result_error(r), o->utf8);
    if (r->status) {
        cli_bytes_add_fmt(&text, " (%d ", r->status);
        cli_text_clean(&text, cli_result_code(r), o->utf8);
        cli_bytes_add_char(&text, ')');
    }
    fflush(o->out); /* both may be one terminal: keep the order */
    fprintf(o->err, "%s\n", cli_bytes_str(&text));
    cli_bytes_deinit(&text);
}

static void add_csv_field(cli_bytes *line, const cli_output *o, const char *value)
{
    cli_bytes clean;

    if (!o->escape) {
        cli_text_csv(line, value);
        return;
    }
    cli_bytes_init(&clean, 0);
    cli_text_clean(&clean, value, o->utf8);
    cli_text_csv(line, cli_bytes_str(&clean));
    line->no_mem |= clean.no_mem;
    cli_bytes_deinit(&clean);
}

static void add_csv(cli_bytes *text, const cli_output *o, const cli_result *r)
{
    if (!r->ok) {
        add_csv_field(text, o, r->file ? r->file : "");
        cli_bytes_add_str(text, ",,,,,,");
        add_csv_field(text, o, cli_result_error(r));
        cli_bytes_add_str(text, "\r\n");
    }
    for (size_t i = 0; i < r->count; i++) {
        const cli_prediction *p = &r->predictions[i];

        add_csv_field(text, o, r->file ? r->file : "");
        cli_bytes_add_fmt(text, ",%zu,", i + 1);
        if (p->class_index >= 0)
            cli_bytes_add_fmt(text, "%lld", p->class_index);
        cli_bytes_add_char(text, ',');
        add_csv_field(text, o, p->id);
        cli_bytes_add_char(text, ',');
        add_csv_field(text, o, p->label);
        cli_bytes_add_fmt(text, ",%.9g,\r\n", p->score);
    }
}

void cli_output_begin(cli_output *o)
{
    if (o->format == CLI_JSON)
        fputs("{\"results\":[", o->out);
    else if (o->format == CLI_CSV)
        fputs("file,rank,class,id,label,score,error\r\n", o->out);
}

void cli_output_add(cli_output *o, const cli_result *r)
{
    cli_bytes text;

    cli_bytes_init(&text, 0);
    if (o->format == CLI_JSON) {
        cli_bytes_add_str(&text, o->written ? ",\n" : "\n");
        cli_result_json(&text, r);
    } else if (o->format == CLI_CSV) {
        add_csv(&text, o, r);
    } else if (r->ok) {
        add_table(&text, o, r);
    } else {
        put_failure(o, r);
    }
    if (text.no_mem || text.too_long)
        o->no_mem = true;
    else
        fwrite(cli_bytes_str(&text), 1, text.len, o->out);
    o->written++;
    cli_bytes_deinit(&text);
}

bool cli_output_end(cli_output *o)
{
    if (o->format == CLI_JSON)
        fputs(o->written ? "\n]}\n" : "]}\n", o->out);
    return fflush(o->out) == 0 && !ferror(o->out) && !o->no_mem;
}
