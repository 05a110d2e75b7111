#!/usr/bin/env bash
# Functions <= 80 lines, .c <= 800, .h <= 300. Exempt by name: nothing but kernels and option tables.
# usage: check_size.sh ROOT
set -euo pipefail
cd "$1"
exempt_functions='^krn_[a-z0-9_]+$'

bad=0
while IFS= read -r file; do
    limit=800
    [[ $file == *.h ]] && limit=300
    lines=$(wc -l <"$file")
    if [ "$lines" -gt "$limit" ]; then
        echo "$file: $lines lines; limit $limit"
        bad=1
    fi
    # clang-format puts a function's braces, and no others, alone at column 0.
    awk -v file="$file" -v exempt="$exempt_functions" '
        /^[A-Za-z_].*\(/ {
            head = $0
            sub(/\(.*/, "", head)
            n = split(head, word, /[ *]+/)
            name = word[n]
        }
        /^\{$/ { start = NR }
        /^\}$/ && start {
            if (NR - start - 1 > 80 && name !~ exempt) {
                printf "%s:%d: %s: %d lines; limit 80\n", file, start, name, NR - start - 1
                bad = 1
            }
            start = 0
        }
        END { exit bad }' "$file" || bad=1
done < <(find engine models server client tests -name '*.[ch]' | sort)
exit $bad
