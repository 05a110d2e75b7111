#!/usr/bin/env bash
# Who may include whom: the rules of ARCHITECTURE.md "Layers". usage: check_layers.sh ROOT
set -euo pipefail
cd "$1"

bad=0
complain() {
    echo "$*"
    bad=1
}

# file<TAB>header of every #include "..." (quote) or <...> (angle) below the given folders
includes() {
    local kind=$1 open='"' close='"'
    shift
    [ "$kind" = quote ] || { open='<' close='>'; }
    grep -rHE "^#[ ]*include[ ]+$open" --include='*.[ch]' --include='*.inc' "$@" |
        sed -E "s|^([^:]+):#[ ]*include[ ]+$open([^$close]+)$close.*|\1\t\2|"
}

# --- engine/src: base <- kernels <- image, ops <- graph <- train: never upward, never across -----

declare -A may=(
    [base]="base"
    [kernels]="base kernels"
    [image]="base kernels image"
    [ops]="base kernels ops"
    [graph]="base kernels image ops graph"
    [train]="base kernels image ops graph train"
)
# The layer that a public header of the engine belongs to. graph.h and image.h are types that the
# ops work on (a node, a view): ops may read them without reaching the layers' code.
declare -A public=(
    [status]=base [log]=base [mem]=base [sha256]=base [tensor]=base [threads]=base [cpu]=kernels
    [image]=image [graph]=graph [plan]=graph [session]=graph [train]=train
)
ops_types=" graph image "

while IFS=$'\t' read -r file header; do
    layer=${file#engine/src/}
    layer=${layer%%/*}
    case $header in
    prelu/*)
        name=$(basename "$header" .h)
        target=${public[$name]:-}
        if [ -z "$target" ]; then
            complain "$file: $header is not a public header of the engine"
            continue
        fi
        if [ "$layer" = ops ] && [[ $ops_types == *" $name "* ]]; then continue; fi
        ;;
    */*) target=${header%%/*} ;;
    *) target=$layer ;;
    esac
    if [[ " ${may[$layer]:-} " != *" $target "* ]]; then
        complain "$file: layer $layer may not include $header"
    fi
done < <(includes quote engine/src)

# --- between modules: public headers only ----------------------------------------------------------

module_may() { # module_may MODULE HEADER-FOLDER...: "prelu/x.h" must live in one of the folders
    local module=$1 file header folder found
    shift
    while IFS=$'\t' read -r file header; do
        case $header in
        prelu/*)
            found=no
            for folder; do [ -e "$folder/$header" ] && found=yes; done
            [ $found = yes ] || complain "$file: $module may not include $header"
            ;;
        ../*) complain "$file: $header leaves its folder" ;;
        *)
            if [ -e "engine/src/$header" ] && [ ! -e "$module/src/$header" ] &&
                [ ! -e "$(dirname "$file")/$header" ]; then
                complain "$file: $header is private to the engine"
            fi
            ;;
        esac
    done < <(includes quote "$module")
}
module_may models engine/include models/include
module_may server engine/include models/include
module_may client

# --- foreign headers: each in one file of a module, and only in the modules that it belongs to -----

declare -A owners=(
    [jpeglib.h]="engine" [jerror.h]="engine" [cblas.h]="engine" [hwloc.h]="engine"
    [protobuf-c/protobuf-c.h]="models" [onnx.pb-c.h]="models" [onnx/onnx.pb-c.h]="models"
    [zlib.h]="models server" [png.h]="server models" [microhttpd.h]="server"
    [oneapi/dnnl/dnnl.h]="engine"
    [jansson.h]="models server client" [curl/curl.h]="client"
    [nettle/sha2.h]="engine" [nettle/memops.h]="server" [nettle/base64.h]="server"
    [gnutls/gnutls.h]="server" [gnutls/abstract.h]="server" [gnutls/crypto.h]="models server"
    [mpi.h]="models"
)
# The C library, the kernel's interface and the compiler's intrinsics are nobody's.
ours='^(assert|ctype|dirent|dlfcn|endian|errno|fcntl|fenv|float|ftw|getopt|glob|inttypes|limits|locale'
ours+='|langinfo|libgen|math|netdb|poll|pthread|pwd|sched|semaphore|setjmp|signal|stdalign|stdarg'
ours+='|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|termios|time|unistd'
ours+='|wchar|wctype|cpuid|immintrin|execinfo|sysexits|fnmatch|regex|search)\.h$|^(sys|linux|arpa|netinet|asm)/'

declare -A seen=()
while IFS=$'\t' read -r file header; do
    [[ $header =~ $ours ]] && continue
    module=${file%%/*}
    if [[ " ${owners[$header]:-} " != *" $module "* ]]; then
        complain "$file: <$header> is not a header for $module"
    elif [ -n "${seen[$module:$header]:-}" ]; then
        complain "$file: <$header> is already used by ${seen[$module:$header]}; one file per module"
    fi
    seen[$module:$header]=$file
done < <(includes angle engine models server client)

exit $bad
