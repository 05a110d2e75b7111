#!/usr/bin/env bash
# Every C file is as clang-format 14 (bookworm's) would write it. usage: check_format.sh ROOT
set -euo pipefail
cd "$1"
find engine models server client tests -name '*.[ch]' -print0 |
    xargs -0 clang-format --dry-run -Werror
