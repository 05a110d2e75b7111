#!/usr/bin/env bash
# A build with PRELU_WITH_ONEDNN computes the same scores by oneDNN as without (each model's own
# prelu.check). usage: check_onednn.sh SOURCE BUILD
set -euo pipefail
source=$1 build=$2
cmake -G Ninja -S "$source" -B "$build" -DCMAKE_BUILD_TYPE=Release -DPRELU_WITH_ONEDNN=ON \
    -DBUILD_TESTING=OFF >/dev/null
cmake --build "$build" --target prelu-train prelu-serve
"$build/bin/prelu-train" init --arch small14 --width 0.1 --out "$build/small14.onnx"
for model in "$source/models/pretrained/cifar10.onnx" "$build/small14.onnx"; do
    PRELU_CONV=onednn "$build/bin/prelu-train" describe --model "$model" --plan --precision fp32 |
        grep 'oneDNN f32' >/dev/null
    for whose in own onednn; do
        PRELU_CONV=$whose "$build/bin/prelu-serve" --check --model "$model" --precision fp32
    done
done
if PRELU_CONV=other "$build/bin/prelu-serve" --check; then
    echo "an unknown PRELU_CONV is no error"
    exit 1
fi
