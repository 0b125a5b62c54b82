/* Prints the reference of the configuration file, for its manual page or as docs/configuration.md.
 */
#include "conf/schema.h"
#include <string.h>

static const char head[] = "# Configuration reference\n"
                           "\n"
                           "Every section and key of `guardmount.conf`, printed from the table "
                           "that the parser uses; a test compares. After a change:\n"
                           "`build/bin/gm-conf-reference --markdown >docs/configuration.md`. The "
                           "same is in `guardmount.conf(5)`, with the form of the file and\n"
                           "examples; `guardmount check-config` checks a file, and "
                           "`docs/examples/guardmount.conf` is one with remarks.\n";

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--markdown") == 0) {
        fputs(head, stdout);
        conf_print_markdown(stdout);
    } else {
        conf_print_reference(stdout);
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
