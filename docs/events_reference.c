/* Prints the tables of guardmount-events(7) from those that the daemon uses. */
#include "base/err.h"
#include "model/notice.h"
#include <stdio.h>

static const char *level_name(enum log_level level)
{
    return level <= LOG_LEVEL_WARN ? "warn" : level == LOG_LEVEL_INFO ? "info" : "debug";
}

static void print_kind(const struct notice_kind_info *k)
{
    const char *comma = "";

    printf("*%s* (", k->name);
    for (unsigned f = 0; f < NOTICE_FIELDS; f++)
        if (k->fields >> f & 1) {
            printf("%s_%s_", comma, notice_fields[f].name);
            comma = ", ";
        }
    printf("; %s)\n\t\"%s\". %s\n\n", level_name(k->level), k->sentence, k->help);
}

int main(void)
{
    puts("# EVENTS\n\nIn brackets: its fields, and the LogLevel from which on the log has it.\n");
    for (unsigned i = 0; i < NOTICE_KINDS; i++)
        print_kind(&notice_kinds[i]);
    puts("# FIELDS\n");
    for (unsigned i = 0; i < NOTICE_FIELDS; i++)
        printf("*%s*\n\t%s%s.\n\n", notice_fields[i].name, notice_fields[i].help,
               notice_fields[i].number ? " (a number in JSON)" : "");
    puts("# REASONS\n");
    for (unsigned i = REASON_NONE + 1; i < NOTICE_REASONS; i++)
        printf("*%s*\n\t%s. What to do: %s.\n\n", notice_reasons[i].name,
               notice_reasons[i].sentence, notice_reasons[i].remedy);
    return fflush(stdout) == 0 ? 0 : 1;
}
