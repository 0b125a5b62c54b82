#include "cli/writer.h"
#include <stdlib.h>
#include <string.h>

#include "lib/test.h"

TEST(a_name_sends_nothing_to_the_terminal)
{
    char *said = NULL;
    size_t len;
    struct table t;
    FILE *out = open_memstream(&said, &len);

    assert_non_null(out);
    table_begin(&t, "NAME|KEY");
    table_cell(&t, TONE_PLAIN, "%s", "eve\033[2J\nroot");
    table_cell(&t, TONE_PLAIN, "%s", "k");
    table_end(&t, false, out);
    fclose(out);
    assert_non_null(strstr(said, "eve\\x1b[2J\\x0aroot  k\n"));
    assert_null(strchr(said, '\033'));
    free(said);
}

TEST_MAIN(T(a_name_sends_nothing_to_the_terminal))
