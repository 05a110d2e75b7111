#!/usr/bin/env bash
# Install into an empty folder, then build programs against that folder alone: by pkg-config and by
# find_package. usage: check_install.sh ROOT BUILD
set -euo pipefail
root=$1
build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
picture=$root/docs/samples/cat.jpg

cmake --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/moved"
for program in prelu-train prelu-serve prelu-classify; do
    "$work/moved/bin/$program" --version
    [ -s "$work/moved/share/man/man1/$program.1.gz" ]
done

PKG_CONFIG_PATH=$(dirname "$(find "$work/moved" -name prelu-engine.pc)")
export PKG_CONFIG_PATH
read -ra flags < <(pkg-config --cflags --libs prelu-engine)
cc -std=c11 -o "$work/by_pkg_config" "$root/tests/install/consumer.c" "${flags[@]}"
"$work/by_pkg_config" "$picture"

cmake -G Ninja -S "$root/tests/install" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/moved" >"$work/log" ||
    { cat "$work/log"; exit 1; }
cmake --build "$work/build" >"$work/log" || { cat "$work/log"; exit 1; }
"$work/build/consumer" "$picture"
classes=$("$work/build/classify" "$work/moved/share/prelu/models/cifar10.onnx")
echo "$classes"
[ "$(wc -l <<<"$classes")" = 10 ]

# No file made for the installation remembers where it was built.
if grep -rlF -e "$root" -e "$build" "$work/moved" --include='*.pc' --include='*.cmake'; then
    echo "these name the source or the build folder"
    exit 1
fi
