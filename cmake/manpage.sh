#!/bin/sh
# Prints the manual page of a program, made from its own --help and that of each of its commands.
# usage: manpage.sh VERSION PROGRAM
set -eu
path=$2
program=${path##*/}
others=
for other in prelu-classify prelu-serve prelu-train; do
    [ "$other" = "$program" ] || others="$others $other"
done
help=$("$path" --help) # its failure ends this script; in a pipe it would be lost
for command in $(printf '%s\n' "$help" | sed -n '/^Commands:$/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
    part=$("$path" "$command" --help)
    help="$help

@ $command
$part"
done
printf '%s\n' "$help" |
    awk -v program="$program" -v version="$1" -v others="$others" -f "${0%.sh}.awk"
