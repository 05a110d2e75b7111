#include "bench.h"
#include "http_client.h"
#include "options.h"
#include "run.h"
#include "termtext.h"

int main(int argc, char **argv)
{
    bool utf8 = cli_text_locale();
    cli_options options;
    int code;

    cli_options_parse(&options, argc, argv, stderr);
    switch (options.command) {
    case CLI_WRONG:
        return CLI_EXIT_USAGE;
    case CLI_HELP:
        cli_options_help(stdout, options.bench);
        return fflush(stdout) == 0 ? CLI_EXIT_OK : CLI_EXIT_OUTPUT;
    case CLI_VERSION:
        printf("prelu-classify %s\n", PRELU_VERSION);
        return fflush(stdout) == 0 ? CLI_EXIT_OK : CLI_EXIT_OUTPUT;
    case CLI_RUN:
        break;
    }
    if (!cli_http_global_init()) {
        fputs("prelu-classify: libcurl cannot start\n", stderr);
        return CLI_EXIT_SOFTWARE;
    }
    if (options.bench)
        code = cli_bench(&options, stdout, stderr);
    else
        code = cli_run(&options, utf8, stdout, stderr);
    cli_http_global_deinit();
    return code;
}
