#!/usr/bin/env bash
# Global symbols of the static libraries: public ones are prelu_* and declared in a public header;
# the others bear their module's prefix. usage: check_symbols.sh ROOT BUILD
set -euo pipefail
root=$1
build=$2

declare -A prefixes=(
    [engine]="base img krn op gr tr"
    [models]="mdl onnx train"
    [server]="srv"
    [client]="cli"
)
headers=$(cat "$root"/engine/include/prelu/*.h "$root"/models/include/prelu/*.h)

bad=0
checked=0
for module in engine models server client; do
    while IFS= read -r archive; do
        while read -r symbol; do
            checked=$((checked + 1))
            case $symbol in
            prelu_*)
                if ! grep -qE "\b$symbol\b" <<<"$headers"; then
                    echo "$archive: $symbol is in no public header"
                    bad=1
                fi
                ;;
            *)
                if [[ " ${prefixes[$module]} " != *" ${symbol%%_*} "* ]]; then
                    echo "$archive: $symbol: prefixes of $module are ${prefixes[$module]} (or prelu)"
                    bad=1
                fi
                ;;
            esac
        done < <(nm --defined-only --extern-only --format=posix "$archive" 2>/dev/null |
            awk '$2 ~ /^[A-Z]$/ && $2 != "W" && $2 != "V" { print $1 }' | sort -u)
    done < <(find "$build/$module" -name '*.a')
done
if [ $checked = 0 ]; then
    echo "no symbols found below $build"
    exit 1
fi
exit $bad
