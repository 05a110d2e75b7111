#!/usr/bin/env python3
"""A running prelu-serve seen by Hugging Face's own client (pip install huggingface_hub).

usage: compare_huggingface.py http://HOST:PORT PICTURE.jpg    asserts that all of it agrees
"""
import json
import sys
import urllib.request

from huggingface_hub import InferenceClient


def main(url, path):
    client = InferenceClient(model=url)
    with open(path, "rb") as f:
        jpeg = f.read()
    with urllib.request.urlopen(url + "/classify", jpeg) as reply:
        want = [(p["label"], p["score"]) for p in json.load(reply)["predictions"]]
    for picture in (path, jpeg):
        assert [(c.label, c.score) for c in client.image_classification(picture)] == want
    assert [(c.label, c.score) for c in client.image_classification(
        jpeg, top_k=2, function_to_apply="softmax")] == want[:2]
    print("all agree")


if __name__ == "__main__":
    main(*sys.argv[1:])
