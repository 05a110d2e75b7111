#!/usr/bin/env python3
"""A running prelu-serve seen by NVIDIA's own client (pip install "tritonclient[http]").

usage: compare_tritonclient.py HOST:PORT PICTURE.jpg    asserts that all of it agrees
"""
import sys

import numpy as np
import tritonclient.http as triton
import tritonclient.utils


def fails(call, *args, **kw):
    try:
        call(*args, **kw)
    except tritonclient.utils.InferenceServerException as e:
        return str(e)
    raise AssertionError("no error")


def pictures(name, *bodies):
    x = triton.InferInput(name, [len(bodies)], "BYTES")
    x.set_data_from_numpy(np.array(bodies, dtype=np.object_))
    return [x]


def tensor(name, array, binary):
    x = triton.InferInput(name, array.shape, "FP32")
    x.set_data_from_numpy(array, binary_data=binary)
    return [x]


def main(address, path):
    client = triton.InferenceServerClient(address)
    with open(path, "rb") as f:
        jpeg = f.read()
    assert client.is_server_live() and client.is_server_ready()
    assert "classification" in client.get_server_metadata()["extensions"]
    name = client.get_model_repository_index()[0]["name"]
    assert client.is_model_ready(name) and client.is_model_ready(name, "1")
    assert not client.is_model_ready("nobody")
    about, config = client.get_model_metadata(name), client.get_model_config(name)
    source, output = about["inputs"][0], about["outputs"][0]
    assert config["input"][0]["dims"] == source["shape"][1:] and config["max_batch_size"] > 0
    assert config["input"][0]["format"] == "FORMAT_NCHW"
    before = client.get_inference_statistics(name)["model_stats"][0]["inference_count"]

    scores = []
    for binary in (True, False):
        for compression in (None, "gzip", "deflate"):
            wanted = [triton.InferRequestedOutput(output["name"], binary_data=binary)]
            reply = client.infer(name, pictures(source["name"], jpeg, jpeg), outputs=wanted,
                                 request_id="7", request_compression_algorithm=compression)
            assert reply.get_response()["id"] == "7"
            scores.append(reply.as_numpy(output["name"]))
    scores.append(client.infer(name, pictures(source["name"], jpeg, jpeg)).as_numpy(output["name"]))
    assert scores[0].shape == (2, output["shape"][1])
    assert all((s == scores[0]).all() for s in scores)

    for binary in (True, False):
        wanted = [triton.InferRequestedOutput(output["name"], binary_data=binary, class_count=3)]
        reply = client.infer(name, pictures(source["name"], jpeg), outputs=wanted)
        rows = reply.as_numpy(output["name"])
        best = rows[0][0].decode() if binary else rows[0][0]
        score, index = best.split(":")[:2]
        assert rows.shape == (1, 3) and int(index) == scores[0][0].argmax()
        assert abs(float(score) - scores[0][0].max()) < 1e-6

    pixels = np.random.RandomState(1).randint(0, 256, [3, *source["shape"][1:]]).astype(np.float32)
    by_bytes, by_json = (client.infer(name, tensor(source["name"], pixels, b)).as_numpy(output["name"])
                         for b in (True, False))
    assert (by_bytes == by_json).all()
    queued = client.async_infer(name, tensor(source["name"], pixels, True)).get_result()
    assert (queued.as_numpy(output["name"]) == by_bytes).all()

    after = client.get_inference_statistics(name)["model_stats"][0]["inference_count"]
    assert after - before == 7 * 2 + 2 + 3 * 3
    assert "no model of that name" in fails(client.infer, "nobody", pictures(source["name"], jpeg))
    assert "JPEG" in fails(client.infer, name, pictures(source["name"], b"no picture"))
    assert "FP32 is not" in fails(client.infer, name,
                                  tensor(source["name"], np.zeros((1, 3, 5, 5), np.float32), True))
    print("all agree")


if __name__ == "__main__":
    main(*sys.argv[1:])
