/* `centroid serve` over the fake engine. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
    return ct_cli_serve(argc, argv);
}
