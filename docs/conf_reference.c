/* Prints the reference of the configuration file for its manual page. */
#include "conf/schema.h"

int main(void)
{
    conf_print_reference(stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}
